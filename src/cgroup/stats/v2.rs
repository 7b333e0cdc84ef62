//! Statistics of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst), in the words of v1.

use super::{BlockIoEntry, Dir, Hugetlb, MemoryEntry, Pressure, Psi, Stats, number};
use crate::cgroup::file;

/// What has no file here is left as it is: beside v1, the other hierarchies have counted it.
pub(super) fn read(dir: &Dir<'_>, stats: &mut Stats) {
    if dir.text("cgroup.controllers").is_some_and(|text| text.split_whitespace().any(|c| c == "cpu"))
        || stats.cpu.usage.total == 0
    {
        cpu(dir, stats);
    }
    memory(dir, stats);
    if let Some(current) = dir.number("pids.current") {
        stats.pids.current = current;
        stats.pids.limit = dir.number("pids.max").filter(|max| *max != u64::MAX).unwrap_or_default();
    }
    if let Some(text) = dir.text("cpuset.cpus.effective") {
        stats.cpuset.cpus = file::numbers(&text).collect();
        stats.cpuset.mems = file::numbers(&dir.text("cpuset.mems.effective").unwrap_or_default()).collect();
    }
    io(dir, stats);
    for size in dir.huge_page_sizes() {
        let events = dir.pairs(&format!("hugetlb.{size}.events"));
        let entry = Hugetlb {
            usage: dir.number(&format!("hugetlb.{size}.current")).unwrap_or_default(),
            max: 0,
            failcnt: events.get("max").copied().unwrap_or_default(),
        };
        stats.hugetlb.insert(size, entry);
    }
}

fn cpu(dir: &Dir<'_>, stats: &mut Stats) {
    let pairs = dir.pairs("cpu.stat");
    let get = |key: &str| pairs.get(key).copied().unwrap_or_default();
    let nanoseconds = |key: &str| get(key).saturating_mul(1000);
    let usage = &mut stats.cpu.usage;
    (usage.total, usage.user, usage.kernel) =
        (nanoseconds("usage_usec"), nanoseconds("user_usec"), nanoseconds("system_usec"));
    let throttling = &mut stats.cpu.throttling;
    (throttling.periods, throttling.throttled_periods, throttling.throttled_time) =
        (get("nr_periods"), get("nr_throttled"), nanoseconds("throttled_usec"));
    stats.cpu.psi = pressure(dir, "cpu.pressure");
}

fn memory(dir: &Dir<'_>, stats: &mut Stats) {
    let to = &mut stats.memory;
    to.psi = pressure(dir, "memory.pressure");
    let Some(usage) = dir.number("memory.current") else { return };
    to.raw = dir.pairs("memory.stat");
    to.cache = to.raw.get("file").copied().unwrap_or_default();
    let get = |name: &str| dir.number(name).unwrap_or_default();
    to.usage = MemoryEntry { limit: get("memory.max"), usage, max: get("memory.peak"), failcnt: 0 };
    // v1 counts memory and swap together.
    to.swap = MemoryEntry {
        limit: get("memory.swap.max").saturating_add(to.usage.limit),
        usage: get("memory.swap.current").saturating_add(usage),
        ..MemoryEntry::default()
    };
}

/// `8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0`
fn io(dir: &Dir<'_>, stats: &mut Stats) {
    let to = &mut stats.blkio;
    to.psi = pressure(dir, "io.pressure");
    for line in dir.text("io.stat").unwrap_or_default().lines() {
        let mut fields = line.split_whitespace();
        let Some((major, minor)) = fields.next().and_then(|device| device.split_once(':')) else { continue };
        let (Some(major), Some(minor)) = (number(major), number(minor)) else { continue };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut to.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut to.io_service_bytes_recursive, "Write"),
                "dbytes" => (&mut to.io_service_bytes_recursive, "Discard"),
                "rios" => (&mut to.io_serviced_recursive, "Read"),
                "wios" => (&mut to.io_serviced_recursive, "Write"),
                "dios" => (&mut to.io_serviced_recursive, "Discard"),
                _ => continue,
            };
            list.push(BlockIoEntry { major, minor, op: op.to_string(), value: number(value).unwrap_or_default() });
        }
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`. None where the kernel does not count it.
fn pressure(dir: &Dir<'_>, name: &str) -> Option<Psi> {
    let mut psi = Psi::default();
    for line in dir.text(name)?.lines() {
        let (kind, fields) = line.split_once(' ')?;
        let to = match kind {
            "some" => &mut psi.some,
            "full" => &mut psi.full,
            _ => continue,
        };
        *to = parse(fields);
    }
    Some(psi)
}

fn parse(fields: &str) -> Pressure {
    let get = |key: &str| fields.split_whitespace().find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
    let average = |key: &str| get(key).and_then(|value| value.parse().ok()).unwrap_or_default();
    Pressure {
        avg10: average("avg10"),
        avg60: average("avg60"),
        avg300: average("avg300"),
        total: get("total").and_then(number).unwrap_or_default(),
    }
}
