//! `kill`: a signal to the container's process, or to all of them.

use clap::ArgMatches;
use rustix::process::Signal;
use rustix::thread::CapabilitySet;

use super::{Global, text};
use crate::error::{Context, Error, Kind, Result};
use crate::privilege;
use crate::state::{State, Status};

/// signal(7), with the names that kill(1) takes.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
pub const KILL: i32 = 9;
/// That a C library leaves to programs.
const FIRST_REAL_TIME: i32 = 34;
const LAST: i32 = 64;

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let signal = parse(text(args, "signal").unwrap_or("TERM"))?;
    let state = super::state_of(global, args)?;
    send(&state, signal, args.get_flag("all"))?;
    Ok(0)
}

pub fn send(state: &State, signal: i32, all: bool) -> Result<()> {
    let not_running = || Error::new("container not running").with_kind(Kind::NotRunning);
    // Without a pid namespace of its own, the end of the first process ends no other: the cgroup is what the container
    // is, and never a tree of pids, which may hold a neighbour's (moby#50523).
    let whole = all || (signal == KILL && !state.own_pid_namespace);
    match state.status()? {
        // It would end the creation, which has a command of its own at work on it (runtime.md, "Kill").
        Status::Creating => return Err(not_running().hint("it is being created")),
        Status::Stopped if !all => return Err(not_running()),
        Status::Stopped | Status::Created | Status::Running | Status::Paused => {}
    }
    if whole && state.cgroup.exists() {
        let signal = Signal::from_named_raw(signal)
            .ok_or_else(|| Error::new(format!("signal {signal} cannot be sent to all processes")))?;
        return state.cgroup.signal_all(signal);
    }
    // A user may have been given no cgroup: then the first process is all that is known of the container.
    let process = state.process.ok_or_else(not_running)?;
    let pidfd = match process.open()? {
        None if all => return Ok(()),
        pidfd => pidfd.ok_or_else(not_running)?,
    };
    match hilum_sys::signal::send(std::os::fd::AsFd::as_fd(&pidfd), signal) {
        Err(rustix::io::Errno::SRCH) => return Err(not_running()),
        other => other
            .context(format!("send signal {signal} to process {}", process.pid))
            .map_err(|error| privilege::needs(error, CapabilitySet::KILL))?,
    }
    if signal == KILL { state.cgroup.release_killed() } else { Ok(()) }
}

pub fn parse(text: &str) -> Result<i32> {
    let unknown = || Error::new(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse() {
        return if (0..=LAST).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let distance = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign).filter(|n| !n.starts_with('+'))?.parse::<u8>().ok().map(i32::from),
    };
    let number = match name {
        "CLD" => Some(17),
        "POLL" => Some(29),
        "IOT" => Some(6),
        _ => match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(rest), _) => distance(rest, '+').map(|n| FIRST_REAL_TIME + n),
            (_, Some(rest)) => distance(rest, '-').map(|n| LAST - n),
            _ => NAMES.iter().position(|known| *known == name).map(|at| at as i32 + 1),
        },
    };
    number.filter(|number| (1..=LAST).contains(number)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same() {
        for text in ["9", "KILL", "SIGKILL", "sigkill"] {
            assert_eq!(parse(text).unwrap(), 9, "{text}");
        }
        assert_eq!(parse("RTMIN+3").unwrap(), 37);
        assert_eq!(parse("SIGRTMAX-1").unwrap(), 63);
        for bad in
            ["", "SIG", "65", "-1", "KILLER", "RTMIN+99", "RTMIN-3", "RTMIN++3", "RTMINx3", "RTMINRTMIN", "RTMAX+1"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
