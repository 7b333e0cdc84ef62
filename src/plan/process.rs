//! process: who it is, what it may do, and what is executed. The order is the kernel's: what needs a right comes before
//! the right goes.

use std::collections::BTreeSet;

use hilum_init::step::{self, Step};
use hilum_sys::namespace::Kind;

use super::namespace::Namespaces;
use super::seccomp::Filter;
use super::{Builder, Request, SecurityModules, capability, hooks, memory_policy, names, passwd, scheduling, sysctl};
use crate::error::{Error, Result};
use crate::spec::config::{self, Process};
use crate::spec::limits::ENTRIES;

/// getrlimit(2); the numbers of x86, arm and most others.
pub(super) const RLIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// linux/personality.h
pub(super) const DOMAINS: &names::Table = &[("LINUX", 0), ("LINUX32", 8)];

const DEFAULT_UMASK: u32 = 0o022;
/// Of arguments and environment, with a pointer to each string, whatever RLIMIT_STACK is (execve(2)).
const MOST_TO_EXECUTE: usize = 6 << 20;
/// The kernel's __NEW_UTS_LEN.
const LONGEST_HOSTNAME: usize = 64;
/// The kernel's NAME_MAX.
const LONGEST_NAME: usize = 255;

/// A process on its way into a container: the first one, or one that joins it later.
pub struct Subject<'s> {
    pub process: &'s Process,
    /// What the container's document says of all its processes.
    pub linux: &'s config::Linux,
    pub seccomp: Option<&'s Filter<'s>>,
    /// Where it may find its HOME, if the environment has none.
    pub home: &'s dyn Fn() -> Option<String>,
    /// LISTEN_FDS and the like, which only the caller of the runtime knows.
    pub extra_env: &'s [String],
    pub setgroups_denied: bool,
    pub modules: SecurityModules,
}

/// Everything behind pivot_root.
pub fn plan(b: &mut Builder<'_>, req: &Request<'_>, ns: &Namespaces) {
    let process =
        || req.spec.process.as_ref().ok_or_else(|| Error::new("process: missing").hint("say what is to be executed"));
    let Some(process) = b.part("process", |_| process()) else { return };
    let home = || passwd::home(req.rootfs, &req.spec.mounts, req.bundle, process.user.uid);
    // For processes of `exec` alone: looked at here, so that it fails before there is a container.
    b.part("process.execCPUAffinity", |_| scheduling::Affinity::of(process));
    let subject = Subject {
        process,
        linux: &req.spec.linux,
        seccomp: req.seccomp,
        home: &home,
        extra_env: &req.extra_env,
        setgroups_denied: req.setgroups_denied,
        modules: req.modules,
    };
    b.push(Step::NewSession);
    names(b, req.spec, ns);
    sysctl::plan(b, req.spec, ns);
    let exec = prepare(b, &subject);
    if req.wait_for_start {
        b.push(Step::AwaitStart);
    }
    hooks::before_exec(b, req);
    b.steps.extend(exec);
}

/// What makes the process what it is to be, up to where it is ready; and the step that executes it, which comes last, if
/// there can be one.
pub fn prepare<'a>(b: &mut Builder<'a>, subject: &Subject<'_>) -> Option<Step<'a>> {
    let process = subject.process;
    b.part("process.args", |_| check_args(&process.args));
    b.part("process.cwd", |_| check_cwd(&process.cwd));
    b.part("process.apparmorProfile", |b| apparmor(b, &process.apparmor_profile, subject.modules));
    b.part("process.selinuxLabel", |b| selinux(b, &process.selinux_label, subject.modules));
    for (index, limit) in process.rlimits.iter().enumerate() {
        b.part(format_args!("process.rlimits[{index}]"), |b| rlimit(b, process, index, limit));
    }
    // Behind the limits, which may be what gives the right to it; before the capabilities go, and before a filter.
    scheduling::plan(b, process);
    if let Some(policy) = &subject.linux.memory_policy {
        b.part("linux.memoryPolicy", |b| memory_policy::plan(b, policy));
    }
    if let Some(config) = &subject.linux.personality {
        b.part("linux.personality", |b| personality(b, config));
    }

    let filter = subject.seccomp.map(Filter::flags);
    if filter.is_some() {
        b.push(Step::Wait(step::Point::Seccomp));
    }
    let cwd = b.part("process.cwd", |b| b.text(&process.cwd, "process.cwd"))?;
    b.push(Step::Chdir { path: cwd, again: false });
    // Without no_new_privs, a filter needs CAP_SYS_ADMIN, which the next steps take away (seccomp(2)). With it, the
    // filter comes last, and need not allow what a runtime does; unless it has a listener, which is handed over while the
    // container is being created.
    let last = process.no_new_privileges && !subject.seccomp.is_some_and(Filter::notifies);
    if let (Some(flags), false) = (filter, process.no_new_privileges) {
        b.push(Step::Seccomp { flags });
    }
    b.push(Step::OwnStdio { uid: process.user.uid, terminal: process.terminal });
    identity(b, process, subject.setgroups_denied);
    b.push(Step::Umask { mask: process.user.umask.unwrap_or(DEFAULT_UMASK) & 0o777 });
    b.push(Step::Chdir { path: cwd, again: true });
    if process.no_new_privileges {
        b.push(Step::NoNewPrivileges);
        b.steps.extend(filter.filter(|_| !last).map(|flags| Step::Seccomp { flags }));
    }
    let exec = b.part("process", |b| {
        let env = environment(subject)?;
        check_size(&process.args, &env)?;
        let name = process.args.first().map(String::as_str).unwrap_or_default();
        let program = b.text(name, "process.args[0]")?;
        b.push(Step::FindProgram { program, candidates: candidates(b, name, &env)? });
        Ok(Step::Exec {
            args: b.texts(&process.args, "process.args")?,
            env: b.texts(&env, "process.env")?,
            seccomp: filter.filter(|_| last),
        })
    });
    b.push(Step::Wait(step::Point::Ready));
    exec
}

