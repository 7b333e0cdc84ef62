//! What `create` and `run` have in common: from the command line to a container whose process is ready.

use std::path::PathBuf;

use bumpalo::Bump;
use clap::ArgMatches;
use rustix::io::fcntl_getfd;

use super::{Global, in_user_namespace, text};
use crate::error::{Context, Error, Result};
use crate::plan::{Request, rootfs, seccomp};
use crate::run::console::Console;
use crate::run::{Created, Creation, idmap, notify};
use crate::spec::config::Spec;
use crate::state::{Container, OCI_VERSION, State, write_aside};
use crate::{cgroup, log, plan, spec, state};

pub struct Made {
    pub container: Container,
    pub state: State,
    pub created: Created,
}

impl Made {
    /// The pid file is what callers wait for, so it comes last.
    pub fn write_pid_file(&self, args: &ArgMatches) -> Result<()> {
        match text(args, "pid-file") {
            Some(path) => write_aside(path.as_ref(), self.created.process.pid.to_string().as_bytes(), 0o644),
            None => Ok(()),
        }
    }

    /// Takes everything back.
    pub fn undo(self) {
        if let Err(e) = super::delete::destroy(self.container, &self.state) {
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
    if text(args, "pidfd-socket").is_some() {
        return Err(Error::new("--pidfd-socket: not supported"));
    }
    if global.root.join(id).exists() {
        return Err(Error::new("container with given ID already exists").path(global.root.join(id)));
    }
    let bundle = text(args, "bundle").unwrap_or(".");
    let bundle = std::fs::canonicalize(bundle).at("bundle", bundle)?;
    let mut spec = spec::load(&bundle)?;
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
    let console = Console::plan(terminal, detached, text(args, "console-socket").map(PathBuf::from).as_deref())?;

    let mut cgroup = cgroup::plan(&cgroup::Host::detect()?, &spec.linux, id, global.rootless)?;
    for warning in &cgroup.warnings {
        log::warn(warning);
    }
    let seccomp = spec.linux.seccomp.as_ref().map_or(Ok(None), seccomp::plan)?;
    let planned = if global.rootless { cgroup.cgroup.within_reach() } else { cgroup.cgroup.clone() };
    let arena = Bump::new();
    let request = Request {
        spec: &spec,
        id,
        bundle: &bundle,
        rootfs: rootfs.clone(),
        no_pivot: args.get_flag("no-pivot"),
        new_keyring: !args.get_flag("no-new-keyring"),
        preserve,
        extra_env: listen_env,
        notify_dir,
        wait_for_start,
        seccomp: seccomp.as_ref(),
        cgroup: &planned,
        rootless: global.rootless,
        in_user_namespace: in_user_namespace(),
        setgroups_denied: setgroups_denied(&spec),
        selinux: std::path::Path::new("/sys/fs/selinux/enforce").exists(),
        apparmor: enabled("/sys/module/apparmor/parameters/enabled"),
    };
    let plan = plan::plan(&arena, &request)?;

    for (index, step) in plan.steps.iter().enumerate() {
        log::debug(|| format!("step {index}: {}", plan::describe(step)));
    }
    state::prepare_root(&global.root)?;
    let mut state = new_state(id, bundle.clone(), rootfs, &spec, planned.clone());
    let container = Container::create(&global.root, &state)?;
    let creation = Creation {
        plan: &plan,
        cgroup: &mut cgroup,
        seccomp: seccomp.as_ref(),
        hooks: &spec.hooks,
        preserve,
        wait_for_start,
        go_ahead: !wait_for_start && request.notify_dir.is_none(),
        container: &container,
        state: &mut state,
        console,
    };
    let prepared = request.notify_dir.as_deref().map_or(Ok(()), notify::prepare);
    let created = match prepared.and_then(|()| creation.create()) {
        Ok(created) => created,
        Err(error) => {
            if let Err(e) = container.remove() {
                log::warn(&format!("undo: {e}"));
            }
            return Err(error);
        }
    };
    Ok(Made { container, state, created })
}

fn new_state(id: &str, bundle: PathBuf, rootfs: PathBuf, spec: &Spec, cgroup: cgroup::Cgroup) -> State {
    let own_pid = spec.linux.namespaces.iter().any(|ns| ns.kind == "pid" && ns.path.is_empty());
    State {
        oci_version: OCI_VERSION.into(),
        id: id.into(),
        bundle,
        rootfs,
        created: log::now(),
        owner: rustix::process::geteuid().as_raw(),
        annotations: spec.annotations.clone(),
        process: None,
        ready: false,
        init: None,
        cgroup,
        own_pid_namespace: own_pid,
        steps_after_start: Default::default(),
        poststart: spec.hooks.poststart.clone(),
        poststop: spec.hooks.poststop.clone(),
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
    let preserve = listen.saturating_add(args.get_one::<u32>("preserve-fds").copied().unwrap_or(0));
    for fd in 3..3u32.saturating_add(preserve) {
        fcntl_getfd(hilum_sys::process::borrow(i32::try_from(fd).unwrap_or(i32::MAX)))
            .map_err(Error::from)
            .context(format!("--preserve-fds: file descriptor {fd} is not open"))?;
    }
    Ok((preserve, env))
}

/// In a user namespace whose group map was written without privilege, now or by whoever made ours.
fn setgroups_denied(spec: &Spec) -> bool {
    let new_user = spec.linux.namespaces.iter().any(|ns| ns.kind == "user" && ns.path.is_empty());
    (new_user && idmap::denies_setgroups(&spec.linux.gid_mappings))
        || (in_user_namespace()
            && std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny"))
}

fn enabled(path: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.starts_with('Y'))
}
