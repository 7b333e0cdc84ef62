//! process.scheduler, process.ioPriority and process.execCPUAffinity: when and where the process runs. Names, and what
//! goes with what, are looked at here; rights, and what a host has room for, the kernel knows (src/run/failure.rs says
//! then what to do).

use hilum_init::step::{self, Step};

use super::names::{self, Table};
use super::{Builder, bits};
use crate::error::{Error, Result};
use crate::spec::config::{self, ExecCpuAffinity, Process};

// linux/sched.h
const OTHER: u32 = 0;
pub const FIFO: u32 = 1;
pub const RR: u32 = 2;
const BATCH: u32 = 3;
pub const ISO: u32 = 4;
pub const DEADLINE: u32 = 6;

pub const POLICIES: &Table = &[
    ("SCHED_OTHER", OTHER),
    ("SCHED_FIFO", FIFO),
    ("SCHED_RR", RR),
    ("SCHED_BATCH", BATCH),
    ("SCHED_ISO", ISO),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", DEADLINE),
];

pub const FLAGS: &Table = &[
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// linux/ioprio.h
pub const IO_CLASSES: &Table = &[("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];

/// What a process does for itself.
pub fn plan(b: &mut Builder<'_>, process: &Process) {
    if let Some(config) = &process.scheduler {
        b.part("process.scheduler", |b| scheduler(b, config));
    }
    if let Some(config) = &process.io_priority {
        b.part("process.ioPriority", |b| io_priority(b, config));
    }
}

fn scheduler(b: &mut Builder<'_>, config: &config::Scheduler) -> Result<()> {
    let policy = names::number("process.scheduler.policy", POLICIES, &config.policy)?;
    let flags = names::flags("process.scheduler.flags", FLAGS, &config.flags)?;
    let name = &config.policy;
    let refused = |property: &str, text: &str| Error::new(format!("process.scheduler.{property}: {text}"));
    match (policy, config.nice) {
        (OTHER | BATCH, -20..=19) | (_, 0) => {}
        (OTHER | BATCH, nice) => return Err(refused("nice", &format!("{nice} is not between -20 and 19"))),
        // With runc it may be there.
        (_, nice) => b.warnings.push(format!("process.scheduler.nice: {name} has no nice value: {nice} has no effect")),
    }
    match (policy, config.priority) {
        (FIFO | RR, 1..=99) => {}
        (FIFO | RR, priority) => return Err(refused("priority", &format!("{priority} is not between 1 and 99"))),
        (_, 0) => {}
        _ => return Err(refused("priority", &format!("{name} has none")).hint("it is for SCHED_FIFO and SCHED_RR")),
    }
    let times = [("runtime", config.runtime), ("deadline", config.deadline), ("period", config.period)];
    let time = times.iter().find(|(_, time)| *time != 0);
    if let Some((property, _)) = time.filter(|_| policy != DEADLINE) {
        return Err(refused(property, &format!("{name} has none")).hint("it is for SCHED_DEADLINE"));
    }
    b.push(Step::Scheduler(step::Scheduler {
        policy,
        flags,
        nice: config.nice,
        priority: config.priority.unsigned_abs(),
        runtime: config.runtime,
        deadline: config.deadline,
        period: config.period,
    }));
    Ok(())
}

fn io_priority(b: &mut Builder<'_>, config: &config::IoPriority) -> Result<()> {
    let class = names::number("process.ioPriority.class", IO_CLASSES, &config.class)?;
    let level = u32::try_from(config.priority).ok().filter(|level| *level <= 7);
    let level = level.ok_or_else(|| {
        Error::new(format!("process.ioPriority.priority: {} is not between 0 and 7", config.priority))
    })?;
    b.push(Step::IoPriority { class, level });
    Ok(())
}

/// The masks of process.execCPUAffinity: before a process of `exec` enters the container's cgroup, and in it. Where there
/// is none, the kernel decides.
pub struct Affinity {
    pub initial: Option<Vec<u32>>,
    pub last: Option<Vec<u32>>,
}

impl Affinity {
    pub fn of(process: &Process) -> Result<Self> {
        let none = ExecCpuAffinity::default();
        let config = process.exec_cpu_affinity.as_ref().unwrap_or(&none);
        let mask = |property: &str, list: &str| {
            let mask = bits::mask(&format!("process.execCPUAffinity.{property}"), list)?;
            Ok::<_, Error>(Some(mask).filter(|mask| !mask.is_empty()))
        };
        Ok(Self { initial: mask("initial", &config.initial)?, last: mask("final", &config.last)? })
    }
}
