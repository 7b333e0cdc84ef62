//! linux.intelRdt: the container's share of caches and memory bandwidth, in the kernel's resctrl file system
//! (Documentation/filesystems/resctrl.rst). A directory there is a class of service; one below its mon_groups counts what
//! its tasks use.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::proc::{self, Stat};
use crate::spec::config::IntelRdt;

/// What stands in the file system beside classes.
const RESERVED: [&str; 5] = [".", "..", "info", "mon_groups", "mon_data"];

/// Where a container's processes are, as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Groups {
    /// The directory of the class of service.
    pub class: PathBuf,
    /// It was not there before the container.
    pub own: bool,
    /// The container's own, below that, if it is monitored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<PathBuf>,
}

/// What `create` will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub groups: Groups,
    root: PathBuf,
    lines: Vec<Line>,
}

/// A line for the class's file `schemata`, and the property that asks for it.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    property: String,
    text: String,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Groups { class, own, monitor } = &self.groups;
        if *own {
            writeln!(f, "mkdir {} (linux.intelRdt.closID)", class.display())?;
            for Line { property, text } in &self.lines {
                writeln!(f, "write {text:?} to {} ({property})", class.join("schemata").display())?;
            }
        }
        if let Some(monitor) = monitor {
            writeln!(f, "mkdir {} (linux.intelRdt.enableMonitoring)", monitor.display())?;
        }
        writeln!(f, "write the process to {} (linux.intelRdt)", class.join("tasks").display())
    }
}

/// Everything is refused here that can be, with nothing changed yet.
pub fn plan(rdt: &IntelRdt, id: &str) -> Result<Plan> {
    plan_in(&mounted()?, rdt, id)
}

/// Where it is mounted.
pub fn mounted() -> Result<PathBuf> {
    let path = "/proc/self/mountinfo";
    // Somebody may have mounted something where the name is no UTF-8.
    mount_point(&String::from_utf8_lossy(&fs::read(path).at("read", path)?)).ok_or_else(not_mounted)
}

fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    let of_line = |line: &str| {
        let (mount, fs) = line.split_once(" - ")?;
        fs.starts_with("resctrl ").then(|| mount.split(' ').nth(4).map(PathBuf::from)).flatten()
    };
    mountinfo.lines().find_map(of_line)
}

fn not_mounted() -> Error {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let error = Error::new("linux.intelRdt: no resctrl file system is mounted");
    match known.lines().any(|line| line.trim_start_matches("nodev").trim() == "resctrl") {
        true => error.hint("mount -t resctrl resctrl /sys/fs/resctrl"),
        false => {
            error.hint("this processor or kernel cannot divide caches and memory bandwidth: remove linux.intelRdt")
        }
    }
}

fn plan_in(root: &Path, rdt: &IntelRdt, id: &str) -> Result<Plan> {
    let class = match rdt.clos_id.as_str() {
        "/" => root.to_path_buf(),
        given => {
            let name = if given.is_empty() { id } else { given };
            if name.contains(['/', '\n', '\0']) || RESERVED.contains(&name) {
                return Err(Error::new(format!("linux.intelRdt.closID: {name:?} cannot be the name of a class"))
                    .hint("give another name, or / for the default class"));
            }
            root.join(name)
        }
    };
    let lines = schemata(rdt)?;
    check_resources(root, &lines)?;
    let own = !class.is_dir();
    if own && lines.is_empty() && !rdt.clos_id.is_empty() {
        return Err(Error::new(format!("linux.intelRdt.closID: there is no class {}", class.display()))
            .path(class)
            .hint("make it, or say what it is to have in linux.intelRdt.schemata"));
    }
    if rdt.enable_monitoring && !root.join("info/L3_MON").is_dir() {
        return Err(Error::new(
            "linux.intelRdt.enableMonitoring: this processor or kernel does not monitor its caches",
        )
        .hint("remove it"));
    }
    let monitor = rdt.enable_monitoring.then(|| class.join("mon_groups").join(id));
    let plan = Plan { groups: Groups { class, own, monitor }, root: root.to_path_buf(), lines };
    if !own {
        plan.check_same()?;
    }
    Ok(plan)
}

