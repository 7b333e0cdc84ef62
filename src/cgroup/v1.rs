//! linux.resources in the files of cgroup v1, for which the specification was written. In most of it 0 means unset.

use super::resources::{Missing, Out};
use crate::error::{Error, Result};
use crate::spec::config::{BlockIo, Cpu, HugepageLimit, Memory, Network, ThrottleDevice};

pub(super) fn memory(out: &mut Out, memory: &Memory) -> Result<()> {
    let (limit, swap, reservation) = amounts(memory)?;
    if swap > 0 && limit > 0 && swap < limit {
        return Err(swap_below_limit(swap, limit));
    }
    if limit != 0 {
        out.write("linux.resources.memory.limit", "memory.limit_in_bytes", limit);
    }
    match swap {
        // Without a limit on memory there is none on memory and swap together, where swap is accounted for.
        0 if limit == -1 => out.write_if_there("linux.resources.memory.limit", "memory.memsw.limit_in_bytes", -1),
        0 => {}
        _ => out.write("linux.resources.memory.swap", "memory.memsw.limit_in_bytes", swap),
    }
    if reservation != 0 {
        out.write("linux.resources.memory.reservation", "memory.soft_limit_in_bytes", reservation);
    }
    if memory.use_hierarchy == Some(true) {
        // So since Linux 5.11, without a way to have it otherwise.
        out.write_if_there("linux.resources.memory.useHierarchy", "memory.use_hierarchy", 1);
    }
    if memory.disable_oom_killer == Some(true) {
        out.write("linux.resources.memory.disableOOMKiller", "memory.oom_control", 1);
    }
    match memory.swappiness {
        None => {}
        Some(swappiness @ 0..=100) => {
            out.write("linux.resources.memory.swappiness", "memory.swappiness", swappiness);
        }
        Some(other) => {
            return Err(Error::new(format!(
                "linux.resources.memory.swappiness: invalid memory swappiness value: {other} (valid range is 0-100)"
            )));
        }
    }
    Ok(())
}

/// limit, swap (memory and swap together) and reservation: a size, -1 for no limit, 0 for unset.
pub(super) fn amounts(memory: &Memory) -> Result<(i64, i64, i64)> {
    let amount = |name: &str, value: Option<i64>| match value.unwrap_or(0) {
        value @ -1.. => Ok(value),
        value => Err(Error::new(format!("linux.resources.memory.{name}: {value} is neither a size nor -1"))),
    };
    Ok((amount("limit", memory.limit)?, amount("swap", memory.swap)?, amount("reservation", memory.reservation)?))
}

pub(super) fn swap_below_limit(swap: i64, limit: i64) -> Error {
    Error::new(format!("linux.resources.memory.swap: memory+swap limit should be >= memory limit ({swap} < {limit})"))
}

pub(super) fn cpu(out: &mut Out, cpu: &Cpu) -> Result<()> {
    let idle = cpu.idle.unwrap_or(0);
    // Leaving idle resets the shares, and in idle they cannot be set.
    if let Some(idle) = cpu.idle {
        out.write("linux.resources.cpu.idle", "cpu.idle", idle);
    }
    match cpu.shares.unwrap_or(0) {
        0 => {}
        // The kernel would take these for the nearest that it allows, and say nothing.
        1 => {
            return Err(Error::new("linux.resources.cpu.shares: the minimum allowed cpu-shares is 2"));
        }
        262_145.. => {
            return Err(Error::new("linux.resources.cpu.shares: the maximum allowed cpu-shares is 262144"));
        }
        shares if idle != 1 => out.write("linux.resources.cpu.shares", "cpu.shares", shares),
        _ => {}
    }
    if let Some(period @ 1..) = cpu.period {
        out.write("linux.resources.cpu.period", "cpu.cfs_period_us", period);
    }
    if let Some(quota) = cpu.quota.filter(|&quota| quota != 0) {
        out.write("linux.resources.cpu.quota", "cpu.cfs_quota_us", quota);
    }
    burst(out, "cpu.cfs_burst_us", cpu);
    if let Some(period @ 1..) = cpu.realtime_period {
        out.write("linux.resources.cpu.realtimePeriod", "cpu.rt_period_us", period);
    }
    if let Some(runtime) = cpu.realtime_runtime.filter(|&runtime| runtime != 0) {
        out.write("linux.resources.cpu.realtimeRuntime", "cpu.rt_runtime_us", runtime);
    }
    Ok(())
}

