//! `exec`: another process in a container that runs.

use std::os::fd::AsFd;
use std::path::Path;

use bumpalo::Bump;
use clap::ArgMatches;
use hilum_sys::signal::SignalFd;

use super::{Global, text, texts};
use crate::cgroup::Cgroup;
use crate::conflict::Conflicts;
use crate::error::{Context, Error, Kind, Result};
use crate::plan::scheduling::Affinity;
use crate::plan::{self, seccomp};
use crate::privilege;
use crate::run::console::Console;
use crate::run::exec::Exec;
use crate::run::handover::Handover;
use crate::run::{Created, foreground};
use crate::spec::config::{Capabilities, Process, Spec};
use crate::state::{Identity, State, Status, document};
use crate::{log, proc, spec};

/// The code of a failure of our own: the codes below may be the process's.
const FAILED: u8 = 255;

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    exec(global, args).or_else(|error| {
        log::fatal(&error.context("exec failed"));
        Ok(FAILED)
    })
}

fn exec(global: &Global, args: &ArgMatches) -> Result<u8> {
    proc::check()?;
    let preserve = super::preserved(args, 0)?;
    let dir = global.root.join(super::id(args)?);
    let state = super::state_of(global, args)?;
    match state.status()? {
        Status::Stopped => return Err(Error::new("cannot exec in a stopped container")),
        Status::Creating => return Err(Error::new("cannot exec in a container that is not created")),
        Status::Paused if !args.get_flag("ignore-paused") => {
            return Err(Error::new("cannot exec in a paused container (use --ignore-paused to override)"));
        }
        Status::Created | Status::Running | Status::Paused => {}
    }
    let gone = || Error::new("container not running").with_kind(Kind::NotRunning);
    let init = state.process.ok_or_else(gone)?;
    // It may end, and be deleted, at any moment: then whatever failed, failed for that.
    execute(args, &dir, &state, init, preserve).map_err(|error| match state.status() {
        Ok(Status::Stopped) => error.context("container not running").with_kind(Kind::NotRunning),
        _ => error,
    })
}

fn execute(args: &ArgMatches, dir: &Path, state: &State, init: Identity, preserve: u32) -> Result<u8> {
    let detach = args.get_flag("detach");
    let spec = document(dir)?;
    let mut process = process(args, &spec)?;
    let console = Console::plan(process.terminal, detach, text(args, "console-socket").map(Path::new))?;
    console.set_size(&mut process);
    let pidfd_socket = Handover::pidfd(text(args, "pidfd-socket").map(Path::new))?;
    let cgroup = cgroup(args, &state.cgroup, init.pid)?;
    let filter =
        Conflicts::none(|conflicts| spec.linux.seccomp.as_ref().and_then(|config| seccomp::plan(config, conflicts)))?;

    let agent = Handover::seccomp(spec.linux.seccomp.as_ref(), filter.as_ref())?;

    let affinity = Affinity::of(&process)?;
    let arena = Bump::new();
    let request = plan::exec::Request {
        spec: &spec,
        process: &process,
        id: &state.id,
        init: init.open()?.ok_or_else(|| Error::new("its process has ended"))?,
        pid: init.pid,
        new_keyring: state.new_keyring,
        seccomp: filter.as_ref(),
        cpus: affinity.last.as_deref(),
    };
    let plan = plan::exec::plan(&arena, request)?;
    plan.log();
    let exec = Exec {
        plan: &plan,
        cpus: affinity.initial.as_deref(),
        cgroup: &cgroup,
        seccomp: filter.as_ref(),
        preserve,
        console,
        agent,
        agent_metadata: spec.linux.seccomp.as_ref().map_or("", |seccomp| &seccomp.listener_metadata),
        state,
    };
    let mut created = exec.create()?;
    let signals = match let_go(args, &mut created, detach, pidfd_socket) {
        Ok(signals) => signals,
        Err(error) => {
            created.kill();
            return Err(error);
        }
    };
    let Some(signals) = signals else { return Ok(0) };
    let code = foreground::hold(&created.process, &created.pidfd, &signals, created.terminal.take())?;
    Ok(u8::try_from(code).unwrap_or(FAILED))
}

/// The signals are those that are the process's from then on. Not before: who waits for a paused container to be resumed can
/// be interrupted, and the process that has not executed yet ends with its runtime.
fn let_go(
    args: &ArgMatches,
    created: &mut Created,
    detach: bool,
    pidfd_socket: Option<Handover>,
) -> Result<Option<SignalFd>> {
    let signals =
        if detach { None } else { Some(SignalFd::all().context("block signals").map_err(privilege::forbidden)?) };
    pidfd_socket.map_or(Ok(()), |socket| socket.send("setns", created.pidfd.as_fd()))?;
    created.execute(None)?;
    created.process.write_file(text(args, "pid-file"))?;
    Ok(signals)
}

