//! `linux.seccomp`: from names in config.json to the classic BPF program that the kernel runs at every system call.
//!
//! `plan` looks at everything that can be wrong and is cheap. `compile` takes milliseconds for a usual profile, so the
//! parent calls it while the child mounts. What is accepted, and what it means, is as in runc.

mod enosys;
mod growth;
mod names;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Read, Seek};

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, ScmpVersion};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Serialize;

use names::{
    ACTIONS, ARCHS, Arch, FLAGS, NEW_LISTENER, OPERATORS, SPEC_ALLOW, WAIT_KILLABLE_RECV, has_wait_killable, lookup,
};
pub use names::{known_actions, known_archs, known_flags, known_operators, supported_flags};

use crate::conflict::Conflicts;
use crate::error::{Context, Error, Result};
use crate::spec::config::{Seccomp, SyscallArg, SyscallRule};

/// The kernel's MAX_ERRNO; libseccomp refuses more.
const MAX_ERRNO: u32 = 4095;
/// The kernel's BPF_MAXINSNS.
const MAX_INSTRUCTIONS: usize = 4096;
const INSTRUCTION_SIZE: usize = 8;
/// A rule takes an instruction or more, unless it says what another one has said.
const MOST_RULES: usize = 4096;
/// A system call has no more arguments than this.
const MAX_ARGS: u32 = 6;

/// libseccomp's version, `x.y.z`.
pub fn version() -> String {
    ScmpVersion::current().map(|v| v.to_string()).unwrap_or_default()
}

/// Whether this kernel takes filters at all.
pub fn is_known_to_kernel() -> bool {
    hilum_sys::process::knows_seccomp_flags(0)
}

/// A profile that was found valid, not yet compiled.
#[derive(Debug)]
pub struct Filter<'a> {
    config: &'a Seccomp,
    default: ScmpAction,
    /// The native one first.
    archs: Vec<Arch>,
    flags: u32,
    rules: Vec<Rule<'a>>,
    /// Every name in the profile, also of rules that need no instructions.
    names: Vec<&'a str>,
    unknown: Vec<&'a str>,
}

/// What a filter is, for people.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub default_action: String,
    pub rules: usize,
    pub architectures: Vec<&'static str>,
    pub flags: Vec<&'static str>,
}

#[derive(Debug)]
struct Rule<'a> {
    name: &'a str,
    syscall: ScmpSyscall,
    action: ScmpAction,
    /// All of them must hold.
    conditions: Vec<ScmpArgCompare>,
    branches: u32,
}

/// Rejects, with the path of the property, what can not be compiled; `None` if there is nothing to install.
pub fn plan<'c>(config: &'c Seccomp, conflicts: &mut Conflicts) -> Option<Filter<'c>> {
    if config.default_action.is_empty() && config.syscalls.is_empty() {
        return None;
    }
    let mut filter = Filter {
        config,
        default: conflicts.note("linux.seccomp.defaultAction", default_action(config)).unwrap_or(ScmpAction::Allow),
        archs: conflicts.note("linux.seccomp.architectures", architectures(config)).unwrap_or_default(),
        flags: 0,
        rules: Vec::new(),
        names: config.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str).collect(),
        unknown: Vec::new(),
    };
    for (i, rule) in config.syscalls.iter().enumerate() {
        conflicts.note(format_args!("linux.seccomp.syscalls[{i}]"), filter.add_rule(i, rule));
    }
    conflicts.note("linux.seccomp.syscalls", growth::check(&filter.rules));
    filter.flags = conflicts.note("linux.seccomp.flags", flags(config)).unwrap_or_default();
    Some(filter)
}

fn default_action(config: &Seccomp) -> Result<ScmpAction> {
    let default = lookup("action", ACTIONS, &config.default_action).context("linux.seccomp.defaultAction")?;
    let default = with_value(default, config.default_errno_ret).context("linux.seccomp.defaultErrnoRet")?;
    if default == ScmpAction::Notify {
        // As runc refuses it.
        return Err(Error::new("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default action")
            .hint("name the system calls in a rule"));
    }
    Ok(default)
}

