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
        Status::Paused => state.cgroup.thaw().map(|()| 0),
        _ => Err(Error::new("container not paused")),
    }
}
