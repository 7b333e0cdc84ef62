//! config.json → plan: everything that can be decided or rejected, before anything exists.
//!
//! A plan is data: the steps that the child will take, in order, and what the parent has to do around it. Making one
//! opens and verifies descriptors; it changes nothing. (What it has to have made, a user namespace for id-mapped mounts and
//! the bare mount namespace, the caller gives it: `Request::user_namespace` and `bare`.)

pub mod bare;
mod bits;
mod builder;
pub mod capability;
mod cgroup_mount;
mod describe;
mod detail;
mod device;
pub mod exec;
mod hooks;
mod idmap;
pub mod idmapped;
pub mod memory_policy;
pub mod mount;
pub mod names;
pub mod namespace;
pub mod net_device;
pub mod options;
mod passwd;
mod process;
pub mod rootfs;
pub mod sandbox;
pub mod scheduling;
pub mod seccomp;
mod sysctl;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bumpalo::Bump;
use hilum_init::step::{Point, Step};
use hilum_sys::namespace::Kind;

pub use builder::Builder;
pub use describe::describe;
pub use detail::{detail, topic};
pub use idmap::IdMaps;

use crate::cgroup::Cgroup;
use crate::conflict::Conflicts;
use crate::error::{Error, Result};
use crate::log;
use crate::spec::{Written, config::Spec};
use namespace::{Namespaces, Origin};

/// What is asked for: the document, and what the command line and the host add to it.
pub struct Request<'s> {
    pub spec: &'s Spec,
    /// When the document was written, as far as that is known.
    pub written: Option<Written>,
    pub id: &'s str,
    /// The bundle's directory, absolute.
    pub bundle: &'s Path,
    /// root.path, found and absolute.
    pub rootfs: &'s Path,
    pub no_pivot: bool,
    pub new_keyring: bool,
    /// LISTEN_FDS and the like, which only the caller of the runtime knows.
    pub extra_env: Vec<String>,
    /// `create`: the process waits until `start` knocks.
    pub wait_for_start: bool,
    /// Where the container's own notify socket will be; shown to it as /run/notify.
    pub notify_dir: Option<PathBuf>,
    pub seccomp: Option<&'s seccomp::Filter<'s>>,
    /// What is mounted on /dev/shm, in the place of what the document says: that of a pod or of another container.
    pub shm: Option<&'s OwnedFd>,
    /// How to get a mount namespace that the container's may be copied from, instead of the host's.
    pub bare: Option<&'s dyn Fn() -> Option<OwnedFd>>,
    /// A user namespace with these maps, for mounts.
    pub user_namespace: &'s dyn Fn(&IdMaps) -> Result<OwnedFd>,
    /// What there will be of it; no directory, for a rootless runtime that may not make any. `None`: it could not be planned.
    pub cgroup: Option<&'s Cgroup>,
    pub rootless: bool,
    /// The runtime runs in a user namespace itself: no mknod, whatever the container's namespaces.
    pub in_user_namespace: bool,
    pub setgroups_denied: bool,
    pub modules: SecurityModules,
}

/// The security modules of the host, whose labels can be had only where they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecurityModules {
    pub selinux: bool,
    pub apparmor: bool,
}

impl SecurityModules {
    pub fn detect() -> Self {
        let apparmor = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        Self {
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            apparmor: apparmor.is_ok_and(|text| text.starts_with('Y')),
        }
    }
}

pub struct Plan<'a> {
    pub steps: Vec<Step<'a>>,
    /// What the child inherits.
    pub fds: Vec<OwnedFd>,
    /// The namespaces that the parent's clone makes; none if stage one makes them.
    pub clone_kinds: u32,
    /// Stage one runs in a process of its own, which forks the container's first one.
    pub stage_one: bool,
    pub id_maps: Option<IdMaps>,
    pub namespaces: Vec<(Kind, Origin)>,
    /// What the parent moves to the container's network namespace.
    pub net_devices: Vec<net_device::Move>,
    /// Whom the container's cgroup is given to.
    pub cgroup_owner: Option<u32>,
    /// For the message, should the child be killed for it.
    pub memory_limit: Option<i64>,
    /// Why it cannot be carried out; the steps are incomplete then.
    pub conflicts: Conflicts,
    pub warnings: Vec<String>,
}

