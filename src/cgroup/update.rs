//! Other limits for cgroups that are in use: all of them or none, in an order that trips none on the way.

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::file::Writer;
use super::resources::{self, Missing, Write};
use super::{Cgroup, file};
use crate::conflict::Conflicts;
use crate::error::{Error, Result};
use crate::log;
use crate::spec::config::Resources;

/// What is to change in one cgroup.
pub struct Update<'c> {
    cgroup: &'c Cgroup,
    /// For the message: `pod web`, `container app`.
    whose: String,
    steps: Vec<Step>,
}

struct Step {
    write: Write,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Raise,
    /// Also what has neither more nor less.
    Lower,
}

/// What has been changed, with the values that were there before, in the order in which they were replaced.
#[derive(Default)]
pub struct Done<'c>(Vec<(&'c Cgroup, Write)>);

impl<'c> Update<'c> {
    pub fn new(cgroup: &'c Cgroup, whose: impl Into<String>, resources: &Resources) -> Result<Self> {
        let mut writes = Conflicts::none(|conflicts| resources::writes(cgroup, resources, conflicts))?;
        if let Some(unit) = &cgroup.unit {
            unit.round(&mut writes)?;
        }
        let ways: Vec<Way> = writes.iter().map(|write| way(write, &writes)).collect();
        let steps = writes.into_iter().zip(ways).map(|(write, way)| Step { write, way });
        Ok(Self { cgroup, whose: whose.into(), steps: steps.collect() })
    }

    /// The same for what others are in: a set of processors that is replaced by another must have both on the way.
    pub fn of_parent(cgroup: &'c Cgroup, whose: impl Into<String>, resources: &Resources) -> Result<Self> {
        let mut it = Self::new(cgroup, whose, resources)?;
        let mut both = Vec::new();
        for Step { write, .. } in it.steps.iter().filter(|step| step.way == Way::Lower && is_set(&step.write.file)) {
            let (old, new) = (set(&current(write).unwrap_or_default()), set(&write.value));
            if !new.is_subset(&old) {
                let value: Vec<String> = old.union(&new).map(u32::to_string).collect();
                both.push(Step { write: Write { value: value.join(","), ..write.clone() }, way: Way::Raise });
            }
        }
        it.steps.extend(both);
        Ok(it)
    }

    /// Refuses limits that are exceeded already: v1 would refuse some of them half-way, and v2 would kill.
    pub fn refuse_exceeded(&self) -> Result<()> {
        for write in self.steps.iter().filter(|step| step.way == Way::Lower).map(|step| &step.write) {
            let Some(InUse { what, used, cache }) = InUse::of(write) else { continue };
            if amount(&write.value) < used {
                let cached = if cache > 0 { format!(", beside {cache} of page cache") } else { String::new() };
                return Err(Error::new(format!(
                    "{}: {}: {used} {what} are in use{cached}, and the limit would be {}",
                    self.whose,
                    write.property,
                    write.value.trim()
                ))
                .hint("nothing was changed"));
            }
        }
        Ok(())
    }

    fn run(&'c self, way: Way, done: &mut Done<'c>) -> Result<()> {
        let steps: Vec<&Write> = self.steps.iter().filter(|step| step.way == way).map(|step| &step.write).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let whose = |error: Error| if self.whose.is_empty() { error } else { error.context(self.whose.as_str()) };
        if let Some(unit) = &self.cgroup.unit {
            // From here on systemd may write them, too.
            done.0.extend(steps.iter().flat_map(|write| before(write)).map(|write| (self.cgroup, write)));
            unit.update(&steps.iter().map(|write| (*write).clone()).collect::<Vec<_>>()).map_err(whose)?;
        }
        let mut writer = Writer::default();
        let mut again = Vec::new();
        let mut apply = |write: &Write, again: Option<&mut Vec<Write>>| {
            let old = before(write);
            match (write.run(&mut writer), again) {
                (Err(Errno::INVAL), Some(again)) => again.push(write.clone()),
                (result, _) => {
                    write.explain(result).map_err(whose)?;
                    done.0.extend(old.into_iter().map(|write| (self.cgroup, write)));
                }
            }
            Ok(())
        };
        // Values that are bound to each other have no order that is right for all changes: see resources::apply.
        for write in &steps {
            apply(write, Some(&mut again))?;
        }
        again.iter().try_for_each(|write| apply(write, None))
    }
}

