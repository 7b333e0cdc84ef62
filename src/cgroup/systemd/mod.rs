//! Cgroups that systemd makes (`--systemd-cgroup`): the container's is that of a transient unit.
//!
//! Only on v2. A scope is started around a process, so the container's first process is there before its cgroup, and
//! waits (Point::Cgroup). systemd makes the directory and sets what it knows; the files are written as without it.

mod annotation;
mod bus;
mod gvariant;
mod manager;
mod name;
mod owner;
mod property;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use annotation::properties;
pub use bus::Bus;
pub use manager::{Facts, Manager};
pub use name::Name;
pub use owner::session_owner;
pub use property::Property;

use super::device::Rules;
use super::host::Host;
use super::resources::Write;
use crate::dbus::Value;
use crate::error::{Error, Result};

/// A container's unit, as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    pub name: String,
    pub slice: String,
    /// What it is described as, where nobody else's unit is: whose it is can be told by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(flatten)]
    pub bus: Bus,
}

/// A unit that is to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitPlan {
    pub unit: Unit,
    pub properties: Vec<Property>,
    /// Which of them annotations ask for, for the message: systemd seldom says which one it does not take.
    annotated: Vec<String>,
    /// The cgroup that it will have, as systemd names it.
    pub cgroup: PathBuf,
    version: u32,
}

/// sd_booted(3), and the one layout that is supported.
pub fn check_host(host: &Host) -> Result<()> {
    let way_out = "leave out --systemd-cgroup to use the cgroup file system";
    let booted = rustix::fs::lstat("/run/systemd/system")
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
    if !booted {
        return Err(Error::new(
            "--systemd-cgroup: systemd not running on this host, cannot use systemd cgroups manager",
        )
        .hint(format!("there is no /run/systemd/system; {way_out}")));
    }
    if !host.is_unified() {
        return Err(Error::new(
            "--systemd-cgroup: this host has cgroup v1, or v1 and v2 (hybrid), and it is supported with v2 alone",
        )
        .hint(format!("boot with systemd.unified_cgroup_hierarchy=1, or {way_out}")));
    }
    Ok(())
}

impl UnitPlan {
    pub fn new(
        cgroups_path: &str,
        id: &str,
        annotations: &BTreeMap<String, String>,
        bus: &Bus,
        facts: &Facts,
    ) -> Result<UnitPlan> {
        let name = Name::parse(cgroups_path, id, if bus.user { "user.slice" } else { "system.slice" })?;
        let mut properties = vec![Property::new("Description", format!("hilum container {id}").as_str())];
        if name.is_slice() {
            // Where it is, its name says.
            properties.push(Property::new("Wants", Value::texts([name.slice.as_str()])));
        } else {
            properties.push(Property::new("Slice", name.slice.as_str()));
            properties.push(Property::new("Delegate", true));
        }
        for accounting in ["MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"] {
            properties.push(Property::new(accounting, true));
        }
        properties.push(Property::new("DefaultDependencies", false));
        let asked_for = annotation::properties(annotations)?;
        let annotated = asked_for.iter().map(Property::to_string).collect();
        properties.extend(asked_for);
        let cgroup = facts.cgroup.join(name.path()?);
        let unit = Unit { name: name.unit, slice: name.slice, description: None, bus: bus.clone() };
        Ok(UnitPlan { unit, properties, annotated, cgroup, version: facts.version })
    }

    /// Last, so that no annotation has more to say on them. The writes are rounded to what systemd can say.
    pub fn limit(&mut self, writes: &mut [Write], devices: Option<&Rules>) -> Result<()> {
        property::round(writes)?;
        self.properties.extend(property::oom_policy(writes, self.unit.is_slice(), self.version));
        self.properties.extend(devices.into_iter().flat_map(property::of_devices));
        self.properties.extend(property::of_writes(writes, self.version)?);
        Ok(())
    }

    /// As nobody else's is.
    pub fn describe(&mut self, text: &str) {
        self.properties.retain(|property| property.name != "Description");
        self.properties.push(Property::new("Description", text));
        self.unit.description = Some(text.to_owned());
    }

    /// With the process in it, if it is a scope.
    pub fn start(&self, manager: &mut Manager, pid: i32) -> Result<()> {
        let mut properties = self.properties.clone();
        if !self.unit.is_slice() {
            properties.push(Property::new("PIDs", Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())])));
        }
        manager.start(&self.unit.name, &properties).map_err(|error| match self.annotated.as_slice() {
            [] => error,
            annotated => error.context(format!("with {} as the annotations say", annotated.join(", "))),
        })
    }
}

impl fmt::Display for UnitPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "start the unit {} ({})", self.unit.name, self.unit.bus.address)?;
        self.properties.iter().try_for_each(|property| writeln!(f, "  {property}"))
    }
}

impl Unit {
    /// A slice is for other units, and systemd puts no process into it.
    pub fn is_slice(&self) -> bool {
        self.name.ends_with(".slice")
    }

    pub fn stop(&self) -> Result<()> {
        Manager::connect(&self.bus)?.stop(&self.name)
    }

    /// Whether the unit of this name is the one that was to be started.
    pub fn is_as_described(&self) -> Result<bool> {
        let Some(description) = &self.description else { return Ok(false) };
        Ok(Manager::connect(&self.bus)?.description(&self.name)? == *description)
    }

    /// Its cgroup is gone: nothing is left but, perhaps, that it has failed.
    pub fn forget(&self) -> Result<()> {
        Manager::connect(&self.bus)?.reset_failed(&self.name);
        Ok(())
    }

    /// To what systemd can say.
    pub fn round(&self, writes: &mut [Write]) -> Result<()> {
        property::round(writes)
    }

    /// The limits that systemd knows; called with writes that are rounded, and are then done.
    pub fn update(&self, writes: &[Write]) -> Result<()> {
        let mut manager = Manager::connect(&self.bus)?;
        let version = manager.facts()?.version;
        let properties = property::of_writes(writes, version)?;
        if properties.is_empty() { Ok(()) } else { manager.set_properties(&self.name, &properties) }
    }
}

/// Says where the process is, if systemd has put it elsewhere.
pub(super) fn misplaced(unit: &Unit, pid: i32, directory: &Path) -> Error {
    let path = format!("/proc/{pid}/cgroup");
    let place = std::fs::read_to_string(&path).unwrap_or_default();
    Error::new(format!(
        "systemd has started {}, but process {pid} is not in {}; {path} says {:?}",
        unit.name,
        directory.display(),
        place.trim()
    ))
}
