//! ENOSYS for system calls that are newer than the profile.
//!
//! A C library tries the new system call and, at ENOSYS only, falls back to the old one (clone3 to clone, faccessat2 to
//! faccessat). A profile that was written before that call existed answers with its default instead, EPERM as a rule,
//! and the fallback never happens. libseccomp has no word for this, so instructions of our own run before its program:
//! on each architecture, a number above the highest one that the profile names was unknown to its author.
//!
//! One section per architecture, each of which ends in ENOSYS or runs on into the next, the last one into libseccomp's
//! program, which loads what it needs itself.

use std::collections::VecDeque;

use libseccomp::{ScmpAction, ScmpArch, ScmpSyscall};
use rustix::io::Errno;

use super::{Arch, Filter};

const ENOSYS: i32 = Errno::NOSYS.raw_os_error();
/// Set in the numbers of x32, which the kernel does not otherwise tell from x86_64.
const X32_BIT: u32 = 1 << 30;

// Offsets into the kernel's `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// A `struct sock_filter`. Jumps are relative to the next instruction.
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    operand: u32,
}

// linux/bpf_common.h: BPF_LD | BPF_W | BPF_ABS, BPF_JMP | … | BPF_K, BPF_RET | BPF_K.
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_BITS_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, if_true: 0, if_false: 0, operand: offset }
}

fn jump(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code, if_true, if_false, operand }
}

fn return_enosys() -> Instruction {
    const SECCOMP_RET_ERRNO: u32 = 0x0005_0000;
    Instruction { code: RETURN, if_true: 0, if_false: 0, operand: SECCOMP_RET_ERRNO | ENOSYS as u32 }
}

/// The instructions to put before libseccomp's; none if the default action lets new system calls through.
pub(super) fn stub(filter: &Filter<'_>) -> Vec<u8> {
    match filter.default {
        // A tracer is expected to deal with new system calls itself.
        ScmpAction::Allow | ScmpAction::Log | ScmpAction::Trace(_) | ScmpAction::Errno(ENOSYS) => return Vec::new(),
        _ => {}
    }
    let sections = filter.archs.iter().filter_map(|arch| Some(section(arch, newest(filter, arch)?)));
    sections.flatten().flat_map(|instruction| instruction.to_bytes()).collect()
}

/// The highest number that the profile names on this architecture. libseccomp's numbers for calls that do not exist
/// there are negative.
fn newest(filter: &Filter<'_>, arch: &Arch) -> Option<u32> {
    let numbers = filter.names.iter().filter_map(|name| ScmpSyscall::from_name_by_arch(name, arch.scmp).ok());
    numbers.filter_map(|number| u32::try_from(number.as_raw_syscall()).ok()).max().filter(|number| *number > 0)
}

/// Written from its end: a jump out of the section is over all that is there already.
fn section(arch: &Arch, newest: u32) -> VecDeque<Instruction> {
    let mut section = VecDeque::from([return_enosys()]);
    section.push_front(jump(JUMP_GREATER, newest, 0, 1));
    match arch.scmp {
        ScmpArch::X8664 => section.push_front(jump(JUMP_BITS_SET, X32_BIT, 2, 0)),
        ScmpArch::X32 => section.push_front(jump(JUMP_BITS_SET, X32_BIT, 0, 2)),
        // On s390 a number too large for the instruction comes in a register, with 0 in its place; the kernel leaves
        // the 0 if it does not know the number. What once was number 0, setup(2), is long gone.
        ScmpArch::S390 | ScmpArch::S390X => section.push_front(jump(JUMP_EQUAL, 0, 1, 0)),
        _ => {}
    }
    section.push_front(load(NUMBER));
    section.push_front(jump(JUMP_EQUAL, arch.audit, 0, section.len() as u8));
    section.push_front(load(ARCH));
    section
}

impl Instruction {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.code.to_ne_bytes().to_vec();
        bytes.extend([self.if_true, self.if_false]);
        bytes.extend(self.operand.to_ne_bytes());
        bytes
    }
}
