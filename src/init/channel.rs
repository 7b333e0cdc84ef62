//! Messages over the socket between the init program and its parent (or, later, `start`). Sequenced packets: one send is
//! one receive, an end of file is the other side's end.

use core::mem::MaybeUninit;

use hilum_sys::memory::Scratch;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, send, sendmsg};

use crate::step::{Message, Point};

/// Room for the largest message: a failure with its detail.
const ROOM: usize = 512;

pub fn tell(channel: BorrowedFd<'_>, message: Message<'_>) -> Result<(), Errno> {
    let mut buf = [0; ROOM];
    let bytes = postcard::to_slice(&message, &mut buf).map_err(|_| Errno::MSGSIZE)?;
    retry_on_intr(|| send(channel, bytes, SendFlags::NOSIGNAL))?;
    Ok(())
}

pub fn tell_with_fd(channel: BorrowedFd<'_>, message: Message<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut buf = [0; ROOM];
    let bytes = postcard::to_slice(&message, &mut buf).map_err(|_| Errno::MSGSIZE)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::MSGSIZE);
    }
    let bytes = [rustix::io::IoSlice::new(bytes)];
    retry_on_intr(|| sendmsg(channel, &bytes, &mut ancillary, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// The parent's answer, in pages of its own.
pub struct Answer {
    pages: Scratch,
    len: usize,
}

impl Answer {
    pub fn bytes(&self) -> &[u8] {
        self.pages.bytes().get(..self.len).unwrap_or_default()
    }
}

/// Says where this side is, and waits for the other. A parent that is gone is an error: nobody would undo what follows.
pub fn ask(channel: BorrowedFd<'_>, point: Point) -> Result<Answer, Errno> {
    tell(channel, Message::At(point))?;
    receive(channel)?.ok_or(Errno::CONNRESET)
}

/// The same, where the answer says no more than to go on.
pub fn pause(channel: BorrowedFd<'_>, point: Point) -> Result<(), Errno> {
    tell(channel, Message::At(point))?;
    if is_told(channel)? { Ok(()) } else { Err(Errno::CONNRESET) }
}

/// Waits for a message of which all that matters is that there is one; false at the end of the channel.
pub fn is_told(channel: BorrowedFd<'_>) -> Result<bool, Errno> {
    let (_, len) = retry_on_intr(|| recv(channel, &mut [0; 1][..], RecvFlags::TRUNC))?;
    Ok(len > 0)
}

/// The next message, whole; `None` at the end of the channel.
fn receive(channel: BorrowedFd<'_>) -> Result<Option<Answer>, Errno> {
    let mut probe = [0; 1];
    let (_, len) = retry_on_intr(|| recv(channel, &mut probe[..], RecvFlags::PEEK | RecvFlags::TRUNC))?;
    if len == 0 {
        return Ok(None);
    }
    let mut pages = Scratch::new(len.div_ceil(size_of::<usize>()))?;
    let (_, len) = retry_on_intr(|| recv(channel, pages.bytes_mut(), RecvFlags::empty()))?;
    Ok(Some(Answer { pages, len }))
}
