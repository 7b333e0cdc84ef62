//! A failure in the child, put into words: the parent holds the same list of steps.

use hilum_init::step::{Scheduler, Step, Str};
use hilum_sys::namespace::Kind;
use rustix::io::Errno;
use rustix::process::WaitIdStatus;
use rustix::thread::CapabilitySet;

use crate::cgroup::Cgroup;
use crate::error::{Error, NO_MORE_PROCESSES, errno_text};
use crate::plan::scheduling::{DEADLINE, FIFO, ISO, RR};
use crate::plan::{Plan, describe};
use crate::privilege;
use crate::state::StepNames;

/// The errno of a step, with what the step was doing, on which path, and what helps.
pub fn step(step: Option<&Step<'_>>, errno: Errno, detail: &str) -> Error {
    let Some(step) = step else {
        return Error::from(errno).context("read the plan");
    };
    if let Some(error) = program(step, errno) {
        return error.step(describe(step));
    }
    let mut error = match (step, errno) {
        (Step::Hook(_), Errno::CANCELED) => Error::new(detail),
        _ if detail.is_empty() => Error::from(errno),
        _ => Error::from(errno).context(detail),
    };
    error = error.context(describe(step)).step(describe(step));
    if let Some(path) = path(step) {
        error = error.path(path.0.to_string_lossy().as_ref());
    }
    match hint(step, errno) {
        Some(hint) => error.hint(hint),
        None => match capabilities(step) {
            Some(needed) => privilege::needs(error.on_disk(), needed),
            None => error.on_disk(),
        },
    }
}

/// What a process must have to do the step.
fn capabilities(step: &Step<'_>) -> Option<CapabilitySet> {
    Some(match step {
        Step::Join { .. } | Step::Chroot | Step::EnterRoot { .. } => {
            CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_CHROOT
        }
        Step::LoopbackUp => CapabilitySet::NET_ADMIN,
        Step::Node { .. } => CapabilitySet::MKNOD,
        Step::BoundingSet { .. } => CapabilitySet::SETPCAP,
        Step::User { .. } | Step::BecomeRoot => CapabilitySet::SETUID | CapabilitySet::SETGID,
        Step::EnterCgroup | Step::Directory { .. } | Step::Symlink { .. } => CapabilitySet::DAC_OVERRIDE,
        Step::Unshare { .. }
        | Step::UnshareMounts { .. }
        | Step::Fork { .. }
        | Step::Propagation { .. }
        | Step::PrivateParent { .. }
        | Step::OpenRoot { .. }
        | Step::AttachRoot { .. }
        | Step::Mount(_)
        | Step::Bind(_)
        | Step::Remount { .. }
        | Step::Mask { .. }
        | Step::ReadonlyPath { .. }
        | Step::ReadonlyRoot
        | Step::Pivot { .. }
        | Step::MoveRoot(_)
        | Step::RootPropagation { .. }
        | Step::Hostname { .. }
        | Step::Domainname { .. } => CapabilitySet::SYS_ADMIN,
        // Of these, no capability is missing.
        Step::Capabilities(_)
        | Step::SessionKeyring { .. }
        | Step::Seccomp { .. }
        | Step::NoNewPrivileges
        | Step::Wait(_) => CapabilitySet::empty(),
        _ => return None,
    })
}

/// Callers look for these texts, and choose the exit code of `docker run` by them: in lower case, as runc writes them.
fn program(step: &Step<'_>, errno: Errno) -> Option<Error> {
    let name = |args: &hilum_init::step::Strs<'_>| {
        args.iter().next().map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let reason = errno_text(errno).to_lowercase();
    let text = match step {
        Step::FindProgram { program, .. } => {
            let program = program.0.to_string_lossy();
            match errno {
                Errno::NOENT | Errno::NOTDIR if !program.contains('/') => {
                    format!("exec: {program:?}: executable file not found in $PATH")
                }
                Errno::NOENT | Errno::NOTDIR => format!("exec: {program:?}: stat {program}: {reason}"),
                // The first is runc's text, the second what execve(2) would say and older clients look for.
                Errno::ISDIR => format!("exec: {program:?}: {reason}: permission denied"),
                _ => format!("exec: {program:?}: {reason}"),
            }
        }
        Step::Exec { args, .. } => format!("exec {}: {reason}", name(args)),
        Step::Chdir { path, .. } => {
            format!("chdir to cwd ({:?}) set in config.json failed: {reason}", path.0.to_string_lossy())
        }
        _ => return None,
    };
    Some(with_hint(Error::from(errno).replace(format!("unable to start container process: {text}")), errno))
}