/// Since Linux 5.14. Before, there is none.
pub(super) fn burst(out: &mut Out, file: &str, cpu: &Cpu) {
    match cpu.burst {
        None => {}
        Some(0) => out.write_if_there("linux.resources.cpu.burst", file, 0),
        Some(burst) => out.write("linux.resources.cpu.burst", file, burst),
    }
}

pub(super) fn blkio(out: &mut Out, io: &BlockIo) -> Result<()> {
    // The files without bfq in their names went with the CFQ scheduler, in Linux 5.0.
    fn weight(out: &mut Out, property: &str, file: &str, value: String) {
        let bfq = file.replacen("blkio.", "blkio.bfq.", 1);
        out.push(property, file, value.clone(), Missing::Instead(bfq, value));
    }
    if let Some(value @ 1..) = io.weight {
        weight(out, "linux.resources.blockIO.weight", "blkio.weight", value.to_string());
    }
    if let Some(value @ 1..) = io.leaf_weight {
        out.write("linux.resources.blockIO.leafWeight", "blkio.leaf_weight", value);
    }
    for device in &io.weight_device {
        let name = format!("{}:{}", device.major, device.minor);
        if let Some(value @ 1..) = device.weight {
            weight(out, "linux.resources.blockIO.weightDevice", "blkio.weight_device", format!("{name} {value}"));
        }
        if let Some(value @ 1..) = device.leaf_weight {
            let line = format!("{name} {value}");
            out.write("linux.resources.blockIO.weightDevice", "blkio.leaf_weight_device", line);
        }
    }
    let mut throttle = |property: &str, file: &str, devices: &[ThrottleDevice]| {
        for device in devices {
            out.write(property, file, format!("{}:{} {}", device.major, device.minor, device.rate));
        }
    };
    throttle(
        "linux.resources.blockIO.throttleReadBpsDevice",
        "blkio.throttle.read_bps_device",
        &io.throttle_read_bps_device,
    );
    throttle(
        "linux.resources.blockIO.throttleWriteBpsDevice",
        "blkio.throttle.write_bps_device",
        &io.throttle_write_bps_device,
    );
    throttle(
        "linux.resources.blockIO.throttleReadIOPSDevice",
        "blkio.throttle.read_iops_device",
        &io.throttle_read_iops_device,
    );
    throttle(
        "linux.resources.blockIO.throttleWriteIOPSDevice",
        "blkio.throttle.write_iops_device",
        &io.throttle_write_iops_device,
    );
    Ok(())
}

pub(super) fn hugetlb(out: &mut Out, limits: &[HugepageLimit]) -> Result<()> {
    hugetlb_with(out, limits, "limit_in_bytes")
}

/// Reservations are limited too where the kernel can (5.7): they fail an mmap instead of killing by SIGBUS later.
pub(super) fn hugetlb_with(out: &mut Out, limits: &[HugepageLimit], suffix: &str) -> Result<()> {
    const PROPERTY: &str = "linux.resources.hugepageLimits";
    for HugepageLimit { page_size, limit } in limits {
        // It becomes a part of a file name.
        if page_size.is_empty() || !page_size.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Error::new(format!("{PROPERTY}: {page_size:?} is not a page size")));
        }
        out.write(PROPERTY, &format!("hugetlb.{page_size}.{suffix}"), limit);
        out.write_if_there(PROPERTY, &format!("hugetlb.{page_size}.rsvd.{suffix}"), limit);
    }
    Ok(())
}

pub(super) fn net_cls(out: &mut Out, network: &Network) -> Result<()> {
    if let Some(id @ 1..) = network.class_id {
        out.write("linux.resources.network.classID", "net_cls.classid", id);
    }
    Ok(())
}

pub(super) fn net_prio(out: &mut Out, network: &Network) -> Result<()> {
    for interface in &network.priorities {
        let line = format!("{} {}", interface.name, interface.priority);
        out.write("linux.resources.network.priorities", "net_prio.ifpriomap", line);
    }
    Ok(())
}
