//! Everything that a container's state names, undone.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};

use super::run_poststop;
use crate::error::{Error, Kind, Result};
use crate::log;
use crate::resctrl::Groups;
use crate::state::{Container, State};

/// How long a killed process may take to end: it may have to write pages out first.
const BOUND_SECS: i64 = 10;

/// Kills what is left, waits for it, and removes cgroup, place in resctrl and state. Can be done again after it failed half-way.
pub fn destroy(container: Container, state: &State) -> Result<()> {
    end_process(state)?;
    if state.cgroup.exists() {
        // In a pid namespace of its own nothing has survived; elsewhere the cgroup tells who is the container's.
        if !state.own_pid_namespace || state.process.is_none() {
            state.cgroup.signal_all(Signal::KILL)?;
        }
        state.cgroup.remove()?;
    }
    state.resctrl.as_ref().map_or(Ok(()), Groups::remove)?;
    run_poststop(state);
    container.remove(&state.id, state.pod.as_ref())
}

/// Of a creation that failed with `error`. What could not be taken back stays in the state, by which `delete` and `gc` find it:
/// the error's kind says that the container's directory is to stay.
pub fn half_undone(error: Error, left: Error, container: &Container, state: &State) -> Error {
    log::warn(&format!("undo: {}", left.hint(format!("hilum delete --force {} tries again", state.id))));
    if let Err(e) = container.save(state) {
        log::warn(&format!("undo: {e}"));
    }
    error.with_kind(Kind::HalfUndone)
}

/// Removes the container's directory after a failed creation, which is all that there is left to undo, or not to be.
pub fn forget(error: &Error, container: Container, state: &State) {
    if error.kind() != Kind::HalfUndone {
        if let Err(e) = container.remove(&state.id, state.pod.as_ref()) {
            log::warn(&format!("undo: {e}"));
        }
    }
}

fn end_process(state: &State) -> Result<()> {
    let Some(process) = &state.process else { return Ok(()) };
    let Some(pidfd) = process.kill()? else { return Ok(()) };
    state.cgroup.release_killed()?;
    await_end(process.pid, &pidfd)
}

/// That of a process that has been killed.
pub fn await_end(pid: i32, pidfd: &OwnedFd) -> Result<()> {
    let bound = Timespec { tv_sec: BOUND_SECS, tv_nsec: 0 };
    let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut ended, Some(&bound)))? == 0 {
        return Err(Error::new(format!("process {pid} has not ended {BOUND_SECS} s after SIGKILL"))
            .hint("it may hang in a file system: see /proc/PID/stack"));
    }
    // If it was our child, a pid namespace that it was in ends only when it is waited for.
    let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    Ok(())
}
