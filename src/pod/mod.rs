//! Pods: namespaces, a cgroup and a /dev/shm that outlive every container, under a name.
//!
//! A pod is a directory: `pod.json` says what it is, `ns/` has a bind mount of each of its namespaces, `private/shm/` is
//! what its containers see at /dev/shm, and `containers/` has a link to the state of each of them, which may be under any `--root`.

mod gc;
mod join;
mod make;
mod manifest;
mod member;
mod pin;
mod remove;
mod usage;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hilum_sys::namespace::Kind;
use serde::{Deserialize, Serialize};

pub use gc::collect_container;
pub use join::parse_kind;
pub use make::{Wish, make};
pub use manifest::{Manifest, Wanted};
pub use member::{Flags, JOIN, Membership, POD, refuse_members};
pub use remove::remove_directory;
pub use usage::{Amount, PodUsage, Usage};

use crate::cgroup::Cgroup;
use crate::cni::Attachment;
use crate::error::{Context, Error, Result};
use crate::spec::config::Spec;
use crate::state::{self, Access, Identity, Locked, State};

/// The cgroup that pods are in when nobody says where.
pub const PARENT: &str = "hilum-pods";
const FILE: &str = "pod.json";
const CONTAINERS: &str = "containers";
/// For root alone: anybody may write to what is mounted on shm, who can get there.
const PRIVATE: &str = "private";
const SHM: &str = "private/shm";
const ROOT: &str = "root";
/// Of a directory without a pod: its creation may be about to lock it, and to write what the pod is.
const HALF_MADE: &str = "half-made: it is being created, or its creation was killed";

/// What a pod is, as pod.json has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    pub name: String,
    pub created: String,
    pub phase: Phase,
    /// What was asked for, in the terms of config.json: names, namespaces, id maps, sysctls, limits.
    pub spec: Spec,
    /// The inode of each namespace, by the name that it has under /proc/PID/ns.
    pub namespaces: BTreeMap<String, u64>,
    pub cgroup: Cgroup,
    /// PID 1 of the pod's pid namespace.
    pub reaper: Option<Reaper>,
    /// Bytes of the /dev/shm that comes with the ipc namespace.
    pub shm_size: Option<u64>,
    /// What CNI plugins are told when the pod goes; there before they are told anything.
    #[serde(default)]
    pub network: Option<Attachment>,
}

/// How far it is. Unless it is ready, a command is at work on it, or was killed while it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Creating,
    Ready,
    Removing,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reaper {
    pub process: Identity,
    pub cgroup: Cgroup,
}

impl Pod {
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|kind| self.shares(*kind))
    }

    /// Its pid namespace has lost its PID 1.
    fn is_broken(&self) -> Result<bool> {
        Ok(match &self.reaper {
            Some(reaper) => !reaper.process.is_alive()?,
            None => false,
        })
    }

    pub fn save(&self, dir: &Locked) -> Result<()> {
        dir.save(FILE, self)
    }

    pub fn shares(&self, kind: Kind) -> bool {
        self.spec.linux.namespaces.iter().any(|ns| ns.kind == kind.spec_name())
    }
}

/// Where the pods are.
#[derive(Clone, Debug)]
pub struct Pods(pub PathBuf);

impl Pods {
    pub fn names(&self) -> Result<Vec<String>> {
        state::entries(&self.0)
    }

    /// As it is at this moment: other commands may be at work on it. `None`: only its directory is there.
    pub fn read(&self, name: &str) -> Result<Option<Pod>> {
        let pod: Option<Pod> = state::load(&self.0.join(name).join(FILE))?;
        Ok(pod.map(|mut pod| {
            pod.cgroup.forget_others();
            pod.reaper.iter_mut().for_each(|reaper| reaper.cgroup.forget_others());
            pod
        }))
    }

    /// The pod's directory, for as long as no other command changes it, and the pod, if it came that far.
    pub fn open(&self, name: &str, access: Access) -> Result<(Locked, Option<Pod>)> {
        let dir = Locked::open(self.0.join(name), access)?.ok_or_else(|| self.missing(name))?;
        let pod = self.read(name)?;
        Ok((dir, pod))
    }

