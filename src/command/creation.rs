//! What `create` and `run` have in common: from a bundle to a container whose process is ready.

use std::os::fd::AsFd;
use std::path::Path;

use clap::ArgMatches;

use super::preparation::{Bundle, Prepared, Wish, bundle_path, membership_flags, prepare, take_part};
use super::{Global, text};
use crate::conflict::Conflicts;
use crate::error::Result;
use crate::plan::seccomp;
use crate::pod::{Flags, Membership};
use crate::run::console::Console;
use crate::run::handover::Handover;
use crate::run::{Created, Creation, bare, forget, notify};
use crate::state::{Container, OCI_VERSION, State};
use crate::{cgroup, log, state};

/// A container that is asked for.
pub struct Options<'o> {
    pub id: &'o str,
    pub bundle: &'o Path,
    pub membership: Flags<'o>,
    pub no_pivot: bool,
    pub keep_keyring: bool,
    pub console_socket: Option<&'o Path>,
    pub pidfd_socket: Option<&'o Path>,
    /// How many descriptors it keeps, and what its environment says of them.
    pub preserved: (u32, Vec<String>),
    /// Nobody waits for it.
    pub detached: bool,
    /// It executes when `start` says so.
    pub wait_for_start: bool,
}

impl<'o> Options<'o> {
    pub fn new(id: &'o str, bundle: &'o Path) -> Self {
        Self {
            id,
            bundle,
            membership: Flags::default(),
            no_pivot: false,
            keep_keyring: false,
            console_socket: None,
            pidfd_socket: None,
            preserved: (0, Vec::new()),
            detached: false,
            wait_for_start: false,
        }
    }

    /// To be asked before any descriptor of our own is opened: one that the caller has not opened would be taken for it.
    pub fn of(args: &'o ArgMatches) -> Result<Self> {
        Ok(Self {
            membership: membership_flags(args),
            no_pivot: args.get_flag("no-pivot"),
            keep_keyring: args.get_flag("no-new-keyring"),
            console_socket: text(args, "console-socket").map(Path::new),
            pidfd_socket: text(args, "pidfd-socket").map(Path::new),
            preserved: preserved(args)?,
            ..Self::new(super::id(args)?, bundle_path(args))
        })
    }
}

pub struct Made {
    pub container: Container,
    pub state: State,
    pub created: Created,
}

impl Made {
    /// The state is saved: from here on the process may outlive us.
    pub fn leave(self, pid_file: Option<&str>) -> Result<()> {
        // The pid file is what callers wait for, so it comes last.
        match self.created.channel.go().and_then(|()| self.created.process.write_file(pid_file)) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// Takes everything back.
    pub fn undo(mut self) {
        let net_devices = self.created.net_devices.take();
        if let Err(e) = crate::run::destroy(self.container, &self.state) {
            log::warn(&format!("undo: {e}"));
        }
        if let Some(moved) = net_devices {
            moved.give_back();
        }
    }
}

pub fn make(global: &Global, options: Options<'_>) -> Result<Made> {
    let id = options.id;
    global.refuse_directory_of_pods(id)?;
    state::refuse_taken(&global.root, id)?;
    let mut bundle = Conflicts::none(|conflicts| Bundle::load(options.bundle, conflicts))??;
    let membership = take_part(global, options.membership, id, &mut bundle.document.spec)?;
    let console = Console::plan(bundle.has_terminal(), options.detached, options.console_socket)?;
    if let Some(process) = &mut bundle.document.spec.process {
        console.set_size(process);
    }
    let pidfd_socket = Handover::pidfd(options.pidfd_socket)?;
    let (preserve, listen_env) = options.preserved;
    let wish = Wish {
        id,
        no_pivot: options.no_pivot,
        new_keyring: !options.keep_keyring,
        extra_env: listen_env,
        wait_for_start: options.wait_for_start,
        shm: membership.shm.as_ref(),
        bare: &bare::get,
    };
    let made = prepare(global, bundle, wish, |prepared| carry_out(global, prepared, &membership, preserve, console))?;
    match pidfd_socket.map_or(Ok(()), |socket| socket.send("standard", made.created.pidfd.as_fd())) {
        Ok(()) => Ok(made),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}

fn carry_out(
    global: &Global,
    prepared: Prepared<'_>,
    membership: &Membership,
    preserve: u32,
    console: Console,
) -> Result<Made> {
    let Prepared { bundle, mut conflicts, surroundings, resctrl, seccomp, request, plan } = prepared;
    let mut surroundings = surroundings?;
    conflicts.check()?;
    let spec = request.spec;
    surroundings.warn();
    log_unknown_syscalls(seccomp);
    plan.log();
    let agent = Handover::seccomp(spec.linux.seccomp.as_ref(), seccomp)?;
    state::prepare_root(&global.root)?;
    let planned = request.cgroup.cloned().unwrap_or_default();
    let (new_keyring, pod) = (request.new_keyring, membership.pod());
    let groups = resctrl.as_ref().map(|plan| plan.groups.clone());
    let mut state = State { new_keyring, pod, resctrl: groups, ..new_state(request.id, bundle, planned) };
    let container = Container::create(&global.root, request.id)?;
    let creation = Creation {
        plan: &plan,
        document: &bundle.document.text,
        cgroup: &mut surroundings.cgroup,
        systemd: surroundings.systemd.as_mut().map(|(manager, _)| manager),
        resctrl: resctrl.as_ref(),
        seccomp,
        hooks: &spec.hooks,
        preserve,
        wait_for_start: request.wait_for_start,
        go_ahead: !request.wait_for_start && request.notify_dir.is_none(),
        container: &container,
        state: &mut state,
        console,
        agent,
        agent_metadata: spec.linux.seccomp.as_ref().map_or("", |seccomp| &seccomp.listener_metadata),
        hooks_ran: false,
        net_devices: None,
    };
    let entered = container.enter(creation.state);
    let prepared = entered.and_then(|()| request.notify_dir.as_deref().map_or(Ok(()), notify::prepare));
    match prepared.and_then(|()| creation.create()) {
        Ok(created) => Ok(Made { container, state, created }),
        Err(error) => {
            forget(&error, container, &state);
            Err(error)
        }
    }
}

pub fn new_state(id: &str, bundle: &Bundle, cgroup: cgroup::Cgroup) -> State {
    let spec = &bundle.document.spec;
    State {
        oci_version: OCI_VERSION.into(),
        id: id.into(),
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        created: log::now(),
        owner: crate::privilege::user().as_raw(),
        annotations: spec.annotations.clone(),
        process: None,
        ready: false,
        init: None,
        cgroup,
        resctrl: None,
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

fn preserved(args: &ArgMatches) -> Result<(u32, Vec<String>)> {
    let (listen, env) = listen_fds();
    Ok((super::preserved(args, listen)?, env))
}
