//! What `plan` has to say, whether as text or as JSON. hilum-plan(8) documents its shape.

use std::path::PathBuf;

use hilum_init::step::Step;
use hilum_sys::namespace::Kind;
use serde::Serialize;

use super::owner::Owners;
use crate::cgroup;
use crate::command::Global;
use crate::command::preparation::Prepared;
use crate::conflict::{self, Conflicts, MOST};
use crate::plan::namespace::Origin;
use crate::plan::net_device::Move;
use crate::plan::seccomp::{Filter, Summary};
use crate::plan::{describe, detail, topic};
use crate::spec::config::{self, Hooks, IdMapping, Spec};

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub id: String,
    pub would_succeed: bool,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub namespaces: Vec<Namespace>,
    pub id_maps: Option<IdMaps>,
    pub cgroup: Cgroup,
    /// What the parent moves to the container's network namespace, in this order.
    pub net_devices: Vec<NetDevice>,
    /// In words, and in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resctrl: Vec<String>,
    pub seccomp: Option<Seccomp>,
    pub hooks: Vec<Hook>,
    /// Of the process that becomes the container's, in this order.
    pub steps: Vec<Doing>,
    pub warnings: Vec<String>,
    pub conflicts: Vec<Conflict>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `new`, `joined`, `host`, or `unknown` with a conflict.
    pub origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// `container ID` or `pod NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMaps {
    pub uid: Vec<IdMapping>,
    pub gid: Vec<IdMapping>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroup {
    pub directories: Vec<PathBuf>,
    /// In words, and in order: directories, controllers, writes, devices; or the unit and its properties.
    pub actions: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetDevice {
    pub device: String,
    /// In the container.
    pub name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    #[serde(flatten)]
    pub filter: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_path: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    pub property: String,
    pub path: String,
    pub args: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Doing {
    pub topic: &'static str,
    pub step: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    pub property: String,
    pub error: String,
    pub fix: String,
}

impl Report {
    pub fn new(global: &Global, prepared: Prepared<'_>, mut conflicts: Conflicts) -> Self {
        let Prepared { bundle, surroundings, resctrl, seccomp, request, plan, conflicts: others } = prepared;
        let cgroup = conflicts.note("linux.cgroupsPath", surroundings).map(|surroundings| surroundings.cgroup);
        conflicts.append(others);
        if let Some(filter) = seccomp.filter(|_| conflicts.is_empty()) {
            conflicts.note("linux.seccomp", filter.compile());
        }
        let report = Self::of_conflicts(request.id, &conflicts);
        let warnings = cgroup.iter().flat_map(|plan| &plan.warnings).chain(&plan.warnings).cloned();
        // Without a stage one there is no step that makes the namespaces, but the parent's clone.
        let clone = (!plan.stage_one).then_some(Step::Fork { kinds: plan.clone_kinds });
        Self {
            bundle: bundle.path.clone(),
            rootfs: bundle.rootfs.clone(),
            namespaces: namespaces(global, &plan.namespaces),
            cgroup: cgroup.as_ref().map(Cgroup::of).unwrap_or_default(),
            net_devices: plan.net_devices.iter().map(NetDevice::of).collect(),
            resctrl: resctrl
                .iter()
                .flat_map(|plan| plan.to_string().lines().map(String::from).collect::<Vec<_>>())
                .collect(),
            seccomp: seccomp.map(|filter| Seccomp::of(filter, request.spec)),
            hooks: hooks(&request.spec.hooks),
            steps: clone.iter().chain(&plan.steps).map(Doing::of).collect(),
            warnings: warnings.chain(report.warnings).collect(),
            id_maps: plan.id_maps.map(|maps| IdMaps { uid: maps.uid, gid: maps.gid }),
            ..report
        }
    }

    /// Where no more is known.
    pub fn of_conflicts(id: &str, conflicts: &Conflicts) -> Self {
        let warnings = match conflicts.dropped() {
            0 => Vec::new(),
            more => vec![format!("there are {more} conflicts more than the {MOST} that are shown")],
        };
        let conflicts: Vec<_> = conflicts.iter().map(Conflict::of).collect();
        Self { id: id.into(), would_succeed: conflicts.is_empty(), warnings, conflicts, ..Self::default() }
    }
}

fn namespaces(global: &Global, origins: &[(Kind, Origin)]) -> Vec<Namespace> {
    let is_joined = |(_, origin): &(Kind, Origin)| matches!(origin, Origin::Joined { .. });
    let owners = if origins.iter().any(is_joined) { Owners::find(global) } else { Owners::default() };
    let namespace = |(kind, origin): &(Kind, Origin)| {
        let (path, inode) = match origin {
            Origin::Joined { path, inode } => (Some(path.clone()), Some(*inode)),
            _ => (None, None),
        };
        let owner = inode.and_then(|inode| owners.of(*kind, inode)).map(String::from);
        let origin = match origin {
            Origin::New => "new",
            Origin::Joined { .. } => "joined",
            Origin::Host => "host",
            Origin::Unknown => "unknown",
        };
        Namespace { kind: kind.spec_name(), origin, path, inode, owner }
    };
    origins.iter().map(namespace).collect()
}

/// Those that are no steps run outside of the container, each at its time.
fn hooks(hooks: &Hooks) -> Vec<Hook> {
    let of = |(name, hooks): (&str, &[config::Hook])| {
        let hook = |(index, hook): (usize, &config::Hook)| Hook {
            property: format!("hooks.{name}[{index}]"),
            path: hook.path.clone(),
            args: hook.args.clone(),
        };
        hooks.iter().enumerate().map(hook).collect::<Vec<_>>()
    };
    hooks.by_name().into_iter().flat_map(of).collect()
}

impl Cgroup {
    fn of(plan: &cgroup::Plan) -> Self {
        let directories = plan.cgroup.directories.iter().map(|directory| directory.path.clone()).collect();
        Self { directories, actions: plan.to_string().lines().map(String::from).collect() }
    }
}

impl NetDevice {
    fn of(it: &Move) -> Self {
        Self { device: it.device.clone(), name: it.name.clone() }
    }
}

impl Seccomp {
    fn of(filter: &Filter<'_>, spec: &Spec) -> Self {
        let listener = spec.linux.seccomp.as_ref().filter(|_| filter.notifies());
        Self { filter: filter.summary(), listener_path: listener.map(|it| it.listener_path.clone()) }
    }
}

impl Doing {
    fn of(step: &Step<'_>) -> Self {
        Self { topic: topic(step), step: describe(step), detail: detail(step) }
    }
}

impl Conflict {
    fn of(conflict: &conflict::Conflict) -> Self {
        Self { property: conflict.property.clone(), error: conflict.message(), fix: conflict.fix() }
    }
}
