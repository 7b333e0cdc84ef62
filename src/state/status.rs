//! What a container is now: told by its first process and by its cgroup.

use super::process::{Identity, InitProgram, is_named_init};
use crate::cgroup::Pauses;
use crate::error::Result;

/// What a container is (runtime.md, "State", and what runc adds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A command is at work on its creation.
    Creating,
    /// It waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen: by `pause`, or with the pod or cgroup that it is in.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }

    /// Of a container with this first process, if it has one, which runs `init` until `start`; `ready` as in its state.
    pub(super) fn of(
        process: Option<&Identity>,
        ready: bool,
        init: Option<&InitProgram>,
        cgroup: &impl Pauses,
    ) -> Result<Self> {
        let Some(process) = process else {
            return Ok(Status::Creating);
        };
        let Some(stat) = process.alive()? else {
            return Ok(Status::Stopped);
        };
        // A created container's process is still the runtime's own program: exec is what changes it, in one instant.
        let created = match init {
            // It had the name when it was ready: most programs need no second look, while they have not begun to end.
            Some(_) if ready && !stat.exiting && !is_named_init(&stat) => Some(false),
            Some(init) => init.is_run_by(process)?,
            None => Some(false),
        };
        let Some(created) = created else { return Ok(Status::Stopped) };
        Ok(match (created, cgroup.pauses(&stat)?) {
            (true, _) if !ready => Status::Creating,
            (_, true) => Status::Paused,
            (true, false) => Status::Created,
            (false, false) => Status::Running,
        })
    }

    /// What is printed as the pid of this process, by then.
    pub(super) fn pid(self, process: Option<&Identity>) -> i32 {
        match (process, self) {
            (_, Status::Stopped) | (None, _) => 0,
            (Some(process), _) => process.pid,
        }
    }
}