impl<'a> Plan<'a> {
    /// Of a process that needs nothing but its steps, and namespaces that the clone makes.
    fn of_steps(b: Builder<'a>, clone_kinds: u32) -> Self {
        Plan {
            steps: b.steps,
            fds: b.fds,
            clone_kinds,
            stage_one: false,
            id_maps: None,
            namespaces: Vec::new(),
            net_devices: Vec::new(),
            cgroup_owner: None,
            memory_limit: None,
            conflicts: b.conflicts,
            warnings: b.warnings,
        }
    }

    /// What may surprise, and for `--debug` each step, in words.
    pub fn log(&self) {
        for warning in &self.warnings {
            log::warn(warning);
        }
        for (index, step) in self.steps.iter().enumerate() {
            log::debug(|| format!("step {index}: {}", describe(step)));
        }
    }
}

/// The order, from top to bottom.
pub fn plan<'a>(arena: &'a Bump, req: &Request<'_>) -> Plan<'a> {
    let mut b = Builder::new(arena);
    check(&mut b, req.spec);
    let mut ns = Namespaces::plan(&req.spec.linux.namespaces, req.written, &mut b.conflicts);
    if let Some(bare) = req.bare.filter(|_| bare::suits(req, &ns)) {
        ns.bare = bare();
    }
    let id_maps = IdMaps::plan(&req.spec.linux, &ns, &mut b.conflicts);
    let offsets = b.part("linux.timeOffsets", |_| time_offsets(req.spec, &ns)).flatten();
    let net_devices = net_device::plan(req, &ns, &mut b.conflicts);
    let stage_one = ns.needs_stage_one();

    let mut behind = Builder::new(arena);
    rootfs::plan(&mut behind, req, &ns);
    process::plan(&mut behind, req, &ns);

    // Stage one: what must be done before the container's first process is cloned. Where that is nothing, the parent's
    // own clone is enough, and the rest of this is done by the container's process itself.
    let score = req.spec.process.as_ref().and_then(|process| process.oom_score_adj);
    b.part("process.oomScoreAdj", |b| process::oom_score(b, score)); // a lower one needs rights in the host's user namespace
    match req.cgroup.is_some_and(|cgroup| cgroup.unit.is_some()) {
        true => b.push(Step::Wait(Point::Cgroup)),
        false => b.push(Step::EnterCgroup),
    }
    let cgroup_owner = cgroup_mount::owner(req.spec, &ns);
    let new_net = ns.is_new(Kind::Net);
    let namespaces = ns.origins();
    let clone_kinds = enter_namespaces(&mut b, ns, offsets, 0);
    if req.new_keyring {
        b.part("process.selinuxLabel", |b| session_keyring(b, req));
    }
    if new_net {
        b.push(Step::LoopbackUp);
    }
    if !net_devices.is_empty() {
        b.push(Step::Wait(Point::NetDevices));
    }
    b.append(behind);
    let memory_limit = memory_limit(req.spec);
    Plan { stage_one, id_maps, namespaces, net_devices, cgroup_owner, memory_limit, ..Plan::of_steps(b, clone_kinds) }
}

