//! What a container uses, in the shape in which runc's `events` prints it.
//!
//! Units as in runc: times in nanoseconds, sizes in bytes; a limit that is not set is the largest number.

mod v1;
mod v2;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{Cgroup, Directory, Version, file};

#[derive(Debug, Default, Serialize)]
pub struct Stats {
    pub cpu: Cpu,
    pub cpuset: CpuSet,
    pub memory: Memory,
    pub pids: Pids,
    pub blkio: BlockIo,
    pub hugetlb: BTreeMap<String, Hugetlb>,
    pub intel_rdt: BTreeMap<String, String>,
    /// runc fills it for networks that it has made itself, and it makes none any more.
    pub network_interfaces: Option<Vec<String>>,
}

#[derive(Debug, Default, Serialize)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

#[derive(Debug, Default, Serialize)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

#[derive(Debug, Default, Serialize)]
pub struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: MemoryEntry,
    pub swap: MemoryEntry,
    pub kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

#[derive(Debug, Default, Serialize)]
pub struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct BlockIoEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Pressure stall information (Documentation/accounting/psi.rst).
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Psi {
    pub some: Pressure,
    pub full: Pressure,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    /// Microseconds.
    pub total: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Cgroup {
    /// Whether the memory of the cgroups below counts for this one: in v1 that could be chosen before Linux 5.11.
    pub fn counts_memory_below(&self) -> bool {
        let v1 = |d: &&Directory| d.version == Version::V1 && d.controllers.iter().any(|c| c == "memory");
        let own = self.directories.iter().find(v1).and_then(|d| Dir(&d.path).text("memory.use_hierarchy"));
        own.is_none_or(|text| text.trim() != "0")
    }

    /// What the kernel counts for this cgroup. A file that is not there, as its controller is not, counts nothing.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for directory in &self.directories {
            let dir = Dir(&directory.path);
            match directory.version {
                Version::V1 => v1::read(&dir, &directory.controllers, &mut stats),
                Version::V2 => v2::read(&dir, &mut stats),
            }
        }
        stats
    }
}

/// A cgroup's directory, for reading.
struct Dir<'d>(&'d Path);

impl Dir<'_> {
    fn text(&self, name: &str) -> Option<String> {
        file::read(&self.0.join(name)).ok()
    }

    /// `max` is the largest number.
    fn number(&self, name: &str) -> Option<u64> {
        number(self.text(name)?.trim())
    }

    /// A file of `key value` lines.
    fn pairs(&self, name: &str) -> BTreeMap<String, u64> {
        let text = self.text(name).unwrap_or_default();
        let pair = |line: &str| line.split_once(' ').and_then(|(key, value)| Some((key.to_string(), number(value)?)));
        text.lines().filter_map(pair).collect()
    }

    /// The sizes of huge pages for which there are files, as in `hugetlb.2MB.…`.
    fn huge_page_sizes(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut sizes: Vec<_> =
            names.filter_map(|name| Some(name.strip_prefix("hugetlb.")?.split_once('.')?.0.to_string())).collect();
        sizes.sort();
        sizes.dedup();
        sizes
    }
}

