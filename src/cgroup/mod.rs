//! Control groups: v1, v2, and v1 with v2 beside it (hybrid), through the cgroup file system; v2 through systemd, too.
//!
//! `plan` computes everything as data and rejects what cannot be; `Plan::create` carries it out. What is recorded of a
//! container is its `Cgroup`: enough to freeze, kill and remove it later with no other knowledge.

mod create;
mod device;
mod file;
mod host;
pub mod layout;
mod oom;
mod parent;
mod process;
mod program;
mod remove;
mod resources;
mod stats;
pub mod systemd;
#[cfg(test)]
mod tests;
mod tree;
mod unread;
pub mod update;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use device::Rules;
pub use host::{Host, Place, host_is_unified};
pub use oom::OomWatch;
pub use parent::{labelled, remove_if_empty};
pub use process::Entry;
pub use resources::{Missing, Write};
pub use stats::Stats;
pub use tree::Node;
pub use unread::{Pauses, Unread};

use crate::conflict::Conflicts;
use crate::error::{Error, Result};
use crate::spec::config::{Linux, Resources};
use systemd::{Bus, Facts, Unit, UnitPlan};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    V1,
    V2,
}

/// A container's cgroup: one directory in each hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cgroup {
    pub directories: Vec<Directory>,
    /// The unit that systemd keeps it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Directory {
    pub version: Version,
    /// v1: those of the hierarchy, which are its mount options too (`cpu`, `cpuacct`; `name=systemd`). v2: those that
    /// the mount's root has.
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted on the host.
    pub mount: PathBuf,
    /// The container's cgroup below it.
    pub path: PathBuf,
    /// The directory's inode number, from the moment that it is the container's: a path alone may by now be another
    /// container's cgroup. Numbers are not used twice (kernfs).
    #[serde(default)]
    pub inode: Option<u64>,
}

impl Cgroup {
    /// Whether v2 is all there is.
    pub fn is_unified(&self) -> bool {
        !self.directories.is_empty() && self.directories.iter().all(|d| d.version == Version::V2)
    }

    /// Whether it is there, or what is left of it.
    pub fn exists(&self) -> bool {
        self.unit.is_some() || self.directories.iter().any(|it| it.exists() || it.is_out_of_sight())
    }

    /// Forgets what has become somebody else's: to be asked of a cgroup that was read from a file.
    pub fn forget_others(&mut self) {
        let mut anothers = false;
        self.directories.retain(|directory| {
            // One look at each: who lists many containers looks at thousands.
            let now = directory.inode.and_then(|_| directory.current_inode());
            anothers |= now.is_some() && now != directory.inode;
            now == directory.inode || (now.is_none() && directory.is_out_of_sight())
        });
        // A unit is known by its directory: what systemd has at that place now is another of the same name.
        if anothers {
            self.unit = None;
        }
    }

    /// What of it a caller without privileges may make, as far as can be told beforehand: to be there, a directory needs
    /// a parent that one may write to.
    pub fn within_reach(&self) -> Cgroup {
        if self.unit.is_some() {
            return self.clone();
        }
        let is_ours = |directory: &&Directory| {
            let existing = directory.path.ancestors().find(|path| path.exists());
            existing.is_some_and(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok())
        };
        Cgroup { directories: self.directories.iter().filter(is_ours).cloned().collect(), unit: None }
    }

    /// The cgroup `path` below this one, in those hierarchies that have one of the controllers (in all if none is
    /// given): where `exec --cgroup` puts its process.
    pub fn below(&self, path: &str, controllers: &[&str]) -> Result<Cgroup> {
        if path.split('/').any(|part| part == "..") {
            return Err(Error::new(format!("bad sub cgroup path: {path}")));
        }
        let mut cgroup = self.clone();
        if !controllers.is_empty() && !self.is_unified() {
            for name in controllers {
                if !self.directories.iter().any(|d| d.controllers.iter().any(|c| c == name)) {
                    return Err(Error::new(format!("unknown controller {name} in the container's cgroup")));
                }
            }
            cgroup.directories.retain(|d| d.controllers.iter().any(|c| controllers.contains(&c.as_str())));
        }
        for directory in &mut cgroup.directories {
            directory.path.push(path.trim_matches('/'));
            directory.inode = None;
        }
        Ok(cgroup)
    }