/// Joins and makes the namespaces, and those of the kinds in `private` besides, up to where the process is in all of them.
/// Returns what the parent's clone has to make.
fn enter_namespaces(b: &mut Builder<'_>, mut ns: Namespaces, offsets: Option<String>, private: u32) -> u32 {
    let stage_one = ns.needs_stage_one();
    let bare = ns.bare.take();
    let mut later = vec![Kind::User, Kind::Time, Kind::Cgroup];
    later.extend(bare.as_ref().map(|_| Kind::Mount));
    let clone_kinds = ns.new_flags(&later) | private;
    let (new_time, new_cgroup) = (ns.is_new(Kind::Time), ns.is_new(Kind::Cgroup));
    let (new_user, user) = (ns.is_new(Kind::User), ns.is_private(Kind::User));
    if !stage_one {
        b.push(Step::NotDumpable);
    }
    for join in ns.into_joins() {
        let kind = join.kind.flag();
        let fd = b.pass(join.ns);
        b.push(Step::Join { kind, fd });
    }
    if new_user {
        b.push(Step::Unshare { kinds: Kind::User.flag() });
        b.push(Step::Wait(Point::IdMaps));
    }
    if new_time {
        b.push(Step::Unshare { kinds: Kind::Time.flag() });
    }
    if let Some(lines) = offsets {
        // Before the ids change: that makes /proc/self the host root's.
        let lines = b.part("linux.timeOffsets", |b| b.text(lines, "linux.timeOffsets"));
        b.steps.extend(lines.map(|lines| Step::TimeOffsets { lines }));
    }
    if user {
        b.push(Step::BecomeRoot);
    }
    if stage_one {
        b.push(Step::NotDumpable);
        b.push(Step::Fork { kinds: clone_kinds });
    }
    if let Some(bare) = bare {
        let from = b.pass(bare);
        b.push(Step::UnshareMounts { from });
    }
    if new_cgroup {
        // Its root is the cgroup that the process is in at this moment.
        b.push(Step::Unshare { kinds: Kind::Cgroup.flag() });
    }
    if stage_one { 0 } else { clone_kinds }
}

fn session_keyring(b: &mut Builder<'_>, req: &Request<'_>) -> Result<()> {
    let name = b.text(format!("_ses.{}", req.id), "id")?;
    let label = req.spec.process.as_ref().map(|process| process.selinux_label.as_str()).unwrap_or_default();
    let label = match req.modules.selinux && !label.is_empty() {
        true => Some(b.text(label, "process.selinuxLabel")?),
        false => None,
    };
    b.push(Step::SessionKeyring { name, label });
    Ok(())
}

fn memory_limit(spec: &Spec) -> Option<i64> {
    spec.linux.resources.as_ref()?.memory.as_ref()?.limit.filter(|limit| *limit > 0)
}

/// What no single part of the plan looks at.
fn check(b: &mut Builder<'_>, spec: &Spec) {
    hooks::check(b, &spec.hooks);
    refuse_others(b, spec);
}

/// A document for another platform, or for a virtual machine, does not say what a container here is to be.
fn refuse_others(b: &mut Builder<'_>, spec: &Spec) {
    for (is_there, property, what) in [
        (spec.solaris.is_some(), "solaris", "it is for Solaris"),
        (spec.windows.is_some(), "windows", "it is for Windows"),
        (spec.zos.is_some(), "zos", "it is for z/OS"),
        (spec.freebsd.is_some(), "freebsd", "it is for FreeBSD"),
        (spec.vm.is_some(), "vm", "it asks for a virtual machine"),
    ] {
        let refused =
            || Error::new(format!("{property}: {what}, and this makes containers of Linux")).hint("remove it");
        b.part(property, |_| if is_there { Err(refused()) } else { Ok(()) });
    }
}

/// The lines of /proc/PID/timens_offsets (time_namespaces(7)).
fn time_offsets(spec: &Spec, ns: &Namespaces) -> Result<Option<String>> {
    let offsets = &spec.linux.time_offsets;
    if offsets.is_empty() {
        return Ok(None);
    }
    if !ns.is_new(Kind::Time) {
        return Err(Error::new(
            "linux.timeOffsets: time namespace offsets specified, but there is no new time namespace",
        )
        .hint("add {\"type\": \"time\"} to linux.namespaces"));
    }
    let mut lines = String::new();
    for (clock, offset) in offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::new(format!("linux.timeOffsets: {clock:?} is neither monotonic nor boottime")));
        }
        if offset.nanosecs > 999_999_999 {
            return Err(Error::new(format!(
                "linux.timeOffsets.{clock}.nanosecs: {} is a second or more",
                offset.nanosecs
            )));
        }
        lines.push_str(&format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
    }
    Ok(Some(lines))
}
