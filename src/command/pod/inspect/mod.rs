//! `pod inspect`: all that there is to see of a pod.

mod document;
mod page;

use std::path::Path;

use clap::ArgMatches;

use super::{pod_name, text};
use crate::cgroup::Node;
use crate::command::show::colour;
use crate::command::{Global, json, print};
use crate::error::Result;
use crate::pod::{self, Member, Pod, PodUsage};
use crate::state::{self, Identity, Namespaces};

/// What stands for the reaper's name: no container's can be so.
pub const REAPER: &str = "<reaper>";

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    let dir = global.pods().0.join(name);
    let pod = global.pods().look(name)?;
    let members = global.pods().members(name)?;
    let view = View::of(&pod, &dir, members).map_err(|error| match dir.exists() {
        true => error,
        // Removed while it was looked at.
        false => global.pods().missing(name),
    })?;
    let text = if text(args, "format") == Some("json") { json(&view.document())? } else { view.page(colour()) };
    print(&text)?;
    Ok(0)
}

struct View<'p> {
    pod: &'p Pod,
    dir: &'p Path,
    status: pod::Status,
    /// Its containers, and what they are.
    members: Vec<(Member, Option<state::Status>)>,
    /// PID 1 of its pid namespace is there.
    reaps: bool,
    usage: PodUsage,
    tree: Option<Node>,
    host: Namespaces,
    pinned: Namespaces,
    /// Of each container, and of the reaper.
    rows: Vec<(String, Namespaces)>,
}

impl<'p> View<'p> {
    fn of(pod: &'p Pod, dir: &'p Path, members: Vec<Member>) -> Result<Self> {
        let mut rows = Vec::new();
        for state in members.iter().filter_map(|member| member.state.as_ref()) {
            rows.push((state.id.clone(), namespaces(state.process.as_ref())?));
        }
        if let Some(reaper) = &pod.reaper {
            rows.push((REAPER.into(), namespaces(Some(&reaper.process))?));
        }
        Ok(Self {
            status: pod::status(Some(pod), &members)?,
            reaps: pod.reaper.as_ref().map_or(Ok(false), |reaper| reaper.process.is_alive())?,
            usage: PodUsage::of(pod, &members)?,
            tree: pod.cgroup.tree(),
            host: Namespaces::own()?,
            pinned: Namespaces::pinned(dir)?,
            pod,
            dir,
            members: members.into_iter().map(|it| it.status().map(|status| (it, status))).collect::<Result<_>>()?,
            rows,
        })
    }
}

/// Nowhere, once it has ended.
fn namespaces(process: Option<&Identity>) -> Result<Namespaces> {
    Ok(process.map(Namespaces::of).transpose()?.flatten().unwrap_or_default())
}

/// Its arguments, or its name where it has none any more.
fn command(pid: i32) -> String {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let arguments = read("cmdline");
    let text = String::from_utf8_lossy(&arguments);
    match text.trim_end_matches('\0') {
        "" => format!("[{}]", String::from_utf8_lossy(&read("comm")).trim_end()),
        text => text.replace('\0', " "),
    }
}
