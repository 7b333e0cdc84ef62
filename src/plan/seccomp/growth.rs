//! How large a program becomes. Of rules that compare several arguments of one system call, and not all for equality,
//! libseccomp hangs each one below each condition of the others: a document of a kilobyte keeps it busy for days.

use std::collections::BTreeMap;

use super::Rule;
use crate::error::{Error, Result};
use crate::spec::config::SyscallArg;

/// With some more, the library is at it for seconds, and the program is larger than the kernel takes.
const MOST: u32 = 512;

/// How many conditions of a rule others are hung below.
pub(super) fn branches(args: &[SyscallArg]) -> u32 {
    let is_equality = |arg: &SyscallArg| matches!(arg.op.as_str(), "SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ");
    if args.iter().all(is_equality) { 0 } else { args.len() as u32 }
}

pub(super) fn check(rules: &[Rule<'_>]) -> Result<()> {
    let mut calls: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.branches > 1) {
        let (count, most) = calls.entry(rule.name).or_default();
        *count += 1;
        *most = rule.branches.max(*most);
    }
    match calls.iter().find(|(_, (count, most))| count.saturating_pow(*most) > MOST) {
        None => Ok(()),
        Some((name, (count, _))) => Err(Error::new(format!(
            "linux.seccomp.syscalls: {count} rules for {name} compare several arguments, and not for equality alone: \
             no program can be made of so many"
        ))
        .hint("compare one argument in each rule, or for SCMP_CMP_EQ and SCMP_CMP_MASKED_EQ")),
    }
}
