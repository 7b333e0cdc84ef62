//! Which namespaces of others a container takes part in, by the name of a pod or of a container: said on the command line,
//! or by an annotation where the caller is a client that has no such option.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hilum_sys::namespace::Kind;

use super::{Pod, Pods, SHM, join, pin};
use crate::error::{Context, Error, Result};
use crate::log;
use crate::spec::config::{Expect, Namespace, Spec};
use crate::state::{Access, Locked, PodOf, name_of};

pub const POD: &str = "org.hilum.pod";
pub const JOIN: &str = "org.hilum.join";

/// A namespace to take part in.
pub struct Shared {
    pub kind: Kind,
    pub path: PathBuf,
    pub inode: u64,
    /// Of the process that the path names.
    pub start_time: Option<u64>,
    /// For the message: `pod web`, `container db`.
    pub whose: String,
}

/// Locks the pod against its removal while the container is made.
#[derive(Default)]
pub struct Membership {
    pod: Option<(Locked, Pod)>,
    shared: Vec<Shared>,
    /// Another container, as it was asked for.
    joined: Option<String>,
    /// What is mounted on /dev/shm instead of the container's own.
    pub shm: Option<OwnedFd>,
}

/// What the command line says.
#[derive(Clone, Copy, Default)]
pub struct Flags<'f> {
    pub pod: Option<&'f str>,
    pub join: Option<&'f str>,
}

impl Membership {
    pub fn find(pods: &Pods, root: &Path, flags: Flags<'_>, spec: &Spec) -> Result<Self> {
        let mut it = Self::default();
        let pod = one_of("--pod", flags.pod, POD, spec)?;
        let join = one_of("--join", flags.join, JOIN, spec)?;
        if let Some(name) = pod {
            // By an annotation it may be anything.
            let name = name_of(name, "invalid name of a pod").context(POD)?;
            let (dir, pod) = pods.load(name, Access::Shared)?;
            // The container's first process would stop on its way, and the command with it.
            if pod.cgroup.paused()? {
                return Err(Error::new(format!("pod {name} is paused")).hint(format!("hilum pod resume {name}")));
            }
            it.shared = pod.kinds().map(|kind| of_pod(dir.path(), &pod, kind)).collect::<Result<_>>()?;
            if pod.shm_size.is_some() {
                it.shm = Some(clone(&dir.path().join(SHM))?);
            }
            it.pod = Some((dir, pod));
        }
        if let Some(text) = join {
            let target = join::Target::find(root, text)?;
            for shared in target.shared()? {
                if let Some(other) = it.shared.iter().find(|other| other.kind == shared.kind) {
                    let (kind, whose) = (shared.kind.spec_name(), &other.whose);
                    let same = other.inode == shared.inode;
                    if same {
                        continue;
                    }
                    return Err(Error::new(format!(
                        "the {kind} namespace is that of {whose}, and also that of {}: these are two",
                        shared.whose
                    ))
                    .hint(format!("join others only: --join {}:…, {JOIN}", target.id())));
                }
                it.shared.push(shared);
            }
            if it.shm.is_none() {
                it.shm = target.shm()?;
            }
            it.joined = Some(text.into());
        }
        Ok(it)
    }

    /// Puts into the document what a client would write there who knew.
    pub fn apply(&self, spec: &mut Spec, id: &str, systemd: bool) -> Result<()> {
        for shared in &self.shared {
            take_part(&mut spec.linux.namespaces, shared)?;
        }
        if let Some(uts) = self.shared.iter().find(|shared| shared.kind == Kind::Uts) {
            // Clients give every container a hostname, and this one would rename all.
            for name in [&mut spec.hostname, &mut spec.domainname].into_iter().filter(|name| !name.is_empty()) {
                log::debug(|| format!("{name:?} stays unset: names are those of {}", uts.whose));
                name.clear();
            }
        }
        // So that the container's state says it, too, whichever way it was said.
        spec.annotations.extend(self.joined.iter().map(|text| (JOIN.into(), text.clone())));
        let Some((_, pod)) = &self.pod else { return Ok(()) };
        spec.annotations.insert(POD.into(), pod.name.clone());
        if pod.cgroup.unit.is_some() != systemd {
            let (name, hint) = (&pod.name, "--systemd-cgroup is for the pod and all its containers, or for none");
            let maker = if systemd { "hilum itself, and the container's by systemd" } else { "systemd" };
            return Err(Error::new(format!("the cgroup of pod {name} is made by {maker}")).hint(hint));
        }
        spec.linux.cgroups_path = pod.cgroup.path_below(&spec.linux.cgroups_path, id)?;
        Ok(())
    }

