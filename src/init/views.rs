//! The host's own mounts of proc and sysfs, where `--no-pivot` leaves them below the root file system.
//!
//! The kernel lets a process in a new user and pid namespace mount a proc or sysfs if its mount namespace holds one of which
//! nothing is hidden. The container's are masked; the host's would be the one that gets around the masks.

use core::ffi::CStr;

use hilum_sys::memory::Scratch;
use rustix::fd::BorrowedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::mount::{MountPropagationFlags, mount_change};

use crate::fail::{During, Result};
use crate::mount::Masks;

const PATH_ROOM: usize = 4096;
/// Of mountinfo, at first.
const WORDS: usize = 8 << 10;

/// Covers each of them that is not below `root`, to be called while `/` is still the host's.
pub(crate) fn cover(proc: BorrowedFd<'_>, root: &CStr, masks: &mut Masks) -> Result<()> {
    let (text, len) = mountinfo(proc).during("read mountinfo")?;
    let text = text.bytes().get(..len).unwrap_or_default();
    for point in text.split(|b| *b == b'\n').filter_map(view) {
        let mut room = [0; PATH_ROOM];
        let path = unescape(point, &mut room)?;
        if is_below(path.to_bytes(), root.to_bytes()) {
            continue;
        }
        // What covers it is to be seen here alone, also where the host's mounts are shared with this namespace.
        match mount_change(path, MountPropagationFlags::PRIVATE) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL) => continue, // another mount is in the way, and hides it
            other => other.during("cut a mount of the host's loose")?,
        }
        let target = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        masks.cover_at(target)?;
    }
    Ok(())
}

/// The whole of it at once: it is another one after each mount.
fn mountinfo(proc: BorrowedFd<'_>) -> rustix::io::Result<(Scratch, usize)> {
    let mut words = WORDS;
    loop {
        let file = openat(proc, c"self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (mut pages, mut len) = (Scratch::new(words)?, 0);
        while let Some(room) = pages.bytes_mut().get_mut(len..).filter(|room| !room.is_empty()) {
            match retry_on_intr(|| rustix::io::read(&file, &mut *room))? {
                0 => return Ok((pages, len)),
                more => len += more,
            }
        }
        words *= 2;
    }
}

/// Where the line's mount is, if it is a whole proc or sysfs (proc_pid_mountinfo(5)).
fn view(line: &[u8]) -> Option<&[u8]> {
    let mut fields = line.split(|b| *b == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    (root == b"/" && (kind == b"proc" || kind == b"sysfs")).then_some(point)
}

/// Blanks and backslashes of a path are three octal digits there.
fn unescape<'r>(text: &[u8], room: &'r mut [u8; PATH_ROOM]) -> Result<&'r CStr> {
    let (mut rest, mut len) = (text, 0);
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match (first, behind) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..]) => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), behind)
            }
            _ => (*first, behind),
        };
        *room.get_mut(len).ok_or(Errno::NAMETOOLONG)? = byte;
        (rest, len) = (behind, len + 1);
    }
    // One is left for the NUL, or this is an error.
    Ok(CStr::from_bytes_until_nul(room).map_err(|_| Errno::NAMETOOLONG)?)
}

fn is_below(path: &[u8], root: &[u8]) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
