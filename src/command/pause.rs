//! `pause` and `resume`: the container's cgroup is frozen, and thawed.

use clap::ArgMatches;

use super::Global;
use crate::error::{Error, Kind, Result};
use crate::state::{Container, Status};

pub fn pause(global: &Global, args: &ArgMatches) -> Result<u8> {
    let (_lock, state) = Container::load(&global.root, super::id(args)?)?;
    match state.status() {
        Status::Running | Status::Created => state.cgroup.freeze().map(|()| 0),
        other => {
            Err(Error::new("container not running").with_kind(Kind::NotRunning).hint(format!("it is {}", other.name())))
        }
    }
}

pub fn resume(global: &Global, args: &ArgMatches) -> Result<u8> {
    let (_lock, state) = Container::load(&global.root, super::id(args)?)?;
    match state.status() {
        Status::Paused if state.cgroup.frozen()? => state.cgroup.thaw().map(|()| 0),
        // To thaw its own cgroup would change nothing.
        Status::Paused => Err(Error::new("container is not paused itself, but what it is in").hint(match &state.pod {
            Some(pod) => format!("hilum pod resume {} lets all of its pod go on", pod.name),
            None => "a cgroup above its own is frozen".into(),
        })),
        _ => Err(Error::new("container not paused")),
    }
}
