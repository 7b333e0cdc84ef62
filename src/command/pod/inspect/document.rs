//! For machines: the same as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::{REAPER, View, command};
use crate::cgroup::Node;
use crate::pod::PodUsage;
use crate::state::Namespaces;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'p> {
    name: &'p str,
    status: &'static str,
    created: &'p str,
    directory: &'p Path,
    hostname: &'p str,
    domainname: &'p str,
    namespaces: &'p BTreeMap<String, u64>,
    shm_size: Option<u64>,
    unit: Option<&'p str>,
    /// As CNI's plugins have answered.
    network: Option<&'p Value>,
    resources: Value,
    usage: &'p PodUsage,
    containers: Vec<Container<'p>>,
    reaper: Option<Reaper>,
    cgroup: Option<Branch<'p>>,
}

#[derive(Serialize)]
struct Container<'p> {
    id: &'p str,
    status: &'static str,
    pid: i32,
    bundle: &'p Path,
    directory: &'p Path,
    cgroup: Option<&'p Path>,
    namespaces: BTreeMap<&'static str, Place>,
}

#[derive(Serialize)]
struct Reaper {
    pid: i32,
    namespaces: BTreeMap<&'static str, Place>,
}

#[derive(Serialize)]
struct Place {
    inode: u64,
    of: &'static str,
}

#[derive(Serialize)]
struct Branch<'p> {
    path: &'p Path,
    processes: Vec<Process>,
    below: Vec<Branch<'p>>,
}

#[derive(Serialize)]
struct Process {
    pid: i32,
    command: String,
}

/// Without what is only there to say that it is not.
fn what_is_given(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().map(|(key, value)| (key, what_is_given(value)));
            Value::Object(kept.filter(|(_, value)| !is_empty(value)).collect())
        }
        other => other,
    }
}

impl<'p> Branch<'p> {
    fn of(node: &'p Node) -> Self {
        let processes = node.pids.iter().map(|pid| Process { pid: *pid, command: command(*pid) });
        Self { path: &node.path, processes: processes.collect(), below: node.below.iter().map(Branch::of).collect() }
    }
}

impl View<'_> {
    pub(super) fn document(&self) -> Document<'_> {
        let pod = self.pod;
        let of = |name: &str| {
            let row = self.rows.iter().find(|(row, _)| row == name);
            row.map(|(_, namespaces)| self.placed(namespaces)).unwrap_or_default()
        };
        let states = self.members.iter().filter_map(|(it, status)| Some((it.state.as_ref()?, &it.dir, (*status)?)));
        let containers = states.map(|(state, dir, status)| Container {
            id: &state.id,
            status: status.name(),
            pid: state.pid(status),
            bundle: &state.bundle,
            directory: dir,
            cgroup: state.cgroup.main_path(),
            namespaces: of(&state.id),
        });
        let reaper = pod
            .reaper
            .as_ref()
            .map(|reaper| Reaper { pid: if self.reaps { reaper.process.pid } else { 0 }, namespaces: of(REAPER) });
        Document {
            name: &pod.name,
            status: self.status.name(),
            created: &pod.created,
            directory: self.dir,
            hostname: &pod.spec.hostname,
            domainname: &pod.spec.domainname,
            namespaces: &pod.namespaces,
            shm_size: pod.shm_size,
            unit: pod.cgroup.unit.as_ref().map(|unit| unit.name.as_str()),
            network: pod.network.as_ref().and_then(|network| network.result.as_ref()),
            resources: what_is_given(serde_json::to_value(&pod.spec.linux.resources).unwrap_or_default()),
            usage: &self.usage,
            containers: containers.collect(),
            reaper,
            cgroup: self.tree.as_ref().map(Branch::of),
        }
    }

    fn placed(&self, namespaces: &Namespaces) -> BTreeMap<&'static str, Place> {
        let place = |(kind, it)| {
            let of = match it {
                it if self.pinned.get(kind) == Some(it) => "pod",
                it if self.host.get(kind) == Some(it) => "host",
                _ => "own",
            };
            (kind.proc_name(), Place { inode: it.inode, of })
        };
        namespaces.iter().map(place).collect()
    }
}
