//! Descriptors handed to a caller who listens at a unix socket: terminals, pidfds.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::{IoSlice, retry_on_intr};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, sendmsg, socket_with,
};

use crate::error::{Context, Result};

pub struct Handover {
    socket: OwnedFd,
    /// The option that named it.
    option: &'static str,
}

impl Handover {
    /// Connected before anything else happens: a caller that does not listen is told at once.
    pub fn connect(option: &'static str, path: &Path) -> Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let address = SocketAddrUnix::new(path).at(option, path)?;
        connect(&socket, &address).at(&format!("connect to {option}"), path)?;
        Ok(Self { socket, option })
    }

    /// The same for `--pidfd-socket`, which may be absent.
    pub fn pidfd(path: Option<&Path>) -> Result<Option<Self>> {
        path.map(|path| Self::connect("--pidfd-socket", path)).transpose()
    }

    /// `text` goes with the descriptor, as a message must not be empty.
    pub fn send(&self, text: &str, fd: BorrowedFd<'_>) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [fd.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let text = [IoSlice::new(text.as_bytes())];
        retry_on_intr(|| sendmsg(&self.socket, &text, &mut ancillary, SendFlags::NOSIGNAL))
            .map(drop)
            .context(format!("send to {}", self.option))
    }
}