/// The parent and those in it: first it gets more, then they get less; then it gets less, and they get more. What fails is
/// the end, and what was done by then is undone.
pub fn apply<'c>(parent: Option<&'c Update<'c>>, children: &'c [Update<'c>]) -> Result<Done<'c>> {
    let mut done = Done::default();
    let order = parent.map(|it| (it, Way::Raise)).into_iter();
    let order = order.chain(children.iter().map(|it| (it, Way::Lower)));
    let order = order.chain(parent.map(|it| (it, Way::Lower)));
    let mut order = order.chain(children.iter().map(|it| (it, Way::Raise)));
    match order.try_for_each(|(update, way)| update.run(way, &mut done)) {
        Ok(()) => Ok(done),
        Err(error) => {
            done.undo();
            Err(error)
        }
    }
}

impl Done<'_> {
    /// Backwards: what is passed on the way has been valid before.
    pub fn undo(self) {
        let Self(old) = self;
        for (index, (cgroup, _)) in old.iter().enumerate().rev() {
            let Some(unit) = &cgroup.unit else { continue };
            let same = |at: &(&Cgroup, Write)| std::ptr::eq(at.0, *cgroup);
            // Once for each.
            if old.iter().skip(index + 1).any(same) {
                continue;
            }
            let writes: Vec<Write> = old.iter().rev().filter(|at| same(at)).map(|(_, write)| write.clone()).collect();
            if let Err(error) = unit.update(&writes) {
                log::warn(&format!("undo: {error}"));
            }
        }
        let mut writer = Writer::default();
        let exceeded = |write: &Write| InUse::of(write).is_some_and(|it| amount(&write.value) < it.used);
        let mut failed = Vec::new();
        for write in old.iter().rev().map(|(_, write)| write) {
            // v2 would kill for it.
            if exceeded(write) {
                log::warn(&format!("undo: {write}: not done, as more is in use by now"));
            } else if write.run(&mut writer).is_err() {
                failed.push(write);
            }
        }
        for write in failed {
            if let Err(error) = write.explain(write.run(&mut writer)) {
                log::warn(&format!("undo: {error}"));
            }
        }
    }
}

/// The name and the text of the file that a write goes to. `None`: to none, or there is nothing to read.
fn file_of(write: &Write) -> Option<(&str, String)> {
    let read = |name: &str| file::read(&write.directory.join(name)).ok();
    match (read(&write.file), &write.missing) {
        (None, Missing::Instead(other, _)) => read(other).map(|text| (other.as_str(), text)),
        (text, _) => text.map(|text| (write.file.as_str(), text)),
    }
}

fn current(write: &Write) -> Option<String> {
    file_of(write).map(|(_, text)| text)
}

/// What would have to be written to have all as it is now.
fn before(write: &Write) -> Vec<Write> {
    let Some((name, text)) = file_of(write) else { return Vec::new() };
    let old = |file: &str, value: String| Write { file: file.into(), value, missing: Missing::Skip, ..write.clone() };
    let mut all = Vec::new();
    // To be idle, or not any more, resets the weight, which is written back behind it: before it, backwards.
    if name == "cpu.idle" {
        for weight in ["cpu.shares", "cpu.weight"] {
            let text = file::read(&write.directory.join(weight)).ok();
            all.extend(text.map(|text| old(weight, text.trim().into())));
        }
    }
    all.extend(value_before(name, &write.value, text.trim()).map(|value| old(name, value)));
    all
}

