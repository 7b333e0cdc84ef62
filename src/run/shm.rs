//! Another container's /dev/shm.

use std::os::fd::{AsFd as _, OwnedFd};

use hilum_sys::namespace::{self, Kind};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::state::Identity;

/// A detached copy of the mount. The kernel copies mounts of the caller's mount namespace only, so a thread goes there, with a
/// root and working directory of its own, and leaves nothing behind but the descriptor.
pub fn of(process: &Identity) -> Result<Option<OwnedFd>> {
    let Some(pidfd) = process.open()? else { return Err(Error::new("its process has ended")) };
    let copy_there = || {
        namespace::unshare_fs().context("unshare the root and the working directory")?;
        namespace::setns(pidfd.as_fd(), Kind::Mount.flag()).context("setns to its mount namespace")?;
        copy()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, copy_there)?;
        thread.join().map_err(|_| Error::new("the thread has ended"))?
    })
}

/// No symbolic link of the image is followed. `None`: there is no such directory.
fn copy() -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(CWD, "/dev/shm", flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(dir) => Ok(Some(hilum_sys::mount::clone_tree(dir.as_fd(), c"", false).context("open_tree")?)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno).context("open"),
    }
}
