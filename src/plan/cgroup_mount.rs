//! A mount of type `cgroup`: the container's view of its cgroup, in the layout that the host has.

use std::path::Path;

use hilum_init::step::{Attr, Bind, Mount, Source, Step, Strs};
use hilum_sys::namespace::Kind;

use super::mount::clean;
use super::namespace::Namespaces;
use super::options::{self, Options};
use super::{Builder, IdMaps, Request};
use crate::cgroup::{Directory, Version, host_is_unified};
use crate::error::{Error, Result};
use crate::spec::config::{self, Spec};

const PROPERTY: &str = "mounts (cgroup)";

pub fn plan<'a>(
    b: &mut Builder<'a>,
    req: &Request<'_>,
    ns: &Namespaces,
    target: &str,
    options: &Options,
    remounts: &mut Vec<Step<'a>>,
) -> Result<()> {
    // Without one, that is what is wrong.
    let Some(cgroup) = req.cgroup else { return Ok(()) };
    if cgroup.directories.is_empty() && !req.rootless {
        return Err(Error::new(format!(
            "mount cgroup on {target}: the host has no cgroup file system that it could show"
        ))
        .hint("remove the mount, or give the container a cgroup"));
    }
    if cgroup.directories.is_empty() && host_is_unified() {
        let attr = Attr { set: options.attr.set | options::RDONLY, clear: options.attr.clear };
        let step = bind(b, Path::new("/sys/fs/cgroup"), target, attr, options.propagation)?;
        b.push(step);
        return Ok(());
    }
    if cgroup.is_unified() {
        for directory in &cgroup.directories {
            let step = unified(b, ns, directory, target, options)?;
            b.push(step);
        }
        return Ok(());
    }
    // v1: a tmpfs with a directory for each hierarchy, and a link for each controller that shares one.
    let step = Step::Mount(Mount {
        fs: b.text("tmpfs", PROPERTY)?,
        source: b.text("tmpfs", PROPERTY)?,
        options: b.texts(&["mode=755"], PROPERTY)?,
        attr: options.attr.set & !options::RDONLY,
        propagation: options.propagation,
        target: b.text(target, PROPERTY)?,
        copy_up: false,
        mount_points: b.texts(&cgroup.directories.iter().map(name).collect::<Vec<_>>(), PROPERTY)?,
        no_symlinks: true,
    });
    b.push(step);
    for directory in &cgroup.directories {
        let name = name(directory);
        let below = format!("{target}/{name}");
        let step = match directory.version {
            Version::V2 if ns.is_new(Kind::Cgroup) => unified(b, ns, directory, &below, options)?,
            _ => hierarchy(b, ns, directory, &below, options)?,
        };
        b.push(step);
        for controller in directory.controllers.iter().filter(|_| directory.controllers.len() > 1) {
            let (path, to) = (b.text(format!("{target}/{controller}"), PROPERTY)?, b.text(&name, PROPERTY)?);
            b.push(Step::Symlink { path, to, replace: false });
        }
    }
    if options.attr.set & options::RDONLY != 0 {
        let attr = Attr { set: options::RDONLY, clear: 0 };
        remounts.push(Step::Remount { target: b.text(target, PROPERTY)?, attr, recursive: false, propagation: 0 });
    }
    Ok(())
}

/// Who is to own the cgroup, so that the container's processes can make others below it: the user they run as, if they see
/// their cgroup in a mount that can be written to. As the host counts; none where that is not known.
pub fn owner(spec: &Spec, ns: &Namespaces) -> Option<u32> {
    let is_writable = |mount: &config::Mount| {
        let Options { mut attr, recursive_attr, .. } = options::parse(&mount.options);
        options::merge(&mut attr, recursive_attr);
        mount.kind == "cgroup" && clean(&mount.destination) == "/sys/fs/cgroup" && attr.set & options::RDONLY == 0
    };
    if !ns.is_new(Kind::Cgroup) || !spec.mounts.iter().any(is_writable) {
        return None;
    }
    let uid = spec.process.as_ref().map_or(0, |process| process.user.uid);
    match (ns.is_new(Kind::User), ns.join(Kind::User)) {
        (true, _) => IdMaps::host_id(&spec.linux.uid_mappings, uid),
        (false, None) => Some(uid),
        (false, Some(_)) => None,
    }
}

