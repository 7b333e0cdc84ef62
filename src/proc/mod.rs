//! /proc/PID: which process a pid means, by the time that it was started (proc_pid_stat(5)), and which namespaces that is in.

mod namespace;

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use namespace::{Namespace, kinds};
use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, openat, statfs};
use rustix::io::retry_on_intr;
use rustix::system::uname;
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Context, Error, Result};

/// The unit of times in /proc, the same on every architecture that hilum is built for (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// Of the flags in /proc/PID/stat (linux/sched.h), from the first moments of do_exit() on.
const PF_EXITING: u32 = 1 << 2;

/// Without it every process would seem to have ended.
pub fn check() -> Result<()> {
    match statfs("/proc").at("statfs", "/proc")?.f_type == PROC_SUPER_MAGIC {
        true => Ok(()),
        false => Err(Error::new("/proc on this host is not a procfs").path("/proc").hint("mount -t proc proc /proc")),
    }
}

/// A file that the kernel writes while it is read, in /proc, /sys or a cgroup. It has no size: std::fs::read asks for one in
/// vain and then begins with 32 bytes: nine system calls for a /proc/PID/stat, and not four.
pub fn read(path: impl AsRef<Path>) -> rustix::io::Result<Vec<u8>> {
    read_at(CWD, path.as_ref())
}

pub fn read_at(dir: impl AsFd, path: &Path) -> rustix::io::Result<Vec<u8>> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    loop {
        text.reserve(4096);
        let length = retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut text)))?;
        if length == 0 {
            return Ok(text);
        }
    }
}

/// The same of a file that the kernel writes as one piece (seq_file's single_open), and so returns at once if there is room for
/// it: a shorter answer than asked for is all of it. Not for lists, such as cgroup.procs.
pub fn read_piece(dir: impl AsFd, path: &Path) -> rustix::io::Result<Vec<u8>> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Most are short, and so much the C library has at hand.
    let mut text = Vec::with_capacity(1000);
    while retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut text)))? > 0 && text.len() == text.capacity() {
        text.reserve(4096);
    }
    Ok(text)
}

#[derive(Debug, PartialEq, Eq)]
pub struct Stat {
    pub comm: String,
    pub state: u8,
    pub parent: i32,
    /// It is on its way out: soon it has no program and no namespaces, and after that it is a zombie.
    pub exiting: bool,
    /// Clock ticks after boot.
    pub start_time: u64,
}

impl Stat {
    pub fn parse(text: &[u8]) -> Option<Self> {
        // To the last parenthesis: the name may hold anything.
        let open = text.iter().position(|b| *b == b'(')?;
        let close = text.iter().rposition(|b| *b == b')')?;
        let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let mut fields = text.get(close + 2..)?.split(|b| *b == b' ');
        let state = *fields.next()?.first()?;
        let mut number = |skipped| std::str::from_utf8(fields.nth(skipped)?).ok()?.parse::<i64>().ok();
        let parent = number(0)?.try_into().ok()?;
        let flags: u32 = number(4)?.try_into().ok()?;
        let start_time = number(12)?.try_into().ok()?;
        Some(Self { comm, state, parent, exiting: flags & PF_EXITING != 0, start_time })
    }

    /// A zombie only waits for its parent.
    pub fn runs(&self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }

    /// By a freezer of cgroup v1: since Linux 6.1 that is a state of its own (TASK_FROZEN), which is shown as one of uninterruptible
    /// sleep. Before, any sleep may be one.
    pub fn may_be_frozen(&self) -> bool {
        static SHOWS: OnceLock<bool> = OnceLock::new();
        let shows = *SHOWS.get_or_init(|| {
            let release = uname();
            let release = release.release().to_string_lossy();
            let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|text| text.parse::<u32>().ok());
            (numbers.next(), numbers.next()) >= (Some(6), Some(1))
        });
        !shows || self.state == b'D'
    }
}

/// When a process of this start time was started, by the wall clock as it is set now.
pub fn wall_clock(start_time: u64) -> SystemTime {
    let boot = clock_gettime(ClockId::Boottime);
    let up = Duration::new(boot.tv_sec.try_into().unwrap_or(0), boot.tv_nsec.try_into().unwrap_or(0));
    let after = Duration::from_millis(start_time.saturating_mul(1000 / TICKS_PER_SECOND));
    let booted = SystemTime::now().checked_sub(up);
    booted.and_then(|booted| booted.checked_add(after)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = b"7 (a) Z 1 (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        let stat = Stat { comm: "a) Z 1 (b".into(), state: b'S', parent: 1, exiting: false, start_time: 4242 };
        assert_eq!(Stat::parse(text), Some(stat));
        let text = b"7 (sh) D 1 7 7 0 -1 4194564 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert!(Stat::parse(text).unwrap().exiting);
        assert_eq!(Stat::parse(b"7 (a"), None);
        assert_eq!(Stat::parse(b"7 )a("), None);
    }

    #[test]
    fn a_start_time_is_a_moment_of_the_wall_clock() {
        let text = std::fs::read("/proc/self/stat").unwrap();
        let started = wall_clock(Stat::parse(&text).unwrap().start_time);
        let ago = SystemTime::now().duration_since(started).unwrap();
        assert!(ago < Duration::from_secs(3600), "{ago:?}");
    }
}
