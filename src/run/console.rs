//! Who gets the container's terminal: a caller that listens at `--console-socket`, or this process in the foreground.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, sendmsg, socket_with,
};

use crate::error::{Context, Error, Result};

pub enum Console {
    None,
    /// Connected before anything else happens: a caller that does not listen is told at once.
    Socket(OwnedFd),
    Foreground,
}

impl Console {
    /// `terminal` of the process against what the caller offers, both ways.
    pub fn plan(terminal: bool, detached: bool, socket: Option<&Path>) -> Result<Self> {
        match (terminal, detached, socket) {
            (true, true, None) => {
                Err(Error::new("cannot allocate tty if hilum will detach without setting console socket")
                    .hint("give --console-socket, or set process.terminal to false"))
            }
            (false, _, Some(_)) | (true, false, Some(_)) => {
                Err(Error::new("cannot use console socket if hilum will not detach or allocate tty")
                    .hint("set process.terminal to true and detach, or leave out --console-socket"))
            }
            (true, true, Some(path)) => connected(path).map(Self::Socket),
            (true, false, None) => Ok(Self::Foreground),
            (false, _, None) => Ok(Self::None),
        }
    }

    /// Sends the master away, or hands it back to be kept.
    pub fn deliver(&self, master: OwnedFd) -> Result<Option<OwnedFd>> {
        match self {
            Self::None | Self::Foreground => Ok(Some(master)),
            Self::Socket(socket) => {
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                let fds = [master.as_fd()];
                ancillary.push(SendAncillaryMessage::ScmRights(&fds));
                // Receivers take the bytes for the terminal's name.
                let name = [rustix::io::IoSlice::new(b"/dev/ptmx")];
                rustix::io::retry_on_intr(|| sendmsg(socket, &name, &mut ancillary, SendFlags::NOSIGNAL))
                    .context("send the terminal to --console-socket")?;
                Ok(None)
            }
        }
    }
}

fn connected(path: &Path) -> Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let address = SocketAddrUnix::new(path).at("--console-socket", path)?;
    connect(&socket, &address).at("connect to --console-socket", path)?;
    Ok(socket)
}
