//! The names that a profile is written in, and what they mean to libseccomp and the kernel.

use libseccomp::{ScmpAction, ScmpArch, ScmpCompareOp};

use crate::error::{Error, Result};

const EPERM: u16 = 1;

// linux/seccomp.h
pub(super) const LOG: u32 = 1 << 1;
pub(super) const SPEC_ALLOW: u32 = 1 << 2;
pub(super) use hilum_sys::process::SECCOMP_FILTER_FLAG_NEW_LISTENER as NEW_LISTENER;
pub(super) const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// With the value that SCMP_ACT_ERRNO and SCMP_ACT_TRACE have where the profile names none.
pub(super) const ACTIONS: &[(&str, ScmpAction)] = &[
    ("SCMP_ACT_ALLOW", ScmpAction::Allow),
    ("SCMP_ACT_ERRNO", ScmpAction::Errno(EPERM as i32)),
    ("SCMP_ACT_KILL", ScmpAction::KillThread),
    ("SCMP_ACT_KILL_PROCESS", ScmpAction::KillProcess),
    ("SCMP_ACT_KILL_THREAD", ScmpAction::KillThread),
    ("SCMP_ACT_LOG", ScmpAction::Log),
    ("SCMP_ACT_NOTIFY", ScmpAction::Notify),
    ("SCMP_ACT_TRACE", ScmpAction::Trace(EPERM)),
    ("SCMP_ACT_TRAP", ScmpAction::Trap),
];

pub(super) const OPERATORS: &[(&str, ScmpCompareOp)] = &[
    ("SCMP_CMP_EQ", ScmpCompareOp::Equal),
    ("SCMP_CMP_GE", ScmpCompareOp::GreaterEqual),
    ("SCMP_CMP_GT", ScmpCompareOp::Greater),
    ("SCMP_CMP_LE", ScmpCompareOp::LessOrEqual),
    ("SCMP_CMP_LT", ScmpCompareOp::Less),
    ("SCMP_CMP_MASKED_EQ", ScmpCompareOp::MaskedEqual(0)),
    ("SCMP_CMP_NE", ScmpCompareOp::NotEqual),
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arch {
    pub scmp: ScmpArch,
    /// AUDIT_ARCH_* of linux/audit.h, the `arch` of the kernel's `struct seccomp_data`.
    pub audit: u32,
}

const fn arch(scmp: ScmpArch, audit: u32) -> Arch {
    Arch { scmp, audit }
}

pub(super) const ARCHS: &[(&str, Arch)] = &[
    ("SCMP_ARCH_AARCH64", arch(ScmpArch::Aarch64, 0xc000_00b7)),
    ("SCMP_ARCH_ARM", arch(ScmpArch::Arm, 0x4000_0028)),
    ("SCMP_ARCH_LOONGARCH64", arch(ScmpArch::Loongarch64, 0xc000_0102)),
    ("SCMP_ARCH_MIPS", arch(ScmpArch::Mips, 0x0000_0008)),
    ("SCMP_ARCH_MIPS64", arch(ScmpArch::Mips64, 0x8000_0008)),
    ("SCMP_ARCH_MIPS64N32", arch(ScmpArch::Mips64N32, 0xa000_0008)),
    ("SCMP_ARCH_MIPSEL", arch(ScmpArch::Mipsel, 0x4000_0008)),
    ("SCMP_ARCH_MIPSEL64", arch(ScmpArch::Mipsel64, 0xc000_0008)),
    ("SCMP_ARCH_MIPSEL64N32", arch(ScmpArch::Mipsel64N32, 0xe000_0008)),
    ("SCMP_ARCH_PPC", arch(ScmpArch::Ppc, 0x0000_0014)),
    ("SCMP_ARCH_PPC64", arch(ScmpArch::Ppc64, 0x8000_0015)),
    ("SCMP_ARCH_PPC64LE", arch(ScmpArch::Ppc64Le, 0xc000_0015)),
    ("SCMP_ARCH_RISCV64", arch(ScmpArch::Riscv64, 0xc000_00f3)),
    ("SCMP_ARCH_S390", arch(ScmpArch::S390, 0x0000_0016)),
    ("SCMP_ARCH_S390X", arch(ScmpArch::S390X, 0x8000_0016)),
    // To the kernel x32 is x86_64 with bit 30 set in the number of the system call.
    ("SCMP_ARCH_X32", arch(ScmpArch::X32, 0xc000_003e)),
    ("SCMP_ARCH_X86", arch(ScmpArch::X86, 0x4000_0003)),
    ("SCMP_ARCH_X86_64", arch(ScmpArch::X8664, 0xc000_003e)),
];

pub(super) const FLAGS: &[(&str, u32)] = &[
    // Concerns the other threads of a process; the one that installs the filter has none.
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_LOG", LOG),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE_RECV),
];

fn names<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(name, _)| *name).collect()
}

pub(super) fn lookup<T: Copy>(what: &str, table: &[(&'static str, T)], name: &str) -> Result<T> {
    let found = table.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| Error::new(format!("unknown {what} {name:?}")).hint("hilum features lists those that are known"))
}

pub fn known_actions() -> Vec<&'static str> {
    names(ACTIONS)
}

pub fn known_operators() -> Vec<&'static str> {
    names(OPERATORS)
}

pub fn known_archs() -> Vec<&'static str> {
    names(ARCHS)
}

pub fn known_flags() -> Vec<&'static str> {
    names(FLAGS)
}

/// The known flags that this kernel takes.
pub fn supported_flags() -> Vec<&'static str> {
    FLAGS.iter().filter(|(_, flag)| *flag != WAIT_KILLABLE_RECV || has_wait_killable()).map(|(name, _)| *name).collect()
}

/// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV came with Linux 5.19, and goes with a listener only; the other flags are older
/// than our floor. libseccomp is not asked: it knows the flag from 2.6 on, but only the kernel gets to see it.
pub(super) fn has_wait_killable() -> bool {
    hilum_sys::process::knows_seccomp_flags(WAIT_KILLABLE_RECV | NEW_LISTENER)
}
