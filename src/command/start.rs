//! `start`: lets a created container's process execute.

use std::path::Path;

use clap::ArgMatches;

use super::Global;
use crate::error::{Error, Result};
use crate::run::start::{await_exec, knock};
use crate::run::{notify, run_poststart, stopped};
use crate::state::{Container, Status};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    start(&global.root, super::id(args)?)?;
    Ok(0)
}

pub fn start(root: &Path, id: &str) -> Result<()> {
    let (container, state) = Container::load(root, id)?;
    match state.status()? {
        Status::Created => {}
        Status::Stopped => return Err(stopped(&state.cgroup)),
        Status::Creating => return Err(Error::new("cannot start a container that is not created")),
        Status::Paused => {
            return Err(Error::new("cannot start a container that is paused").hint("hilum resume lets it go on"));
        }
        Status::Running => return Err(Error::new("cannot start an already running container")),
    }
    let notify = notify::listen(container.path())?;
    let channel = knock(container.path())?.ok_or_else(|| stopped(&state.cgroup))?;
    channel.go()?;
    await_exec(&channel, &state.steps_after_start, Some(&state))?;
    run_poststart(&state)?;
    if let (Some(notify), Some(process)) = (notify, state.process) {
        drop(container);
        if let Some(pidfd) = process.open()? {
            notify.forward(&pidfd, process.pid)?;
        }
    }
    Ok(())
}
