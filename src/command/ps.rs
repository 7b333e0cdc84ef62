//! `ps`: the processes of a container, as the host's ps(1) shows them or as numbers.

use std::process::{Command, Stdio};

use clap::ArgMatches;

use super::{Global, text, texts};
use crate::error::{Context, Error, Result};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let state = super::state_of(global, args)?;
    let mut pids = state.cgroup.pids()?;
    if state.cgroup.directories.is_empty() {
        // Without a cgroup (rootless), the first process is what is known.
        pids.extend(state.process.filter(|process| process.is_alive()).map(|process| process.pid));
    }
    let text = if text(args, "format") == Some("json") {
        // As runc's encoder writes an empty list.
        let list = if pids.is_empty() { Ok("null".into()) } else { serde_json::to_string(&pids) };
        list.map_err(|e| Error::new(e.to_string()))? + "\n"
    } else {
        table(&texts(args, "options"), &pids)?
    };
    super::print(&text)?;
    Ok(0)
}

fn table(options: &[String], pids: &[i32]) -> Result<String> {
    let default = ["-ef".to_string()];
    let options = if options.is_empty() { &default } else { options };
    let output = Command::new("ps").args(options).stderr(Stdio::piped()).output().map_err(|e| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let error = Error::from(e).context("run ps");
        if missing { error.hint("install it (the package procps), or use --format json") } else { error }
    })?;
    if !output.status.success() {
        return Err(Error::new(String::from_utf8_lossy(&output.stderr).trim()).context("ps"));
    }
    select(&String::from_utf8_lossy(&output.stdout), pids).context("ps")
}

/// The heading, and the lines whose PID is one of these.
fn select(output: &str, pids: &[i32]) -> Result<String> {
    let mut lines = output.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let listed = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Ok(std::iter::once(heading).chain(lines.filter(listed)).flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_of_the_heading_decides() {
        let output = "UID   PID  PPID CMD\nroot    7     1 a 9\nroot    9     7 b 7\n";
        assert_eq!(select(output, &[9, 30]).unwrap(), "UID   PID  PPID CMD\nroot    9     7 b 7\n");
        assert!(select("CMD\na\n", &[1]).is_err());
    }
}
