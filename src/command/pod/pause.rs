//! `pod pause` and `pod resume`: the pod's cgroup is frozen, and thawed, and with it all that is in it. A container that
//! was paused for itself stays so.

use clap::ArgMatches;

use super::pod_name;
use crate::command::Global;
use crate::error::{Error, Result};
use crate::state::Access;

/// All of them or none: what cannot be frozen whole is thawed.
pub fn pause(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    let (_lock, pod) = global.pods.load(name, Access::Exclusive)?;
    if pod.cgroup.paused()? {
        return Err(Error::new(format!("pod {name} is paused already")));
    }
    pod.cgroup.freeze().map(|()| 0)
}

pub fn resume(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    let (_lock, pod) = global.pods.load(name, Access::Exclusive)?;
    if !pod.cgroup.frozen()? {
        return Err(Error::new(format!("pod {name} is not paused")));
    }
    pod.cgroup.thaw().map(|()| 0)
}
