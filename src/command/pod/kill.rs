//! `pod kill`: a signal to all processes of all containers. The reaper is the pod's, and stays: so does the pod.

use clap::ArgMatches;

use super::{pod_name, text};
use crate::command::Global;
use crate::command::kill::{KILL, parse, send};
use crate::error::{Context, Kind, Result};
use crate::run::await_end;
use crate::state::{Access, State};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let signal = parse(text(args, "signal").unwrap_or("TERM"))?;
    let name = pod_name(args)?;
    // Meanwhile no container is added.
    let (_lock, _) = global.pods().load(name, Access::Exclusive)?;
    let members = global.pods().members(name)?;
    let states = || members.iter().filter_map(|member| member.state.as_ref());
    for state in states() {
        match send(state, signal, true) {
            // Its creation was killed: there is nobody to be sent it.
            Err(e) if e.kind() == Kind::NotRunning => {}
            other => other.with_context(|| format!("container {}", state.id))?,
        }
    }
    // All have been sent it by now: they end side by side.
    for state in states().filter(|_| signal == KILL) {
        end(state).with_context(|| format!("container {}", state.id))?;
    }
    Ok(0)
}

/// Waits until nothing runs any more, nor what has been started by then.
fn end(state: &State) -> Result<()> {
    if state.cgroup.exists() {
        state.cgroup.kill_all()?;
    }
    // Without a cgroup (rootless), the first process is what is known.
    let Some(process) = state.process else { return Ok(()) };
    process.open()?.map_or(Ok(()), |pidfd| await_end(process.pid, &pidfd))
}
