//! linux.resources, which speak of cgroup v1, converted to the files of v2.

use std::collections::BTreeMap;

use super::resources::{Missing, Out, Write};
use super::v1::{amounts, burst, hugetlb_with, swap_below_limit};
use super::{Cgroup, Version};
use crate::error::{Error, Result};
use crate::spec::config::{BlockIo, Cpu, HugepageLimit, Memory, Network, Pids, ThrottleDevice};

/// What v1 has and v2 has not, and is asked for.
fn refuse(asked_for: &[(bool, &str)]) -> Result<()> {
    match asked_for.iter().find(|(is_there, _)| *is_there) {
        None => Ok(()),
        Some((_, property)) => {
            Err(Error::new(format!("linux.resources.{property}: cgroup v2 has no such setting")).hint("remove it"))
        }
    }
}

/// There is always a hierarchy.
pub(super) fn memory(out: &mut Out, memory: &Memory) -> Result<()> {
    refuse(&[
        (memory.swappiness.is_some(), "memory.swappiness"),
        (memory.disable_oom_killer == Some(true), "memory.disableOOMKiller"),
    ])?;
    let (limit, swap, reservation) = amounts(memory)?;
    if let Some(max) = swap_max(swap, limit)? {
        let property = "linux.resources.memory.swap";
        // Without swap in the kernel there is none to allow, nor to forbid.
        match max.as_str() {
            "0" | "max" => out.write_if_there(property, "memory.swap.max", max),
            _ => out.write(property, "memory.swap.max", max),
        }
    }
    if limit != 0 {
        out.write("linux.resources.memory.limit", "memory.max", or_max(limit));
    }
    if reservation != 0 {
        out.write("linux.resources.memory.reservation", "memory.low", or_max(reservation));
    }
    Ok(())
}

/// v1 limits memory and swap together, v2 swap alone.
fn swap_max(swap: i64, limit: i64) -> Result<Option<String>> {
    match (swap, limit) {
        (0, -1) | (-1, _) => Ok(Some("max".into())),
        (0, _) => Ok(None),
        (_, -1) => Ok(Some(swap.to_string())),
        (_, 0) => Err(Error::new("linux.resources.memory.swap: unable to set swap limit without memory limit")),
        _ if swap < limit => Err(swap_below_limit(swap, limit)),
        _ => Ok(Some((swap - limit).to_string())),
    }
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

pub(super) fn cpu(out: &mut Out, cpu: &Cpu) -> Result<()> {
    refuse(&[
        (cpu.realtime_period.is_some_and(|period| period != 0), "cpu.realtimePeriod"),
        (cpu.realtime_runtime.is_some_and(|runtime| runtime != 0), "cpu.realtimeRuntime"),
    ])?;
    // Leaving idle resets the weight, and in idle it cannot be set.
    if let Some(idle) = cpu.idle {
        out.write("linux.resources.cpu.idle", "cpu.idle", idle);
    }
    match cpu.shares {
        Some(shares @ 1..) if cpu.idle != Some(1) => {
            out.write("linux.resources.cpu.shares", "cpu.weight", cpu_weight(shares));
        }
        _ => {}
    }
    let (quota, period) = (cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0));
    if quota != 0 || period != 0 {
        let property = if quota != 0 { "linux.resources.cpu.quota" } else { "linux.resources.cpu.period" };
        let quota = if quota > 0 { quota.to_string() } else { "max".into() };
        let period = if period == 0 { 100_000 } else { period };
        out.write(property, "cpu.max", format!("{quota} {period}"));
    }
    burst(out, "cpu.max.burst", cpu);
    Ok(())
}

/// Shares of 2 to 262144 to a weight of 1 to 10000, with the defaults (1024 and 100) on each other: the curve that all
/// runtimes agreed on in 2025, quadratic in the logarithm.
fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64
        }
    }
}

/// The same in v1. No process at all cannot be asked for: systemd turns 0 into 1, and so do all.
pub(super) fn pids(out: &mut Out, pids: &Pids) -> Result<()> {
    if let Some(limit) = pids.limit {
        let max = if limit < 0 { "max".into() } else { limit.max(1).to_string() };
        out.write("linux.resources.pids.limit", "pids.max", max);
    }
    Ok(())
}

