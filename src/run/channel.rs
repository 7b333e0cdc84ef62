//! The conversation with the init program: it reports where it is, and the parent does what belongs to that point.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hilum_init::step::{Message, Point};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, send};

use crate::error::{Context, Error, Result};

/// Larger than any message of the init program.
const ROOM: usize = 1024;
/// The answer to a question that needs no data.
const GO: &[u8] = b"+";

/// What the init program said, in the parent's own memory.
#[derive(Debug)]
pub enum Said {
    At(Point),
    Forked(i32),
    Terminal(OwnedFd),
    Listener(OwnedFd),
    Executing,
    Failed {
        step: usize,
        errno: Errno,
        detail: String,
    },
    /// The end of the channel: it has executed, or it is dead.
    Nothing,
}

impl Said {
    /// Of the one who said it.
    pub fn in_words(&self) -> String {
        match self {
            Said::At(point) => format!("is at {point:?}"),
            Said::Forked(pid) => format!("has forked process {pid}"),
            Said::Terminal(_) => "has sent the terminal".into(),
            Said::Listener(_) => "has sent the seccomp listener".into(),
            Said::Executing => "executes".into(),
            Said::Failed { .. } => "has failed".into(),
            Said::Nothing => "has ended".into(),
        }
    }

    /// A message, and the descriptor that came with it.
    pub fn read(bytes: &[u8], fd: Option<OwnedFd>) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Said::Nothing);
        }
        let message = postcard::from_bytes::<Message<'_>>(bytes)
            .map_err(|e| Error::new(format!("receive from the init program: {e}")))?;
        Ok(match (message, fd) {
            (Message::At(point), _) => Said::At(point),
            (Message::Forked { pid }, _) => Said::Forked(pid),
            (Message::Terminal, Some(fd)) => Said::Terminal(fd),
            (Message::Terminal, None) => return Err(Error::new("the init program sent no terminal")),
            (Message::Listener, Some(fd)) => Said::Listener(fd),
            (Message::Listener, None) => return Err(Error::new("the init program sent no seccomp listener")),
            (Message::Executing, _) => Said::Executing,
            (Message::Failed { step, errno, detail }, _) => Said::Failed {
                step: step as usize,
                errno: Errno::from_raw_os_error(errno.clamp(1, 4095)),
                detail: String::from_utf8_lossy(detail).into_owned(),
            },
        })
    }
}

pub struct Channel(OwnedFd);

impl Channel {
    pub fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub fn next(&self) -> Result<Said> {
        let mut buf = [0; ROOM];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut buf)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                // It ended with an answer of ours unread. That is told once, and before what it still had to say.
                Err(Errno::CONNRESET | Errno::INTR) => {}
                other => break other.context("receive from the init program")?,
            }
        };
        if got.flags.contains(ReturnFlags::TRUNC) {
            return Err(Error::new("receive from the init program: a message of more than its size"));
        }
        let fd = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        Said::read(buf.get(..got.bytes).unwrap_or_default(), fd)
    }

    pub fn go(&self) -> Result<()> {
        self.answer(GO)
    }

    pub fn answer(&self, data: &[u8]) -> Result<()> {
        // An empty packet would look like the end of the channel.
        let data = if data.is_empty() { GO } else { data };
        match retry_on_intr(|| send(&self.0, data, SendFlags::NOSIGNAL)) {
            Err(Errno::PIPE) => Err(ended()),
            other => other.map(drop).context("answer the init program"),
        }
    }
}

/// It waited for an answer, and said nothing more: somebody has killed it.
pub fn ended() -> Error {
    Error::new("the container's process ended before it could execute")
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