fn value_before(file: &str, new: &str, text: &str) -> Option<String> {
    let first = |line: &str| line.split_whitespace().next().unwrap_or_default().to_string();
    let key = first(new);
    let line = |key: &str| text.lines().find(|line| first(line) == key).map(String::from);
    match file {
        "memory.oom_control" => line("oom_kill_disable").map(|line| line.replace("oom_kill_disable ", "")),
        // A line for each device.
        "io.max" => line(&key).or(Some(format!("{key} rbps=max wbps=max riops=max wiops=max"))),
        "rdma.max" | "net_prio.ifpriomap" => line(&key),
        _ if file.starts_with("blkio.throttle.") => line(&key).or(Some(format!("{key} 0"))),
        _ if key.contains(':') => line(&key).or(Some(format!("{key} default"))),
        // And one for all others.
        "io.weight" | "io.bfq.weight" => line("default"),
        // A set that is empty is written so: a write of nothing is none.
        _ if text.is_empty() => Some("\n".into()),
        _ if text.lines().count() == 1 => Some(text.into()),
        _ => None,
    }
}

fn way(write: &Write, all: &[Write]) -> Way {
    let Some(old) = current(write) else { return Way::Lower };
    let more = match write.file.as_str() {
        "memory.limit_in_bytes"
        | "memory.memsw.limit_in_bytes"
        | "memory.max"
        | "memory.high"
        | "memory.swap.max"
        | "pids.max" => amount(&write.value) > amount(&old),
        "cpu.max" => share_of(&write.value) > share_of(&old),
        // Two files, one limit.
        "cpu.cfs_quota_us" | "cpu.cfs_period_us" => pair(write, all, ["cpu.cfs_quota_us", "cpu.cfs_period_us"]),
        "cpu.rt_runtime_us" | "cpu.rt_period_us" => pair(write, all, ["cpu.rt_runtime_us", "cpu.rt_period_us"]),
        file if is_set(file) => set(&write.value).is_superset(&set(&old)),
        _ => false,
    };
    if more { Way::Raise } else { Way::Lower }
}

/// Whether the part of the CPU's time that the two files allow becomes larger.
fn pair(write: &Write, all: &[Write], files: [&str; 2]) -> bool {
    let old = files.map(|name| file::read(&write.directory.join(name)).unwrap_or_default().trim().to_string());
    let written = |name: &str| all.iter().find(|it| it.file == name && it.directory == write.directory);
    let mut new = old.clone();
    for (value, name) in new.iter_mut().zip(files) {
        if let Some(write) = written(name) {
            value.clone_from(&write.value);
        }
    }
    share_of(&new.join(" ")) > share_of(&old.join(" "))
}

/// Of `quota period`, how much of one processor that is.
fn share_of(text: &str) -> f64 {
    let mut words = text.split_whitespace();
    let (quota, period) = (words.next().map_or(u64::MAX, amount), words.next().map_or(100_000, amount));
    if quota == u64::MAX { f64::INFINITY } else { quota as f64 / period as f64 }
}

/// The largest number is what has no limit.
fn amount(text: &str) -> u64 {
    text.trim().parse().unwrap_or(u64::MAX)
}

/// What is in use of what a file limits.
struct InUse {
    what: &'static str,
    used: u64,
    /// Beside that: memory that the kernel takes back when it has to.
    cache: u64,
}

impl InUse {
    fn of(write: &Write) -> Option<Self> {
        let (what, usage) = match write.file.as_str() {
            "pids.max" => ("processes", "pids.current"),
            "memory.max" => ("bytes", "memory.current"),
            "memory.limit_in_bytes" => ("bytes", "memory.usage_in_bytes"),
            "memory.memsw.limit_in_bytes" => ("bytes", "memory.memsw.usage_in_bytes"),
            _ => return None,
        };
        let usage: u64 = file::read(&write.directory.join(usage)).ok()?.trim().parse().ok()?;
        let cache = if what == "bytes" { page_cache(write) } else { 0 };
        Some(Self { what, used: usage.saturating_sub(cache), cache })
    }
}

