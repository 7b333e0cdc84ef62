//! The processes of a container's cgroup: entering, listing, freezing, signalling.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hilum_sys::process::close_all;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::CapabilitySet;

use super::create::{inode_of, refused};
use super::{Cgroup, Directory, Version, file};
use crate::error::{Context, Error, Result};
use crate::privilege;

/// Longer than any sane freeze takes, shorter than a caller's patience.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(5);
/// A killed process may have to write pages out first.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How a process gets in.
#[derive(Debug, Default)]
pub struct Entry {
    /// The v2 directory, for CLONE_INTO_CGROUP.
    pub v2: Option<OwnedFd>,
    /// Each v1 hierarchy's list, into which the process writes "0", itself.
    pub lists: Vec<OwnedFd>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        close_all(self.lists.drain(..));
    }
}

impl Entry {
    /// Another one, whose inode number is the answer. If it is the container's still: by now another container may have the path.
    pub(super) fn open(&mut self, directory: &Directory) -> Result<u64> {
        let opened = file::open_directory(&directory.path).at("open", &directory.path)?;
        let inode = fstat(&opened).at("stat", &directory.path)?.st_ino;
        if directory.inode.is_some_and(|own| own != inode) {
            return Err(Errno::NODEV).at("open", &directory.path);
        }
        match directory.version {
            Version::V2 => self.v2 = Some(opened),
            Version::V1 => self.lists.push(directory.list_of_threads(&opened)?),
        }
        Ok(inode)
    }
}

impl Cgroup {
    pub fn entry(&self) -> Result<Entry> {
        // That it is not mounted here says more than that there is no such directory.
        self.open_entry().map_err(|error| self.refuse_out_of_sight().err().unwrap_or(error))
    }

    fn open_entry(&self) -> Result<Entry> {
        let mut entry = Entry::default();
        for directory in &self.directories {
            entry.open(directory)?;
        }
        Ok(entry)
    }

    pub fn add(&self, pid: i32) -> Result<()> {
        for directory in &self.directories {
            let path = directory.path.join("cgroup.procs");
            file::write(&path, &pid.to_string()).at(&format!("write {pid} to"), &path)?;
        }
        Ok(())
    }

    /// Of the container and of all cgroups that it made below its own. An empty list if the cgroup is gone.
    pub fn pids(&self) -> Result<Vec<i32>> {
        self.refuse_out_of_sight()?;
        let Some(main) = self.main() else { return Ok(Vec::new()) };
        file::pids_below(&main.path).at("read the processes of", &main.path)
    }

    /// The hierarchy that is asked when one is enough.
    pub(super) fn main(&self) -> Option<&Directory> {
        self.v2().or_else(|| self.v1("devices")).or_else(|| self.owned().next())
    }

    /// Those that are known to be the container's. One that was planned when the runtime was killed may be anybody's.
    fn owned(&self) -> impl Iterator<Item = &Directory> {
        self.directories.iter().filter(|directory| directory.inode.is_some())
    }

    fn v2(&self) -> Option<&Directory> {
        self.owned().find(|d| d.version == Version::V2)
    }

    fn v1(&self, controller: &str) -> Option<&Directory> {
        self.owned().find(|d| d.version == Version::V1 && d.controllers.iter().any(|c| c == controller))
    }

    pub(super) fn freezer(&self) -> Result<&Directory> {
        let none = || Error::new("cannot toggle freezer: cgroups not configured for container");
        self.v1("freezer").or_else(|| self.v2()).ok_or_else(none)
    }

    /// The cgroup that stops the container's processes when it is frozen.
    pub fn freezer_path(&self) -> Option<&Path> {
        self.freezer().ok().map(|freezer| freezer.path.as_path())
    }

    pub fn freeze(&self) -> Result<()> {
        let freezer = self.freezer()?;
        freezer.refuse_out_of_sight()?;
        let frozen = match freezer.version {
            Version::V1 => freeze_v1(&freezer.path),
            Version::V2 => freeze_v2(&freezer.path),
        };
        if frozen.is_err() {
            // Half-frozen is worse than not: nobody would know.
            let _ = self.thaw();
        }
        frozen.at("freeze", &freezer.path).map_err(refused)
    }

    pub fn thaw(&self) -> Result<()> {
        let freezer = self.freezer()?;
        freezer.refuse_out_of_sight()?;
        let (name, value) = match freezer.version {
            Version::V1 => ("freezer.state", "THAWED"),
            Version::V2 => ("cgroup.freeze", "0"),
        };
        let path = freezer.path.join(name);
        file::write(&path, value).at(&format!("write {value:?} to"), &path).map_err(refused)
    }

    /// Whether the cgroup itself was frozen; not when one above it is.
    pub fn frozen(&self) -> Result<bool> {
        self.freezer().map_or(Ok(false), |freezer| freezer.is_frozen())
    }

