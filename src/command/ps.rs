//! `ps`: the processes of a container, as the host's ps(1) shows them or as numbers.

use std::process::Command;

use clap::ArgMatches;

use super::{Global, text, texts};
use crate::error::{Context, Error, NO_MORE_PROCESSES, Result};
use crate::state::State;

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let state = super::state_of(global, args)?;
    let pids = pids(&state)?;
    let text = if text(args, "format") == Some("json") {
        // As runc's encoder writes an empty list.
        let list = if pids.is_empty() { Ok("null".into()) } else { serde_json::to_string(&pids) };
        list.map_err(|e| Error::new(e.to_string()))? + "\n"
    } else {
        let (heading, lines) = ask(&texts(args, "options"), &pids)?;
        std::iter::once(heading)
            .chain(lines.into_iter().map(|(_, line)| line))
            .flat_map(|line| [line, "\n".into()])
            .collect()
    };
    super::print(&text)?;
    Ok(0)
}

pub fn pids(state: &State) -> Result<Vec<i32>> {
    let mut pids = state.cgroup.pids()?;
    if state.cgroup.directories.is_empty() {
        // Without a cgroup (rootless), the first process is what is known.
        if let Some(process) = state.process {
            pids.extend(process.is_alive()?.then_some(process.pid));
        }
    }
    Ok(pids)
}

/// What ps(1) says of these processes: its heading, and a line for each.
pub fn ask(options: &[String], pids: &[i32]) -> Result<(String, Vec<(i32, String)>)> {
    let default = ["-ef".to_string()];
    let options = if options.is_empty() { &default } else { options };
    let output = Command::new("ps").args(options).output().map_err(|e| {
        let kind = e.kind();
        let error = Error::from(e).context("run ps");
        match kind {
            std::io::ErrorKind::NotFound => error.hint("install it (the package procps), or use --format json"),
            std::io::ErrorKind::WouldBlock => error.hint(NO_MORE_PROCESSES),
            _ => error,
        }
    })?;
    if !output.status.success() {
        return Err(Error::new(String::from_utf8_lossy(&output.stderr).trim()).context("ps"));
    }
    select(&String::from_utf8_lossy(&output.stdout), pids).context("ps")
}

/// The heading, and the lines whose PID is one of these.
fn select(output: &str, pids: &[i32]) -> Result<(String, Vec<(i32, String)>)> {
    let mut lines = output.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let pid = |line: &str| line.split_whitespace().nth(column)?.parse().ok().filter(|pid| pids.contains(pid));
    Ok((heading.into(), lines.filter_map(|line| Some((pid(line)?, line.to_string()))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_of_the_heading_decides() {
        let output = "UID   PID  PPID CMD\nroot    7     1 a 9\nroot    9     7 b 7\n";
        let expected = ("UID   PID  PPID CMD".to_string(), vec![(9, "root    9     7 b 7".to_string())]);
        assert_eq!(select(output, &[9, 30]).unwrap(), expected);
        assert!(select("CMD\na\n", &[1]).is_err());
    }
}