/// What the hierarchy's directory is called on the host, and so in the container.
fn name(directory: &Directory) -> String {
    match directory.mount.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => directory.controllers.join(","),
    }
}

/// With a cgroup namespace of its own, the container's cgroup is the root of a mount made inside; without one, its
/// directory is bound.
fn hierarchy<'a>(
    b: &mut Builder<'a>,
    ns: &Namespaces,
    directory: &Directory,
    target: &str,
    options: &Options,
) -> Result<Step<'a>> {
    if !ns.is_new(Kind::Cgroup) || !ns.owned_by_container(Kind::Cgroup) {
        return bind(b, &directory.path, target, options.attr, options.propagation);
    }
    Ok(Step::Mount(Mount {
        fs: b.text("cgroup", PROPERTY)?,
        source: b.text("cgroup", PROPERTY)?,
        options: b.texts(&directory.controllers, PROPERTY)?,
        attr: options.attr.set,
        propagation: options.propagation,
        target: b.text(target, PROPERTY)?,
        copy_up: false,
        mount_points: Strs::default(),
        no_symlinks: true,
    }))
}

fn unified<'a>(
    b: &mut Builder<'a>,
    ns: &Namespaces,
    directory: &Directory,
    target: &str,
    options: &Options,
) -> Result<Step<'a>> {
    // A user namespace that does not own the cgroup namespace may not mount it: the host's tree is shown, and only
    // shown (CVE-2023-25809).
    if !ns.owned_by_container(Kind::Cgroup) {
        let attr = Attr { set: options.attr.set | options::RDONLY, clear: options.attr.clear };
        return bind(b, &directory.mount, target, attr, options.propagation);
    }
    // In the host's cgroup namespace, another mount would show the same and set the options of the host's own mount
    // (nsdelegate and the like) to its own, at the cost of an RCU grace period: several milliseconds.
    if !ns.is_private(Kind::Cgroup) {
        return bind(b, &directory.mount, target, options.attr, options.propagation);
    }
    Ok(Step::Mount(Mount {
        fs: b.text("cgroup2", PROPERTY)?,
        source: b.text("cgroup", PROPERTY)?,
        options: b.texts::<&str>(&[], PROPERTY)?,
        attr: options.attr.set,
        propagation: options.propagation,
        target: b.text(target, PROPERTY)?,
        copy_up: false,
        mount_points: Strs::default(),
        no_symlinks: true,
    }))
}

/// The path is the host's and does not exist before the cgroup does: the child opens it.
fn bind<'a>(b: &Builder<'a>, source: &Path, target: &str, attr: Attr, propagation: u32) -> Result<Step<'a>> {
    Ok(Step::Bind(Bind {
        source: Source::Path(b.text(source.as_os_str().as_encoded_bytes(), PROPERTY)?),
        recursive: true,
        target: b.text(target, PROPERTY)?,
        attr,
        recursive_attr: Attr::default(),
        propagation,
        no_symlinks: true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::Conflicts;

    #[test]
    fn only_a_mount_that_can_be_written_gives_the_cgroup_away() {
        let kinds = [config::Namespace { kind: "cgroup".into(), ..Default::default() }];
        let ns = Conflicts::none(|conflicts| Namespaces::plan(&kinds, None, conflicts)).unwrap();
        for (options, expected) in [
            (&["nosuid"][..], Some(0)),
            (&["ro"], None),
            (&["rro"], None),
            (&["ro", "rw"], Some(0)),
            (&["ro", "rrw"], Some(0)),
        ] {
            let mount = config::Mount {
                kind: "cgroup".into(),
                destination: "/sys/./fs/cgroup/".into(),
                options: options.iter().map(|option| option.to_string()).collect(),
                ..Default::default()
            };
            let spec = Spec { mounts: vec![mount], ..Spec::default() };
            assert_eq!(owner(&spec, &ns), expected, "{options:?}");
        }
    }
}
