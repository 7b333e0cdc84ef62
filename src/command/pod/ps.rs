//! `pod ps`: the processes of all containers.

use clap::ArgMatches;
use serde::Serialize;

use super::inspect::REAPER;
use super::{pod_name, text};
use crate::command::{Global, json, print, ps, texts};
use crate::error::Result;

#[derive(Serialize)]
struct Process<'s> {
    /// None: the pod's reaper.
    container: Option<&'s str>,
    pid: i32,
}

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    let pod = global.pods().look(name)?;
    let members = global.pods().members(name)?;
    let mut processes = Vec::new();
    for state in members.iter().filter_map(|member| member.state.as_ref()) {
        processes.extend(ps::pids(state)?.into_iter().map(|pid| Process { container: Some(&state.id), pid }));
    }
    if let Some(reaper) = &pod.reaper {
        processes.extend(reaper.cgroup.pids()?.into_iter().map(|pid| Process { container: None, pid }));
    }
    let text = if text(args, "format") == Some("json") { json(&processes)? } else { table(args, &processes)? };
    print(&text)?;
    Ok(0)
}

/// ps(1), asked once for all, with a column before its own.
fn table(args: &ArgMatches, processes: &[Process<'_>]) -> Result<String> {
    let pids: Vec<i32> = processes.iter().map(|process| process.pid).collect();
    let (heading, lines) = ps::ask(&texts(args, "options"), &pids)?;
    let name = |process: &Process<'_>| process.container.unwrap_or(REAPER).to_string();
    let width = processes.iter().map(|process| name(process).chars().count()).chain([9]).max().unwrap_or_default();
    let mut text = format!("{:width$}  {heading}\n", "CONTAINER");
    for process in processes {
        for (_, line) in lines.iter().filter(|(pid, _)| *pid == process.pid) {
            text.push_str(&format!("{:width$}  {line}\n", name(process)));
        }
    }
    Ok(text)
}
