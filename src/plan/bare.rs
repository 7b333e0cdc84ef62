//! A mount namespace with next to nothing in it, for containers' own to be copied from. clone(2) copies every mount of the
//! host into a new mount namespace, and to leave them behind takes as long again: with hundreds of them, more than all else
//! in a creation. What the container needs of the host's files is taken along as detached mounts.

use std::os::fd::OwnedFd;

use bumpalo::Bump;
use hilum_init::step::{Attr, Bind, Point, Source, Step};
use hilum_sys::namespace::Kind;

use super::namespace::Namespaces;
use super::{Builder, Plan, Request, options};
use crate::error::Result;
use crate::spec::config::Mount;

/// File systems that no path of the host's is an option of.
const PATHLESS: &[&str] = &["proc", "sysfs", "tmpfs", "devpts", "mqueue"];

/// Each bind takes a descriptor, of which a process may have 1024 (RLIMIT_NOFILE) by default.
const MOST_MOUNTS: usize = 256;

/// Whether the host's mounts are of no use: nobody looks at them before pivot_root, and every source is known.
pub fn suits(req: &Request<'_>, ns: &Namespaces) -> bool {
    let (hooks, linux) = (&req.spec.hooks, &req.spec.linux);
    ns.is_new(Kind::Mount)
        // The kernel locks the copies that a user namespace gets of the host's mounts, with their flags.
        && !ns.is_private(Kind::User)
        && !req.in_user_namespace
        && !req.no_pivot
        // Its directory is made later than the plan.
        && req.notify_dir.is_none()
        && hooks.prestart.is_empty()
        && hooks.create_runtime.is_empty()
        && hooks.create_container.is_empty()
        // With the others, mounts of the host's would be tied to the container's in both directions, or to none.
        && matches!(linux.rootfs_propagation.as_str(), "" | "slave" | "rslave" | "rprivate")
        && req.spec.mounts.len() <= MOST_MOUNTS
        && req.spec.mounts.iter().all(|mount| is_known(mount, req, ns))
}

fn is_known(mount: &Mount, req: &Request<'_>, ns: &Namespaces) -> bool {
    match mount.kind.as_str() {
        _ if mount.is_bind() => {
            let source = req.bundle.join(&mount.source);
            // What an earlier mount has put there; and files that are another process's to each process.
            !source.starts_with(req.rootfs) && !source.starts_with("/proc")
        }
        // Otherwise directories are bound that are not there yet.
        "cgroup" => ns.is_new(Kind::Cgroup) && req.cgroup.is_some_and(|cgroup| !cgroup.directories.is_empty()),
        kind => PATHLESS.contains(&kind),
    }
}

/// The process that makes it: a read-only tmpfs as `/`, and in it the null device that masked paths are covered with. It
/// waits, and is ended once its mount namespace has been pinned.
pub fn plan(arena: &Bump, root: OwnedFd, null: OwnedFd) -> Result<Plan<'_>> {
    const NULL: &str = "/dev/null";
    let mut b = Builder::new(arena);
    b.push(Step::NotDumpable);
    b.push(Step::Propagation { flags: options::MS_PRIVATE | options::MS_REC });
    let (fd, path) = (b.pass(root), b.text("/", "root")?);
    b.push(Step::AttachRoot { fd, path });
    let (fd, path) = (b.pass(null), b.text(NULL, NULL)?);
    b.push(Step::Bind(Bind {
        source: Source::Tree { fd, path, idmap: None },
        recursive: false,
        target: path,
        attr: Attr::default(),
        recursive_attr: Attr::default(),
        propagation: 0, // as the host's is, where it is shared: its slave
        no_symlinks: true,
    }));
    b.push(Step::ReadonlyRoot);
    b.push(Step::Pivot { shared: false });
    b.push(Step::Wait(Point::Ready));
    Ok(Plan::of_steps(b, Kind::Mount.flag()))
}
