//! `restore`: a container from the files of a checkpoint, through CRIU.

use std::os::fd::OwnedFd;
use std::path::Path;

use clap::ArgMatches;
use hilum_sys::signal::SignalFd;

use super::checkpoint::{directories, need_root, switches};
use super::{Global, text};
use crate::command::creation::new_state;
use crate::command::preparation::{Bundle, Surroundings, bundle_path, new_id};
use crate::conflict::Conflicts;
use crate::error::{Context, Error, Result};
use crate::log;
use crate::pod::refuse_members;
use crate::run::console::Console;
use crate::run::criu;
use crate::run::criu::restore::{Checkpoint, Restore, Restored, Wish};
use crate::run::{destroy, foreground, forget, run_poststart};
use crate::state::{Container, State, prepare_root};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    need_root()?;
    if args.get_flag("no-pivot") {
        return Err(Error::new("--no-pivot: CRIU always uses pivot_root(2)"));
    }
    let detach = args.get_flag("detach");
    // Before there is a process that a signal could be meant for.
    let signals = match detach {
        true => None,
        false => Some(SignalFd::all().context("block signals")?),
    };
    let adopt = !args.get_flag("no-subreaper") && !args.contains_id("one-dash");
    if !detach && adopt {
        rustix::process::set_child_subreaper(rustix::process::getpid().into()).context("become a subreaper")?;
    }
    let mut made = make(global, args, detach)?;
    let told = made.restored.process.write_file(text(args, "pid-file")).and_then(|()| run_poststart(&made.state));
    if let Err(error) = told {
        if let Err(e) = destroy(made.container, &made.state) {
            log::warn(&format!("undo: {e}"));
        }
        return Err(error);
    }
    let Some(signals) = signals else { return Ok(0) };
    hold(&signals, made.restored.terminal.take(), made)
}

struct Made {
    container: Container,
    state: State,
    restored: Restored,
}

fn make(global: &Global, args: &ArgMatches, detach: bool) -> Result<Made> {
    let wish = Wish {
        switches: switches(args)?,
        lsm_profile: text(args, "lsm-profile").map(String::from),
        lsm_mount_context: text(args, "lsm-mount-context").map(String::from),
    };
    let id = new_id(global, args)?;
    // Relative to where the caller is, whatever the bundle is.
    let dirs = directories(args, "restore.log", false)?;
    let bundle = Conflicts::none(|conflicts| Bundle::load(bundle_path(args), conflicts))??;
    let console = Console::plan(bundle.has_terminal(), detach, text(args, "console-socket").map(Path::new))?;
    let (document, spec) = (&bundle.document, &bundle.document.spec);
    refuse_members(&spec.annotations).context("restore")?;
    let checkpoint = Checkpoint::load(&dirs, document)?;
    criu::probe()?;
    let surroundings = Conflicts::none(|conflicts| Surroundings::plan(global, spec, id, conflicts))??;
    surroundings.warn();
    let Surroundings { mut systemd, mut cgroup } = surroundings;
    prepare_root(&global.root)?;
    let mut state = new_state(id, &bundle, cgroup.cgroup.clone());
    let container = Container::create(&global.root, id)?;
    let restore = Restore {
        checkpoint: &checkpoint,
        spec,
        document: &document.text,
        dirs: &dirs,
        wish: &wish,
        cgroup: &mut cgroup,
        systemd: systemd.as_mut().map(|(manager, _)| manager),
        container: &container,
        state: &mut state,
        console,
        hooks_ran: false,
    };
    match container.enter(restore.state).and_then(|()| restore.restore().context("restore")) {
        Ok(restored) => Ok(Made { container, state, restored }),
        Err(error) => {
            forget(&error, container, &state);
            Err(error)
        }
    }
}

/// In the foreground: until its end, and then nothing of it stays.
fn hold(signals: &SignalFd, terminal: Option<OwnedFd>, made: Made) -> Result<u8> {
    let Made { container, state, restored } = made;
    container.unlock()?;
    let code = foreground::hold(&restored.process, &restored.pidfd, signals, terminal);
    if container.relock()? {
        destroy(container, &state)?;
    }
    Ok(u8::try_from(code?).unwrap_or(u8::MAX))
}
