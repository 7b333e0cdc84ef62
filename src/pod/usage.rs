//! What a pod uses, and each of its containers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Member, Pod, alive};
use crate::cgroup::{Cgroup, Stats};
use crate::error::Result;

/// What people ask first. Bytes, nanoseconds; a limit that is not set is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub memory: Amount,
    pub cpu: u64,
    pub pids: Amount,
    pub read: u64,
    pub written: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Amount {
    pub usage: u64,
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct PodUsage {
    /// Of the pod's cgroup: also of containers that are gone, and of what is between them, as the pages of /dev/shm.
    pub pod: Usage,
    pub containers: BTreeMap<String, Usage>,
    pub reaper: Option<Usage>,
}

impl PodUsage {
    pub fn of(pod: &Pod, members: &[Member]) -> Result<Self> {
        let states = alive(members)?.into_iter().filter_map(|member| member.state.as_ref());
        let containers: BTreeMap<_, _> = states.map(|state| (state.id.clone(), Usage::of(&state.cgroup))).collect();
        let reaper = pod.reaper.as_ref().map(|reaper| Usage::of(&reaper.cgroup));
        let mut sum = Usage::of(&pod.cgroup);
        if !pod.cgroup.counts_memory_below() {
            sum.memory.usage += containers.values().chain(&reaper).map(|usage| usage.memory.usage).sum::<u64>();
        }
        Ok(Self { pod: sum, containers, reaper })
    }
}

impl Usage {
    pub fn of(cgroup: &Cgroup) -> Self {
        cgroup.stats().into()
    }
}

impl From<Stats> for Usage {
    fn from(stats: Stats) -> Self {
        /// v1 says the largest number of pages for none.
        const NONE: u64 = i64::MAX as u64 - (1 << 20);
        let limit = |limit: u64| (limit > 0 && limit < NONE).then_some(limit);
        let bytes = |op: &str| {
            let entries = stats.blkio.io_service_bytes_recursive.iter();
            entries.filter(|entry| entry.op == op).map(|entry| entry.value).sum()
        };
        Self {
            memory: Amount { usage: stats.memory.usage.usage, limit: limit(stats.memory.usage.limit) },
            cpu: stats.cpu.usage.total,
            pids: Amount { usage: stats.pids.current, limit: limit(stats.pids.limit) },
            read: bytes("Read"),
            written: bytes("Write"),
        }
    }
}
