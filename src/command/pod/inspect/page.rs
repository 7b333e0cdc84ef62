//! For people: one page, no wider than a terminal mostly is.

use std::path::Path;

use super::{View, command};
use crate::cgroup::Node;
use crate::command::matrix::Matrix;
use crate::command::show::{bytes, line, paint, time};
use crate::command::table;

const COLUMNS: usize = 80;
const BOLD: &str = "1";
const DIM: &str = "2";

impl View<'_> {
    pub(super) fn page(&self, colour: bool) -> String {
        let mut text = format!(
            "{}  {}\n\n",
            paint(&self.pod.name, BOLD, colour),
            paint(self.status.name(), colour_of(self.status.name()), colour)
        );
        for (what, value) in self.facts() {
            text.push_str(&format!("{what:10}  {value}\n"));
        }
        text.push('\n');
        text.push_str(&self.limits());
        if let Some(tree) = &self.tree {
            text.push_str(&format!("\n{}\n", paint(&tree.path.display().to_string(), BOLD, colour)));
            self.branches(tree, "", colour, &mut text);
        }
        if !self.rows.is_empty() {
            let rows = self.rows.iter().map(|(name, namespaces)| (name.as_str(), namespaces)).collect();
            text.push('\n');
            text.push_str(&Matrix { host: &self.host, pod: Some(&self.pinned), rows }.table(colour));
        }
        text
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let pod = self.pod;
        // Without the fractions of its second.
        let created = pod.created.split('.').next().unwrap_or_default();
        let mut facts = vec![("created", format!("{created}Z")), ("directory", self.dir.display().to_string())];
        if !pod.spec.hostname.is_empty() {
            facts.push(("hostname", pod.spec.hostname.clone()));
        }
        if let Some(unit) = &pod.cgroup.unit {
            facts.push(("unit", unit.name.clone()));
        }
        if let Some(size) = pod.shm_size {
            facts.push(("/dev/shm", bytes(size)));
        }
        if let Some(network) = &pod.network {
            let addresses: Vec<String> = network.ips().into_iter().map(|ip| ip.address).collect();
            let addresses = if addresses.is_empty() { "-".into() } else { addresses.join(" ") };
            facts.push(("network", format!("{}: {addresses}", network.network.name)));
        }
        let shared: Vec<String> = pod.namespaces.iter().map(|(kind, inode)| format!("{kind}:[{inode}]")).collect();
        // As many on a line as there is room for.
        for (index, line) in shared.chunks(3).enumerate() {
            facts.push((if index == 0 { "shares" } else { "" }, line.join("  ")));
        }
        if shared.is_empty() {
            facts.push(("shares", "a cgroup alone".into()));
        }
        facts
    }

    fn limits(&self) -> String {
        let usage = &self.usage.pod;
        let cpu = self.pod.spec.linux.resources.as_ref().and_then(|resources| resources.cpu.as_ref());
        let quota = cpu.and_then(|cpu| Some((cpu.quota.filter(|quota| *quota > 0)?, cpu.period.unwrap_or(100_000))));
        let cpus = quota.map(|(quota, period)| format!("{} CPUs", quota as f64 / period as f64));
        let set = cpu.map(|cpu| cpu.cpus.as_str()).filter(|set| !set.is_empty()).map(|set| format!("of {set}"));
        let cpu: Vec<String> = cpus.into_iter().chain(set).collect();
        let none = || "-".to_string();
        let rows = [
            ["memory".into(), bytes(usage.memory.usage), usage.memory.limit.map_or_else(none, bytes)],
            ["cpu".into(), time(usage.cpu), if cpu.is_empty() { none() } else { cpu.join(" ") }],
            [
                "pids".into(),
                usage.pids.usage.to_string(),
                usage.pids.limit.map_or_else(none, |limit| limit.to_string()),
            ],
        ];
        table(["          ", "USED", "LIMIT"], rows.into_iter())
    }

    /// As systemd-cgls(1) draws them: what is in a cgroup, processes first.
    fn branches(&self, node: &Node, indent: &str, colour: bool, text: &mut String) {
        let mut left = node.pids.len() + node.below.len();
        let mut branch = || {
            left = left.saturating_sub(1);
            if left == 0 { ("└─", "  ") } else { ("├─", "│ ") }
        };
        for pid in &node.pids {
            let (joint, _) = branch();
            let start = format!("{indent}{joint}{pid} ");
            let room = COLUMNS.saturating_sub(start.chars().count());
            text.push_str(&format!("{start}{}\n", line(&command(*pid), room)));
        }
        for below in &node.below {
            let (joint, more) = branch();
            let name = below.path.file_name().unwrap_or_default().to_string_lossy();
            let note = self.note(&below.path).map(|(id, status)| {
                let status = paint(status, colour_of(status), colour);
                if id == name { format!("  {status}") } else { format!("  {id}  {status}") }
            });
            let name = paint(&line(&name, COLUMNS), BOLD, colour);
            text.push_str(&format!(
                "{}{name}{}\n",
                paint(&format!("{indent}{joint}"), DIM, colour),
                note.unwrap_or_default()
            ));
            self.branches(below, &format!("{indent}{more}"), colour, text);
        }
    }

    /// Whose cgroup that is, and how that one is.
    fn note(&self, path: &Path) -> Option<(&str, &'static str)> {
        let mut states = self.members.iter().filter_map(|(member, status)| Some((member.state.as_ref()?, (*status)?)));
        let (state, status) = states.find(|(state, _)| state.cgroup.main_path() == Some(path))?;
        Some((&state.id, status.name()))
    }
}

fn colour_of(status: &str) -> &'static str {
    match status {
        "running" => "32",
        "paused" => "33",
        "broken" => "31",
        _ => DIM,
    }
}
