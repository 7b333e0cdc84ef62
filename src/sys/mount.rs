//! The mount calls that rustix lacks.

use core::ffi::CStr;

use linux_raw_sys::general::{__NR_mount_setattr, __NR_open_tree, AT_EMPTY_PATH, AT_RECURSIVE};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Result;
use crate::raw::syscall;

/// `struct mount_attr` of linux/mount.h: bits to set and clear on a mount, and its propagation type.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttr {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    pub userns: u64,
}

/// mount_setattr(2), Linux 5.12, on the mount that a descriptor is the root of (or, recursively, the tree below it).
pub fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<()> {
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: an empty NUL-ended path and a structure of the given size, both read only.
    unsafe {
        syscall(
            __NR_mount_setattr,
            [
                mount.as_raw_fd() as usize,
                c"".as_ptr() as usize,
                flags as usize,
                attr as *const MountAttr as usize,
                size_of::<MountAttr>(),
                0,
            ],
        )?;
    }
    Ok(())
}

/// open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mount (or tree of mounts) at `path`.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd> {
    use linux_raw_sys::general::{OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE};
    let empty = if path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | empty | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: a NUL-ended path, read only.
    let fd = unsafe {
        syscall(__NR_open_tree, [dir.as_raw_fd() as usize, path.as_ptr() as usize, flags as usize, 0, 0, 0])?
    };
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