fn check_args(args: &[String]) -> Result<()> {
    match args.first().map(String::as_str) {
        None => Err(Error::new("process.args: must not be empty").hint("name the program")),
        Some("") => {
            Err(Error::new("process.args[0]: exec: \"\": executable file not found in $PATH").hint("name the program"))
        }
        Some(_) => Ok(()),
    }
}

fn check_size(args: &[String], env: &[String]) -> Result<()> {
    let size = |texts: &[String]| texts.iter().map(|text| text.len() + 1 + size_of::<usize>()).sum::<usize>();
    let (args, env) = (size(args), size(env));
    if args.saturating_add(env) <= MOST_TO_EXECUTE {
        return Ok(());
    }
    let property = if args > env { "process.args" } else { "process.env" };
    Err(Error::new(format!(
        "{property}: arguments and environment take {} bytes, and execve(2) takes {MOST_TO_EXECUTE} at the most",
        args.saturating_add(env)
    ))
    .hint("give the data in a file"))
}

fn check_cwd(cwd: &str) -> Result<()> {
    if !cwd.starts_with('/') {
        return Err(
            Error::new(format!("process.cwd: {cwd:?} is not an absolute path")).hint("give it from the container's /")
        );
    }
    Ok(())
}

pub fn names(b: &mut Builder<'_>, spec: &config::Spec, ns: &Namespaces) {
    b.part("hostname", |b| name(b, &spec.hostname, "hostname", ns));
    b.part("domainname", |b| name(b, &spec.domainname, "domainname", ns));
}

fn name(b: &mut Builder<'_>, value: &str, property: &str, ns: &Namespaces) -> Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    if !ns.is_private(Kind::Uts) {
        return Err(Error::new(format!("{property}: unable to set {property} without a private UTS namespace"))
            .hint("add {\"type\": \"uts\"} to linux.namespaces"));
    }
    if value.len() > LONGEST_HOSTNAME {
        return Err(Error::new(format!(
            "{property}: has {} bytes, and the kernel takes {LONGEST_HOSTNAME}",
            value.len()
        )));
    }
    let is_host = property == "hostname";
    let now = || {
        let names = rustix::system::uname();
        let name = if is_host { names.nodename() } else { names.domainname() };
        Some(name.to_string_lossy().into_owned())
    };
    let name = b.text(value, property)?;
    if ns.must_set(b, Kind::Uts, (property, value), now)? {
        b.push(if is_host { Step::Hostname { name } } else { Step::Domainname { name } });
    }
    Ok(())
}

/// Files of /proc/self/attr take effect at the next exec (proc_pid_attr(5)).
fn apparmor(b: &mut Builder<'_>, profile: &str, modules: SecurityModules) -> Result<()> {
    if profile.is_empty() {
        return Ok(());
    }
    if !modules.apparmor {
        return Err(Error::new(format!(
            "process.apparmorProfile: cannot apply {profile:?}: AppArmor is not enabled on this host"
        ))
        .hint("remove the property, or boot with apparmor=1 security=apparmor"));
    }
    let value = b.text(format!("exec {profile}"), "process.apparmorProfile")?;
    // Linux 5.8 gave AppArmor a directory of its own; the old file is whichever module's comes first.
    let path = match rustix::fs::access("/proc/self/attr/apparmor/exec", rustix::fs::Access::EXISTS) {
        Ok(()) => "self/attr/apparmor/exec",
        Err(_) => "self/attr/exec",
    };
    let path = b.text(path, "")?;
    b.push(Step::ProcWrite { path, value, unless_equal: false });
    Ok(())
}

fn selinux(b: &mut Builder<'_>, label: &str, modules: SecurityModules) -> Result<()> {
    if label.is_empty() {
        return Ok(());
    }
    if !modules.selinux {
        return Err(Error::new("process.selinuxLabel: SELinux is not enabled on this host")
            .hint("remove the property, or boot with security=selinux"));
    }
    let (path, value) = (b.text("self/attr/exec", "")?, b.text(label, "process.selinuxLabel")?);
    b.push(Step::ProcWrite { path, value, unless_equal: false });
    Ok(())
}

