//! `pod rm`: whatever there is of a pod is taken back. Can be done again after it failed half-way.

use std::os::fd::AsFd as _;

use hilum_sys::namespace::Kind;
use rustix::process::Signal;

use super::{CONTAINERS, FILE, PARENT, PRIVATE, Pod, ROOT, SHM, pin};
use crate::error::{Context, Result};
use crate::log;
use crate::run::await_end;
use crate::state::Locked;

impl Pod {
    /// With all that is in its cgroup. The states of its containers are the caller's to remove, before. With `force` also if
    /// the network cannot be told.
    pub fn remove(&self, dir: Locked, force: bool) -> Result<()> {
        // Who finds it half-removed can see that, and go on.
        dir.save(FILE, &Pod { ready: false, ..self.clone() })?;
        self.end_reaper()?;
        if self.cgroup.exists() {
            self.cgroup.signal_all(Signal::KILL)?;
        }
        if let Some(network) = &self.network {
            // The plugins are told even if the namespace is gone already: they have given away an address.
            match network.del(pin::is_there(dir.path(), Kind::Net).as_deref()) {
                Err(e) if force => log::complain(&format!("pod {}: {e}", self.name)),
                told => told?,
            }
        }
        pin::unmount_all(dir.path())?;
        for cgroup in self.reaper.iter().map(|reaper| &reaper.cgroup).chain([&self.cgroup]) {
            if cgroup.exists() {
                cgroup.remove()?;
            }
        }
        self.cgroup.remove_parent(PARENT);
        remove_directory(dir)
    }

    fn end_reaper(&self) -> Result<()> {
        let Some(process) = self.reaper.as_ref().map(|reaper| reaper.process) else { return Ok(()) };
        let Some(pidfd) = process.open()? else { return Ok(()) };
        hilum_sys::signal::send(pidfd.as_fd(), 9).context(format!("kill the reaper {}", process.pid))?;
        // The pod's cgroup may be frozen, and the reaper's is in it.
        self.cgroup.release_killed()?;
        await_end(process.pid, &pidfd)
    }
}

/// A directory that its creation was killed in before it could say what it is.
pub fn remove_directory(dir: Locked) -> Result<()> {
    pin::unmount_all(dir.path())?;
    let below = |name: &str| dir.path().join(name);
    // Not with what is in it: should it be mounted after all, that would be the containers' data.
    for name in [SHM, PRIVATE, ROOT] {
        unless_gone(std::fs::remove_dir(below(name))).at("remove", below(name))?;
    }
    for name in [pin::NS, CONTAINERS] {
        unless_gone(std::fs::remove_dir_all(below(name))).at("remove", below(name))?;
    }
    dir.remove(&[FILE])
}

fn unless_gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    removed.or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}