fn path<'s>(step: &Step<'s>) -> Option<Str<'s>> {
    match step {
        Step::Mount(it) => Some(it.target),
        Step::Bind(it) => Some(it.target),
        Step::Remount { target: path, .. }
        | Step::PrivateParent { path }
        | Step::OpenRoot { path, .. }
        | Step::AttachRoot { path, .. }
        | Step::OpenRootInPlace { path }
        | Step::Directory { path }
        | Step::Node { path, .. }
        | Step::Symlink { path, .. }
        | Step::Mask { path }
        | Step::ReadonlyPath { path } => Some(*path),
        Step::Hook(it) => Some(it.path),
        _ => None,
    }
}

fn hint(step: &Step<'_>, errno: Errno) -> Option<&'static str> {
    match (step, errno) {
        (Step::Rlimit { .. }, Errno::PERM) => Some("raising a hard limit needs CAP_SYS_RESOURCE on the host"),
        (Step::Scheduler(it), errno) => scheduler_hint(it, errno),
        (Step::IoPriority { .. }, Errno::PERM) => Some("IOPRIO_CLASS_RT needs CAP_SYS_NICE on the host"),
        (Step::Affinity { .. }, Errno::INVAL) => Some("one of them must be online, and in the container's cpuset"),
        (Step::MemoryPolicy { .. }, Errno::INVAL) => {
            Some("the nodes must be online and in the container's cpuset, and this kernel must know the mode and flags")
        }
        (Step::MemoryPolicy { .. }, Errno::NOSYS) => {
            Some("this kernel was built without NUMA: remove linux.memoryPolicy")
        }
        (Step::Mount(_), Errno::NODEV) => Some("this kernel does not know the file system (see /proc/filesystems)"),
        (Step::Pivot { .. }, Errno::INVAL) => Some("where / is an initramfs, pivot_root cannot work: use --no-pivot"),
        (Step::SessionKeyring { .. }, Errno::DQUOT) => {
            Some("the keyring quota of this user is used up (/proc/sys/kernel/keys/maxkeys), or use --no-new-keyring")
        }
        (Step::Fork { .. }, Errno::NOMEM) => Some("the joined pid namespace has lost its PID 1"),
        (Step::Fork { .. }, Errno::AGAIN) => Some(
            "the limit on processes is reached (linux.resources.pids.limit must leave room for one more, or RLIMIT_NPROC)",
        ),
        (Step::Unshare { .. } | Step::UnshareMounts { .. } | Step::Fork { .. }, Errno::NOSPC) => {
            Some("a limit of /proc/sys/user/max_*_namespaces is reached")
        }
        _ => None,
    }
}

fn scheduler_hint(it: &Scheduler, errno: Errno) -> Option<&'static str> {
    match (it.policy, errno) {
        (DEADLINE, Errno::PERM) => Some(
            "SCHED_DEADLINE needs CAP_SYS_NICE on the host, and all CPUs: no linux.resources.cpu.cpus, no CPU affinity",
        ),
        (FIFO | RR, Errno::PERM) => Some(
            "that needs CAP_SYS_NICE on the host, or RLIMIT_RTPRIO; and with cgroup v1, linux.resources.cpu.realtimeRuntime",
        ),
        (_, Errno::PERM) => Some("a lower nice value needs CAP_SYS_NICE on the host, or RLIMIT_NICE"),
        (DEADLINE, Errno::INVAL) => Some("the kernel wants 1024 ns <= runtime <= deadline <= period (sched(7))"),
        (ISO, Errno::INVAL) => Some("Linux has reserved SCHED_ISO, and has not written it"),
        (DEADLINE, Errno::BUSY) => Some("the CPUs have not as much time left for SCHED_DEADLINE: a shorter runtime"),
        (_, Errno::OPNOTSUPP) => {
            Some("this kernel was built without CONFIG_UCLAMP_TASK: remove SCHED_FLAG_UTIL_CLAMP_*")
        }
        _ => None,
    }
}

