//! `tmpcopyup`: a new tmpfs begins with a copy of what the image has in its place.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, Stat, Timespec, Timestamps, Uid, chmodat, chownat, fstat, mkdirat,
    mknodat, openat, readlinkat_raw, sendfile, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::fail::{During, Fail, Result};

/// Each level has its share of the stack.
const MAX_DEPTH: usize = 100;
/// Room for several names of the greatest length (255 bytes).
const ENTRIES_ROOM: usize = 2048;
/// What one call copies at the most.
const PORTION: usize = 1 << 30;

/// Nobody else changes either side: no process of the container runs yet. A link is copied, and never followed.
pub(crate) fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let (from, to) = (open_directory(from, c".")?, open_directory(to, c".")?);
    directory(from.as_fd(), to.as_fd(), MAX_DEPTH)?;
    make_like(&fstat(&from)?, to.as_fd(), c".")
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty()).during("copy up: open a directory")
}

fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<()> {
    if depth == 0 {
        return Err(Fail::new(Errno::NAMETOOLONG, "copy up: directories too deep"));
    }
    let mut room = [MaybeUninit::uninit(); ENTRIES_ROOM];
    let mut entries = RawDir::new(from, &mut room);
    while let Some(entry) = entries.next() {
        let entry = entry.during("copy up: read a directory")?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).during("copy up: stat")?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                mkdirat(to, name, Mode::RWXU).during("copy up: mkdir")?;
                let (from, to) = (open_directory(from, name)?, open_directory(to, name)?);
                directory(from.as_fd(), to.as_fd(), depth - 1)?;
            }
            FileType::RegularFile => file(from, to, name)?,
            FileType::Symlink => link(from, to, name)?,
            kind => mknodat(to, name, kind, Mode::empty(), stat.st_rdev).during("copy up: mknod")?,
        }
        make_like(&stat, to, name)?;
    }
    Ok(())
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = openat(from, name, OFlags::RDONLY | flags, Mode::empty()).during("copy up: open a file")?;
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | flags;
    let to = openat(to, name, new, Mode::RUSR | Mode::WUSR).during("copy up: create a file")?;
    while sendfile(&to, &from, None, PORTION).during("copy up: write a file")? > 0 {}
    Ok(())
}

/// Apart from the recursion, whose stack this room would fill.
#[inline(never)]
fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut target = [0; 4096];
    let len = readlinkat_raw(from, name, &mut target).during("copy up: read a link")?;
    // A link that fills the room has no end in it.
    let target = target.get(..=len).ok_or(Errno::NAMETOOLONG)?;
    let target = CStr::from_bytes_with_nul(target).map_err(|_| Errno::INVAL)?;
    symlinkat(target, to, name).during("copy up: make a link")
}

/// Owner, mode and times, in this order: a change of the owner takes away set-user-id bits, and each changes the times.
fn make_like(stat: &Stat, dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).during("copy up: chown")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        chmodat(dir, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty()).during("copy up: chmod")?;
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    };
    utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW).during("copy up: set the times")
}
