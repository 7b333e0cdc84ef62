//! Reading and writing cgroup files, with the kernel's bare error: the caller knows what it means.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::proc;

/// A file of one piece, as all are but lists of processes and threads.
pub(super) fn read(path: &Path) -> Result<String> {
    String::from_utf8(proc::read_piece(CWD, path)?).map_err(|_| Errno::ILSEQ)
}

/// A list, in which somebody may have put a name that is no UTF-8.
pub(super) fn read_list(path: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&proc::read(path)?).into_owned())
}

pub(super) fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

pub(super) fn open_directory(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::DIRECTORY)
}

pub(super) fn write(path: &Path, value: &str) -> Result<()> {
    Writer::default().write(path, value)
}

/// Keeps the last file open: the rules for devices go into the same one, a system call each.
#[derive(Default)]
pub(super) struct Writer {
    last: Option<(PathBuf, OwnedFd)>,
}

impl Writer {
    pub(super) fn write(&mut self, path: &Path, value: &str) -> Result<()> {
        let fd = match self.last.take() {
            Some((last, fd)) if last == path => fd,
            _ => open(path, OFlags::WRONLY)?,
        };
        let (_, fd) = self.last.insert((path.to_path_buf(), fd));
        // The kernel takes one write call as one value, all of it or none.
        rustix::io::retry_on_intr(|| rustix::io::write(&*fd, value.as_bytes())).map(drop)
    }
}

/// The value of `key` in a file of `key value` lines.
pub(super) fn flag(text: &str, key: &str) -> Option<bool> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(|value| value.trim() == "1")
}

/// A cgroup and every cgroup below it, parents first. One that vanishes meanwhile is not an error.
pub(super) fn tree(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_path_buf()];
    let mut next = 0;
    while let Some(parent) = found.get(next).cloned() {
        next += 1;
        let Ok(entries) = std::fs::read_dir(&parent) else {
            continue;
        };
        found.extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    found
}

/// The processes of a cgroup and of all below it, without those that another pid namespace hides (they read as 0).
/// An empty list if it is gone.
pub(super) fn pids_below(top: &Path) -> Result<Vec<i32>> {
    let mut all = Vec::new();
    for directory in tree(top) {
        let text = match read_list(&directory.join("cgroup.procs")) {
            // A threaded cgroup has threads; their processes are listed by the domain above, if that is ours.
            Err(Errno::OPNOTSUPP) if directory == top => read_list(&directory.join("cgroup.threads"))?,
            Err(Errno::OPNOTSUPP) => continue,
            // Removed meanwhile.
            Err(Errno::NOENT | Errno::NODEV) => continue,
            result => result?,
        };
        all.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|&pid| pid > 0));
    }
    Ok(all)
}

/// `0-2,7`: processors, memory nodes. However often they are said, no more than there can be.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = u16> {
    let range = |part: &str| -> Option<std::ops::RangeInclusive<u16>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().take(1 << 16)
}
