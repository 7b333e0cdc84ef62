//! Containers, from Rust: what the commands of the same names do.
//!
//! A process that makes containers with it is the parent of theirs, and is to leave SIGCHLD as it is and to wait for them
//! ([`Container::wait`]). Their standard streams are its own. Several threads may use it, each on containers of its own or
//! on the same ones: commands on one container take turns, as they do between processes.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::command::creation::{Options, make};
use crate::command::{self, Global};
use crate::error::{Context, Error, Result};
use crate::state::{self, State, Status};

/// The containers of one state directory.
pub struct Runtime {
    global: Global,
}

impl Runtime {
    /// Of this state directory, which is made by the first creation. `/run/hilum` is that of the command line, for root.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        let root = std::path::absolute(root.as_ref()).at("state directory", root.as_ref())?;
        Ok(Self { global: Global::of(root)? })
    }

    /// Makes a container of the bundle, with everything but the execution of its process, as `hilum create` does.
    ///
    /// An error names the property of config.json, if that is the cause, and nothing of the container is left then.
    pub fn create(&self, id: &str, bundle: impl AsRef<Path>) -> Result<Container> {
        let id = command::valid_id(id)?;
        let options = Options { detached: true, wait_for_start: true, ..Options::new(id, bundle.as_ref()) };
        make(&self.global, options)?.leave(None)?;
        Ok(self.of(id))
    }

    /// One that exists: made by whomever, with the same state directory.
    pub fn container(&self, id: &str) -> Result<Container> {
        let container = self.of(command::valid_id(id)?);
        container.state().map(|_| container)
    }

    /// All whose state can be read, in the order of their ids.
    pub fn containers(&self) -> Result<Vec<Container>> {
        Ok(state::entries(&self.global.root)?.iter().map(|id| self.of(id)).filter(|it| it.state().is_ok()).collect())
    }

    fn of(&self, id: &str) -> Container {
        Container { root: self.global.root.clone(), id: id.to_owned() }
    }
}

/// A container by its name. To drop it leaves the container as it is.
#[derive(Clone, Debug)]
pub struct Container {
    root: PathBuf,
    id: String,
}

impl Container {
    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is now, asked of the kernel.
    pub fn status(&self) -> Result<Status> {
        self.state()?.status()
    }

    /// Its first process, by the pid that it has in this process's namespace; `None` when it has stopped.
    pub fn pid(&self) -> Result<Option<i32>> {
        let state = self.state()?;
        let pid = state.pid(state.status()?);
        Ok((pid > 0).then_some(pid))
    }

    /// Lets the process of a created container execute its program.
    pub fn start(&self) -> Result<()> {
        command::start(&self.root, &self.id)
    }

    /// Sends a signal, by its number, to the first process.
    pub fn kill(&self, signal: i32) -> Result<()> {
        command::send(&self.state()?, signal, false)
    }

    /// Waits for the end of the first process. The code it ended with, or 128 and the number of the signal that ended it;
    /// `None` if it is not a child of this process, or has been waited for before.
    pub fn wait(&self) -> Result<Option<i32>> {
        let Some(process) = self.state()?.process else { return Ok(None) };
        let Some(pidfd) = process.open_unreaped()? else { return Ok(None) };
        retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None)).context("wait")?;
        match retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)) {
            Ok(status) => Ok(status
                .and_then(|status| status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal)))),
            Err(Errno::CHILD) => Ok(None),
            Err(errno) => Err(Error::from(errno).context(format!("wait for process {}", process.pid))),
        }
    }

    /// Removes a container that has stopped; with `force`, it is killed first, and it is no error if there is none.
    pub fn delete(&self, force: bool) -> Result<()> {
        command::delete(&self.root, &self.id, force)
    }

    fn state(&self) -> Result<State> {
        let dir = self.root.join(&self.id);
        state::read(&dir)?.ok_or_else(|| state::missing(&dir))
    }
}
