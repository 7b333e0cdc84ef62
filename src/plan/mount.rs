//! mounts: each entry of the document becomes a step, or is refused.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use hilum_init::step::{Attr, Bind, Mount, Source, Step, Str, Strs};
use hilum_sys::namespace::Kind;
use rustix::fs::{PROC_SUPER_MAGIC, access, statfs};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::idmapped::{self, Idmap};
use super::namespace::Namespaces;
use super::options::{self, Options};
use super::{Builder, Request, cgroup_mount};
use crate::error::{Context, Error, Result};
use crate::privilege;
use crate::spec::config;

/// The files of /proc that something may be bound on (lxcfs does): all else in there is the kernel's to say
/// (CVE-2019-16884).
const PROC_BINDS: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
    "/proc/net/dev",
];
/// Where POSIX shared memory is (shm_overview(7)).
const SHM: &str = "/dev/shm";
/// What fsconfig(2) takes as a value.
const OPTION_ROOM: usize = 255;

pub fn plan<'a>(
    b: &mut Builder<'a>,
    req: &Request<'_>,
    ns: &Namespaces,
    index: usize,
    mount: &config::Mount,
    remounts: &mut Vec<Step<'a>>,
) -> Result<()> {
    let target = clean(&mount.destination);
    let property = |field: &str| format!("mounts[{index}].{field}");
    if target == "/" {
        return Err(Error::new(format!("{}: a mount on / would hide the root file system", property("destination")))
            .hint("choose a destination below it; the root file system is root.path"));
    }
    // Not all of them reach the kernel.
    if mount.options.iter().chain([&mount.source]).any(|text| text.contains('\0')) {
        return Err(Error::new(format!("mounts[{index}]: holds a NUL byte")));
    }
    let mut options = options::parse(&mount.options);
    if options.copy_up && mount.kind != "tmpfs" {
        return Err(Error::new(format!("{}: {:?} is for a tmpfs", property("options"), options::COPY_UP))
            .hint("remove the option, or mount a tmpfs"));
    }
    if let Some(shm) = req.shm.filter(|_| target == SHM) {
        // containerd mounts there twice, one over the other.
        let again = req.spec.mounts.iter().skip(index + 1).any(|later| clean(&later.destination) == SHM);
        return if again { Ok(()) } else { shared_memory(b, shm, &property) };
    }
    let bind = mount.is_bind();
    if (bind || options.remount || mount.kind == "cgroup")
        && options.recursive_attr != Attr::default()
        && !idmapped::is_known_to_kernel()
    {
        return Err(Error::new(format!(
            "{}: flags of all mounts of a tree (rro, rnosuid, …) need Linux 5.12 or newer, and this is {}",
            property("options"),
            idmapped::release()
        ))
        .hint("give them without the first r, for the topmost mount alone"));
    }
    check_proc(mount, &req.bundle.join(&mount.source), &target, bind, &property("destination"))?;
    let idmap = idmapped::of(req, ns, mount, &options, bind, &property)?;
    let to = b.text(&target, &property("destination"))?;

    if options.remount {
        if let Some(data) = options.data.first() {
            return Err(Error::new(format!("{}: {data:?} is not changed by a remount", property("options")))
                .hint("give it to the mount itself"));
        }
        b.push(Step::Remount { target: to, attr: options.attr, recursive: false, propagation: options.propagation });
        b.steps.extend(of_tree(to, &options));
        return Ok(());
    }
    if bind {
        return bind_mount(b, req, ns, mount, (&options, idmap), &target, &property);
    }
    match (mount.kind.as_str(), owner_of(&mount.kind)) {
        ("", _) => {
            return Err(Error::new(format!("{}: missing", property("type")))
                .hint("name the file system, or add the option bind"));
        }
        ("cgroup", _) => {
            cgroup_mount::plan(b, req, ns, &target, &options, remounts)?;
            remounts.extend(of_tree(to, &options));
            return Ok(());
        }
        // Only who owns the network namespace may mount a sysfs of it: the host's own, read-only, stands in.
        ("sysfs", Some(kind)) if !ns.owned_by_container(kind) => {
            let step = Step::Bind(Bind {
                source: bind_source(b, ns, (Path::new("/sys"), true), None, "/sys")?,
                recursive: true,
                target: to,
                attr: Attr { set: options.attr.set | options::RDONLY, clear: options.attr.clear },
                recursive_attr: options.recursive_attr,
                propagation: options::RSLAVE,
                no_symlinks: true,
            });
            b.push(step);
            // A sysfs of its own would show nothing there. The host's are mounts of their own and may be written to: a
            // user's by that user, in a container without a cgroup mount, too (CVE-2023-25809).
            let path = b.text(format!("{target}/fs/cgroup"), &property("destination"))?;
            b.push(Step::Mask { path });
            return Ok(());
        }
        (fs, Some(kind)) if !ns.owned_by_container(kind) => {
            let whose = match ns.join(kind) {
                Some(join) => format!("joined {} namespace {}", kind.spec_name(), join.path),
                None => format!("host's {} namespace", kind.spec_name()),
            };
            return Err(Error::new(format!(
                "mount {fs} on {target}: the {whose} is owned by another user namespace (EPERM)"
            ))
            .path(&target)
            .hint(format!(
                "remove the user namespace from linux.namespaces, or give the container a {} namespace of its own, or bind {target} from the host",
                kind.spec_name()
            )));
        }
        _ => {}
    }
    // What is new is a tree of one mount.
    options::merge(&mut options.attr, options.recursive_attr);
    // Devices still have to be made in a /dev that is to be read-only.
    if target == "/dev" && options.attr.set & options::RDONLY != 0 {
        options.attr.set &= !options::RDONLY;
        let attr = Attr { set: options::RDONLY, clear: 0 };
        remounts.push(Step::Remount { target: to, attr, recursive: false, propagation: 0 });
    }
    let step = Step::Mount(Mount {
        fs: b.text(&mount.kind, &property("type"))?,
        source: b.text(&mount.source, &property("source"))?,
        options: data(b, req, mount, &options, &property("options"))?,
        attr: options.attr.set,
        propagation: options.propagation,
        target: to,
        copy_up: options.copy_up,
        mount_points: mount_points(b, req, index, &options)?,
        no_symlinks: matches!(mount.kind.as_str(), "proc" | "sysfs") || target == "/dev",
    });
    b.push(step);
    Ok(())
}