    pub fn pod(&self) -> Option<PodOf> {
        self.pod.as_ref().map(|(dir, pod)| PodOf { name: pod.name.clone(), dir: dir.path().into() })
    }
}

/// CRIU is told what is outside of the container by config.json, which does not say what was joined by name.
pub fn refuse_members(annotations: &BTreeMap<String, String>) -> Result<()> {
    match [POD, JOIN].into_iter().find_map(|name| annotations.get_key_value(name)) {
        None => Ok(()),
        Some((name, value)) => Err(Error::new(format!(
            "{name}={value}: a container that takes part in the namespaces of others by name is not supported"
        ))
        .hint("name them by path in linux.namespaces")),
    }
}

/// The option and the annotation, of which one is enough.
fn one_of<'s>(flag: &str, given: Option<&'s str>, annotation: &str, spec: &'s Spec) -> Result<Option<&'s str>> {
    match (given, spec.annotations.get(annotation).map(String::as_str)) {
        (Some(given), Some(annotated)) if given != annotated => {
            Err(Error::new(format!("{flag} says {given:?}, and the annotation {annotation} says {annotated:?}"))
                .hint("give one of them"))
        }
        (given, annotated) => Ok(given.or(annotated)),
    }
}

fn of_pod(dir: &Path, pod: &Pod, kind: Kind) -> Result<Shared> {
    let path = pin::path(dir, kind);
    let inode = pod.namespaces.get(kind.proc_name()).copied().unwrap_or_default();
    let gone = |why: &str| {
        Error::new(format!("pod {}: sandbox gone: {why}", pod.name))
            .hint(format!("hilum pod rm -f {0} and hilum pod create {0} make it anew", pod.name))
    };
    if std::fs::metadata(&path).at("stat", &path)?.ino() != inode {
        return Err(gone(&format!("its {} namespace is mounted no more on {}", kind.spec_name(), path.display())));
    }
    if kind == Kind::Pid && pod.is_broken()? {
        return Err(gone("PID 1 of its pid namespace has ended"));
    }
    Ok(Shared { kind, path, inode, start_time: None, whose: format!("pod {}", pod.name) })
}

fn clone(path: &Path) -> Result<OwnedFd> {
    let text = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap_or_default();
    hilum_sys::mount::clone_tree(rustix::fs::CWD, &text, false).at("open", path)
}

fn take_part(namespaces: &mut Vec<Namespace>, shared: &Shared) -> Result<()> {
    let kind = shared.kind.spec_name();
    let path = shared.path.display().to_string();
    let expect = Some(Expect { inode: Some(shared.inode), start_time: shared.start_time });
    let Some((index, entry)) = namespaces.iter_mut().enumerate().find(|(_, entry)| entry.kind == kind) else {
        namespaces.push(Namespace { kind: kind.into(), path, expect });
        return Ok(());
    };
    if !entry.path.is_empty() && std::fs::metadata(&entry.path).is_ok_and(|stat| stat.ino() != shared.inode) {
        return Err(Error::new(format!(
            "linux.namespaces[{index}].path: {} is not the {kind} namespace of {}, which the container is to join",
            entry.path, shared.whose
        ))
        .hint("remove the path, or do not ask for both"));
    }
    (entry.path, entry.expect) = (path, expect);
    Ok(())
}