/// The lines in the order in which they count: the kernel takes the last of several for the same thing.
fn schemata(rdt: &IntelRdt) -> Result<Vec<Line>> {
    let bandwidth = rdt.mem_bw_schema.as_str();
    if !bandwidth.is_empty() && (!bandwidth.starts_with("MB:") || bandwidth.contains('\n')) {
        return Err(Error::new(format!(
            "linux.intelRdt.memBwSchema: {bandwidth:?} is not a line that begins with MB:"
        )));
    }
    // With a schema for the bandwidth of its own, that is not the cache schema's to say (config-linux.md, "IntelRdt").
    let cache = rdt.l3_cache_schema.lines().filter(|line| bandwidth.is_empty() || !line.starts_with("MB:"));
    let line =
        |property: &str, text: &str| Line { property: format!("linux.intelRdt.{property}"), text: text.trim().into() };
    let mut lines: Vec<Line> = cache.map(|text| line("l3CacheSchema", text)).collect();
    lines.extend(bandwidth.lines().map(|text| line("memBwSchema", text)));
    for (index, entry) in rdt.schemata.iter().enumerate() {
        lines.extend(entry.lines().map(|text| line(&format!("schemata[{index}]"), text)));
    }
    lines.retain(|line| !line.text.is_empty());
    Ok(lines)
}

fn check_resources(root: &Path, lines: &[Line]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let path = root.join("schemata");
    let text = fs::read_to_string(&path).at("read", &path)?;
    let known: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    for Line { property, text } in lines {
        let name = text.split_once(':').map(|(name, _)| name.trim());
        let Some(name) = name.filter(|_| text.contains('=')) else {
            return Err(Error::new(format!("{property}: {text:?} is not RESOURCE:DOMAIN=VALUE;…")));
        };
        if !known.contains(&name) {
            return Err(Error::new(format!("{property}: this processor or kernel cannot divide {name:?}"))
                .hint(format!("it can divide {}", known.join(", "))));
        }
    }
    Ok(())
}

/// `L3:0=ff;1=c0` by resource and domain. Masks are hexadecimal, and bandwidths decimal.
fn values<'t>(lines: impl Iterator<Item = &'t str>) -> BTreeMap<(String, String), u64> {
    let mut values = BTreeMap::new();
    for (resource, domains) in lines.filter_map(|line| line.trim().split_once(':')) {
        let radix = if is_bandwidth(resource) { 10 } else { 16 };
        for (domain, value) in domains.split(';').filter_map(|domain| domain.split_once('=')) {
            if let Ok(value) = u64::from_str_radix(value.trim(), radix) {
                values.insert((resource.trim().to_string(), domain.trim().to_string()), value);
            }
        }
    }
    values
}

fn is_bandwidth(resource: &str) -> bool {
    resource.ends_with("MB") || resource.ends_with("MBA")
}

