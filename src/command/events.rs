//! `events`: what a container uses, at intervals, and when it runs out of memory. One JSON object a line.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::{Global, text};
use crate::cgroup::{OomWatch, Stats};
use crate::error::{Context, Error, Kind, Result};
use crate::log;
use crate::state::{State, Status};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let interval = interval(text(args, "interval").unwrap_or("5s"))?;
    let id = super::id(args)?;
    let state = super::state_of(global, args)?;
    if matches!(state.status()?, Status::Stopped | Status::Creating) {
        return Err(Error::new(format!("container with id {id} is not running")).with_kind(Kind::NotRunning));
    }
    if args.get_flag("stats") {
        stats(&state)?;
    } else {
        watch(&state, interval)?;
    }
    Ok(0)
}

/// Until the container's process ends.
fn watch(state: &State, interval: Duration) -> Result<()> {
    let Some(pidfd) = state.process.map_or(Ok(None), |process| process.open())? else { return Ok(()) };
    let mut oom = state.cgroup.watch_oom().inspect_err(|e| log::warn(&format!("no events of type oom: {e}"))).ok();
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let [ended, notice] = {
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
            if let Some((fd, flags)) = oom.as_ref().map(OomWatch::event) {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
            rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))).context("poll")?;
            let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
            [ready(0), ready(1)]
        };
        // What ended the container is told before its end.
        if notice && oom.as_mut().map_or(Ok(false), OomWatch::happened)? {
            Event { kind: "oom", id: &state.id, data: None }.print()?;
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            stats(state)?;
            next += interval;
        }
    }
}

fn stats(state: &State) -> Result<()> {
    Event { kind: "stats", id: &state.id, data: Some(state.cgroup.stats()) }.print()
}

#[derive(Serialize)]
struct Event<'s> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Stats>,
}

impl Event<'_> {
    fn print(&self) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|e| Error::new(e.to_string()))?;
        super::print(&(text + "\n"))
    }
}

/// As Go writes durations: `5s`, `1m30s`, `250ms`.
pub fn interval(text: &str) -> Result<Duration> {
    let invalid = || Error::new(format!("invalid duration --interval {text:?}")).hint("write it as 5s, 1m30s or 250ms");
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, behind) = rest.split_at_checked(digits).ok_or_else(invalid)?;
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(unit).ok_or_else(invalid)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(invalid()),
        };
        sum += number.parse::<f64>().map_err(|_| invalid())? * seconds;
        rest = behind;
    }
    let interval = Duration::try_from_secs_f64(sum).map_err(|_| invalid())?;
    // Go's limit; from here on, times can be added to it.
    if i64::try_from(interval.as_nanos()).is_err() {
        return Err(invalid());
    }
    if interval.is_zero() {
        return Err(Error::new("duration interval must be greater than 0"));
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [("5s", 5000), ("1m30s", 90_000), ("250ms", 250), ("1.5s", 1500)] {
            assert_eq!(interval(text).unwrap(), Duration::from_millis(expected), "{text}");
        }
        for bad in ["", "0s", "5", "s", "5x", "-1s", "1e9999h", "9999999999999999999s", "2562048h"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
