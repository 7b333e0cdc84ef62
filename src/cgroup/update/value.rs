//! The values of a cgroup's files: what is there before a write, whether it is more or less, and whether it is in use.

use std::collections::BTreeSet;

use crate::cgroup::file;
use crate::cgroup::resources::{Missing, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Raise,
    /// Also what has neither more nor less.
    Lower,
}

/// The name and the text of the file that a write goes to. `None`: to none, or there is nothing to read.
fn file_of(write: &Write) -> Option<(&str, String)> {
    let read = |name: &str| file::read(&write.directory.join(name)).ok();
    match (read(&write.file), &write.missing) {
        (None, Missing::Instead(other, _)) => read(other).map(|text| (other.as_str(), text)),
        (text, _) => text.map(|text| (write.file.as_str(), text)),
    }
}

pub(super) fn current(write: &Write) -> Option<String> {
    file_of(write).map(|(_, text)| text)
}

/// What would have to be written to have all as it is now.
pub(super) fn before(write: &Write) -> Vec<Write> {
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

pub(super) fn value_before(file: &str, new: &str, text: &str) -> Option<String> {
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

pub(super) fn way(write: &Write, all: &[Write]) -> Way {
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
pub(super) fn share_of(text: &str) -> f64 {
    let mut words = text.split_whitespace();
    let (quota, period) = (words.next().map_or(u64::MAX, amount), words.next().map_or(100_000, amount));
    if quota == u64::MAX { f64::INFINITY } else { quota as f64 / period as f64 }
}

/// The largest number is what has no limit.
pub(super) fn amount(text: &str) -> u64 {
    text.trim().parse().unwrap_or(u64::MAX)
}

/// What is in use of what a file limits.
pub(super) struct InUse {
    pub what: &'static str,
    pub used: u64,
    /// Beside that: memory that the kernel takes back when it has to.
    pub cache: u64,
}

impl InUse {
    pub fn of(write: &Write) -> Option<Self> {
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

pub(super) fn is_set(file: &str) -> bool {
    matches!(file, "cpuset.cpus" | "cpuset.mems")
}

/// `0-2,7`
pub(super) fn set(text: &str) -> BTreeSet<u32> {
    file::numbers(text).map(u32::from).collect()
}
