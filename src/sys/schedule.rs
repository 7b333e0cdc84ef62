//! When and where a process runs, and from where it gets memory. The numbers are the kernel's; pid 0 is the caller.

use linux_raw_sys::general::{
    __NR_ioprio_set, __NR_personality, __NR_sched_setaffinity, __NR_sched_setattr, __NR_set_mempolicy,
};

use crate::Result;
use crate::memory::Scratch;
use crate::raw::syscall;

/// `struct sched_attr` of linux/sched/types.h, as of Linux 5.3.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct SchedAttr {
    /// `set_scheduler` fills it in.
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    pub util_min: u32,
    pub util_max: u32,
}

/// sched_setattr(2).
pub fn set_scheduler(attr: SchedAttr) -> Result<()> {
    let mut attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..attr };
    // SAFETY: a structure that says its own size, which is all that the kernel may write to it (E2BIG).
    unsafe { syscall(__NR_sched_setattr, [0, &raw mut attr as usize, 0, 0, 0, 0])? };
    Ok(())
}

/// ioprio_set(2).
pub fn set_io_priority(class: u32, level: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    const IOPRIO_CLASS_SHIFT: u32 = 13;
    let priority = class << IOPRIO_CLASS_SHIFT | level;
    // SAFETY: numbers only.
    unsafe { syscall(__NR_ioprio_set, [IOPRIO_WHO_PROCESS, 0, priority as usize, 0, 0, 0])? };
    Ok(())
}

/// sched_setaffinity(2), with a mask of any length; the lowest word first.
pub fn set_affinity(cpus: impl Iterator<Item = u32> + Clone) -> Result<()> {
    let mask = bits(cpus)?;
    let bytes = mask.bytes();
    // SAFETY: a mask of the given size, read only.
    unsafe { syscall(__NR_sched_setaffinity, [0, bytes.len(), bytes.as_ptr() as usize, 0, 0, 0])? };
    Ok(())
}

/// set_mempolicy(2): `mode` with its flags, and a mask of nodes of any length.
pub fn set_memory_policy(mode: u32, nodes: impl Iterator<Item = u32> + Clone) -> Result<()> {
    let mask = bits(nodes)?;
    let bytes = mask.bytes();
    // The kernel takes one bit less than it is told.
    let count = bytes.len() * 8 + 1;
    // SAFETY: a mask of as many bits, read only.
    unsafe { syscall(__NR_set_mempolicy, [mode as usize, bytes.as_ptr() as usize, count, 0, 0, 0])? };
    Ok(())
}

/// personality(2).
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: a number only.
    unsafe { syscall(__NR_personality, [domain as usize, 0, 0, 0, 0, 0])? };
    Ok(())
}

/// The kernel's masks are arrays of `unsigned long`: the same bytes, as our machines are all little-endian.
fn bits(words: impl Iterator<Item = u32> + Clone) -> Result<Scratch> {
    let mut mask = Scratch::new(words.clone().count().div_ceil(size_of::<usize>() / 4))?;
    for (slot, word) in mask.bytes_mut().chunks_exact_mut(4).zip(words) {
        slot.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(mask)
}
