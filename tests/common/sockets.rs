//! A caller's end of the sockets that the runtime sends descriptors to.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::{LIMIT, deadline_in, patience};
use rustix::fd::OwnedFd;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// The first message of whoever connects: its text, and the descriptor that came with it.
pub fn receive_fd(listener: &UnixListener) -> (String, OwnedFd) {
    listener.set_nonblocking(true).unwrap();
    let deadline = deadline_in(20);
    let (stream, _) = loop {
        match listener.accept() {
            Ok(accepted) => break accepted,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(e) => panic!("nobody has connected: {e}"),
        }
    };
    stream.set_read_timeout(Some(LIMIT * patience())).unwrap();
    let mut text = [0; 65536];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(&stream, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
    let fds =
        ancillary.drain().filter_map(|m| if let RecvAncillaryMessage::ScmRights(fds) = m { Some(fds) } else { None });
    let fd = fds.flatten().next().expect("a file descriptor in the message");
    (String::from_utf8_lossy(&text[..got.bytes]).into_owned(), fd)
}