/// What is to run: a document of its own, or the container's process with what the options change.
fn process(args: &ArgMatches, spec: &Spec) -> Result<Process> {
    let container = spec.process.clone().ok_or_else(|| Error::new("process: missing"))?;
    if let Some(path) = text(args, "process") {
        let mut process: Process = spec::load_part(Path::new(path))?;
        inherit(&mut process, container);
        return Ok(process);
    }
    let mut process = container;
    process.args = texts(args, "command");
    process.terminal = args.get_flag("tty");
    process.console_size = None;
    process.env.extend(texts(args, "env"));
    let set = |to: &mut String, name: &str| {
        if let Some(value) = text(args, name) {
            *to = value.to_string();
        }
    };
    set(&mut process.cwd, "cwd");
    set(&mut process.selinux_label, "process-label");
    set(&mut process.apparmor_profile, "apparmor");
    if args.value_source("no-new-privs") == Some(clap::parser::ValueSource::CommandLine) {
        process.no_new_privileges = args.get_flag("no-new-privs");
    }
    if let Some(user) = text(args, "user") {
        let number = |text: &str| {
            text.parse::<u32>().map_err(|_| Error::new(format!("--user: {user:?} is not UID or UID:GID, in numbers")))
        };
        let (uid, gid) = user.split_once(':').map_or((user, None), |(uid, gid)| (uid, Some(gid)));
        process.user.uid = number(uid)?;
        if let Some(gid) = gid {
            process.user.gid = number(gid)?;
        }
    }
    for gid in texts(args, "additional-gids") {
        let gid = gid.parse().map_err(|_| Error::new(format!("--additional-gids: {gid:?} is not a group id")))?;
        process.user.additional_gids.push(gid);
    }
    let added = texts(args, "cap");
    if !added.is_empty() {
        // Not the ambient ones, which would have to be inheritable, too.
        let own = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut own.bounding, &mut own.effective, &mut own.permitted] {
            set.extend(added.iter().cloned());
        }
    }
    Ok(process)
}

/// What confines the container holds for a process that does not say otherwise, and so does when and where it runs.
fn inherit(process: &mut Process, container: Process) {
    process.scheduler = process.scheduler.take().or(container.scheduler);
    process.io_priority = process.io_priority.take().or(container.io_priority);
    process.exec_cpu_affinity = process.exec_cpu_affinity.take().or(container.exec_cpu_affinity);
    process.capabilities = process.capabilities.take().or(container.capabilities);
    if process.rlimits.is_empty() {
        process.rlimits = container.rlimits;
    }
    for (own, of_container) in [
        (&mut process.apparmor_profile, container.apparmor_profile),
        (&mut process.selinux_label, container.selinux_label),
    ] {
        if own.is_empty() {
            *own = of_container;
        }
    }
}

/// Where the process goes: `--cgroup [CONTROLLER,…:]PATH` below the container's cgroup, in all hierarchies or in those of
/// the controllers.
fn cgroup(args: &ArgMatches, container: &Cgroup, init: i32) -> Result<Cgroup> {
    let mut cgroup = container.clone();
    let wanted = texts(args, "cgroup");
    if wanted.is_empty() {
        return Ok(cgroup.or_of_process(init));
    }
    for text in wanted {
        let (controllers, path) = text.split_once(':').unwrap_or(("", &text));
        let controllers: Vec<&str> = controllers.split(',').filter(|name| !name.is_empty()).collect();
        for below in container.below(path, &controllers).context("--cgroup")?.directories {
            cgroup.replace(below);
        }
    }
    Ok(cgroup)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[&str]) -> Result<Process> {
        let line = [&["hilum", "exec"], options, &["id", "sh", "-c", "x"]].concat();
        let matches = crate::cli::command().try_get_matches_from(line).unwrap();
        let spec: Spec = spec::parse(spec::example(false, false).as_bytes()).unwrap();
        process(matches.subcommand_matches("exec").unwrap(), &spec)
    }

    #[test]
    fn options_change_the_containers_process() {
        let it =
            parsed(&["--user", "7:8", "-g", "9", "-g", "10", "-e", "A=1", "--cwd", "/x", "-c", "CAP_BPF"]).unwrap();
        assert_eq!(it.args, ["sh", "-c", "x"]);
        assert_eq!((it.user.uid, it.user.gid, it.user.additional_gids), (7, 8, vec![9, 10]));
        assert_eq!((it.cwd.as_str(), it.env.last().map(String::as_str)), ("/x", Some("A=1")));
        assert!(!it.terminal && it.no_new_privileges);
        let own = it.capabilities.unwrap();
        assert!(own.permitted.contains(&"CAP_BPF".into()) && !own.ambient.contains(&"CAP_BPF".into()));
    }

    #[test]
    fn what_is_not_said_stays_and_what_is_wrong_is_named() {
        let it = parsed(&["--user", "7"]).unwrap();
        assert_eq!((it.user.uid, it.user.gid), (7, 0));
        assert!(!parsed(&["--no-new-privs=false"]).unwrap().no_new_privileges);
        for bad in [["--user", "root"], ["--user", "1:x"], ["-g", "-1"], ["-g", "wheel"]] {
            let error = parsed(&bad).unwrap_err().to_string();
            assert!(error.starts_with("--user") || error.starts_with("--additional-gids"), "{error}");
        }
    }
}