pub fn oom_score(b: &mut Builder<'_>, score: Option<i32>) -> Result<()> {
    if let Some(score) = score {
        if !(-1000..=1000).contains(&score) {
            return Err(Error::new(format!("process.oomScoreAdj: {score} is not between -1000 and 1000")));
        }
        let (path, value) = (b.text("self/oom_score_adj", "")?, b.text(score.to_string(), "")?);
        b.push(Step::ProcWrite { path, value, unless_equal: true });
    }
    Ok(())
}

fn personality(b: &mut Builder<'_>, config: &config::Personality) -> Result<()> {
    if let Some(flag) = config.flags.first() {
        return Err(Error::new(format!("linux.personality.flags[0]: {flag:?} is not supported"))
            .hint("remove it: the specification defines no flags"));
    }
    let domain = names::number("linux.personality.domain", DOMAINS, &config.domain)?;
    b.push(Step::Personality { domain });
    Ok(())
}

fn rlimit(b: &mut Builder<'_>, process: &Process, index: usize, limit: &config::Rlimit) -> Result<()> {
    let property = format!("process.rlimits[{index}]");
    let resource = RLIMITS.iter().position(|name| *name == limit.kind);
    let resource = resource.ok_or_else(|| {
        Error::new(format!("{property}.type: unknown limit {:?}", limit.kind)).hint("getrlimit(2) has their names")
    })?;
    if process.rlimits.iter().take(index).any(|other| other.kind == limit.kind) {
        return Err(Error::new(format!("{property}.type: {} is there twice", limit.kind)).hint("remove one"));
    }
    if limit.soft > limit.hard {
        return Err(Error::new(format!(
            "{property}: the soft limit {} is above the hard limit {}",
            limit.soft, limit.hard
        )));
    }
    b.push(Step::Rlimit { resource: resource as u32, soft: limit.soft, hard: limit.hard });
    Ok(())
}

fn identity(b: &mut Builder<'_>, process: &Process, setgroups_denied: bool) {
    let none = config::Capabilities::default();
    let wanted = process.capabilities.as_ref().unwrap_or(&none);
    let mut unknown = Vec::new();
    let mut ours = capability::Bounding::default();
    let mut mask = |names| {
        let (mask, not_known) = capability::mask(names, |number| ours.has(number));
        unknown.extend(not_known);
        mask
    };
    let (bounding, effective, permitted, ambient) =
        (mask(&wanted.bounding), mask(&wanted.effective), mask(&wanted.permitted), mask(&wanted.ambient));
    mask(&wanted.inheritable);
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        b.warnings.push(format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" ")));
    }
    b.part("process.capabilities", |_| match effective & !permitted {
        0 => Ok(()),
        _ => Err(Error::new("process.capabilities.effective: holds what process.capabilities.permitted does not")
            .hint("add it to permitted, or remove it")),
    });
    b.push(Step::BoundingSet { keep: bounding });
    b.part("process.user", |_| match setgroups_denied && !process.user.additional_gids.is_empty() {
        false => Ok(()),
        true => Err(Error::new("process.user.additionalGids: setgroups is denied in this user namespace")
            .hint("map a range of group ids with newgidmap (/etc/subgid), or remove additionalGids")),
    });
    let groups = b.words(&process.user.additional_gids);
    b.push(Step::User { uid: process.user.uid, gid: process.user.gid, groups });
    // Inheritable capabilities come back with the next exec of a file that has them: they are empty, but for those that
    // the kernel wants there to make them ambient (CVE-2022-29162 and its kin).
    let ambient = ambient & permitted;
    b.push(Step::Capabilities(step::Capabilities { effective, permitted, inheritable: ambient, ambient }));
}

fn environment(subject: &Subject<'_>) -> Result<Vec<String>> {
    let given = &subject.process.env;
    if let Some(bad) = given.iter().find(|entry| !entry.contains('=') || entry.starts_with('=')) {
        return Err(Error::new(format!("process.env: {bad:?} is not NAME=VALUE")));
    }
    // Of several of one name the last counts, as with runc; a program may take the first (getenv(3) does).
    let mut seen = BTreeSet::new();
    let named = given.iter().chain(subject.extra_env).rev().map(|entry| (entry.split('=').next(), entry));
    let mut env: Vec<_> = named.filter(|(name, _)| seen.insert(*name)).map(|(_, entry)| entry.clone()).collect();
    env.reverse();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", (subject.home)().as_deref().unwrap_or("/")));
    }
    Ok(env)
}

/// Where execvp(3) would look, in the container's PATH.
fn candidates<'a>(b: &Builder<'a>, program: &str, env: &[String]) -> Result<step::Strs<'a>> {
    if program.contains('/') {
        return b.texts(&[program], "process.args");
    }
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let dirs = || path.split(':').filter(|_| !path.is_empty() && program.len() <= LONGEST_NAME);
    if dirs().count() > ENTRIES {
        return Err(Error::new(format!("process.env: PATH names more than {ENTRIES} directories")));
    }
    let candidates: Vec<_> =
        dirs().map(|dir| if dir.is_empty() { format!("./{program}") } else { format!("{dir}/{program}") }).collect();
    b.texts(&candidates, "process.env")
}
