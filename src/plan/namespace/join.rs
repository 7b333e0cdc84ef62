//! One `path`, opened and verified.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use hilum_sys::namespace::{self, Kind, NSFS_MAGIC};
use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use rustix::io::Errno;

use super::holder::{Holder, pid_of};
use crate::error::{Context, Error, Result, errno_text};
use crate::proc::Namespace;
use crate::spec::{Written, config};

pub(super) const SANDBOX_GONE: &str = "start the sandbox anew, and write its paths to config.json anew";

#[derive(Debug)]
pub struct Join {
    pub kind: Kind,
    pub path: String,
    pub ns: OwnedFd,
    /// Which element of linux.namespaces asks for it.
    pub(super) index: usize,
    pub(super) identity: Namespace,
    /// The user namespace that owns it (for a user namespace, its parent).
    pub(super) owner: Namespace,
}

/// `None`: it is the runtime's own, or a new one.
pub(super) fn open_verified(
    kind: Kind,
    entry: &config::Namespace,
    index: usize,
    written: Option<Written>,
) -> Result<Option<Join>> {
    check_expect(entry, index)?;
    if entry.path.is_empty() {
        return Ok(None);
    }
    let path = entry.path.as_str();
    let property = format!("linux.namespaces[{index}].path");
    let refuse = |why: String| Error::new(format!("{property}: {why}")).path(path);
    if !Path::new(path).is_absolute() {
        return Err(refuse(format!("{path:?} is not an absolute path")).hint("give it from the host's /"));
    }
    let holder = Holder::find(path).map_err(|errno| not_there(path, errno, &property, None))?;
    let open = |flags: OFlags| {
        let opened = match &holder {
            Some(holder) => holder.open(flags),
            None => openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()),
        };
        opened.map_err(|errno| not_there(path, errno, &property, holder.as_ref()))
    };
    // O_PATH first: opening a FIFO or a device for reading has effects, or waits.
    let look = open(OFlags::PATH)?;
    if fstatfs(&look).at("statfs", path)?.f_type as i64 != NSFS_MAGIC {
        return Err(refuse(format!("{path} is not a namespace (not a file of nsfs)"))
            .hint(format!("give /proc/PID/ns/{} or a file that it is bind-mounted on", kind.proc_name())));
    }
    let ns = open(OFlags::RDONLY)?;
    let actual = namespace::kind(ns.as_fd()).map_err(Error::from).context(format!("{property}: {path}"))?;
    if actual != kind.flag() {
        let actual = Kind::from_flag(actual).map_or("unknown", Kind::spec_name);
        return Err(refuse(format!(
            "{path} is of type {actual}, and linux.namespaces[{index}].type says {}",
            kind.spec_name()
        ))
        .hint("correct the one or the other"));
    }
    let identity = Namespace::of(ns.as_fd())?;
    let expect = entry.expect.unwrap_or_default();
    if let Some(expected) = expect.inode.filter(|expected| *expected != identity.inode) {
        return Err(refuse(format!("sandbox gone: {path} is namespace {}, expected {expected}", identity.inode))
            .hint(SANDBOX_GONE));
    }
    if let Some(holder) = &holder {
        holder.verify(expect.start_time, written).map_err(|e| e.context(&property).path(path))?;
    }
    // The host's own namespace under another name is the host's namespace: joining it changes nothing, and must not make
    // anybody believe that the container has one of its own (security record 17).
    if identity == Namespace::own(kind)? {
        if let Some(holder) = holder.filter(|_| entry.expect.is_none()) {
            holder.may_share_hosts(kind).map_err(|e| e.context(&property).path(path))?;
        }
        return Ok(None);
    }
    let owner = match kind {
        Kind::User => namespace::parent(ns.as_fd()),
        _ => namespace::owner(ns.as_fd()),
    };
    let owner = match owner {
        Ok(owner) => Namespace::of(owner.as_fd())?,
        Err(Errno::PERM) => {
            return Err(refuse(format!("{path} is owned by a user namespace that is neither this one nor below it"))
                .hint("run hilum in that user namespace, or in one above it"));
        }
        Err(errno) => return Err(Error::from(errno).context(format!("{property}: {path}"))),
    };
    Ok(Some(Join { kind, path: path.to_string(), ns, index, identity, owner }))
}

/// What can be said of `expect` without looking at what `path` leads to.
fn check_expect(entry: &config::Namespace, index: usize) -> Result<()> {
    let Some(expect) = entry.expect else { return Ok(()) };
    let property = format!("linux.namespaces[{index}].expect");
    if entry.path.is_empty() {
        return Err(Error::new(format!("{property}: the namespace is a new one"))
            .hint(format!("give linux.namespaces[{index}].path, or remove expect")));
    }
    if expect.inode.is_none() && expect.start_time.is_none() {
        return Err(
            Error::new(format!("{property}: has neither inode nor startTime")).hint("give one of them, or remove it")
        );
    }
    if expect.start_time.is_some() && pid_of(&entry.path).is_none() {
        return Err(Error::new(format!("{property}.startTime: {} does not name a process", entry.path))
            .hint("give the path as /proc/PID/…, or expect.inode"));
    }
    Ok(())
}

/// A process that has ended has no namespaces (ENOENT), and soon no directory.
fn not_there(path: &str, errno: Errno, property: &str, process: Option<&Holder<'_>>) -> Error {
    let error = Error::from(errno).context(format!("{property}: open {path}")).path(path);
    match (errno, pid_of(path)) {
        (Errno::NOENT | Errno::SRCH, Some(pid)) if !process.is_some_and(Holder::is_alive) => error
            .replace(format!("{property}: sandbox gone: {path}: no process {pid} ({})", errno_text(errno)))
            .hint(SANDBOX_GONE),
        _ => error,
    }
}