fn number(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_numbers() {
        assert!(file::numbers("0-2,7\n").eq([0, 1, 2, 7]));
        assert_eq!(file::numbers("\n").count(), 0);
    }

    #[test]
    fn nothing_counted_has_the_shape_that_callers_know() {
        let stats = serde_json::to_value(Stats::default()).unwrap();
        assert_eq!(stats["cpu"], json!({"usage": {"kernel": 0, "user": 0}, "throttling": {}}));
        assert_eq!(stats["memory"]["usage"], json!({"limit": 0, "failcnt": 0}));
        assert_eq!((&stats["pids"], &stats["network_interfaces"]), (&json!({}), &json!(null)));
    }

    fn read(version: Version, controllers: &[&str], files: &[(&str, &str)]) -> serde_json::Value {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let controllers: Vec<String> = controllers.iter().map(|name| name.to_string()).collect();
        let mut stats = Stats::default();
        match version {
            Version::V1 => v1::read(&Dir(dir.path()), &controllers, &mut stats),
            Version::V2 => v2::read(&Dir(dir.path()), &mut stats),
        }
        serde_json::to_value(stats).unwrap()
    }

    #[test]
    fn v2_is_told_in_the_words_of_v1() {
        let stats = read(
            Version::V2,
            &[],
            &[
                (
                    "cpu.stat",
                    "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 4\n",
                ),
                (
                    "cpu.pressure",
                    "some avg10=0.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=8\n",
                ),
                ("memory.stat", "anon 10\nfile 20\n"),
                ("memory.current", "100\n"),
                ("memory.max", "max\n"),
                ("memory.peak", "300\n"),
                ("memory.swap.current", "50\n"),
                ("memory.swap.max", "1000\n"),
                ("pids.current", "3\n"),
                ("pids.max", "max\n"),
                ("io.stat", "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
                ("hugetlb.2MB.current", "4096\n"),
                ("hugetlb.2MB.events", "max 6\n"),
            ],
        );
        assert_eq!(stats["cpu"]["usage"], json!({"total": 5000, "user": 3000, "kernel": 2000}));
        assert_eq!(stats["cpu"]["throttling"], json!({"periods": 7, "throttledPeriods": 1, "throttledTime": 4000}));
        assert_eq!(stats["cpu"]["psi"]["some"], json!({"avg10": 0.5, "avg60": 1.0, "avg300": 0.0, "total": 9}));
        assert_eq!(stats["memory"]["cache"], 20);
        assert_eq!(stats["memory"]["usage"], json!({"limit": u64::MAX, "usage": 100, "max": 300, "failcnt": 0}));
        // Memory and swap together, as v1 counts.
        assert_eq!(stats["memory"]["swap"], json!({"limit": u64::MAX, "usage": 150, "failcnt": 0}));
        assert_eq!(stats["pids"], json!({"current": 3}));
        let entry = json!({"major": 8, "minor": 16, "op": "Write", "value": 2});
        assert_eq!(stats["blkio"]["ioServiceBytesRecursive"][1], entry);
        assert_eq!(stats["hugetlb"]["2MB"], json!({"usage": 4096, "failcnt": 6}));
    }

    #[test]
    fn v1_files_are_read_by_controller() {
        let files = [
            ("cpuacct.usage", "900\n"),
            ("cpuacct.usage_all", "cpu user system\n0 1 2\n1 3 4\n"),
            ("cpuacct.stat", "user 2\nsystem 1\n"),
            ("cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n"),
            ("memory.stat", "cache 7\n"),
            ("memory.usage_in_bytes", "11\n"),
            ("memory.limit_in_bytes", "22\n"),
            ("memory.max_usage_in_bytes", "33\n"),
            ("memory.failcnt", "44\n"),
            ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 5\n8:0 Total 5\nTotal 5\n"),
            ("cpuset.cpus", "0-1\n"),
        ];
        let stats = read(Version::V1, &["cpu", "cpuacct", "memory", "blkio", "cpuset"], &files);
        let usage = json!({"total": 900, "percpu_user": [1, 3], "percpu_kernel": [2, 4], "user": 20_000_000, "kernel": 10_000_000});
        assert_eq!(stats["cpu"]["usage"], usage);
        assert_eq!(stats["memory"]["usage"], json!({"limit": 22, "usage": 11, "max": 33, "failcnt": 44}));
        assert_eq!(stats["blkio"]["ioServiceBytesRecursive"].as_array().unwrap().len(), 2);
        assert_eq!(stats["cpuset"]["cpus"], json!([0, 1]));
        // Another hierarchy's files are not looked for.
        assert_eq!(read(Version::V1, &["pids"], &files)["memory"]["cache"], json!(null));
    }
}
