//! linux.resources, which speak of cgroup v1, converted to the files of v2.

use std::collections::BTreeMap;

use super::resources::{Missing, Out, Write};
use super::v1::{amounts, hugetlb_with, swap_below_limit};
use super::{Cgroup, Version};
use crate::error::{Error, Result};
use crate::spec::config::{BlockIo, Cpu, HugepageLimit, Memory, Pids, ThrottleDevice};

/// swappiness, disableOOMKiller and useHierarchy have no counterpart.
pub(super) fn memory(out: &mut Out, memory: &Memory) -> Result<()> {
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

/// Real-time settings have no counterpart.
pub(super) fn cpu(out: &mut Out, cpu: &Cpu) -> Result<()> {
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
    if let Some(burst) = cpu.burst {
        // Since Linux 5.14.
        out.write_if_there("linux.resources.cpu.burst", "cpu.max.burst", burst);
    }
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

/// Leaf weights have no counterpart; weights of single devices only the BFQ scheduler has.
pub(super) fn io(out: &mut Out, io: &BlockIo) -> Result<()> {
    if let Some(weight @ 1..) = io.weight {
        let instead = Missing::Instead("io.weight".into(), io_weight(weight).to_string());
        out.push("linux.resources.blockIO.weight", "io.bfq.weight", weight.to_string(), instead);
    }
    for device in &io.weight_device {
        if let Some(weight @ 1..) = device.weight {
            let line = format!("{}:{} {weight}", device.major, device.minor);
            out.write_if_there("linux.resources.blockIO.weightDevice", "io.bfq.weight", line);
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
