//! Statistics of cgroup v1, controller by controller (Documentation/admin-guide/cgroup-v1).

use super::{BlockIoEntry, CpuSet, Dir, Hugetlb, MemoryEntry, Stats, number};
use crate::cgroup::file;

/// One tick of the times in cpuacct.stat, USER_HZ being 100 everywhere.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

pub(super) fn read(dir: &Dir<'_>, controllers: &[String], stats: &mut Stats) {
    for controller in controllers {
        match controller.as_str() {
            "cpu" => throttling(dir, stats),
            "cpuacct" => cpu(dir, stats),
            "cpuset" => cpuset(dir, &mut stats.cpuset),
            "memory" => memory(dir, stats),
            "pids" => {
                stats.pids.current = dir.number("pids.current").unwrap_or_default();
                stats.pids.limit = dir.number("pids.max").filter(|max| *max != u64::MAX).unwrap_or_default();
            }
            "blkio" => blkio(dir, stats),
            "hugetlb" => hugetlb(dir, stats),
            _ => {}
        }
    }
}

fn throttling(dir: &Dir<'_>, stats: &mut Stats) {
    let pairs = dir.pairs("cpu.stat");
    let get = |key: &str| pairs.get(key).copied().unwrap_or_default();
    let to = &mut stats.cpu.throttling;
    (to.periods, to.throttled_periods, to.throttled_time) =
        (get("nr_periods"), get("nr_throttled"), get("throttled_time"));
}

fn cpu(dir: &Dir<'_>, stats: &mut Stats) {
    let usage = &mut stats.cpu.usage;
    usage.total = dir.number("cpuacct.usage").unwrap_or_default();
    let percpu = dir.text("cpuacct.usage_percpu").unwrap_or_default();
    usage.percpu = percpu.split_whitespace().filter_map(number).collect();
    // A heading, and `cpu user system` for each.
    for line in dir.text("cpuacct.usage_all").unwrap_or_default().lines().skip(1) {
        let mut numbers = line.split_whitespace().skip(1).filter_map(number);
        if let (Some(user), Some(kernel)) = (numbers.next(), numbers.next()) {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(kernel);
        }
    }
    let pairs = dir.pairs("cpuacct.stat");
    let get = |key: &str| pairs.get(key).copied().unwrap_or_default().saturating_mul(NANOSECONDS_PER_TICK);
    (usage.user, usage.kernel) = (get("user"), get("system"));
}

fn cpuset(dir: &Dir<'_>, to: &mut CpuSet) {
    let get = |name: &str| dir.number(&format!("cpuset.{name}")).unwrap_or_default();
    *to = CpuSet {
        cpus: file::numbers(&dir.text("cpuset.cpus").unwrap_or_default()).collect(),
        cpu_exclusive: get("cpu_exclusive"),
        mems: file::numbers(&dir.text("cpuset.mems").unwrap_or_default()).collect(),
        mem_hardwall: get("mem_hardwall"),
        mem_exclusive: get("mem_exclusive"),
        memory_migrate: get("memory_migrate"),
        memory_spread_page: get("memory_spread_page"),
        memory_spread_slab: get("memory_spread_slab"),
        memory_pressure: get("memory_pressure"),
        sched_load_balance: get("sched_load_balance"),
        sched_relax_domain_level: dir
            .text("cpuset.sched_relax_domain_level")
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default(),
    };
}

fn memory(dir: &Dir<'_>, stats: &mut Stats) {
    let entry = |prefix: &str| {
        let get = |name: &str| dir.number(&format!("memory.{prefix}{name}")).unwrap_or_default();
        MemoryEntry {
            limit: get("limit_in_bytes"),
            usage: get("usage_in_bytes"),
            max: get("max_usage_in_bytes"),
            failcnt: get("failcnt"),
        }
    };
    let to = &mut stats.memory;
    (to.usage, to.swap, to.kernel, to.kernel_tcp) = (entry(""), entry("memsw."), entry("kmem."), entry("kmem.tcp."));
    to.raw = dir.pairs("memory.stat");
    to.cache = to.raw.get("cache").copied().unwrap_or_default();
}

fn blkio(dir: &Dir<'_>, stats: &mut Stats) {
    // Of the schedulers BFQ keeps statistics of its own; the throttling layer counts for all.
    let entries = |name: &str| {
        let names = [format!("blkio.bfq.{name}"), format!("blkio.{name}"), format!("blkio.throttle.{name}")];
        let found = names.iter().map(|name| entries(&dir.text(name).unwrap_or_default()));
        found.into_iter().find(|entries| !entries.is_empty()).unwrap_or_default()
    };
    let to = &mut stats.blkio;
    to.io_service_bytes_recursive = entries("io_service_bytes_recursive");
    to.io_serviced_recursive = entries("io_serviced_recursive");
    to.io_queue_recursive = entries("io_queued_recursive");
    to.io_service_time_recursive = entries("io_service_time_recursive");
    to.io_wait_time_recursive = entries("io_wait_time_recursive");
    to.io_merged_recursive = entries("io_merged_recursive");
    to.io_time_recursive = entries("time_recursive");
    to.sectors_recursive = entries("sectors_recursive");
}

/// `8:0 Read 5`, or `8:0 5`; the last line is a total.
fn entries(text: &str) -> Vec<BlockIoEntry> {
    let entry = |line: &str| {
        let mut fields = line.split_whitespace();
        let (major, minor) = fields.next()?.split_once(':')?;
        let (op, value) = match (fields.next()?, fields.next()) {
            (op, Some(value)) => (op, value),
            (value, None) => ("", value),
        };
        Some(BlockIoEntry { major: number(major)?, minor: number(minor)?, op: op.to_string(), value: number(value)? })
    };
    text.lines().filter_map(entry).collect()
}

fn hugetlb(dir: &Dir<'_>, stats: &mut Stats) {
    for size in dir.huge_page_sizes() {
        let get = |name: &str| dir.number(&format!("hugetlb.{size}.{name}")).unwrap_or_default();
        let entry = Hugetlb { usage: get("usage_in_bytes"), max: get("max_usage_in_bytes"), failcnt: get("failcnt") };
        stats.hugetlb.insert(size, entry);
    }
}
