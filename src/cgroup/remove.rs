//! Removing a container's cgroup, with those that it made below. Processes die a moment after they are killed.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Signal;

use super::create::refused;
use super::process::wait_for_event;
use super::{Cgroup, Directory, Version, file};
use crate::error::{Context, Error, Result};
use crate::log;

const TIMEOUT: Duration = Duration::from_secs(5);
const DOUBTFUL_TIMEOUT: Duration = Duration::from_secs(1);
/// What is there for longer has hardly been killed: it came later, as the process of an `exec` that was on its way, and a
/// frozen pod holds it.
const DYING: Duration = Duration::from_millis(50);

impl Cgroup {
    /// With whoever has come into it since all in it were killed. One that is gone, or never came to be, is no error.
    pub fn remove(&self) -> Result<()> {
        if self.unit.is_some() {
            self.refuse_out_of_sight()?;
        }
        if let Err(error) = self.stop_unit() {
            // What systemd does not remove, we do; it will notice.
            log::warn(&error.to_string());
        }
        let deadline = Instant::now() + TIMEOUT;
        // In all hierarchies, also if one of them fails.
        let kill = || self.signal_all(Signal::KILL);
        let results: Vec<Result<()>> = self.removable().map(|d| self.remove_one(d, deadline, &kill)).collect();
        results.into_iter().collect()
    }

    fn remove_one(&self, directory: &Directory, deadline: Instant, kill: &dyn Fn() -> Result<()>) -> Result<()> {
        match directory.remove(deadline, kill)? {
            // A unit's has been looked for already.
            false if self.unit.is_none() => directory.refuse_out_of_sight(),
            _ => Ok(()),
        }
    }

    /// What cannot be seen cannot be killed or removed, and is not to be forgotten.
    pub(super) fn refuse_out_of_sight(&self) -> Result<()> {
        self.directories.iter().try_for_each(Directory::refuse_out_of_sight)
    }

    /// A unit's directory of which it is not known whose it is, systemd looks after.
    fn removable(&self) -> impl Iterator<Item = &Directory> {
        self.directories.iter().filter(|directory| self.unit.is_none() || directory.inode.is_some())
    }

    /// Only if it is the container's: that the directory shows.
    fn stop_unit(&self) -> Result<()> {
        let Some(unit) = &self.unit else { return Ok(()) };
        let Some(directory) = self.directories.first() else { return unit.forget() };
        match directory.inode {
            Some(_) if !directory.exists() => unit.forget(),
            Some(_) if directory.inode == directory.current_inode() => unit.stop(),
            Some(_) => Ok(()),
            // The runtime was killed before it was known. If it was started, its process has ended with the runtime, and it
            // is empty or about to be: that is nobody's. An empty slice may well be somebody's, unless it says whose it is.
            None if unit.is_slice() && !unit.is_as_described()? => Ok(()),
            None => {
                let deadline = Instant::now() + DOUBTFUL_TIMEOUT;
                match wait_for_event(&directory.path, "populated", false, deadline)? {
                    true => unit.stop(),
                    false => Ok(()),
                }
            }
        }
    }
}

impl Directory {
    pub(super) fn refuse_out_of_sight(&self) -> Result<()> {
        if !self.is_out_of_sight() {
            return Ok(());
        }
        let (path, mount) = (self.path.display(), self.mount.display());
        Err(Error::new(format!("cgroup {path}: its hierarchy is not mounted on {mount}"))
            .path(&self.path)
            .hint("do this where it is, or mount it there"))
    }

    /// `kill`: whoever is in the cgroup, whose directory this is. False: it was not there, or is not ours.
    fn remove(&self, deadline: Instant, kill: &dyn Fn() -> Result<()>) -> Result<bool> {
        let (doubtful, late) = (Instant::now() + DOUBTFUL_TIMEOUT, Instant::now() + DYING);
        let mut pause = Duration::from_micros(100);
        loop {
            // Where it is not known to be ours, what is below is not.
            let removed = if self.inode.is_some() { remove_tree(&self.path) } else { rmdir(&self.path) };
            let errno = match removed {
                Ok(was_there) => return Ok(was_there),
                Err(errno) => errno,
            };
            // On a read-only mount what is not there cannot be removed either.
            if errno == Errno::ROFS && !self.exists() {
                return Ok(false);
            }
            // Planned when the runtime was killed. If it was made, it empties by itself, as an init program without its
            // parent ends; if it does not, it is not ours.
            if self.inode.is_none() && (errno != Errno::BUSY || Instant::now() >= doubtful) {
                return Ok(false);
            }
            if errno != Errno::BUSY || Instant::now() >= deadline {
                let pids = file::pids_below(&self.path).unwrap_or_default();
                let pids: Vec<String> = pids.iter().take(20).map(i32::to_string).collect();
                let error = Err(errno).at("remove", &self.path).map_err(refused);
                return if pids.is_empty() {
                    error
                } else {
                    error.map_err(|e| e.hint(format!("processes in it: {}", pids.join(", "))))
                };
            }
            if self.inode.is_some() && Instant::now() >= late {
                kill()?;
            }
            if self.version == Version::V2 && self.inode.is_some() {
                wait_for_event(&self.path, "populated", false, deadline.min(Instant::now() + DYING))?;
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// False: it was not there.
pub(super) fn remove_tree(path: &Path) -> rustix::io::Result<bool> {
    match rmdir(path) {
        Err(Errno::BUSY) => {}
        result => return result,
    }
    for below in file::tree(path).iter().rev() {
        rmdir(below)?;
    }
    Ok(true)
}

fn rmdir(path: &Path) -> rustix::io::Result<bool> {
    match rustix::io::retry_on_intr(|| rustix::fs::rmdir(path)) {
        Err(Errno::NOENT) => Ok(false),
        result => result.map(|()| true),
    }
}
