//! `restore`: a container from the files of a checkpoint, through CRIU.

use std::os::fd::OwnedFd;
use std::path::Path;

use clap::ArgMatches;
use hilum_sys::signal::SignalFd;

use super::checkpoint::{directories, need_root, switches};
use super::{Global, text};
use crate::command::creation::{connect, new_state};
use crate::error::{Context, Error, Result};
use crate::plan::rootfs;
use crate::run::console::Console;
use crate::run::criu;
use crate::run::criu::restore::{Checkpoint, Restore, Restored, Wish};
use crate::run::{destroy, foreground, run_poststart};
use crate::state::{Container, State, prepare_root};
use crate::{cgroup, log, spec};

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
    let id = super::id(args)?;
    if global.root.join(id).exists() {
        return Err(Error::new("container with given ID already exists").path(global.root.join(id)));
    }
    // Relative to where the caller is, whatever the bundle is.
    let dirs = directories(args, "restore.log", false)?;
    let bundle = text(args, "bundle").filter(|path| !path.is_empty()).unwrap_or(".");
    let bundle = std::fs::canonicalize(bundle).at("bundle", bundle)?;
    let document = spec::load(&bundle)?;
    let spec = &document.spec;
    let rootfs = rootfs::locate(&bundle, spec.root.as_ref())?;
    let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
    let console = Console::plan(terminal, detach, text(args, "console-socket").map(Path::new))?;
    let checkpoint = Checkpoint::load(&dirs, &document)?;
    criu::probe()?;
    let host = cgroup::Host::detect()?;
    let mut systemd = connect(global, &host)?;
    let driver = cgroup::Driver::of(systemd.as_ref(), &spec.annotations);
    let mut cgroup = cgroup::plan(&host, &spec.linux, id, global.rootless, driver)?;
    for warning in &cgroup.warnings {
        log::warn(warning);
    }
    prepare_root(&global.root)?;
    let mut state = new_state(spec, (id, &bundle, &rootfs), cgroup.cgroup.clone());
    let container = Container::create(&global.root, &state)?;
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
    match restore.restore().context("restore") {
        Ok(restored) => Ok(Made { container, state, restored }),
        Err(error) => {
            if let Err(e) = container.remove() {
                log::warn(&format!("undo: {e}"));
            }
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
