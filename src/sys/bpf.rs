//! bpf(2), as far as a cgroup's device filter needs it: load, attach, find, replace.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use linux_raw_sys::general::__NR_bpf;

use crate::raw::syscall;
use crate::{Errno, Result};

/// `struct bpf_insn`. The destination register is the low half of `registers` (of a little-endian machine).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

const PROG_LOAD: usize = 5;
const PROG_ATTACH: usize = 8;
const PROG_DETACH: usize = 9;
const PROG_GET_FD_BY_ID: usize = 13;
const PROG_QUERY: usize = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;

const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

/// As many as a cgroup can have of one type.
const MAX_ATTACHED: usize = 64;

// The parts of `union bpf_attr`. The kernel takes what is behind the given size for zeros.

#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

#[repr(C)]
struct Attach {
    cgroup: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
struct ById {
    id: u32,
}

/// Longer than what is asked for: Linux 6.17 and later write the revision at its place, whatever size they were given.
#[repr(C)]
#[derive(Default)]
struct Query {
    cgroup: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
    program_flags: u64,
    link_ids: u64,
    link_flags: u64,
    revision: u64,
}

/// # Safety
/// `attr` must be what `command` takes, with every address in it valid for the length that stands beside it.
unsafe fn bpf<T>(command: usize, attr: &mut T) -> Result<usize> {
    let mut tries = 30;
    loop {
        // SAFETY: the caller answers for what is in `attr`; its size is its own.
        match unsafe { syscall(__NR_bpf, [command, &raw mut *attr as usize, size_of::<T>(), 0, 0, 0]) } {
            // A signal interrupts the verifier.
            Err(Errno::AGAIN) if tries > 0 => tries -= 1,
            result => return result,
        }
    }
}

fn owned(fd: usize) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor, close-on-exec, for us alone.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// Loads a program that decides whether a process may open or make a device node.
pub fn load_device_program(program: &[Instruction]) -> Result<OwnedFd> {
    match load(program) {
        // Before Linux 5.11 programs were charged to the limit on locked memory, and refused with this error.
        Err(Errno::PERM) => with_unlimited_memlock(|| load(program)).ok_or(Errno::PERM)?,
        result => result,
    }
}

fn load(program: &[Instruction]) -> Result<OwnedFd> {
    const LICENSE: &CStr = c"Apache-2.0";
    let mut attr = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: `instructions` and `license` outlive the call, `count` is their number, and there is no log.
    unsafe { bpf(PROG_LOAD, &mut attr) }.map(owned)
}

fn with_unlimited_memlock<T>(act: impl FnOnce() -> T) -> Option<T> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Memlock);
    setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).ok()?;
    let result = act();
    // The container must not inherit it.
    let _ = setrlimit(Resource::Memlock, before);
    Some(result)
}

/// Adds a program to the cgroup's own, or puts it in the place of one of them without a gap.
pub fn attach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>, replaced: Option<BorrowedFd<'_>>) -> Result<()> {
    let mut attr = Attach {
        cgroup: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI | if replaced.is_some() { REPLACE } else { 0 },
        replaced: replaced.map_or(0, |fd| fd.as_raw_fd() as u32),
    };
    // SAFETY: descriptors and numbers only.
    unsafe { bpf(PROG_ATTACH, &mut attr) }.map(drop)
}

pub fn detach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attr = Attach {
        cgroup: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: CGROUP_DEVICE,
        flags: 0,
        replaced: 0,
    };
    // SAFETY: descriptors and numbers only.
    unsafe { bpf(PROG_DETACH, &mut attr) }.map(drop)
}

/// The device programs attached to this cgroup itself. One that a security module hides from us is left out: it can
/// only forbid more.
pub fn attached(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MAX_ATTACHED];
    let mut attr = Query {
        cgroup: cgroup.as_raw_fd() as u32,
        kind: CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: MAX_ATTACHED as u32,
        ..Query::default()
    };
    // SAFETY: `ids` is writable for `count` numbers and outlives the call.
    unsafe { bpf(PROG_QUERY, &mut attr)? };
    let mut programs = Vec::new();
    for &id in ids.iter().take(attr.count as usize) {
        // SAFETY: a number only.
        match unsafe { bpf(PROG_GET_FD_BY_ID, &mut ById { id }) } {
            Ok(fd) => programs.push(owned(fd)),
            Err(Errno::PERM | Errno::ACCESS | Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(programs)
}
