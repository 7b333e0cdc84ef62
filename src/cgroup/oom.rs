//! Being told when a container runs out of memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{EventfdFlags, PollFlags, eventfd};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{Cgroup, Version, file};
use crate::error::{Context, Error, Result};

/// The kernel's notice of each time.
pub struct OomWatch {
    notice: OwnedFd,
    /// v2: the file of counters, and the last count of processes that were killed.
    counter: Option<(PathBuf, u64)>,
    /// v1: memory.oom_control, which tells whether the cgroup is there: its end is a notice, too.
    control: Option<OwnedFd>,
}

impl Cgroup {
    /// How many of its processes have been killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        self.of_memory("memory.oom_control", "memory.events", kills).unwrap_or_default()
    }

    /// In bytes, if there is one: the kernel writes "max" (v2) or the largest number of pages.
    pub fn memory_limit(&self) -> Option<i64> {
        let limit = |text: &str| text.trim_end().parse().ok().filter(|limit| *limit < i64::MAX - 0xffff);
        self.of_memory("memory.limit_in_bytes", "memory.max", limit)
    }

    fn of_memory<T>(&self, v1: &str, v2: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.directories.iter().find_map(|directory| {
            let name = if directory.version == Version::V1 { v1 } else { v2 };
            parse(&file::read(&directory.path.join(name)).ok()?)
        })
    }

    pub fn watch_oom(&self) -> Result<OomWatch> {
        let v1 =
            self.directories.iter().find(|d| d.version == Version::V1 && d.controllers.iter().any(|c| c == "memory"));
        if let Some(directory) = v1 {
            // cgroup-v1/memory.rst, "OOM Control".
            let control = directory.path.join("memory.oom_control");
            let control = file::open(&control, OFlags::RDONLY).at("open", control)?;
            let notice = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("eventfd")?;
            let register = directory.path.join("cgroup.event_control");
            let line = format!("{} {}", notice.as_raw_fd(), control.as_raw_fd());
            file::write(&register, &line).at("write to", register)?;
            return Ok(OomWatch { notice, counter: None, control: Some(control) });
        }
        let v2 = self.directories.iter().find(|d| d.version == Version::V2).map(|d| d.path.join("memory.events"));
        let Some(path) = v2.filter(|path| path.exists()) else {
            return Err(Error::new("the container has no cgroup with a memory controller"));
        };
        let notice = file::open(&path, OFlags::RDONLY).at("open", &path)?;
        let mut watch = OomWatch { notice, counter: None, control: None };
        let count = watch.count(&path)?;
        watch.counter = Some((path, count));
        Ok(watch)
    }
}

impl OomWatch {
    /// What to poll for.
    pub fn event(&self) -> (BorrowedFd<'_>, PollFlags) {
        // A file of v2 says that it changed by an exceptional condition.
        (self.notice.as_fd(), if self.counter.is_some() { PollFlags::PRI } else { PollFlags::IN })
    }

    /// Whether that was what is watched for, and not the end of the cgroup: to be asked when the descriptor was ready.
    pub fn happened(&mut self) -> Result<bool> {
        match self.counter.take() {
            None => {
                let mut count = [0; 8];
                rustix::io::read(&self.notice, &mut count).context("read the eventfd")?;
                let gone = |control| rustix::io::pread(control, &mut count, 0) == Err(Errno::NODEV);
                Ok(!self.control.as_ref().is_some_and(gone))
            }
            Some((path, before)) => {
                let now = match self.count(&path) {
                    Err(e) if e.detail().errno == Some(Errno::NODEV) => before,
                    now => now?,
                };
                self.counter = Some((path, now));
                Ok(now > before)
            }
        }
    }

    fn count(&self, path: &PathBuf) -> Result<u64> {
        let mut text = [0; 512];
        let len = rustix::io::pread(&self.notice, &mut text, 0).at("read", path)?;
        let text = String::from_utf8_lossy(text.get(..len).unwrap_or_default());
        Ok(kills(&text).unwrap_or_default())
    }
}

/// Of memory.events or memory.oom_control.
fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