/// The native architecture always belongs to a filter, also where the profile lists others only.
fn architectures(config: &Seccomp) -> Result<Vec<Arch>> {
    let native = ScmpArch::native();
    let mut archs: Vec<_> = ARCHS.iter().map(|(_, arch)| *arch).filter(|arch| arch.scmp == native).collect();
    // An empty filter costs microseconds, and knows which architectures this library can have in one program.
    let mut probe = ScmpFilterContext::new(ScmpAction::Allow).map_err(lib).context("linux.seccomp")?;
    for (i, name) in config.architectures.iter().enumerate() {
        let at = || format!("linux.seccomp.architectures[{i}]");
        let arch = lookup("architecture", ARCHS, name).with_context(at)?;
        let refused = |e| lib(e).context(format!("{name} cannot be filtered together with the native architecture"));
        probe.add_arch(arch.scmp).map_err(refused).with_context(at)?;
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    Ok(archs)
}

fn flags(config: &Seccomp) -> Result<u32> {
    if config.listener_path.is_empty() && !config.listener_metadata.is_empty() {
        return Err(Error::new("linux.seccomp.listenerMetadata: there is no linux.seccomp.listenerPath to send it to")
            .hint("remove it, or give the path"));
    }
    let notify = config.syscalls.iter().any(|rule| rule.action == "SCMP_ACT_NOTIFY" && !rule.names.is_empty());
    if notify && config.listener_path.is_empty() {
        return Err(Error::new("linux.seccomp.listenerPath: missing, but a rule has the action SCMP_ACT_NOTIFY")
            .hint("give the path of the socket where the agent listens"));
    }
    let mut flags = if notify { NEW_LISTENER } else { 0 };
    if config.flags.is_none() {
        // Without it, every process under the filter would pay for the mitigation of Speculative Store Bypass.
        flags |= SPEC_ALLOW;
    }
    for (i, name) in config.flags.iter().flatten().enumerate() {
        let at = || format!("linux.seccomp.flags[{i}]");
        let flag = lookup("flag", FLAGS, name).with_context(at)?;
        if flag == WAIT_KILLABLE_RECV && !has_wait_killable() {
            let text = format!("this kernel does not know {name}");
            return Err(Error::new(text).context(at()).hint("it came with Linux 5.19; remove it"));
        }
        if flag == WAIT_KILLABLE_RECV && !notify {
            return Err(Error::new(format!("{name} needs a rule with the action SCMP_ACT_NOTIFY")).context(at()));
        }
        flags |= flag;
    }
    Ok(flags)
}

/// `errnoRet`, which only two actions have (config-linux.md, "Seccomp").
fn with_value(action: ScmpAction, value: Option<u32>) -> Result<ScmpAction> {
    let Some(value) = value else { return Ok(action) };
    let range = |max| Error::new(format!("{value} is not in 0 to {max}"));
    match action {
        ScmpAction::Errno(_) if value > MAX_ERRNO => Err(range(MAX_ERRNO)),
        ScmpAction::Errno(_) => Ok(ScmpAction::Errno(value as i32)),
        ScmpAction::Trace(_) => u16::try_from(value).map(ScmpAction::Trace).map_err(|_| range(u16::MAX.into())),
        _ => Err(Error::new(format!("{value}: the action has no errno")).hint("remove it")),
    }
}

/// The sets of conditions under which one rule of the profile applies: a single one, of which all must hold. But
/// libseccomp compares an argument only once in a rule: where one is named twice, any of the conditions will do.
fn alternatives(rule: usize, args: &[SyscallArg]) -> Result<Vec<Vec<ScmpArgCompare>>> {
    let mut conditions = Vec::with_capacity(args.len());
    let (mut seen, mut twice) = (0u32, false);
    for (i, arg) in args.iter().enumerate() {
        let at = |property| format!("linux.seccomp.syscalls[{rule}].args[{i}].{property}");
        let op = lookup("operator", OPERATORS, &arg.op).with_context(|| at("op"))?;
        if arg.index >= MAX_ARGS {
            return Err(Error::new(format!("{} is not in 0 to {}", arg.index, MAX_ARGS - 1)).context(at("index")));
        }
        twice |= seen & (1 << arg.index) != 0;
        seen |= 1 << arg.index;
        conditions.push(match op {
            ScmpCompareOp::MaskedEqual(_) => {
                ScmpArgCompare::new(arg.index, ScmpCompareOp::MaskedEqual(arg.value), arg.value_two)
            }
            op => ScmpArgCompare::new(arg.index, op, arg.value),
        });
    }
    Ok(if twice { conditions.into_iter().map(|condition| vec![condition]).collect() } else { vec![conditions] })
}

/// libseccomp's error in the project's words.
fn lib(e: SeccompError) -> Error {
    Error::new(format!("libseccomp: {e}"))
}

impl<'a> Filter<'a> {
    /// The kernel takes no larger one.
    pub const LARGEST_PROGRAM: usize = MAX_INSTRUCTIONS * INSTRUCTION_SIZE;

    /// What it was planned from.
    pub fn profile(&self) -> &'a Seccomp {
        self.config
    }

    /// SECCOMP_FILTER_FLAG_* for seccomp(2).
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether there will be a listener, to be handed to whom the profile names.
    pub fn notifies(&self) -> bool {
        self.flags & NEW_LISTENER != 0
    }

    /// As the profile names them: its default action, how many rules, architectures, flags.
    pub fn summary(&self) -> Summary {
        let name = |(name, _): &(&'static str, _)| *name;
        Summary {
            default_action: self.config.default_action.clone(),
            rules: self.rules.len(),
            architectures: ARCHS.iter().filter(|(_, arch)| self.archs.contains(arch)).map(name).collect(),
            flags: FLAGS.iter().filter(|(_, flag)| self.flags & flag != 0).map(|(name, _)| *name).collect(),
        }
    }

    /// The names of system calls that libseccomp does not know, for the debug log: profiles are written for more
    /// architectures and newer kernels than one machine has.
    pub fn unknown_syscalls(&self) -> &[&'a str] {
        &self.unknown
    }

    fn add_rule(&mut self, i: usize, rule: &'a SyscallRule) -> Result<()> {
        let at = |property| format!("linux.seccomp.syscalls[{i}].{property}");
        let action = lookup("action", ACTIONS, &rule.action).with_context(|| at("action"))?;
        let action = with_value(action, rule.errno_ret).with_context(|| at("errnoRet"))?;
        let alternatives = alternatives(i, &rule.args)?;
        let branches = if alternatives.len() == 1 { growth::branches(&rule.args) } else { 0 };
        if self.rules.len().saturating_add(alternatives.len().saturating_mul(rule.names.len())) > MOST_RULES {
            return Err(Error::new(format!(
                "linux.seccomp.syscalls[{i}]: the profile has more than {MOST_RULES} rules"
            ))
            .hint("a name in a list is a rule, and the kernel takes programs of 4096 instructions"));
        }
        for (j, name) in rule.names.iter().enumerate() {
            let reject = |why| Err(Error::new(why).context(format!("linux.seccomp.syscalls[{i}].names[{j}]")));
            if name.is_empty() {
                return reject("an empty name");
            }
            // As runc refuses it, which writes when it hands over the listener.
            if action == ScmpAction::Notify && name == "write" {
                return reject("SCMP_ACT_NOTIFY cannot be used for write");
            }
            // libseccomp refuses a rule that changes nothing.
            if action == self.default {
                continue;
            }
            let Ok(syscall) = ScmpSyscall::from_name(name) else {
                self.unknown.push(name);
                continue;
            };
            let rule = |conditions: &Vec<_>| Rule { name, syscall, action, conditions: conditions.clone(), branches };
            self.rules.extend(alternatives.iter().map(rule));
        }
        Ok(())
    }

    /// The program, an array of `struct sock_filter`.
    pub fn compile(&self) -> Result<Vec<u8>> {
        let mut program = enosys::stub(self);
        program.extend(self.translate().context("compile linux.seccomp")?);
        let instructions = program.len() / INSTRUCTION_SIZE;
        if instructions > MAX_INSTRUCTIONS {
            let what = format!("the program has {instructions} instructions, the kernel takes {MAX_INSTRUCTIONS}");
            return Err(Error::new(what).context("compile linux.seccomp"));
        }
        Ok(program)
    }

    /// Whether it may be one; the kernel looks at each instruction.
    pub fn is_program(bytes: &[u8]) -> bool {
        !bytes.is_empty() && bytes.len() <= Self::LARGEST_PROGRAM && bytes.len() % INSTRUCTION_SIZE == 0
    }

    fn translate(&self) -> Result<Vec<u8>> {
        let mut context = ScmpFilterContext::new(self.default).map_err(lib)?;
        for arch in &self.archs {
            context.add_arch(arch.scmp).map_err(lib)?;
        }
        // A binary search for the number of the system call, not a list of comparisons. libseccomp up to 2.5.4
        // generates nonsense from it if there are no rules; below some 32 there is nothing to win either.
        if self.rules.len() > 32 {
            context.set_ctl_optimize(2).map_err(lib)?;
        }
        for rule in &self.rules {
            let added = context.add_rule_conditional(rule.action, rule.syscall, &rule.conditions);
            added.map_err(lib).with_context(|| format!("add the rule for {}", rule.name))?;
        }
        let mut file = File::from(memfd_create("seccomp", MemfdFlags::CLOEXEC).context("create a memfd")?);
        context.export_bpf(&file).map_err(lib)?;
        let mut program = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut program)).context("read the program")?;
        Ok(program)
    }
}
