//! What a step is called when it fails: a verb and its object, as a person would say it.

use hilum_init::step::{Bind, Point, Source, Step, Str};
use hilum_sys::namespace::Kind;

use super::process::{DOMAINS, RLIMITS};
use super::{bits, memory_policy, names, scheduling};

fn text(text: Str<'_>) -> std::borrow::Cow<'_, str> {
    text.0.to_string_lossy()
}

fn kinds(flags: u32) -> String {
    let names: Vec<_> = Kind::ALL.into_iter().filter(|kind| flags & kind.flag() != 0).map(Kind::spec_name).collect();
    names.join(", ")
}

fn limit(value: u64) -> String {
    if value == u64::MAX { "unlimited".into() } else { value.to_string() }
}

pub fn describe(step: &Step<'_>) -> String {
    match step {
        Step::Join { kind, .. } => format!("join the {} namespace", kinds(*kind)),
        Step::EnterRoot { .. } => "chroot into the root of the container's process".into(),
        Step::Unshare { kinds: flags } => format!("create a {} namespace", kinds(*flags)),
        Step::UnshareMounts { .. } => "create a mount namespace without the host's mounts".into(),
        Step::BecomeRoot => "become root of the user namespace".into(),
        Step::TimeOffsets { .. } => "set linux.timeOffsets".into(),
        Step::Fork { kinds: 0 } => "start the container's process".into(),
        Step::Fork { kinds: flags } => format!("start the container's process with new {} namespaces", kinds(*flags)),
        Step::EnterCgroup => "enter the container's cgroup".into(),
        Step::NotDumpable => "hide from the container's processes (PR_SET_DUMPABLE)".into(),
        Step::Wait(Point::Cgroup) => "wait until systemd has moved the process to the container's cgroup".into(),
        Step::Wait(Point::IdMaps) => "wait for the user namespace's id maps".into(),
        Step::Wait(Point::NetDevices) => "wait for the network devices of the host".into(),
        Step::Wait(Point::RuntimeHooks) => "wait for the runtime's hooks".into(),
        Step::Wait(Point::HookState) => "wait for the hook's state".into(),
        Step::Wait(Point::Seccomp) => "wait for the seccomp program".into(),
        Step::Wait(Point::Ready) => "report that the container is created".into(),
        Step::SessionKeyring { .. } => "join a new session keyring (--no-new-keyring does without)".into(),
        Step::LoopbackUp => "bring up the loopback interface".into(),
        Step::Propagation { .. } => "set the propagation of the mount namespace".into(),
        Step::PrivateParent { path } => format!("make the mount that holds {} private", text(*path)),
        Step::OpenRoot { path, .. } | Step::AttachRoot { path, .. } => {
            format!("mount the root file system {}", text(*path))
        }
        Step::OpenRootInPlace { path } => format!("open the root file system {}", text(*path)),
        Step::Mount(it) if it.copy_up => {
            format!("mount {} on {}, with a copy of what is there", text(it.fs), text(it.target))
        }
        Step::Mount(it) => format!("mount {} on {}", text(it.fs), text(it.target)),
        Step::Bind(Bind { source: Source::Path(path) | Source::Tree { path, .. }, target, .. }) => {
            format!("bind {} on {}", text(*path), text(*target))
        }
        Step::Remount { target, .. } => format!("change the mount flags of {}", text(*target)),
        Step::Directory { path } => format!("make the directory {}", text(*path)),
        Step::Node { path, .. } => format!("make the device {}", text(*path)),
        Step::Symlink { path, to, .. } => format!("link {} to {}", text(*path), text(*to)),
        Step::Console { .. } => "open the container's terminal".into(),
        Step::Mask { path } => format!("mask {}", text(*path)),
        Step::ReadonlyPath { path } => format!("make {} read-only", text(*path)),
        Step::ReadonlyRoot => "make the root file system read-only".into(),
        Step::Pivot { .. } => "pivot_root into the root file system".into(),
        Step::MoveRoot(_) => "move the root file system to /".into(),
        Step::Chroot => "chroot into the root file system".into(),
        Step::RootPropagation { .. } => "set linux.rootfsPropagation on /".into(),
        Step::Hook(it) => format!("run {} {}", text(it.name), text(it.path)),
        Step::Hostname { name } => format!("set the hostname {}", text(*name)),
        Step::Domainname { name } => format!("set the domainname {}", text(*name)),
        Step::ProcWrite { path, value, .. } => format!("write {} to /proc/{}", text(*value), text(*path)),
        Step::NewSession => "start a new session".into(),
        Step::Rlimit { resource, soft, hard } => {
            let name = RLIMITS.get(*resource as usize).copied().unwrap_or_default();
            format!("set {name} to {}, at most {}", limit(*soft), limit(*hard))
        }
        Step::Scheduler(it) => format!("set process.scheduler to {}", names::of(scheduling::POLICIES, it.policy)),
        Step::IoPriority { class, level } => {
            format!("set process.ioPriority to {}, {level}", names::of(scheduling::IO_CLASSES, *class))
        }
        Step::Affinity { cpus } => format!("set the CPUs of process.execCPUAffinity.final, {}", bits::list(*cpus)),
        Step::MemoryPolicy { mode, .. } => format!("set linux.memoryPolicy to {}", memory_policy::name(*mode)),
        Step::Personality { domain } => format!("set linux.personality to {}", names::of(DOMAINS, *domain)),
        Step::NoNewPrivileges => "set no_new_privs".into(),
        Step::Seccomp { .. } => "install the seccomp filter".into(),
        Step::OwnStdio { uid, .. } => format!("give the standard streams to user {uid}"),
        Step::BoundingSet { .. } => "drop capabilities from the bounding set".into(),
        Step::User { uid, gid, .. } => format!("become user {uid}:{gid}"),
        Step::Capabilities(_) => "set the capabilities".into(),
        Step::Umask { mask } => format!("set the umask {mask:o}"),
        Step::Chdir { path, .. } => format!("chdir to cwd ({:?}) set in config.json", text(*path)),
        Step::FindProgram { .. } => "find the program".into(),
        Step::AwaitStart => "wait for start".into(),
        Step::Exec { args, .. } => {
            let program = args.iter().next().map(|arg| arg.to_string_lossy()).unwrap_or_default();
            format!("exec {program:?}")
        }
        Step::Reap => "reap orphans".into(),
        Step::End => "end, and leave the namespaces".into(),
    }
}
