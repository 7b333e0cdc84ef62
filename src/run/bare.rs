//! The bare mount namespace (plan/bare.rs), kept where every command finds it: as a mount, like `unshare --mount=FILE` keeps
//! one. It costs the host two mounts, and a creation its way there: setns(2), and a copy of next to nothing.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use bumpalo::Bump;
use hilum_init::step::Point;
use hilum_sys::mount::{MountAttr, clone_tree, mount_setattr};
use hilum_sys::namespace::{self, Kind};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, StatxAttributes, StatxFlags, flock, open, statx};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen, mount_bind, mount_change,
};
use rustix::thread::CapabilitySet;

use super::holder::hold;
use crate::error::{Context, Result};
use crate::{log, plan};

/// Beside the directory of containers and pods, whose names are theirs.
const PATH: &str = "/run/hilum.bare";

/// How often it is made in vain, before nobody tries any more. Each time is a byte of the file.
const TRIES: u64 = 16;

/// `None`: containers' mount namespaces are copied from the host's, as they always can be.
pub fn get() -> Option<OwnedFd> {
    if !is_allowed() {
        return None;
    }
    if let Some(found) = find() {
        return Some(found);
    }
    match make() {
        Ok(made) => made,
        Err(e) => {
            log::debug(|| format!("{PATH}: {e}"));
            None
        }
    }
}

/// For a plan that nobody carries out: one that can be copied, as the bare one could.
pub fn stand_in() -> Option<OwnedFd> {
    let is_copied = is_allowed() && plan::idmapped::is_known_to_kernel();
    is_copied.then(|| open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()).flatten()
}

/// setns(2) wants both, for a mount namespace.
fn is_allowed() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_CHROOT;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Only root can have put one there. Without mount_setattr(2), Linux 5.12, mounts need the host's /proc.
fn find() -> Option<OwnedFd> {
    let found =
        open(PATH, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let is_one = namespace::kind(found.as_fd()).is_ok_and(|kind| kind == Kind::Mount.flag());
    (is_one && mount_setattr(found.as_fd(), false, &MountAttr::default()).is_ok()).then_some(found)
}

fn make() -> Result<Option<OwnedFd>> {
    if !plan::idmapped::is_known_to_kernel() {
        return Ok(None);
    }
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut lock = options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(PATH).at("create", PATH)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).at("lock", PATH)?;
    if let Some(found) = find() {
        return Ok(Some(found));
    }
    if lock.metadata().at("stat", PATH)?.len() >= TRIES {
        return Ok(None);
    }
    let arena = Bump::new();
    let plan = plan::bare::plan(&arena, root()?, clone_tree(CWD, c"/dev/null", false).at("open", "/dev/null")?)?;
    // A mount namespace can be mounted only where nothing passes the mount on: it could end up inside itself.
    if !is_mount()? {
        mount_bind(PATH, PATH).at("mount it on itself", PATH)?;
    }
    mount_change(PATH, MountPropagationFlags::PRIVATE).at("make it private", PATH)?;
    let pinned = hold(&plan, Point::Ready, pin);
    let found = if pinned.is_ok() { find() } else { None };
    if found.is_none() {
        lock.write_all(b".").at("write", PATH)?;
    }
    pinned.map(|()| found)
}

/// The kernel wants it to be younger than the mount namespace that it is mounted in, by numbers that are handed out to each
/// CPU in advance (seen with Linux 6.18). So this may fail where that one is not the first of all, and work the next time.
fn pin(pid: i32) -> Result<()> {
    let source = format!("/proc/{pid}/ns/mnt");
    mount_bind(&source, PATH).at(&format!("mount {source} on"), PATH)
}

fn is_mount() -> Result<bool> {
    let stat = statx(CWD, PATH, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).at("statx", PATH)?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The future root directory: a detached tmpfs.
fn root() -> Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen tmpfs")?;
    for (name, value) in [("source", "hilum.bare"), ("mode", "755"), ("nr_inodes", "8"), ("size", "4k")] {
        fsconfig_set_string(fs.as_fd(), name, value).context("configure a tmpfs")?;
    }
    fsconfig_create(fs.as_fd()).context("make a tmpfs")?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags).context("fsmount")
}