/// The directories of a new tmpfs for what is mounted in it afterwards: in /dev, three.
fn mount_points<'a>(b: &Builder<'a>, req: &Request<'_>, index: usize, options: &Options) -> Result<Strs<'a>> {
    let mut rest = req.spec.mounts.iter().skip(index);
    let Some(this) = rest.next().filter(|it| it.kind == "tmpfs") else { return Ok(Strs::default()) };
    if options.copy_up || options.attr.set & options::RDONLY != 0 {
        return Ok(Strs::default());
    }
    let above = format!("{}/", clean(&this.destination));
    let has = |it: &config::Mount, name| it.options.iter().any(|option| option.starts_with(name));
    // A tmpfs would take over the mode of what it finds (`keep_mode` of the init).
    let is_free =
        |it: &&config::Mount| !it.is_bind() && !has(it, "remount") && (it.kind != "tmpfs" || has(it, "mode="));
    let targets: Vec<_> = rest.filter(is_free).map(|it| clean(&it.destination)).collect();
    let names = targets.iter().filter_map(|it| it.strip_prefix(&above)).filter(|name| !name.contains(['/', '\0']));
    b.texts(&names.collect::<Vec<_>>(), "mounts")
}

/// The flags for all mounts of a tree (rro, rnosuid, …), once it is there.
fn of_tree<'a>(target: Str<'a>, options: &Options) -> Option<Step<'a>> {
    let attr = options.recursive_attr;
    (attr != Attr::default()).then_some(Step::Remount { target, attr, recursive: true, propagation: 0 })
}

/// The ipc namespace is shared, and so is what stands here, whatever a client that does not know wants to mount.
fn shared_memory(b: &mut Builder<'_>, shm: &OwnedFd, property: &dyn Fn(&str) -> String) -> Result<()> {
    let fd = b.pass(shm.try_clone().context("duplicate the descriptor of /dev/shm")?);
    let step = Step::Bind(Bind {
        source: Source::Tree { fd, path: b.text("the shared /dev/shm", SHM)?, idmap: None },
        recursive: false,
        target: b.text(SHM, &property("destination"))?,
        attr: Attr::default(),
        recursive_attr: Attr::default(),
        propagation: options::MS_PRIVATE,
        no_symlinks: false,
    });
    b.push(step);
    Ok(())
}

/// The namespace whose owner alone may mount this file system (sysfs(5), mq_overview(7), proc(5)).
fn owner_of(fs: &str) -> Option<Kind> {
    match fs {
        "proc" => Some(Kind::Pid),
        "sysfs" => Some(Kind::Net),
        "mqueue" => Some(Kind::Ipc),
        _ => None,
    }
}

