//! A namespace stays for as long as it is mounted somewhere, without any process in it (namespaces(7)).

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use hilum_sys::namespace::{Kind, NSFS_MAGIC};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use rustix::thread::CapabilitySet;

use super::{CONTAINERS, PRIVATE, ROOT, SHM};
use crate::error::{Context, Error, Result};

pub const NS: &str = "ns";

pub fn path(pod: &Path, kind: Kind) -> PathBuf {
    pod.join(NS).join(kind.proc_name())
}

/// The path, if a namespace is mounted there.
pub fn is_there(pod: &Path, kind: Kind) -> Option<PathBuf> {
    let path = path(pod, kind);
    rustix::fs::statfs(&path).is_ok_and(|fs| fs.f_type == NSFS_MAGIC).then_some(path)
}

/// Before anything exists: to mount is a right (mount_namespaces(7)).
pub fn check_rights() -> Result<()> {
    let held = rustix::thread::capabilities(None).context("capget")?.effective;
    match held.contains(CapabilitySet::SYS_ADMIN) {
        true => Ok(()),
        false => Err(Error::new("a pod's namespaces are mounted, which needs CAP_SYS_ADMIN").hint(WAY_OUT)),
    }
}

const WAY_OUT: &str = "be root, or root of a user namespace with a mount namespace of its own (unshare -Urm)";

/// Mounts the namespaces of a process that cannot go meanwhile, and returns their names and inodes.
pub fn pin(pod: &Path, kinds: impl Iterator<Item = Kind>, pid: i32) -> Result<Vec<(String, u64)>> {
    let mut pinned = Vec::new();
    for kind in kinds {
        let target = path(pod, kind);
        fs::File::create_new(&target).at("create", &target).map_err(Error::on_disk)?;
        let source = format!("/proc/{pid}/ns/{}", kind.proc_name());
        mount_bind(&source, &target).at(&format!("mount {source} on"), &target).map_err(rights)?;
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
    mount("shm", &target, "tmpfs", flags, options.as_c_str()).at("mount a tmpfs on", &target).map_err(rights)
}

/// Without CAP_SYS_ADMIN, or as root of a user namespace in a mount namespace that somebody else made.
fn rights(error: Error) -> Error {
    match error.detail().errno {
        Some(Errno::PERM | Errno::ACCESS) => error.hint(WAY_OUT),
        _ => error,
    }
}

/// Takes off whatever is mounted, also by a command that was killed before it could say so.
pub fn unmount_all(pod: &Path) -> Result<()> {
    let own = match fs::symlink_metadata(pod) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.at("stat", pod)?.dev(),
    };
    let ns = Kind::ALL.into_iter().map(|kind| path(pod, kind));
    for target in ns.chain([pod.join(SHM)]) {
        // Several may be mounted one over the other. To ask for what is not mounted is an error of its own for those who
        // have not the right.
        while fs::symlink_metadata(&target).is_ok_and(|stat| stat.dev() != own) {
            unmount(&target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).at("unmount", &target).map_err(rights)?;
        }
    }
    Ok(())
}

pub fn prepare(pod: &Path) -> Result<()> {
    for (name, mode) in [(NS, 0o755), (CONTAINERS, 0o755), (ROOT, 0o755), (PRIVATE, 0o700), (SHM, 0o755)] {
        let made = fs::DirBuilder::new().mode(mode).create(pod.join(name));
        made.at("create", pod.join(name)).map_err(Error::on_disk)?;
    }
    Ok(())
}