    /// Puts a directory in the place of the one in the same hierarchy.
    pub fn replace(&mut self, directory: Directory) {
        if let Some(own) = self.directories.iter_mut().find(|own| own.mount == directory.mount) {
            *own = directory;
        }
    }

    /// This cgroup, for a process that is to join it: or, where that is the root of cgroups that the container has made,
    /// the one of the container's first process. (Of v2's cgroups only those without children have processes.)
    pub fn or_of_process(mut self, pid: i32) -> Cgroup {
        for directory in self.directories.iter_mut().filter(|d| d.version == Version::V2) {
            let enabled = file::read(&directory.path.join("cgroup.subtree_control")).unwrap_or_default();
            if enabled.trim().is_empty() {
                continue;
            }
            let text = file::read(Path::new(&format!("/proc/{pid}/cgroup"))).unwrap_or_default();
            let path = text.lines().find_map(|line| line.strip_prefix("0::/")).map(|path| directory.mount.join(path));
            if let Some(path) = path.filter(|path| path.starts_with(&directory.path) && path.exists()) {
                (directory.path, directory.inode) = (path, None);
            }
        }
        self
    }

    /// memory.checkBeforeUpdate: v2 would kill to get below a new limit, where v1 refuses it.
    pub fn check_memory_in_use(&self, resources: &Resources) -> Result<()> {
        let Some(memory) = resources.memory.as_ref().filter(|m| m.check_before_update == Some(true)) else {
            return Ok(());
        };
        let Some(directory) = self.directories.first().filter(|_| self.is_unified()) else {
            return Ok(());
        };
        let usage = file::read(&directory.path.join("memory.current")).unwrap_or_default();
        let Ok(usage) = usage.trim().parse::<i64>() else {
            return Ok(());
        };
        for (name, limit) in [("memory+swap", memory.swap), ("memory", memory.limit)] {
            if let Some(limit) = limit.filter(|&limit| limit > 0 && limit <= usage) {
                return Err(Error::new(format!("rejecting {name} limit {limit} <= usage {usage}")));
            }
        }
        Ok(())
    }
}

/// Who makes the cgroup.
#[derive(Clone, Copy, Debug)]
pub enum Driver<'d> {
    /// We do, in the cgroup file system.
    Files,
    /// systemd, which has to be there to say where.
    Systemd { bus: &'d Bus, facts: &'d Facts, annotations: &'d BTreeMap<String, String> },
}

impl<'d> Driver<'d> {
    pub fn of(systemd: Option<&'d (systemd::Manager, Facts)>, annotations: &'d BTreeMap<String, String>) -> Self {
        match systemd {
            None => Driver::Files,
            Some((manager, facts)) => Driver::Systemd { bus: manager.bus(), facts, annotations },
        }
    }
}

/// What `create` will do, in this order: directories, controllers, writes, devices. With a unit, systemd makes the
/// directory, and all is done by `start_unit`.
#[derive(Debug)]
pub struct Plan {
    pub cgroup: Cgroup,
    pub unit: Option<UnitPlan>,
    /// The v2 controllers to hand down to the container's cgroup.
    pub enable: Vec<String>,
    /// Limits, and in v1 the device rules.
    pub writes: Vec<Write>,
    /// In v2 the directory and the rules that become its device filter.
    pub devices: Option<(PathBuf, Rules)>,
    /// What is accepted but has no effect.
    pub warnings: Vec<String>,
    /// Whether `create` has made the directory that the device filter goes to: then there is none to replace.
    is_new: bool,
    /// Into what `create` has made.
    entry: Entry,
    /// The directory of the pod that it is made for.
    pod: Option<PathBuf>,
    rootless: bool,
    /// A rootless container that asks for no particular cgroup runs without one where it may not have one.
    may_do_without: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(unit) = &self.unit {
            write!(f, "{unit}")?;
        }
        for directory in self.cgroup.directories.iter().filter(|_| self.unit.is_none()) {
            writeln!(f, "mkdir {} ({})", directory.path.display(), directory.controllers.join(","))?;
        }
        if !self.enable.is_empty() {
            writeln!(f, "enable {} in cgroup.subtree_control above", self.enable.join(" "))?;
        }
        for write in &self.writes {
            writeln!(f, "{write}")?;
        }
        match &self.devices {
            Some((path, _)) => writeln!(f, "attach the device filter to {} (linux.resources.devices)", path.display()),
            None => Ok(()),
        }
    }
}

