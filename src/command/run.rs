//! `run`: create, execute, and in the foreground wait and clean up.

use clap::ArgMatches;
use hilum_sys::signal::SignalFd;

use super::creation::{Made, Options, make};
use super::{Global, text};
use crate::error::{Context, Result};
use crate::privilege;
use crate::run::{destroy, foreground, notify, run_poststart};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let detach = args.get_flag("detach");
    let options = Options { detached: detach, ..Options::of(args)? };
    // Before there is a process that a signal could be meant for.
    let signals = match detach {
        true => None,
        false => Some(SignalFd::all().context("block signals").map_err(privilege::forbidden)?),
    };
    if !detach && !args.get_flag("no-subreaper") {
        // Which pid is said does not matter, if it is not 0.
        rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))
            .context("become a subreaper")
            .map_err(privilege::forbidden)?;
    }
    let mut made = begin(global, options, text(args, "pid-file"))?;
    let Some(signals) = signals else { return Ok(0) };

    let terminal = made.created.terminal.take();
    let Made { container, state, created } = made;
    container.unlock()?;
    let code = foreground::hold(&created.process, &created.pidfd, &signals, terminal);
    if !args.get_flag("keep") && container.relock()? {
        destroy(container, &state)?;
    }
    Ok(u8::try_from(code?).unwrap_or(u8::MAX))
}

/// Up to the point where the container runs; on an error, nothing of it is left.
pub fn begin(global: &Global, options: Options<'_>, pid_file: Option<&str>) -> Result<Made> {
    let detached = options.detached;
    let mut made = make(global, options)?;
    match execute(&mut made, pid_file, detached).and_then(|()| run_poststart(&made.state)) {
        Ok(()) => Ok(made),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}

fn execute(made: &mut Made, pid_file: Option<&str>, detached: bool) -> Result<()> {
    let notify = notify::listen(made.container.path())?;
    made.created.execute(Some(&made.state))?;
    // From here on they are the network namespace's, which is to end with the container.
    made.created.net_devices = None;
    made.created.process.write_file(pid_file)?;
    match notify {
        None => Ok(()),
        Some(notify) if detached => notify.forward(&made.created.pidfd, made.created.process.pid),
        // In the foreground there are signals and a terminal to look after meanwhile.
        Some(notify) => notify.forward_in_background(&made.created.pidfd, made.created.process.pid),
    }
}
