//! linux.intelRdt: the container's share of caches and memory bandwidth, in the kernel's resctrl file system
//! (Documentation/filesystems/resctrl.rst). A directory there is a class of service; one below its mon_groups counts what
//! its tasks use.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
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
    let path = "/proc/self/mountinfo";
    let root = mount_point(&fs::read_to_string(path).at("read", path)?).ok_or_else(not_mounted)?;
    plan_in(&root, rdt, id)
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
        let is_free = || fs::read_to_string(self.class.join("tasks")).unwrap_or_default().trim().is_empty();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel shows on a machine with two caches, in a directory.
    fn fake() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["info/L3_MON", "info/MB", "mon_groups"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        for (name, text) in [
            ("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n"),
            ("tasks", "1\n"),
            ("info/MB/bandwidth_gran", "10\n"),
            ("info/last_cmd_status", "ok\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn rdt(text: &str) -> IntelRdt {
        crate::spec::parse(text.as_bytes()).unwrap()
    }

    fn made(root: &Path, text: &str) -> Result<Groups> {
        plan_in(root, &rdt(text), "id")?.create()
    }

    fn error(root: &Path, text: &str) -> String {
        made(root, text).unwrap_err().to_string()
    }

    /// The kernel takes a directory away with its files.
    fn forget_files(group: &Path) {
        for name in ["tasks", "schemata"] {
            let _ = fs::remove_file(group.join(name));
        }
    }

    #[test]
    fn the_file_system_is_found_by_its_type() {
        let text = "30 1 0:28 / /sys/fs/cgroup rw - cgroup2 resctrl rw\n31 1 0:29 / /sys/fs/resctrl rw,relatime shared:1 - resctrl resctrl rw\n";
        assert_eq!(mount_point(text), Some("/sys/fs/resctrl".into()));
        assert_eq!(mount_point("30 1 0:28 / /sys/fs/cgroup rw - cgroup2 resctrl rw\n"), None);
    }

    #[test]
    fn a_class_is_made_filled_and_removed() {
        let dir = fake();
        let groups =
            made(dir.path(), r#"{"l3CacheSchema": "L3:0=7f0;1=1f\nMB:0=1", "memBwSchema": "MB:0=20;1=70"}"#).unwrap();
        let class = dir.path().join("id");
        assert_eq!(groups, Groups { class: class.clone(), own: true, monitor: None });
        assert_eq!(fs::read_to_string(class.join("schemata")).unwrap(), "L3:0=7f0;1=1f\nMB:0=20;1=70\n");
        groups.join(7).unwrap();
        assert_eq!(fs::read_to_string(class.join("tasks")).unwrap(), "7");
        // Somebody is in it still.
        groups.remove().unwrap();
        assert!(class.exists());
        forget_files(&class);
        groups.remove().unwrap();
        assert!(!class.exists());
        groups.remove().unwrap();
    }

    #[test]
    fn schemata_come_last_and_win() {
        let all = r#"{"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "schemata": ["L3:0=ff", "MB:1=50"]}"#;
        let lines: Vec<String> = schemata(&rdt(all)).unwrap().into_iter().map(|line| line.text).collect();
        assert_eq!(lines, ["L3:0=f", "MB:0=20", "L3:0=ff", "MB:1=50"]);
    }

    #[test]
    fn a_class_that_is_there_is_joined_if_it_has_what_is_asked_for_and_stays() {
        let dir = fake();
        let class = dir.path().join("gold");
        fs::create_dir(&class).unwrap();
        fs::write(class.join("schemata"), "    MB:0= 30;1=100\n    L3:0=0000f;1=fffff\n").unwrap();
        for text in [
            r#"{"closID": "gold"}"#,
            r#"{"closID": "gold", "schemata": ["L3:0=f"]}"#,
            // As the processor rounds it.
            r#"{"closID": "gold", "memBwSchema": "MB:0=25"}"#,
            r#"{"closID": "gold", "l3CacheSchema": "L3:0=ff", "schemata": ["L3:0=f"]}"#,
        ] {
            let groups = made(dir.path(), text).unwrap();
            assert!(!groups.own, "{text}");
            groups.remove().unwrap();
            assert!(class.exists(), "{text}");
        }
        let said = error(dir.path(), r#"{"closID": "gold", "schemata": ["MB:0=30", "L3:0=ff"]}"#);
        assert!(
            said.starts_with("linux.intelRdt.schemata[1]: the class") && said.contains("is there already"),
            "{said}"
        );
        assert_eq!(fs::read_to_string(class.join("schemata")).unwrap().lines().count(), 2);
    }

    #[test]
    fn monitoring_has_a_group_of_its_own() {
        let dir = fake();
        let root = dir.path();
        let text = r#"{"closID": "/", "enableMonitoring": true}"#;
        let groups = made(root, text).unwrap();
        let monitor = root.join("mon_groups/id");
        assert_eq!(groups, Groups { class: root.into(), own: false, monitor: Some(monitor.clone()) });
        groups.join(7).unwrap();
        assert_eq!(fs::read_to_string(root.join("tasks")).unwrap(), "7");
        assert_eq!(fs::read_to_string(monitor.join("tasks")).unwrap(), "7");
        // One that is there is another's, and stays.
        let said = error(root, text);
        assert!(said.starts_with("linux.intelRdt.enableMonitoring:") && said.contains("another container's"), "{said}");
        assert!(monitor.exists());
        forget_files(&monitor);
        groups.remove().unwrap();
        assert!(!monitor.exists() && root.exists());
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_property_and_leaves_nothing() {
        let dir = fake();
        for (text, expected) in [
            (r#"{"closID": "a/b"}"#, "linux.intelRdt.closID: \"a/b\" cannot be the name of a class"),
            (r#"{"closID": "info"}"#, "linux.intelRdt.closID: \"info\" cannot be"),
            (r#"{"closID": "x"}"#, "linux.intelRdt.closID: there is no class"),
            (
                r#"{"memBwSchema": "L3:0=f"}"#,
                "linux.intelRdt.memBwSchema: \"L3:0=f\" is not a line that begins with MB:",
            ),
            (r#"{"schemata": ["L3"]}"#, "linux.intelRdt.schemata[0]: \"L3\" is not RESOURCE:DOMAIN=VALUE"),
            (
                r#"{"schemata": ["L2:0=f"]}"#,
                "linux.intelRdt.schemata[0]: this processor or kernel cannot divide \"L2\"; it can divide MB, L3",
            ),
        ] {
            let said = error(dir.path(), text);
            assert!(said.starts_with(expected), "{text}: {said}");
        }
        fs::remove_dir(dir.path().join("info/L3_MON")).unwrap();
        assert!(
            error(dir.path(), r#"{"enableMonitoring": true}"#)
                .starts_with("linux.intelRdt.enableMonitoring: this processor")
        );
        // A kernel that refuses the values says why in a file of its own.
        fs::write(dir.path().join("info/last_cmd_status"), "Mask out of range\n").unwrap();
        let plan = plan_in(dir.path(), &rdt(r#"{"schemata": ["L3:0=f"]}"#), "id").unwrap();
        let said = plan.explain(Errno::INVAL.into(), "linux.intelRdt.schemata[0]").to_string();
        assert_eq!(said, "linux.intelRdt.schemata[0]: Invalid argument; the kernel says: Mask out of range");
        assert!(!dir.path().join("id").exists());
    }
}
