//! `pod wait`: until none of the pod's containers runs.

use std::os::fd::OwnedFd;

use clap::ArgMatches;
use rustix::event::{PollFd, PollFlags, poll};

use super::pod_name;
use crate::command::Global;
use crate::error::{Context, Result};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    global.pods().look(name)?;
    while let Some(running) = running(global, name)? {
        // One after the other; and then those that were added meanwhile.
        rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&running, PollFlags::IN)], None)).context("poll")?;
    }
    Ok(0)
}

/// The first process of one that runs.
fn running(global: &Global, name: &str) -> Result<Option<OwnedFd>> {
    for process in global.pods().members(name)?.into_iter().filter_map(|member| member.state?.process) {
        if let Some(pidfd) = process.open()? {
            return Ok(Some(pidfd));
        }
    }
    Ok(None)
}
