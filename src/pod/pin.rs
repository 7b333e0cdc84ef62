//! A namespace stays for as long as it is mounted somewhere, without any process in it (namespaces(7)).

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hilum_sys::namespace::Kind;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use super::SHM;
use crate::error::{Context, Result};
use crate::plan::namespace::NSFS_MAGIC;

pub const NS: &str = "ns";

pub fn path(pod: &Path, kind: Kind) -> PathBuf {
    pod.join(NS).join(kind.proc_name())
}

/// The path, if a namespace is mounted there.
pub fn is_there(pod: &Path, kind: Kind) -> Option<PathBuf> {
    let path = path(pod, kind);
    rustix::fs::statfs(&path).is_ok_and(|fs| fs.f_type == NSFS_MAGIC).then_some(path)
}

/// Mounts the namespaces of a process that cannot go meanwhile, and returns their names and inodes.
pub fn pin(pod: &Path, kinds: impl Iterator<Item = Kind>, pid: i32) -> Result<Vec<(String, u64)>> {
    let mut pinned = Vec::new();
    for kind in kinds {
        let target = path(pod, kind);
        fs::File::create_new(&target).at("create", &target)?;
        let source = format!("/proc/{pid}/ns/{}", kind.proc_name());
        mount_bind(&source, &target).at(&format!("mount {source} on"), &target)?;
        let inode = fs::metadata(&target).at("stat", &target)?.ino();
        pinned.push((kind.proc_name().to_string(), inode));
    }
    Ok(pinned)
}

/// What the pod's containers see at /dev/shm.
pub fn mount_shm(pod: &Path, size: u64) -> Result<()> {
    let target = pod.join(SHM);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = std::ffi::CString::new(format!("mode=1777,size={size}")).unwrap_or_default();
    mount("shm", &target, "tmpfs", flags, options.as_c_str()).at("mount a tmpfs on", &target)
}

/// Takes off whatever is mounted, also by a command that was killed before it could say so.
pub fn unmount_all(pod: &Path) -> Result<()> {
    let ns = Kind::ALL.into_iter().map(|kind| path(pod, kind));
    for target in ns.chain([pod.join(SHM)]) {
        loop {
            // EINVAL: not a mount point.
            match unmount(&target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                Ok(()) => {}
                Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => break,
                Err(errno) => return Err(errno).at("unmount", &target),
            }
        }
    }
    Ok(())
}

pub fn prepare(pod: &Path) -> Result<()> {
    for name in [NS, SHM, super::CONTAINERS, super::ROOT] {
        fs::create_dir(pod.join(name)).at("create", pod.join(name))?;
    }
    Ok(())
}