/// The same in `start`, which has only the names of the steps that were left.
pub fn late(steps: &StepNames, at: usize, errno: Errno, detail: &str) -> Error {
    let name = at.checked_sub(steps.first).and_then(|i| steps.names.get(i)).cloned();
    let name = name.unwrap_or_else(|| format!("step {at}"));
    let cause = match detail {
        "" => Error::from(errno),
        detail => Error::from(errno).replace(format!("{detail} ({})", errno_text(errno).to_lowercase())),
    };
    let text = format!("unable to start container process: {name}: {}", cause.to_string().to_lowercase());
    with_hint(cause.replace(text).step(name), errno)
}

/// Of what is executed.
fn with_hint(error: Error, errno: Errno) -> Error {
    match errno {
        Errno::TOOBIG => error.hint(
            "execve(2) takes 128 KiB for one argument or variable, and for all of them a quarter of RLIMIT_STACK, \
             6 MiB at the most",
        ),
        _ => error,
    }
}

/// The same failure, if it is one of memory: the kernel kills with no word to anybody, or says ENOMEM.
pub fn for_want_of_memory(error: Error, limit: Option<i64>, cgroup: &Cgroup) -> Error {
    let killed = || error.detail().errno.is_none() && cgroup.oom_kills() > 0;
    match limit {
        Some(limit) if error.detail().errno == Some(Errno::NOMEM) || killed() => error.hint(too_small(limit)),
        None if killed() => error.hint("the memory limit of a cgroup above the container's is too small for its init"),
        _ => error,
    }
}

/// Where a container was to start that has ended: before, while it waited, or after.
pub fn stopped(cgroup: &Cgroup) -> Error {
    let error = Error::new("cannot start a container that has stopped");
    match (cgroup.oom_kills(), cgroup.memory_limit()) {
        (0, _) => error,
        (_, Some(limit)) => error.hint(format!("it ran out of memory: its limit is {limit} bytes")),
        (_, None) => error.hint("it ran out of memory: of the limit of a cgroup above its own"),
    }
}

/// The clone itself, or the execution of the init program, failed.
pub fn spawn(errno: Errno, plan: &Plan<'_>) -> Error {
    let error = Error::from(errno).context(describe(&Step::Fork { kinds: plan.clone_kinds }));
    match errno {
        // E2BIG: execve(2) got no page for the stack. The init program's arguments are few.
        Errno::NOMEM | Errno::TOOBIG => match plan.memory_limit {
            Some(limit) => error.hint(too_small(limit)),
            None => error,
        },
        Errno::INVAL => match missing_in_kernel(plan) {
            Some(missing) => error.hint(format!("this kernel has no {missing} namespaces")),
            None => error,
        },
        Errno::PERM if rustix::process::geteuid().is_root() => privilege::needs(error, CapabilitySet::SYS_ADMIN),
        Errno::PERM => error.hint("only root may do this without a user namespace in linux.namespaces"),
        Errno::NOSPC => error.hint("a limit of /proc/sys/user/max_*_namespaces is reached"),
        Errno::AGAIN => error.hint(NO_MORE_PROCESSES),
        _ => error,
    }
}

fn too_small(limit: i64) -> String {
    format!("the memory limit of {limit} bytes is too small for the container's init")
}

/// The first kind of those asked for that this kernel was built without.
fn missing_in_kernel(plan: &Plan<'_>) -> Option<&'static str> {
    let missing = |kind: &Kind| !std::path::Path::new("/proc/self/ns").join(kind.proc_name()).exists();
    let asked = |kind: &Kind| plan.clone_kinds & kind.flag() != 0;
    Kind::ALL.into_iter().filter(asked).find(missing).map(Kind::spec_name)
}

/// The init program ended and said nothing.
pub fn silent(plan: &Plan<'_>, at: usize, status: Option<WaitIdStatus>) -> Error {
    let doing = plan.steps.get(at).map(describe).unwrap_or_default();
    let how = match status {
        Some(status) if status.killed() || status.dumped() => {
            format!("killed by signal {}", status.terminating_signal().unwrap_or_default())
        }
        Some(status) => format!("ended with status {}", status.exit_status().unwrap_or_default()),
        None => "ended".to_string(),
    };
    let error = Error::new(format!("init {how} at step {at}, {doing}")).step(doing);
    match (status.and_then(|status| status.terminating_signal()), plan.memory_limit) {
        (Some(9), Some(limit)) => error.hint(format!("the memory limit of {limit} bytes may be too small")),
        _ => error,
    }
}
