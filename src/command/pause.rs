//! `pause` and `resume`: the container's cgroup is frozen, and thawed.

use clap::ArgMatches;

use super::Global;
use crate::error::{Error, Kind, Result};
use crate::state::{Container, State, Status};

pub fn pause(global: &Global, args: &ArgMatches) -> Result<u8> {
    let (_lock, state) = Container::load(&global.root, super::id(args)?)?;
    let not_running = |why: &str| Err(Error::new("container not running").with_kind(Kind::NotRunning).hint(why));
    match state.status()? {
        Status::Running | Status::Created => {}
        other => return not_running(&format!("it is {}", other.name())),
    }
    let frozen = state.cgroup.freeze();
    // `kill` takes no lock. What it has killed before would end only when it is thawed (v1); from here on it looks for itself.
    let ended = has_ended(&state);
    if !matches!(ended, Ok(false)) {
        state.cgroup.thaw()?;
    }
    match ended? {
        true => not_running("it has been killed"),
        false => frozen.map(|()| 0),
    }
}

fn has_ended(state: &State) -> Result<bool> {
    match &state.process {
        Some(process) => Ok(state.status()? == Status::Stopped || process.is_killed()?),
        None => Ok(false),
    }
}

pub fn resume(global: &Global, args: &ArgMatches) -> Result<u8> {
    let (_lock, state) = Container::load(&global.root, super::id(args)?)?;
    match state.status()? {
        Status::Paused if state.cgroup.frozen()? => state.cgroup.thaw().map(|()| 0),
        // To thaw its own cgroup would change nothing.
        Status::Paused => Err(Error::new("container is not paused itself, but what it is in").hint(match &state.pod {
            Some(pod) => format!("hilum pod resume {} lets all of its pod go on", pod.name),
            None => "a cgroup above its own is frozen".into(),
        })),
        _ => Err(Error::new("container not paused")),
    }
}