    /// The same, where it must be whole.
    pub fn load(&self, name: &str, access: Access) -> Result<(Locked, Pod)> {
        let (dir, pod) = self.open(name, access)?;
        let what = match pod {
            Some(pod) if pod.phase == Phase::Ready => return Ok((dir, pod)),
            Some(pod) if pod.phase == Phase::Removing => "half-removed: its removal failed, or was killed",
            Some(_) => "half-made: its creation was killed",
            None => HALF_MADE,
        };
        Err(self.not_whole(name, what))
    }

    /// As it is at this moment, where there must be one.
    pub fn look(&self, name: &str) -> Result<Pod> {
        match self.read(name)? {
            Some(pod) => Ok(pod),
            None if self.0.join(name).is_dir() => Err(self.not_whole(name, HALF_MADE)),
            None => Err(self.missing(name)),
        }
    }

    /// In the order of their ids.
    pub fn members(&self, name: &str) -> Result<Vec<Member>> {
        let pod = self.0.join(name);
        let links = pod.join(CONTAINERS);
        let entries = match std::fs::read_dir(&links) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("read", &links)?,
        };
        let mut members = Vec::new();
        for entry in entries {
            let link = entry.at("read", &links)?.path();
            let dir = match std::fs::read_link(&link) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.at("read", &link)?,
            };
            let id = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let state = state::read(&dir)?;
            // An id may have been used again, for a container of no pod or of another.
            if state.as_ref().is_none_or(|state| state.pod.as_ref().is_some_and(|it| it.dir == pod)) {
                members.push(Member { id, dir, state });
            }
        }
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(members)
    }

    fn not_whole(&self, name: &str, what: &str) -> Error {
        Error::new(format!("pod {name} is {what}"))
            .path(self.0.join(name))
            .hint(format!("hilum pod rm -f {name} removes it"))
    }

    pub fn missing(&self, name: &str) -> Error {
        let error = Error::new(format!("pod {name} does not exist")).path(self.0.join(name));
        error.with_kind(crate::error::Kind::NotFound).hint(format!("hilum pod ls lists those in {}", self.0.display()))
    }
}

/// A container that a pod has.
pub struct Member {
    pub id: String,
    /// The directory of its state.
    pub dir: PathBuf,
    /// None: a command was killed before it made it, or when it was gone already, and its link has stayed.
    pub state: Option<State>,
}

impl Member {
    pub fn status(&self) -> Result<Option<state::Status>> {
        self.state.as_ref().map(State::status).transpose()
    }

    pub fn is_alive(&self) -> Result<bool> {
        Ok(self.status()?.is_some_and(|status| status != state::Status::Stopped))
    }
}

/// Those that have not stopped.
pub fn alive(members: &[Member]) -> Result<Vec<&Member>> {
    let mut alive = Vec::new();
    for member in members {
        if member.is_alive()? {
            alive.push(member);
        }
    }
    Ok(alive)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A command makes it, or was killed while it did.
    Creating,
    /// A command removes it, or was killed while it did, or failed.
    Removing,
    /// No container of it runs.
    Ready,
    Running,
    Paused,
    /// Its pid namespace has lost its PID 1, and takes no new process.
    Broken,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Removing => "removing",
            Status::Ready => "ready",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Broken => "broken",
        }
    }
}

/// What is so now: asked of the kernel, never remembered.
pub fn status(pod: Option<&Pod>, members: &[Member]) -> Result<Status> {
    let Some(pod) = pod.filter(|pod| pod.phase != Phase::Creating) else { return Ok(Status::Creating) };
    if pod.phase == Phase::Removing {
        return Ok(Status::Removing);
    }
    if pod.is_broken()? {
        return Ok(Status::Broken);
    }
    if pod.cgroup.paused()? {
        return Ok(Status::Paused);
    }
    Ok(if alive(members)?.is_empty() { Status::Ready } else { Status::Running })
}
