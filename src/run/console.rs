//! Who gets the container's terminal: a caller that listens at `--console-socket`, or this process in the foreground.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::handover::Handover;
use crate::error::{Error, Result};
use crate::spec::config::{ConsoleSize, Process};

pub enum Console {
    None,
    Socket(Handover),
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
            (true, true, Some(path)) => Handover::connect("--console-socket", path).map(Self::Socket),
            (true, false, None) => Ok(Self::Foreground),
            (false, _, None) => Ok(Self::None),
        }
    }

    /// In the foreground the terminal has the size of the caller's from its first moment, unless the document names one.
    pub fn set_size(&self, process: &mut Process) {
        if let (Self::Foreground, None) = (self, &process.console_size) {
            let own = rustix::termios::tcgetwinsize(rustix::stdio::stdin()).ok();
            process.console_size = own.map(|size| ConsoleSize { height: size.ws_row, width: size.ws_col });
        }
    }

    /// Sends the master away, or hands it back to be kept.
    pub fn deliver(&self, master: OwnedFd) -> Result<Option<OwnedFd>> {
        match self {
            Self::None | Self::Foreground => Ok(Some(master)),
            // Receivers take the bytes for the terminal's name.
            Self::Socket(socket) => socket.send("/dev/ptmx", master.as_fd()).map(|()| None),
        }
    }
}
