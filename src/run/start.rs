//! How a created container's process is told to execute: it waits at a socket in the container's directory.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use hilum_init::step::Point;
use rustix::fs::{Mode, OFlags, open};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use super::channel::{Channel, Said, ended};
use super::{failure, hooks, inner_pid, out_of_turn};
use crate::error::{Context, Error, Result};
use crate::log::Timer;
use crate::state::{START_SOCKET, State, Status, StepNames};

pub fn listen_in(dir: &Path) -> Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let (address, _dir) = address_in(dir, START_SOCKET)?;
    bind(&socket, &address).at("bind", dir.join(START_SOCKET)).map_err(Error::on_disk)?;
    listen(&socket, 16).at("listen at", dir.join(START_SOCKET))?;
    Ok(socket)
}

/// Through the directory's descriptor, which must stay open: the path of a state directory may be longer than a socket's may be.
pub(super) fn address_in(dir: &Path, name: &str) -> Result<(SocketAddrUnix, OwnedFd)> {
    let fd = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at("open", dir)?;
    let path = format!("/proc/self/fd/{}/{name}", fd.as_raw_fd());
    Ok((SocketAddrUnix::new(path)?, fd))
}

/// The channel to a created container's process; `None` if nobody waits there any more.
pub fn knock(dir: &Path) -> Result<Option<Channel>> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let (address, _dir) = address_in(dir, START_SOCKET)?;
    match rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)) {
        Ok(()) => Ok(Some(Channel::new(socket))),
        Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::from(errno)).at("connect to", dir.join(START_SOCKET)),
    }
}

/// Listens until the process has executed (the end of the channel, announced) or has said why not. `state` is for the
/// hooks that it runs before.
pub fn await_exec(channel: &Channel, steps: &StepNames, state: Option<&State>) -> Result<()> {
    let heard = hear(channel, steps, state);
    match state.map(|state| &state.cgroup) {
        // A container's first process, and not one of `exec`: who was killed before it may have been another.
        Some(cgroup) => heard.map_err(|error| failure::for_want_of_memory(error, cgroup.memory_limit(), cgroup)),
        None => heard,
    }
}

fn hear(channel: &Channel, steps: &StepNames, state: Option<&State>) -> Result<()> {
    let timer = Timer::start();
    let mut executing = false;
    loop {
        match (channel.next()?, state) {
            (Said::Executing, _) => executing = true,
            (Said::Nothing, _) if executing => {
                timer.end(|| "execute".into());
                return Ok(());
            }
            (Said::Nothing, _) => return Err(ended()),
            (Said::At(Point::HookState), Some(state)) => {
                let pid = state.process.map_or(Ok(0), |process| inner_pid(process.pid))?;
                channel.answer(&hooks::document(state, Status::Created, pid)?)?;
            }
            (Said::Failed { step, errno, detail }, _) => return Err(failure::late(steps, step, errno, &detail)),
            (said, _) => return Err(out_of_turn(&said)),
        }
    }
}
