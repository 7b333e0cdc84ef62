//! Descriptors handed to who listens at a unix socket: terminals, pidfds, seccomp listeners.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::{IoSlice, retry_on_intr};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, send, sendmsg, socket_with,
};

use serde_json::json;

use crate::error::{Context, Result};
use crate::plan::seccomp::Filter;
use crate::spec::config::Seccomp;
use crate::state::Document;

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

    /// The same for linux.seccomp.listenerPath, where a filter has a listener.
    pub fn seccomp(config: Option<&Seccomp>, filter: Option<&Filter<'_>>) -> Result<Option<Self>> {
        let config = config.filter(|_| filter.is_some_and(Filter::notifies));
        let path = config.map(|config| Path::new(&config.listener_path));
        path.map(|path| Self::connect("linux.seccomp.listenerPath", path)).transpose()
    }

    /// The seccomp listener, with the state of the container and of the process that the filter is for (config-linux.md,
    /// "The Container Process State").
    pub fn send_listener(&self, listener: OwnedFd, pid: i32, metadata: &str, state: &Document<'_>) -> Result<()> {
        let state = json!({
            "ociVersion": state.oci_version, "fds": ["seccompFd"], "pid": pid, "metadata": metadata, "state": state,
        });
        self.send(&state.to_string(), listener.as_fd())
    }

    /// `text` goes with the descriptor, as a message must not be empty.
    pub fn send(&self, text: &str, fd: BorrowedFd<'_>) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [fd.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let bytes = text.as_bytes();
        let text = [IoSlice::new(bytes)];
        let what = || format!("send to {}", self.option);
        let sent = retry_on_intr(|| sendmsg(&self.socket, &text, &mut ancillary, SendFlags::NOSIGNAL));
        let mut rest = bytes.get(sent.with_context(what)?..).unwrap_or_default();
        while !rest.is_empty() {
            let sent = retry_on_intr(|| send(&self.socket, rest, SendFlags::NOSIGNAL)).with_context(what)?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}
