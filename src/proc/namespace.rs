//! Which namespace it is.

use std::os::fd::BorrowedFd;
use std::path::Path;

use hilum_sys::namespace::Kind;
use rustix::fs::{AtFlags, CWD, Stat, fstat, statat};

use crate::error::{Context, Result};

/// The kinds that this kernel has.
pub fn kinds() -> Vec<Kind> {
    let has = |kind: &Kind| Path::new("/proc/self/ns").join(kind.proc_name()).exists();
    Kind::ALL.into_iter().filter(has).collect()
}

/// What identifies a namespace while anything refers to it: its inode in nsfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace {
    dev: u64,
    pub inode: u64,
}

impl Namespace {
    pub fn of(ns: BorrowedFd<'_>) -> Result<Self> {
        Ok(fstat(ns)?.into())
    }

    /// The runtime's.
    pub fn own(kind: Kind) -> Result<Self> {
        Self::of_process("self", kind)
    }

    /// By its number, or as `self`.
    pub fn of_process(pid: &str, kind: Kind) -> Result<Self> {
        let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
        Self::below(CWD, &path).at("stat", path)
    }

    pub fn below(dir: BorrowedFd<'_>, path: &str) -> rustix::io::Result<Self> {
        statat(dir, path, AtFlags::empty()).map(Self::from)
    }

    #[cfg(test)]
    pub fn fake(inode: u64) -> Self {
        Self { dev: 0, inode }
    }
}

impl From<Stat> for Namespace {
    fn from(stat: Stat) -> Self {
        Self { dev: stat.st_dev, inode: stat.st_ino }
    }
}
