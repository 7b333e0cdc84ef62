//! The process by which a path names a namespace (/proc/4966/ns/net). Its number may have become another's since the
//! path was written down. So the process is taken hold of first, and everything else is read through that descriptor.

use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use hilum_sys::namespace::Kind;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use super::join::SANDBOX_GONE;
use crate::error::{Context, Error, Result};
use crate::log;
use crate::proc::{Stat, read_piece, wall_clock};
use crate::spec::Written;

pub struct Holder<'p> {
    path: &'p str,
    pid: i32,
    /// What is behind /proc/PID/.
    rest: &'p Path,
    /// /proc/PID, which stays this process's.
    dir: OwnedFd,
}

impl<'p> Holder<'p> {
    /// `None`: the path names no process, or not by a number (/proc/self).
    pub fn find(path: &'p str) -> rustix::io::Result<Option<Self>> {
        let Some((pid, rest)) = split(path) else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, format!("/proc/{pid}"), flags, Mode::empty())?;
        Ok(Some(Self { path, pid, rest, dir }))
    }

    pub fn open(&self, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        openat(&self.dir, self.rest, flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// The process is the one that the path was written for: by its start time, if that is known; else it was there
    /// when config.json was written. (PID 1 is never another.)
    pub fn verify(&self, start_time: Option<u64>, written: Option<Written>) -> Result<()> {
        if self.pid == 1 && start_time.is_none() {
            return Ok(());
        }
        let stat = self.stat()?;
        let started = wall_clock(stat.start_time);
        match (start_time, written) {
            (Some(expected), _) if stat.start_time != expected => Err(self
                .anothers(
                    &format!("{} ({} ticks after boot)", log::time(started), stat.start_time),
                    &format!("{} ({expected} ticks)", log::time(wall_clock(expected))),
                )
                .hint(SANDBOX_GONE)),
            (None, Some(written)) if written.is_before(started) => {
                let at = log::time(written.at);
                Err(self
                    .anothers(&log::time(started), &format!("one from before {at}, when config.json was written"))
                    .hint("write config.json anew, or touch it if the clock was set meanwhile"))
            }
            _ => Ok(()),
        }
    }

    fn anothers(&self, started: &str, expected: &str) -> Error {
        let Self { path, pid, .. } = self;
        Error::new(format!("sandbox gone: {path} now belongs to pid {pid} started at {started}, expected {expected}"))
    }

    /// To share what is the runtime's own is meant, if a container is named that has it; or the runtime's caller, or PID
    /// 1. Any other process has got the number of one that is gone.
    pub fn may_share_hosts(&self, kind: Kind) -> Result<()> {
        let by_link = self.rest.starts_with("ns") || self.rest.starts_with("task");
        if !by_link || self.pid == 1 || self.is_contained() || is_ancestor(self.pid) {
            return Ok(());
        }
        let Stat { comm, start_time, .. } = self.stat()?;
        let (Self { path, pid, .. }, started) = (self, log::time(wall_clock(start_time)));
        Err(Error::new(format!(
            "sandbox gone: {path} is the host's {} namespace: pid {pid} is now {comm}, started at {started}",
            kind.spec_name()
        ))
        .hint("to share the host's, remove the entry from linux.namespaces"))
    }

    /// Whether it lives in a root file system of its own. What cannot be seen is not the runtime's.
    fn is_contained(&self) -> bool {
        ["ns/mnt", "root"].iter().any(|link| {
            let stat = |dir: &OwnedFd| statat(dir, *link, AtFlags::empty()).map(|stat| (stat.st_dev, stat.st_ino));
            let own = openat(CWD, "/proc/self", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            own.and_then(|own| stat(&own)) != stat(&self.dir)
        })
    }

    /// A zombie is not.
    pub fn is_alive(&self) -> bool {
        self.stat().is_ok_and(|stat| stat.runs())
    }

    fn stat(&self) -> Result<Stat> {
        let shown = format!("/proc/{}/stat", self.pid);
        let text = read_piece(&self.dir, Path::new("stat")).at("read", &shown)?;
        Stat::parse(&text).ok_or_else(|| Error::new(format!("read {shown}: no start time")))
    }
}

/// The pid, if that is how the path names a process.
pub fn pid_of(path: &str) -> Option<i32> {
    split(path).map(|(pid, _)| pid)
}

/// /proc/PID/rest.
fn split(path: &str) -> Option<(i32, &Path)> {
    let mut parts = Path::new(path).components();
    let (Component::RootDir, Component::Normal(proc)) = (parts.next()?, parts.next()?) else { return None };
    let pid = parts.next()?.as_os_str().to_str()?;
    let rest = parts.as_path();
    let is_plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    let is_number = pid.bytes().all(|b| b.is_ascii_digit());
    (proc == "proc" && is_number && is_plain && rest != Path::new("")).then_some((pid.parse().ok()?, rest))
}

/// Whether the process is the runtime's caller, or one of that one's.
fn is_ancestor(pid: i32) -> bool {
    let mut at = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    while at != pid && at > 1 {
        let text = read_piece(CWD, Path::new(&format!("/proc/{at}/stat"))).unwrap_or_default();
        at = Stat::parse(&text).map_or(0, |stat| stat.parent);
    }
    at == pid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_the_directory_of_a_pid_names_a_process() {
        assert_eq!(split("/proc/4966/ns/net"), Some((4966, Path::new("ns/net"))));
        assert_eq!(split("//proc/./7//task/8/ns/net"), Some((7, Path::new("task/8/ns/net"))));
        for none in
            ["/proc/self/ns/net", "/proc/7", "/proc/7/", "/proc/7/../8/ns/net", "/run/7/ns/net", "/proc/+7/ns", ""]
        {
            assert_eq!(split(none), None, "{none}");
        }
    }

    #[test]
    fn ancestors_are_found_up_to_pid_1() {
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert!(is_ancestor(parent) && !is_ancestor(std::process::id() as i32));
    }

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let path = format!("/proc/{}/ns/net", std::process::id());
        let own = Holder::find(&path).unwrap().unwrap();
        let start = own.stat().unwrap().start_time;
        own.verify(Some(start), None).unwrap();
        let error = own.verify(Some(start + 1), None).unwrap_err().to_string();
        assert!(error.starts_with(&format!("sandbox gone: {path} now belongs to pid ")), "{error}");
    }

    #[test]
    fn a_process_that_config_json_could_not_know_is_not_the_one_it_means() {
        let path = format!("/proc/{}/ns/net", std::process::id());
        let own = Holder::find(&path).unwrap().unwrap();
        let started = wall_clock(own.stat().unwrap().start_time);
        let day = std::time::Duration::from_secs(86_400);
        own.verify(None, Some(Written::at(started + day))).unwrap();
        let error = own.verify(None, Some(Written::at(started - day))).unwrap_err().to_string();
        assert!(error.contains("when config.json was written"), "{error}");
    }
}