const DEVICES: &str = "linux.resources.devices";
const MOUNT_ONE: &str = "mount -t cgroup2 cgroup2 /sys/fs/cgroup";

/// Everything is refused here that can be, with nothing changed yet on the host, but for a cgroup that is in use: that may be
/// one of the same id, which only who has the id can tell. An error: there is nothing to plan for.
pub fn plan(
    host: &Host,
    linux: &Linux,
    id: &str,
    rootless: bool,
    driver: Driver<'_>,
    conflicts: &mut Conflicts,
) -> Result<Plan> {
    let rules = linux.resources.as_ref().map_or(&[][..], |resources| &resources.devices);
    let rules = conflicts.note(DEVICES, Rules::new(rules, &linux.devices));
    lay_out(host, linux, id, rootless, driver, rules, conflicts)
}

/// The parent of a pod's containers: limits, but no word on devices, which each of them has rules for.
pub fn plan_parent(host: &Host, linux: &Linux, name: &str, rootless: bool, driver: Driver<'_>) -> Result<Plan> {
    Conflicts::none(|conflicts| lay_out(host, linux, name, rootless, driver, None, conflicts))?
}

fn lay_out(
    host: &Host,
    linux: &Linux,
    id: &str,
    rootless: bool,
    driver: Driver<'_>,
    rules: Option<Rules>,
    conflicts: &mut Conflicts,
) -> Result<Plan> {
    let mut unit = match driver {
        Driver::Files => None,
        Driver::Systemd { bus, facts, annotations } => {
            Some(UnitPlan::new(&linux.cgroups_path, id, annotations, bus, facts)?)
        }
    };
    let may_do_without = rootless && linux.cgroups_path.is_empty() && unit.is_none();
    if host.is_empty() && !linux.cgroups_path.is_empty() {
        let path = &linux.cgroups_path;
        return Err(Error::new(format!("linux.cgroupsPath {path:?}: no cgroup file system is mounted")).hint(MOUNT_ONE));
    }
    let directories = match &unit {
        Some(unit) => vec![host.unified_directory(&unit.cgroup)?],
        None => {
            // At the usual place, so that the rest can be looked at, too.
            let place = conflicts.note("linux.cgroupsPath", Place::parse(&linux.cgroups_path, id));
            host.directories(&place.map_or_else(|| Place::parse("", id), Ok)?, may_do_without)?
        }
    };
    let cgroup = Cgroup { directories, unit: unit.as_ref().map(|plan| plan.unit.clone()) };
    let none = Resources::default();
    let resources = linux.resources.as_ref().unwrap_or(&none);
    let mut writes = resources::writes(&cgroup, resources, conflicts);

    if let Some(unit) = &mut unit {
        conflicts.note("linux.resources", unit.limit(&mut writes, rules.as_ref()));
    }
    let v1 = cgroup.directories.iter().find(|d| d.controllers.iter().any(|c| c == "devices"));
    let v2 = cgroup.directories.iter().find(|d| d.version == Version::V2);
    let mut devices = None;
    match (rules, v1, v2) {
        (None, ..) => {}
        (Some(rules), Some(v1), _) => {
            writes.extend(conflicts.note(DEVICES, rules.v1_writes(&v1.path, rootless)).unwrap_or_default());
        }
        (Some(rules), None, Some(v2)) => devices = Some((v2.path.clone(), rules)),
        (Some(_), None, None) if rootless || resources.devices.is_empty() => {}
        (Some(_), None, None) => {
            let error = Error::new(format!("{DEVICES}: no devices cgroup is mounted")).hint(MOUNT_ONE);
            conflicts.note::<()>(DEVICES, Err(error));
        }
    }

    let enable = match v2 {
        Some(v2) if cgroup.is_unified() => v2.controllers.clone(),
        // Beside v1 the v2 hierarchy is systemd's: only what is asked for.
        Some(v2) => {
            let asked = |c: &&String| writes.iter().any(|w| w.directory == v2.path && w.controller == **c);
            v2.controllers.iter().filter(asked).cloned().collect()
        }
        None => Vec::new(),
    };
    let warnings = resources::warnings(resources);
    Ok(Plan {
        cgroup,
        unit,
        enable,
        writes,
        devices,
        warnings,
        is_new: false,
        entry: Entry::default(),
        pod: None,
        rootless,
        may_do_without,
    })
}
