//! The journal of systemd: a datagram for each message, with a field in each line (systemd.io/JOURNAL_NATIVE_PROTOCOL).

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with};

use crate::error::{Context, Result};

const SOCKET: &str = "/run/systemd/journal/socket";
/// A journal that takes nothing for so long is not waited for again: the message is lost.
const PATIENCE: Duration = Duration::from_secs(1);
static STUCK: AtomicBool = AtomicBool::new(false);
/// What is left of each value, where all of them are more than the socket takes at once.
const LENGTHS: [usize; 3] = [usize::MAX, 16 << 10, 1 << 8];

/// Connected for each message anew, as a file is opened (`log::init`).
pub fn open() -> Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).context("socket")?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE)).context("set the timeout of a socket")?;
    connect(&socket, &SocketAddrUnix::new(SOCKET)?).at("connect to", SOCKET).map_err(|error| {
        error.hint("journald does not listen there: start systemd-journald.socket, or give --log a file's path")
    })?;
    Ok(socket)
}

pub fn write(fields: &[(&str, &str)]) -> Result<()> {
    let socket = open()?;
    let wait = if STUCK.load(Ordering::Relaxed) { SendFlags::DONTWAIT } else { SendFlags::empty() };
    let mut sent = Err(Errno::MSGSIZE);
    for length in LENGTHS {
        sent = retry_on_intr(|| send(&socket, &datagram(fields, length), SendFlags::NOSIGNAL | wait));
        if sent != Err(Errno::MSGSIZE) {
            break;
        }
    }
    STUCK.store(sent == Err(Errno::AGAIN), Ordering::Relaxed);
    sent.map(drop).context("send to the journal")
}

fn datagram(fields: &[(&str, &str)], length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        let value = shortened(value, length);
        bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

fn shortened(value: &str, length: usize) -> String {
    match value.char_indices().map(|(at, _)| at).find(|at| *at >= length) {
        Some(end) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_has_its_length_before_it() {
        let bytes = datagram(&[("MESSAGE", "a\nb=c"), ("PRIORITY", "3")], usize::MAX);
        assert_eq!(bytes, b"MESSAGE\n\x05\0\0\0\0\0\0\0a\nb=c\nPRIORITY=3\n");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(datagram(&[("A", "xää"), ("B", "y")], 2), "A=xä…\nB=y\n".as_bytes());
    }
}