fn data<'a>(
    b: &Builder<'a>,
    req: &Request<'_>,
    mount: &config::Mount,
    options: &Options,
    property: &str,
) -> Result<Strs<'a>> {
    let mut data = options.data.clone();
    // A file system on a device is opened read-only when it is mounted so; the kernel's own have no such state.
    let on_device = mount.source.starts_with('/') && mount.kind != "tmpfs";
    if on_device && options.attr.set & options::RDONLY != 0 {
        data.push("ro".to_string());
    }
    let label = &req.spec.linux.mount_label;
    if !label.is_empty() && req.modules.selinux && !matches!(mount.kind.as_str(), "proc" | "sysfs" | "mqueue") {
        data.push(format!("context={label}"));
    }
    if let Some(long) = data.iter().find(|option| option.len() > OPTION_ROOM) {
        let name = long.split('=').next().unwrap_or_default();
        return Err(Error::new(format!(
            "{property}: {name}: longer than the {OPTION_ROOM} bytes that fsconfig(2) takes"
        )));
    }
    b.texts(&data, property)
}

fn bind_mount(
    b: &mut Builder<'_>,
    req: &Request<'_>,
    ns: &Namespaces,
    mount: &config::Mount,
    (options, idmap): (&Options, Option<Idmap>),
    target: &str,
    property: &dyn Fn(&str) -> String,
) -> Result<()> {
    if mount.source.is_empty() {
        return Err(Error::new(format!("{}: missing", property("source"))).hint("give the path that is to be bound"));
    }
    let source = req.bundle.join(&mount.source);
    let there = access(&source, rustix::fs::Access::EXISTS).at(&property("source"), &source);
    there.map_err(|e| e.hint("make it, or remove the mount"))?;
    if let Some(data) = options.data.iter().find(|name| !options::is_superblock_flag(name)) {
        return Err(Error::new(format!("{}: {data:?} is not an option of a bind mount", property("options")))
            .hint("remove the option"));
    }
    let step = Step::Bind(Bind {
        source: bind_source(b, ns, (&source, options.recursive), idmap.as_ref(), &property("source"))?,
        recursive: options.recursive,
        target: b.text(target, &property("destination"))?,
        attr: options.attr,
        recursive_attr: options.recursive_attr,
        propagation: options.propagation,
        // As a new mount there: what is masked and read-only below it is found by that name.
        no_symlinks: matches!(target, "/proc" | "/sys" | "/dev"),
    });
    b.push(step);
    Ok(())
}

/// Inside a user namespace the source may be out of reach (a directory that only the host's root may enter), and in a
/// mount namespace without the host's mounts it is, so the parent takes hold of it, as it does to map its ids; the child
/// cuts it loose from the host's propagation.
pub fn bind_source<'a>(
    b: &mut Builder<'a>,
    ns: &Namespaces,
    (path, recursive): (&Path, bool),
    idmap: Option<&Idmap>,
    property: &str,
) -> Result<Source<'a>> {
    let out_of_reach = ns.bare.is_some() || (ns.is_private(Kind::User) && crate::privilege::user().is_root());
    if !out_of_reach && idmap.is_none() {
        return Ok(Source::Path(b.text(path.as_os_str().as_encoded_bytes(), property)?));
    }
    let text = b.text(path.as_os_str().as_encoded_bytes(), property)?;
    let tree = take_along(text, recursive, property)?;
    if let Some(idmap) = idmap {
        idmap.apply(tree.as_fd(), path, property)?;
    }
    Ok(Source::Tree { fd: b.pass(tree), path: text, idmap: idmap.map(|idmap| idmap.recursive) })
}

/// A detached copy of what is mounted there.
pub fn take_along(path: Str<'_>, recursive: bool, property: &str) -> Result<OwnedFd> {
    hilum_sys::mount::clone_tree(rustix::fs::CWD, path.0, recursive)
        .map_err(Error::from)
        .context(format!("{property}: open {}", path.0.to_string_lossy()))
        .map_err(|error| match error.detail().errno {
            // The kernel counts what is copied as a mount namespace of its own.
            Some(Errno::NOSPC) => {
                error.hint("a limit of /proc/sys/user/max_mnt_namespaces or /proc/sys/fs/mount-max is reached")
            }
            _ => privilege::needs(error, CapabilitySet::SYS_ADMIN),
        })
}

fn check_proc(mount: &config::Mount, source: &Path, target: &str, bind: bool, property: &str) -> Result<()> {
    if target == "/proc" {
        let is_proc = match bind {
            true => statfs(source).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC),
            false => mount.kind == "proc",
        };
        if !is_proc {
            return Err(Error::new(format!("{property}: \"/proc\" cannot be mounted because it is not of type proc"))
                .hint("mount proc there, or choose another destination"));
        }
    } else if target.starts_with("/proc/") && !PROC_BINDS.contains(&target) {
        return Err(Error::new(format!("{property}: {target:?} cannot be mounted because it is inside /proc"))
            .hint("choose another destination"));
    }
    Ok(())
}

/// The path without `.`, `..` and doubled slashes, from the root.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleaned_path_cannot_climb_above_the_root() {
        assert_eq!(clean("/a/./b//../c/"), "/a/c");
        assert_eq!(clean("../../etc"), "/etc");
        assert_eq!(clean("/"), "/");
    }
}
