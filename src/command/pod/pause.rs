//! `pod pause` and `pod resume`: the pod's cgroup is frozen, and thawed, and with it all that is in it. A container that
//! was paused for itself stays so.

use clap::ArgMatches;

use super::pod_name;
use crate::command::Global;
use crate::error::{Error, Kind, Result};
use crate::pod::Member;
use crate::state::{Access, Container};

/// All of them or none: what cannot be frozen whole is thawed.
pub fn pause(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    let (_lock, pod) = global.pods().load(name, Access::Exclusive)?;
    if pod.cgroup.paused()? {
        return Err(Error::new(format!("pod {name} is paused already")));
    }
    // A `start` is let finish: stopped half-way, it would keep its container from every other command.
    let _turns = global.pods().members(name)?.iter().map(turn).collect::<Result<Vec<_>>>()?;
    pod.cgroup.freeze().map(|()| 0)
}

/// When no other command is at work on the container, if it is there still.
fn turn(member: &Member) -> Result<Option<Container>> {
    let Some(root) = member.dir.parent() else { return Ok(None) };
    match Container::open(root, &member.id) {
        Ok((container, _)) => Ok(Some(container)),
        Err(e) if e.kind() == Kind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub fn resume(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    let (_lock, pod) = global.pods().load(name, Access::Exclusive)?;
    if !pod.cgroup.frozen()? {
        return Err(Error::new(format!("pod {name} is not paused")));
    }
    pod.cgroup.thaw().map(|()| 0)
}
