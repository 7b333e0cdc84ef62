//! `delete`: undoes everything that the state names.

use clap::ArgMatches;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::Global;
use crate::error::{Context, Error, Kind, Result};
use crate::run::run_poststop;
use crate::state::{Container, State, Status, half_made};

/// How long a killed process may take to end: it may have to write pages out first.
const BOUND_SECS: i64 = 10;

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let (id, force) = (super::id(args)?, args.get_flag("force"));
    let (container, state) = match Container::open(&global.root, id) {
        Err(e) if e.kind() == Kind::NotFound && force => return Ok(0),
        other => other?,
    };
    let Some(state) = state else {
        // The creation was killed before it could do anything but take the id.
        if force {
            container.remove()?;
            return Ok(0);
        }
        return Err(half_made(&global.root.join(id)));
    };
    let status = state.status();
    if !force && matches!(status, Status::Running | Status::Paused) {
        return Err(Error::new(format!("cannot delete container {id} that is not stopped: {}", status.name())));
    }
    destroy(container, &state)?;
    Ok(0)
}

/// Kills what is left, waits for it, and removes cgroup and state. Can be done again after it failed half-way.
pub fn destroy(container: Container, state: &State) -> Result<()> {
    end_process(state)?;
    if state.cgroup.exists() {
        // In a pid namespace of its own nothing has survived; elsewhere the cgroup tells who is the container's.
        if !state.own_pid_namespace || state.process.is_none() {
            state.cgroup.signal_all(Signal::KILL)?;
        }
        state.cgroup.remove()?;
    }
    run_poststop(state);
    container.remove()
}

fn end_process(state: &State) -> Result<()> {
    let Some(process) = &state.process else { return Ok(()) };
    let Some(pidfd) = process.open()? else { return Ok(()) };
    hilum_sys::signal::send(std::os::fd::AsFd::as_fd(&pidfd), 9).context(format!("kill process {}", process.pid))?;
    if state.cgroup.frozen().unwrap_or(false) {
        state.cgroup.thaw()?;
    }
    let bound = Timespec { tv_sec: BOUND_SECS, tv_nsec: 0 };
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut ended, Some(&bound)))? == 0 {
        return Err(Error::new(format!("process {} has not ended {BOUND_SECS} s after SIGKILL", process.pid))
            .hint("it may hang in a file system: see /proc/PID/stack"));
    }
    Ok(())
}
