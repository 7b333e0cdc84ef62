//! What `create` and `run` have in common: from the command line to a container whose process is ready.

use std::os::fd::AsFd;
use std::path::Path;

use bumpalo::Bump;
use clap::ArgMatches;

use super::{Global, Systemd, in_user_namespace, text};
use crate::cgroup::systemd;
use crate::error::{Context, Error, Result};
use crate::plan::{Request, SecurityModules, rootfs, seccomp};
use crate::pod::{Flags, Membership};
use crate::run::console::Console;
use crate::run::handover::Handover;
use crate::run::{Created, Creation, idmap, notify};
use crate::spec::config::Spec;
use crate::state::{Container, OCI_VERSION, State};
use crate::{cgroup, log, plan, spec, state};

pub struct Made {
    pub container: Container,
    pub state: State,
    pub created: Created,
}

impl Made {
    /// The pid file is what callers wait for, so it comes last.
    pub fn write_pid_file(&self, args: &ArgMatches) -> Result<()> {
        self.created.process.write_file(text(args, "pid-file"))
    }

    /// Takes everything back.
    pub fn undo(self) {
        if let Err(e) = crate::run::destroy(self.container, &self.state) {
            log::warn(&format!("undo: {e}"));
        }
    }
}

pub fn make(
    global: &Global,
    args: &ArgMatches,
    (preserve, listen_env): (u32, Vec<String>),
    detached: bool,
    wait_for_start: bool,
) -> Result<Made> {
    let id = super::id(args)?;
    if global.root.join(id).exists() {
        return Err(Error::new("container with given ID already exists").path(global.root.join(id)));
    }
    let bundle = text(args, "bundle").unwrap_or(".");
    let bundle = std::fs::canonicalize(bundle).at("bundle", bundle)?;
    let spec::Document { mut spec, text: document, written } = spec::load(&bundle)?;
    let flags = Flags { pod: text(args, "pod"), join: text(args, "join") };
    let membership = Membership::find(&global.pods, &global.root, flags, &spec)?;
    membership.apply(&mut spec, id, global.systemd.is_some())?;
    let rootfs = rootfs::locate(&bundle, spec.root.as_ref())?;
    let container_dir = global.root.join(id);
    let notify_dir = notify::host_socket()
        // A bind mount shows it to the container.
        .filter(|_| spec.linux.namespaces.iter().any(|ns| ns.kind == "mount"))
        .map(|_| notify::directory(&container_dir));
    if let (Some(_), Some(process)) = (&notify_dir, &mut spec.process) {
        notify::announce(&mut process.env);
    }
    let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
    let console = Console::plan(terminal, detached, text(args, "console-socket").map(Path::new))?;
    if let Some(process) = &mut spec.process {
        console.set_size(process);
    }
    let pidfd_socket = Handover::pidfd(text(args, "pidfd-socket").map(Path::new))?;

    let host = cgroup::Host::detect()?;
    let mut systemd = connect(global, &host)?;
    let driver = cgroup::Driver::of(systemd.as_ref(), &spec.annotations);
    let mut cgroup = cgroup::plan(&host, &spec.linux, id, global.rootless, driver)?;
    for warning in &cgroup.warnings {
        log::warn(warning);
    }
    let seccomp = spec.linux.seccomp.as_ref().map_or(Ok(None), seccomp::plan)?;
    log_unknown_syscalls(seccomp.as_ref());
    let agent = Handover::seccomp(spec.linux.seccomp.as_ref(), seccomp.as_ref())?;
    let planned = if global.rootless { cgroup.cgroup.within_reach() } else { cgroup.cgroup.clone() };
    let arena = Bump::new();
    let request = Request {
        spec: &spec,
        written,
        id,
        bundle: &bundle,
        rootfs,
        no_pivot: args.get_flag("no-pivot"),
        new_keyring: !args.get_flag("no-new-keyring"),
        preserve,
        extra_env: listen_env,
        notify_dir,
        wait_for_start,
        seccomp: seccomp.as_ref(),
        shm: membership.shm.as_ref(),
        cgroup: &planned,
        rootless: global.rootless,
        in_user_namespace: in_user_namespace(),
        setgroups_denied: setgroups_denied(&spec),
        modules: SecurityModules::detect(),
    };
    let plan = plan::plan(&arena, &request)?;

    plan.log();
    state::prepare_root(&global.root)?;
    let new_keyring = request.new_keyring;
    let pod = membership.pod();
    let mut state = State { new_keyring, pod, ..new_state(&spec, (id, &bundle, &request.rootfs), planned.clone()) };
    let container = Container::create(&global.root, &state)?;
    let creation = Creation {
        plan: &plan,
        document: &document,
        cgroup: &mut cgroup,
        systemd: systemd.as_mut().map(|(manager, _)| manager),
        seccomp: seccomp.as_ref(),
        hooks: &spec.hooks,
        preserve,
        wait_for_start,
        go_ahead: !wait_for_start && request.notify_dir.is_none(),
        container: &container,
        state: &mut state,
        console,
        agent,
        agent_metadata: spec.linux.seccomp.as_ref().map_or("", |seccomp| &seccomp.listener_metadata),
        hooks_ran: false,
    };
    let prepared = request.notify_dir.as_deref().map_or(Ok(()), notify::prepare);
    let prepared = prepared.and_then(|()| membership.enroll(id, &container_dir));
    let created = match prepared.and_then(|()| creation.create()) {
        Ok(created) => created,
        Err(error) => {
            if let Some(pod) = &state.pod {
                let _ = std::fs::remove_file(pod.link(id));
            }
            if let Err(e) = container.remove() {
                log::warn(&format!("undo: {e}"));
            }
            return Err(error);
        }
    };
    let made = Made { container, state, created };
    match pidfd_socket.map_or(Ok(()), |socket| socket.send("standard", made.created.pidfd.as_fd())) {
        Ok(()) => Ok(made),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}

/// Before anything is made: who cannot be reached cannot be asked for a cgroup.
pub fn connect(global: &Global, host: &cgroup::Host) -> Result<Option<(systemd::Manager, systemd::Facts)>> {
    let Some(whose) = global.systemd else { return Ok(None) };
    systemd::check_host(host)?;
    let mut manager = systemd::Manager::connect(&systemd::Bus::find(whose == Systemd::User)?)?;
    let facts = manager.facts()?;
    Ok(Some((manager, facts)))
}

pub fn new_state(spec: &Spec, (id, bundle, rootfs): (&str, &Path, &Path), cgroup: cgroup::Cgroup) -> State {
    State {
        oci_version: OCI_VERSION.into(),
        id: id.into(),
        bundle: bundle.into(),
        rootfs: rootfs.into(),
        created: log::now(),
        owner: rustix::process::geteuid().as_raw(),
        annotations: spec.annotations.clone(),
        process: None,
        ready: false,
        init: None,
        cgroup,
        new_keyring: true,
        own_pid_namespace: spec.linux.namespaces.iter().any(|ns| ns.kind == "pid" && ns.path.is_empty()),
        steps_after_start: Default::default(),
        poststart: spec.hooks.poststart.clone(),
        poststop: spec.hooks.poststop.clone(),
        pod: None,
    }
}

/// Profiles are written for more architectures and newer kernels than one machine has: no reason to fail, or to warn.
fn log_unknown_syscalls(filter: Option<&seccomp::Filter<'_>>) {
    let unknown = filter.map(seccomp::Filter::unknown_syscalls).unwrap_or_default();
    if !unknown.is_empty() {
        log::debug(|| format!("linux.seccomp: libseccomp does not know {}", unknown.join(", ")));
    }
}

/// Sockets that a service manager opened for us (sd_listen_fds(3)) are for the container, whose process is PID 1.
fn listen_fds() -> (u32, Vec<String>) {
    let var = |name| std::env::var(name).ok();
    let ours = var("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    match var("LISTEN_FDS").and_then(|count| count.parse::<u32>().ok()) {
        Some(count) if ours && count > 0 => {
            let mut env = vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_string()];
            env.extend(var("LISTEN_FDNAMES").map(|names| format!("LISTEN_FDNAMES={names}")));
            (count, env)
        }
        _ => (0, Vec::new()),
    }
}

/// How many descriptors the container keeps, and what its environment says of them. To be asked before any of our own
/// is opened: one that the caller has not opened would be taken for it.
pub fn preserved(args: &ArgMatches) -> Result<(u32, Vec<String>)> {
    let (listen, env) = listen_fds();
    Ok((super::preserved(args, listen)?, env))
}

/// In a user namespace whose group map was written without privilege, now or by whoever made ours.
fn setgroups_denied(spec: &Spec) -> bool {
    let new_user = spec.linux.namespaces.iter().any(|ns| ns.kind == "user" && ns.path.is_empty());
    (new_user && idmap::denies_setgroups(&spec.linux.gid_mappings))
        || (in_user_namespace()
            && std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny"))
}
