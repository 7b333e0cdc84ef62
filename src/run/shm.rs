//! Another container's /dev/shm.

use std::os::fd::{AsFd as _, OwnedFd};

use hilum_sys::namespace::{self, Kind};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::state::Identity;

/// A detached copy of the mount. The kernel copies mounts of the caller's mount namespace only, so that is where this goes
/// for a moment, and takes nothing along but the descriptor.
pub fn of(process: &Identity) -> Result<Option<OwnedFd>> {
    let Some(pidfd) = process.open()? else { return Err(Error::new("its process has ended")) };
    let look = |path: &str| open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at("open", path);
    let home =
        open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at("open", "/proc/self/ns/mnt")?;
    let (root, cwd) = (look("/")?, look(".")?);
    namespace::setns(pidfd.as_fd(), Kind::Mount.flag()).context("setns to its mount namespace")?;
    let copy = copy();
    // Without a way back, nothing else may be done.
    namespace::setns(home.as_fd(), Kind::Mount.flag()).context("setns back to our own mount namespace")?;
    rustix::process::fchdir(&root).and_then(|()| rustix::process::chroot(".")).context("go back to our own root")?;
    rustix::process::fchdir(&cwd).context("go back to our own directory")?;
    copy
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