/// What the kernel can drop: pages of files, that no swap is needed for.
fn page_cache(write: &Write) -> u64 {
    let text = file::read(&write.directory.join("memory.stat")).unwrap_or_default();
    let get = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        value.and_then(|value| value.trim().parse::<u64>().ok())
    };
    // With those below; in v2 all are.
    let of = |name: &str| get(&format!("total_{name}")).or(get(name)).unwrap_or_default();
    of("inactive_file").saturating_add(of("active_file"))
}

fn is_set(file: &str) -> bool {
    matches!(file, "cpuset.cpus" | "cpuset.mems")
}

/// `0-2,7`
fn set(text: &str) -> BTreeSet<u32> {
    let range = |part: &str| -> Option<std::ops::RangeInclusive<u32>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse::<u16>().ok()?.into())
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Directory, Version};
    use crate::spec;
    use serde_json::json;
    use std::fs;
    use std::path::Path;

    /// A directory that looks like a cgroup of version 1.
    fn cgroup(top: &Path, name: &str, files: &[(&str, &str)]) -> Cgroup {
        let path = top.join(name);
        fs::create_dir(&path).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
        let controllers = ["memory", "cpu", "cpuset", "pids"].map(String::from).to_vec();
        let directory = Directory { version: Version::V1, controllers, mount: top.into(), path, inode: Some(1) };
        Cgroup { directories: vec![directory], unit: None }
    }

    fn resources(value: serde_json::Value) -> Resources {
        spec::parse(value.to_string().as_bytes()).unwrap()
    }

    /// `pod/memory.limit_in_bytes=5`, in the order of the writes, found by what was there before.
    fn order(done: &Done<'_>) -> Vec<String> {
        let short = |write: &Write| {
            format!("{}/{}={}", write.directory.file_name().unwrap().display(), write.file, write.value)
        };
        done.0.iter().map(|(_, write)| short(write)).collect()
    }

    const LIMITS: [(&str, &str); 5] = [
        ("memory.limit_in_bytes", "100\n"),
        ("pids.max", "max\n"),
        ("cpu.cfs_quota_us", "-1\n"),
        ("cpu.cfs_period_us", "100000\n"),
        ("cpuset.cpus", "0-1\n"),
    ];

    #[test]
    fn the_pod_gets_more_first_and_less_last() {
        let top = tempfile::tempdir().unwrap();
        let [pod, a, b] = ["pod", "a", "b"].map(|name| cgroup(top.path(), name, &LIMITS));
        let pod_wants =
            resources(json!({ "memory": { "limit": 200 }, "pids": { "limit": 9 }, "cpu": { "cpus": "1-2" } }));
        let a_wants = resources(json!({ "memory": { "limit": 150 }, "pids": { "limit": 5 }, "cpu": { "cpus": "2" } }));
        let b_wants = resources(json!({ "memory": { "limit": 50 }, "cpu": { "quota": 5000, "period": 50_000 } }));
        let pod = Update::of_parent(&pod, "pod", &pod_wants).unwrap();
        let all = [Update::new(&a, "a", &a_wants).unwrap(), Update::new(&b, "b", &b_wants).unwrap()];
        let done = apply(Some(&pod), &all).unwrap();
        let expected = [
            "pod/memory.limit_in_bytes=100",
            "pod/cpuset.cpus=0-1",
            "a/cpuset.cpus=0-1",
            "a/pids.max=max",
            "b/memory.limit_in_bytes=100",
            "b/cpu.cfs_period_us=100000",
            "b/cpu.cfs_quota_us=-1",
            // With both sets of processors, until nobody is in the old one any more.
            "pod/cpuset.cpus=0,1,2",
            "pod/pids.max=max",
            "a/memory.limit_in_bytes=100",
        ];
        assert_eq!(order(&done), expected);
        done.undo();
        for name in ["pod", "a", "b"] {
            for (file, text) in LIMITS {
                let now = fs::read_to_string(top.path().join(name).join(file)).unwrap();
                assert!(now.starts_with(text.trim()), "{name}/{file}: {now:?}");
            }
        }
    }

    #[test]
    fn what_fails_half_way_is_undone() {
        let top = tempfile::tempdir().unwrap();
        let pod = cgroup(top.path(), "pod", &LIMITS);
        let broken = cgroup(top.path(), "broken", &LIMITS[..1]);
        let [more, less] =
            [300, 20].map(|limit| resources(json!({ "memory": { "limit": limit }, "pids": { "limit": 1 } })));
        let pod = Update::of_parent(&pod, "pod web", &more).unwrap();
        let error =
            apply(Some(&pod), &[Update::new(&broken, "container app", &less).unwrap()]).err().unwrap().to_string();
        assert!(error.starts_with("container app: linux.resources.pids.limit: write \"1\" to "), "{error}");
        for name in ["pod", "broken"] {
            let now = fs::read_to_string(top.path().join(name).join("memory.limit_in_bytes")).unwrap();
            assert_eq!(now.get(..3), Some("100"), "{name}");
        }
    }

    #[test]
    fn what_is_in_use_is_not_undone() {
        let top = tempfile::tempdir().unwrap();
        let files = [
            ("memory.limit_in_bytes", "100\n"),
            ("memory.usage_in_bytes", "90\n"),
            ("memory.stat", "total_active_file 30\n"),
        ];
        let cgroup = cgroup(top.path(), "app", &files);
        let limit =
            |limit: u64| Update::new(&cgroup, "app", &resources(json!({ "memory": { "limit": limit } }))).unwrap();
        let error = limit(59).refuse_exceeded().unwrap_err().to_string();
        assert!(error.contains("60 bytes are in use, beside 30 of page cache, and the limit would be 59"), "{error}");
        limit(60).refuse_exceeded().unwrap();
        let file = |name: &str| top.path().join("app").join(name);
        let updates = [limit(200)];
        let done = apply(None, &updates).unwrap();
        fs::write(file("memory.usage_in_bytes"), "190\n").unwrap();
        done.undo();
        assert_eq!(fs::read_to_string(file("memory.limit_in_bytes")).unwrap().trim(), "200");
    }

    #[test]
    fn what_was_there_before_is_said_as_the_kernel_takes_it() {
        for (file, new, text, expected) in [
            ("pids.max", "5", "max", Some("max")),
            ("cpu.max", "5 10", "max 100000", Some("max 100000")),
            ("cpuset.cpus", "1", "", Some("\n")),
            (
                "io.max",
                "8:0 rbps=5",
                "8:0 rbps=1 wbps=max riops=max wiops=max",
                Some("8:0 rbps=1 wbps=max riops=max wiops=max"),
            ),
            ("io.max", "8:0 rbps=5", "", Some("8:0 rbps=max wbps=max riops=max wiops=max")),
            ("blkio.throttle.read_bps_device", "8:0 5", "8:16 7\n8:0 9", Some("8:0 9")),
            ("blkio.throttle.read_bps_device", "8:0 5", "8:16 7", Some("8:0 0")),
            ("io.weight", "7", "default 100\n8:0 3", Some("default 100")),
            ("io.bfq.weight", "8:0 7", "default 100", Some("8:0 default")),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 0", Some("0")),
            ("net_prio.ifpriomap", "lo 5", "lo 0\neth0 3", Some("lo 0")),
        ] {
            assert_eq!(value_before(file, new, text).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn shares_and_sets_are_compared_by_what_they_mean() {
        assert!(share_of("max 100000") > share_of("50000 100000"));
        assert!(share_of("20000 10000") > share_of("50000 100000"));
        assert!(share_of("-1 100000") == share_of("max"));
        assert_eq!(set("0-2,7\n").into_iter().collect::<Vec<_>>(), [0, 1, 2, 7]);
        assert!(set("\n").is_empty());
    }
}