    /// Whether its processes are stopped: it was frozen, or one above it was, as a pod's is.
    pub fn paused(&self) -> Result<bool> {
        self.freezer().map_or(Ok(false), |freezer| match freezer.version {
            Version::V2 => paused_v2(&freezer.path, freezer.inode),
            Version::V1 => freezer.says("freezer.state", |state| state.trim() == "FROZEN"),
        })
    }

    /// Lets processes die that were killed while they were frozen. In v2 they do by themselves. In v1 they have to be
    /// thawed, and where it is a pod that is frozen, its others are not to be: then those of this cgroup leave it.
    pub fn release_killed(&self) -> Result<()> {
        if self.frozen()? {
            match self.thaw() {
                // Another command has removed it meanwhile, and who was in it has died.
                Err(e) if matches!(e.detail().errno, Some(Errno::NOENT | Errno::NODEV)) => return Ok(()),
                other => other?,
            }
        }
        let freezer = match self.freezer() {
            Ok(freezer) if freezer.version == Version::V1 && freezer.is_frozen_from_above()? => freezer,
            _ => return Ok(()),
        };
        // The end of a first process is the end of all others only when it is thawed.
        signal_listed(&freezer.path, Signal::KILL, &mut HashSet::new())?;
        let procs = freezer.mount.join("cgroup.procs");
        for pid in file::pids_below(&freezer.path).at("read the processes of", &freezer.path)? {
            match file::write(&procs, &pid.to_string()) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => {
                    return Err(errno)
                        .at(&format!("write {pid} to"), &procs)
                        .map_err(|e| e.hint("a cgroup above is frozen, and a killed process ends when it is thawed"));
                }
            }
        }
        Ok(())
    }

    /// Kills every process, and those that appear meanwhile, and waits until there is none.
    pub fn kill_all(&self) -> Result<()> {
        let deadline = Instant::now() + KILL_TIMEOUT;
        let mut pause = Duration::from_micros(500);
        loop {
            self.signal_all(Signal::KILL)?;
            let left = self.pids()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let pids: Vec<String> = left.iter().take(20).map(i32::to_string).collect();
                return Err(Error::new(format!("processes have not ended {KILL_TIMEOUT:?} after SIGKILL"))
                    .hint(format!("they may hang in a file system: see /proc/PID/stack of {}", pids.join(", "))));
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Sends a signal to every process of the container; with SIGKILL also to those that appear meanwhile.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        self.refuse_out_of_sight()?;
        let kill = signal == Signal::KILL;
        if kill && self.kill_v2() {
            if self.is_unified() {
                return Ok(());
            }
            // A frozen v1 process dies only after its thaw; and one may be in v1 alone.
            self.release_killed()?;
        }
        let mut done = HashSet::new();
        let main = self.main();
        let other = self.v1("devices").filter(|v1| Some(*v1) != main);
        for directory in main.into_iter().chain(other) {
            // A container that forks faster than this loses: frozen, it cannot. Only to kill it: others would take it for
            // paused, and who ends what is no pause of his may end one that is another's.
            for _ in 0..100 {
                let froze = kill && !self.frozen().unwrap_or(false) && self.freeze().is_ok();
                let sent = signal_listed(&directory.path, signal, &mut done);
                if froze {
                    let _ = self.thaw();
                }
                if kill {
                    self.release_killed()?;
                }
                if sent? == 0 || !kill {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Linux 5.14: the kernel kills the whole tree by itself, whatever forks or is frozen. A threaded cgroup refuses.
    fn kill_v2(&self) -> bool {
        self.v2().is_some_and(|d| file::write(&d.path.join("cgroup.kill"), "1").is_ok())
    }
}

/// Signals the processes that are listed and not in `done`. A pid could by now be another's process: it is signalled
/// through a descriptor, and only if it is listed still after that was opened.
fn signal_listed(path: &Path, signal: Signal, done: &mut HashSet<i32>) -> Result<usize> {
    let list = || file::pids_below(path).at("read the processes of", path);
    let new: Vec<i32> = list()?.into_iter().filter(|pid| done.insert(*pid)).collect();
    // In portions, for the limit on open files.
    for portion in new.chunks(64) {
        let mut opened: Vec<(i32, OwnedFd)> = Vec::new();
        for pid in portion.iter().filter_map(|&pid| Pid::from_raw(pid)) {
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(fd) => opened.push((pid.as_raw_pid(), fd)),
                // It has ended. The last two: its number is that of a session, or of a thread.
                Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => {}
                Err(errno) => {
                    return Err(errno)
                        .context(format!("pidfd_open {}", pid.as_raw_pid()))
                        .map_err(privilege::forbidden);
                }
            }
        }
        let listed: HashSet<i32> = list()?.into_iter().collect();
        for (pid, fd) in opened.iter().filter(|(pid, _)| listed.contains(pid)) {
            match pidfd_send_signal(fd.as_fd(), signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => {
                    return Err(errno)
                        .context(format!("send signal {} to {pid}", signal.as_raw()))
                        .map_err(|error| privilege::needs(error, CapabilitySet::KILL));
                }
            }
        }
    }
    Ok(new.len())
}

impl Directory {
    /// cgroup v1: for a process of one thread, which is the same in `tasks` and in cgroup.procs. A thread that moves itself
    /// waits for nobody; a process waits until no processor is about to fork, which often takes 10 to 25 ms (Linux 5.5,
    /// cgroup_threadgroup_rwsem). A user who was given cgroup.procs alone takes that.
    fn list_of_threads(&self, opened: &OwnedFd) -> Result<OwnedFd> {
        let open = |name| openat(opened, name, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty());
        open("tasks").or_else(|_| open("cgroup.procs")).at("open", self.path.join("cgroup.procs")).map_err(refused)
    }

    pub(super) fn is_frozen(&self) -> Result<bool> {
        match self.version {
            Version::V2 => self.says("cgroup.freeze", is_one),
            Version::V1 => self.says("freezer.self_freezing", is_one),
        }
    }

    /// cgroup v1.
    fn is_frozen_from_above(&self) -> Result<bool> {
        self.says("freezer.parent_freezing", is_one)
    }

    fn says(&self, name: &str, what: impl FnOnce(&str) -> bool) -> Result<bool> {
        says(&self.path, self.inode, name, what)
    }
}

/// Asks a file of one piece; no, if there is none: the cgroup is gone or another container's, or has no freezer. Whose it
/// is, is asked after the file was read, which is two system calls less than by a descriptor of the directory: a
/// directory that was another's cannot have become the container's since.
fn says(cgroup: &Path, inode: Option<u64>, name: &str, what: impl FnOnce(&str) -> bool) -> Result<bool> {
    let path = cgroup.join(name);
    match file::read(&path) {
        Ok(text) => Ok(what(&text) && (inode.is_none() || inode == inode_of(cgroup))),
        Err(Errno::NOENT | Errno::NODEV) => Ok(false),
        Err(errno) => Err(errno).at("read", path),
    }
}

/// Whether the processes of this cgroup of v2, with this inode, are stopped, by whatever freezer above them.
pub(super) fn paused_v2(cgroup: &Path, inode: Option<u64>) -> Result<bool> {
    says(cgroup, inode, "cgroup.events", |events| file::flag(events, "frozen") == Some(true))
}

fn is_one(text: &str) -> bool {
    text.trim() == "1"
}

fn freeze_v1(path: &Path) -> Result<()> {
    let path = path.join("freezer.state");
    let deadline = Instant::now() + FREEZE_TIMEOUT;
    let mut tries = 0;
    loop {
        file::write(&path, "FROZEN").at("write", &path)?;
        if file::read(&path).at("read", &path)?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::new("unable to freeze"));
        }
        tries += 1;
        // While processes fork, the v1 freezer can stay half-way for ever; a fresh start helps.
        if tries % 50 == 0 {
            file::write(&path, "THAWED").at("write", &path)?;
            sleep(Duration::from_millis(10));
        }
        sleep(Duration::from_micros(20));
    }
}

fn freeze_v2(path: &Path) -> Result<()> {
    let freeze = path.join("cgroup.freeze");
    file::write(&freeze, "1").at("write", &freeze)?;
    // Where nobody is left, there is nobody to wait for.
    let done =
        |events: &str| file::flag(events, "frozen") == Some(true) || file::flag(events, "populated") == Some(false);
    match wait_for(path, done, Instant::now() + FREEZE_TIMEOUT)? == Some(true) {
        true => Ok(()),
        false => Err(Error::new("unable to freeze")),
    }
}

/// Waits until the key of cgroup.events has the value; false if it does not get it in time.
pub(super) fn wait_for_event(path: &Path, key: &str, value: bool, deadline: Instant) -> Result<bool> {
    let is_so = |events: &str| file::flag(events, key) == Some(value);
    // Removed already: neither populated nor frozen.
    Ok(wait_for(path, is_so, deadline)?.unwrap_or(!value))
}

/// Whether cgroup.events has come to say what is waited for in time. `None`: the cgroup is gone.
fn wait_for(path: &Path, done: impl Fn(&str) -> bool, deadline: Instant) -> Result<Option<bool>> {
    let path = path.join("cgroup.events");
    let events = match file::open(&path, OFlags::RDONLY) {
        Err(Errno::NOENT | Errno::NODEV) => return Ok(None),
        result => result.at("open", &path)?,
    };
    let mut pause = Duration::from_micros(100);
    loop {
        let mut text = [0; 256];
        let length = match rustix::io::pread(&events, &mut text, 0) {
            Err(Errno::NODEV) => return Ok(None),
            result => result.at("read", &path)?,
        };
        if done(&String::from_utf8_lossy(text.get(..length).unwrap_or_default())) {
            return Ok(Some(true));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Some(false));
        }
        // The file says that it changed by an exceptional condition: not more often than every 10 ms (the kernel's
        // CGROUP_FILE_NOTIFY_MIN_INTV), while what is waited for often takes a tenth of a millisecond.
        let wait = left.min(pause);
        pause = pause.saturating_mul(2);
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).at("poll", &path),
        }
    }
}