impl Plan {
    /// A class that is there is others' too, who rely on what it has.
    fn check_same(&self) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let path = self.groups.class.join("schemata");
        let text = fs::read_to_string(&path).at("read", &path)?;
        let has = values(text.lines());
        let asked_for = values(self.lines.iter().map(|line| line.text.as_str()));
        let differs = |(key, wanted): &(&(String, String), &u64)| {
            has.get(*key).is_none_or(|has| has != *wanted && *has != self.rounded(&key.0, **wanted))
        };
        let Some((key, _)) = asked_for.iter().find(differs) else { return Ok(()) };
        // The last that speaks of it is the one that counts.
        let of_it = |line: &&Line| values(std::iter::once(line.text.as_str())).contains_key(key);
        let property = self.lines.iter().rfind(of_it).map_or("linux.intelRdt", |line| line.property.as_str());
        Err(Error::new(format!(
            "{property}: the class {} is there already, and has {:?}",
            self.groups.class.display(),
            text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
        ))
        .path(&path)
        .hint("ask for what it has, or leave the schemata out, or choose another closID"))
    }

    /// A bandwidth as the processor can have it.
    fn rounded(&self, resource: &str, wanted: u64) -> u64 {
        let step = fs::read_to_string(self.root.join("info").join(resource).join("bandwidth_gran"));
        match step.ok().and_then(|text| text.trim().parse::<u64>().ok()) {
            Some(step @ 1..) if is_bandwidth(resource) => wanted.div_ceil(step).saturating_mul(step),
            _ => wanted,
        }
    }

    /// Makes what is missing, and returns what is there then. On an error nothing is.
    pub fn create(&self) -> Result<Groups> {
        let mut groups = Groups { monitor: None, ..self.groups.clone() };
        if groups.own {
            groups.own = make(&groups.class).map_err(|e| self.explain(e, "linux.intelRdt.closID"))?;
        }
        let filled = if groups.own { self.fill() } else { self.check_same() };
        let made = filled.and_then(|()| match &self.groups.monitor {
            None => Ok(()),
            Some(monitor) => {
                let made = make(monitor).and_then(|is_new| match is_new {
                    true => Ok(()),
                    false => Err(Error::new(format!("{} is another container's", monitor.display()))),
                });
                groups.monitor = made.is_ok().then(|| monitor.clone());
                made.map_err(|e| self.explain(e, "linux.intelRdt.enableMonitoring"))
            }
        });
        match made {
            Ok(()) => Ok(groups),
            Err(error) => {
                let _ = groups.remove();
                Err(error)
            }
        }
    }

    fn fill(&self) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        // One write, of which the kernel takes all lines or fails.
        let text: String = self.lines.iter().map(|line| format!("{}\n", line.text)).collect();
        let path = self.groups.class.join("schemata");
        let written = fs::write(&path, &text).at(&format!("write {text:?} to"), &path);
        let property = self.lines.first().map_or("", |line| line.property.as_str());
        written.map_err(|e| self.explain(e, property))
    }

    /// With what the kernel says besides an errno.
    fn explain(&self, error: Error, property: &str) -> Error {
        let said = fs::read_to_string(self.root.join("info/last_cmd_status")).unwrap_or_default();
        let error = error.context(property);
        match said.trim() {
            "" | "ok" => error,
            said => error.hint(format!("the kernel says: {said}")),
        }
    }
}

/// Whether it is new.
fn make(path: &Path) -> Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e).at("mkdir", path),
    }
}

/// Whether it runs no more.
fn has_ended(task: &str) -> bool {
    match proc::read(format!("/proc/{task}/stat")) {
        Ok(text) => Stat::parse(&text).is_none_or(|stat| !stat.runs()),
        Err(errno) => matches!(errno, Errno::NOENT | Errno::SRCH),
    }
}

impl Groups {
    /// Puts a process there. What it forks is there, too.
    pub fn join(&self, pid: i32) -> Result<()> {
        // Into the class first: the group for monitoring takes only who is in that.
        for group in std::iter::once(&self.class).chain(&self.monitor) {
            let path = group.join("tasks");
            fs::write(&path, pid.to_string()).at(&format!("linux.intelRdt: write {pid} to"), &path)?;
        }
        Ok(())
    }

    /// What was made for the container. A class that others have joined meanwhile stays theirs: without it they would be in
    /// the default class.
    pub fn remove(&self) -> Result<()> {
        // The container's own first process is listed until its parent has waited for it.
        let is_free = || fs::read_to_string(self.class.join("tasks")).unwrap_or_default().lines().all(has_ended);
        let class = Some(&self.class).filter(|_| self.own && is_free());
        for path in self.monitor.iter().chain(class) {
            match rustix::fs::rmdir(path) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno).at("linux.intelRdt: remove", path),
            }
        }
        Ok(())
    }
}
