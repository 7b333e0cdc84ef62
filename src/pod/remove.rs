//! `pod rm`: whatever there is of a pod is taken back. Can be done again after it failed half-way.

use hilum_sys::namespace::Kind;
use rustix::process::Signal;

use super::{CONTAINERS, FILE, PARENT, PRIVATE, Phase, Pod, ROOT, SHM, pin};
use crate::cgroup::Host;
use crate::error::{Context, Result};
use crate::log;
use crate::state::Locked;

impl Pod {
    /// With all that is in its cgroup. The states of its containers are the caller's to remove, before. With `force` also if
    /// the network cannot be told.
    pub fn remove(mut self, dir: Locked, force: bool) -> Result<()> {
        self.phase = Phase::Removing;
        // A full disk is no reason to keep it.
        let _ = dir.save(FILE, &self);
        self.end_reaper()?;
        if self.cgroup.exists() {
            self.cgroup.signal_all(Signal::KILL)?;
        }
        if let Some(network) = &self.network {
            let _lent = dir.lend()?;
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
        // Not by what is recorded: a `pod rm` that was killed may have removed it from there.
        if let Ok(host) = Host::detect() {
            host.remove_if_empty(PARENT);
        }
        remove_directory(dir)
    }

    /// Without waiting for its end, which the kernel puts off until all of its pid namespace have been waited for: also those
    /// that have become children of the host's PID 1, which is in no hurry everywhere. Its cgroup tells when it runs no more.
    fn end_reaper(&self) -> Result<()> {
        let Some(process) = self.reaper.as_ref().map(|reaper| reaper.process) else { return Ok(()) };
        if process.kill().context("the reaper")?.is_none() {
            return Ok(());
        }
        // The pod's cgroup may be frozen, and the reaper's is in it.
        self.cgroup.release_killed()
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
    let _ = std::fs::remove_file(below(FILE));
    dir.remove()
}

fn unless_gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    removed.or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}