/// The BFQ scheduler's weights where it is there, else those of io.cost.
pub(super) fn io(out: &mut Out, io: &BlockIo) -> Result<()> {
    let some = |weight: Option<u16>| weight.is_some_and(|weight| weight != 0);
    refuse(&[(some(io.leaf_weight), "blockIO.leafWeight")])?;
    for (index, device) in io.weight_device.iter().enumerate() {
        refuse(&[(some(device.leaf_weight), &format!("blockIO.weightDevice[{index}].leafWeight"))])?;
    }
    if let Some(weight @ 1..) = io.weight {
        let instead = Missing::Instead("io.weight".into(), io_weight(weight).to_string());
        out.push("linux.resources.blockIO.weight", "io.bfq.weight", weight.to_string(), instead);
    }
    for device in &io.weight_device {
        if let Some(weight @ 1..) = device.weight {
            let line = |weight: u64| format!("{}:{} {weight}", device.major, device.minor);
            let instead = Missing::Instead("io.weight".into(), line(io_weight(weight)));
            out.push("linux.resources.blockIO.weightDevice", "io.bfq.weight", line(weight.into()), instead);
        }
    }
    let mut throttle = |name: &str, key: &str, devices: &[ThrottleDevice]| {
        for device in devices {
            let property = format!("linux.resources.blockIO.{name}");
            // v1 takes 0 for no limit.
            let rate = if device.rate == 0 { "max".into() } else { device.rate.to_string() };
            out.write(&property, "io.max", format!("{}:{} {key}={rate}", device.major, device.minor));
        }
    };
    throttle("throttleReadBpsDevice", "rbps", &io.throttle_read_bps_device);
    throttle("throttleWriteBpsDevice", "wbps", &io.throttle_write_bps_device);
    throttle("throttleReadIOPSDevice", "riops", &io.throttle_read_iops_device);
    throttle("throttleWriteIOPSDevice", "wiops", &io.throttle_write_iops_device);
    Ok(())
}

/// A weight of 10 to 1000 to one of 1 to 10000, linearly.
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

/// Classes and priorities of packets are the firewall's to give, by the cgroup's path.
pub(super) fn network(network: &Network) -> Result<()> {
    refuse(&[
        (network.class_id.is_some_and(|id| id != 0), "network.classID"),
        (!network.priorities.is_empty(), "network.priorities"),
    ])
}

pub(super) fn hugetlb(out: &mut Out, limits: &[HugepageLimit]) -> Result<()> {
    hugetlb_with(out, limits, "max")
}

/// linux.resources.unified: the files of v2 by their names, after all others so that it wins.
pub(super) fn unified(cgroup: &Cgroup, values: &BTreeMap<String, String>) -> Result<Vec<Write>> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let Some(directory) = cgroup.directories.iter().find(|d| d.version == Version::V2 && cgroup.is_unified()) else {
        return Err(Error::new("invalid configuration: cannot use unified on cgroup v1"));
    };
    let mut writes = Vec::new();
    for (file, value) in values {
        if file.contains('/') {
            return Err(Error::new(format!("unified resource {file:?} must be a file name (no slashes)")));
        }
        let Some((controller, _)) = file.split_once('.').filter(|(controller, _)| !controller.is_empty()) else {
            return Err(Error::new(format!("unified resource {file:?} must be in the form CONTROLLER.PARAMETER")));
        };
        if controller != "cgroup" && !directory.controllers.iter().any(|c| c == controller) {
            return Err(Error::new(format!(
                "unified resource {file:?} can't be set: controller {controller:?} not available"
            )));
        }
        // Some files (io.max) take a line for each write.
        let lines: Vec<&str> = value.lines().filter(|line| !line.is_empty()).collect();
        for line in if lines.is_empty() { vec!["\n"] } else { lines } {
            writes.push(Write {
                property: format!("unified resource {file:?}"),
                controller: controller.to_string(),
                directory: directory.path.clone(),
                file: file.clone(),
                value: line.to_string(),
                missing: Missing::Error,
                optional: false,
            });
        }
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_the_defaults_and_the_ends() {
        let weights: Vec<_> = [1, 2, 3, 102, 1024, 2048, 262_143, 262_144, u64::MAX].map(cpu_weight).into();
        assert_eq!(weights, [1, 1, 2, 17, 100, 174, 10_000, 10_000, 10_000]);
        assert_eq!([5, 10, 100, 500, 1000].map(io_weight), [1, 1, 910, 4950, 10_000]);
    }

    #[test]
    fn swap_is_what_exceeds_memory() {
        let swap = |swap, limit| swap_max(swap, limit).map_err(|e| e.to_string());
        let some = |text: &str| Ok(Some(text.to_string()));
        assert_eq!(swap(0, 0), Ok(None));
        assert_eq!(swap(0, 100), Ok(None));
        assert_eq!(swap(0, -1), some("max"));
        assert_eq!(swap(-1, 0), some("max"));
        assert_eq!(swap(-1, 100), some("max"));
        assert_eq!(swap(50, -1), some("50"));
        assert_eq!(swap(150, 100), some("50"));
        assert_eq!(swap(100, 100), some("0"));
        assert!(swap(50, 0).unwrap_err().ends_with("unable to set swap limit without memory limit"));
        assert!(swap(50, 100).unwrap_err().contains("memory+swap limit should be >= memory limit"));
    }
}
