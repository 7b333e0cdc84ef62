//! Device nodes and symbolic links in the container's /dev.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, mknodat, readlinkat_raw, statat, symlinkat, unlinkat};
use rustix::io::Errno;

use crate::fail::{During, Result};
use crate::root::Root;

/// `mode` holds the file's type, too.
pub(crate) fn node(place: Place<'_, '_>, mode: u32, device: u64, uid: u32, gid: u32) -> Result<()> {
    let Place { dir, name } = place;
    let (kind, permissions) = (FileType::from_raw_mode(mode), Mode::from_raw_mode(mode));
    let make = || mknodat(dir, name, kind, permissions, device);
    match make() {
        Err(Errno::EXIST) if is_node(dir, name, kind, device)? => return Ok(()),
        // An exported image has empty files where its devices were.
        Err(Errno::EXIST) => {
            unlinkat(dir, name, AtFlags::empty()).during("replace the file")?;
            make()?;
        }
        other => other?,
    }
    if (uid, gid) != (0, 0) {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).during("chown")?;
    }
    Ok(())
}

fn is_node(dir: BorrowedFd<'_>, name: &CStr, kind: FileType, device: u64) -> Result<bool> {
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == device)
}

pub(crate) fn symlink(place: Place<'_, '_>, to: &CStr, replace: bool) -> Result<()> {
    let Place { dir, name } = place;
    match symlinkat(to, dir, name) {
        Err(Errno::EXIST) if replace && !points_to(dir, name, to) => {
            unlinkat(dir, name, AtFlags::empty()).during("replace the file")?;
            Ok(symlinkat(to, dir, name)?)
        }
        Err(Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}

fn points_to(dir: BorrowedFd<'_>, name: &CStr, to: &CStr) -> bool {
    let mut link = [0; 256];
    readlinkat_raw(dir, name, &mut link).is_ok_and(|len| link.get(..len) == Some(to.to_bytes()))
}

/// The directory that a node goes into, reached through no symbolic link: an image whose /dev is one must not have its
/// devices made elsewhere (CVE-2026-41579). The last one is kept, as most nodes go into the same.
#[derive(Default)]
pub(crate) struct Parent<'a> {
    open: Option<(&'a [u8], OwnedFd)>,
}

impl<'a> Parent<'a> {
    pub(crate) fn of(&mut self, root: &Root, path: &'a CStr) -> Result<Place<'_, 'a>> {
        let bytes = path.to_bytes_with_nul();
        let at = bytes.iter().rposition(|b| *b == b'/').ok_or(Errno::INVAL)?;
        let name = bytes.get(at + 1..).and_then(|b| CStr::from_bytes_with_nul(b).ok()).ok_or(Errno::INVAL)?;
        let above = bytes.get(..at.max(1)).unwrap_or_default();
        let dir = match self.open.take() {
            Some((open, dir)) if open == above => dir,
            _ => open(root, above)?,
        };
        let (_, dir) = self.open.insert((above, dir));
        Ok(Place { dir: OwnedFd::as_fd(dir), name })
    }
}

/// A name in a directory.
#[derive(Clone, Copy)]
pub(crate) struct Place<'d, 'a> {
    dir: BorrowedFd<'d>,
    name: &'a CStr,
}

fn open(root: &Root, path: &[u8]) -> Result<OwnedFd> {
    let mut text = [0; 4096];
    text.get_mut(..path.len()).filter(|_| path.len() < 4096).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(path);
    let path = CStr::from_bytes_until_nul(&text).map_err(|_| Errno::NAMETOOLONG)?;
    root.directory(path, true)
}
