//! A connection: authentication, calls and their answers, signals. No wait is without a deadline.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with};

use super::message::{Call, Kind, Message, decode, length};
use super::{Endpoint, Value};
use crate::error::{Context, Error, Result};

/// A peer that says more than this before it lets us in speaks another protocol.
const LONGEST_LINE: usize = 1024;

/// Why a call has no result.
#[derive(Debug)]
pub enum Failure {
    /// The other side has answered, with an error.
    Refused { name: String, text: String },
    /// There is no answer.
    Broken(Error),
}

impl Failure {
    pub fn is(&self, error: &str) -> bool {
        matches!(self, Failure::Refused { name, .. } if name == error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Broken(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { name, text } if text.is_empty() => Error::new(name),
            Failure::Refused { name, text } => Error::new(format!("{text} ({name})")),
            Failure::Broken(error) => error,
        }
    }
}

#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    /// A bus is between us and the others; otherwise it is the peer alone.
    bus: bool,
    received: Vec<u8>,
    serial: u32,
    /// Not asked for yet.
    signals: Vec<Message>,
}

impl Connection {
    /// To a bus, which gives us a name, or to a peer's own socket.
    pub fn open(endpoint: &Endpoint, bus: bool, deadline: Instant) -> Result<Connection> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).context("socket")?;
        let address = endpoint.socket()?;
        let mut pause = Duration::from_millis(1);
        loop {
            match connect(&socket, &address) {
                Ok(()) => break,
                // Too many are waiting to be let in: it is busy, as at boot.
                Err(Errno::AGAIN) if Instant::now() < deadline => {}
                Err(errno) => return Err(errno.into()),
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        let mut it = Connection { socket, bus, received: Vec::new(), serial: 0, signals: Vec::new() };
        it.authenticate(deadline).context("authenticate")?;
        if bus {
            it.call(&bus_call("Hello", &[]), deadline).map_err(Error::from).context("Hello")?;
        }
        Ok(it)
    }

    /// EXTERNAL without a name of our own: who we are the kernel tells the peer, and tells it in the ids of the peer's
    /// user namespace. A uid that we would name is that of ours, where it may be another's.
    fn authenticate(&mut self, deadline: Instant) -> Result<()> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", deadline, "AUTH")?;
        for expected in ["DATA", "OK"] {
            let line = loop {
                match self.received.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break self.received.drain(..end + 2).take(end).collect::<Vec<u8>>(),
                    None if self.received.len() > LONGEST_LINE => break Vec::new(),
                    None => self.receive(deadline, "AUTH")?,
                }
            };
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.split(' ').next() != Some(expected) {
                return Err(Error::new(format!("refused with {line:?}")));
            }
        }
        Ok(())
    }

    pub fn call(&mut self, call: &Call<'_>, deadline: Instant) -> std::result::Result<Vec<Value>, Failure> {
        self.serial += 1;
        let serial = self.serial;
        self.send(&call.encode(serial, self.bus), deadline, call.member)?;
        loop {
            let message = self.message(deadline, call.member)?;
            match message.kind {
                Kind::Return if message.reply_to == serial => return Ok(message.body),
                Kind::Error if message.reply_to == serial => {
                    let text = message.body.first().and_then(Value::text).unwrap_or_default().to_string();
                    return Err(Failure::Refused { name: message.error, text });
                }
                Kind::Signal => self.signals.push(message),
                _ => {}
            }
        }
    }

    /// Has the bus send us the signals that a rule matches. A peer without a bus sends all of its own.
    pub fn subscribe(&mut self, rule: &str, deadline: Instant) -> std::result::Result<(), Failure> {
        match self.bus {
            true => self.call(&bus_call("AddMatch", &[rule.into()]), deadline).map(drop),
            false => Ok(()),
        }
    }

    /// Waits for a signal, which may have come already.
    pub fn signal(&mut self, member: &str, wanted: impl Fn(&Message) -> bool, deadline: Instant) -> Result<Message> {
        loop {
            while let Some(signal) = self.signals.pop() {
                if signal.member == member && wanted(&signal) {
                    return Ok(signal);
                }
            }
            let message = self.message(deadline, member)?;
            if message.kind == Kind::Signal {
                self.signals.push(message);
            }
        }
    }

    fn message(&mut self, deadline: Instant, what: &str) -> Result<Message> {
        let malformed = || Error::new("what has come is no D-Bus message");
        loop {
            match length(&self.received).map_err(|_| malformed())? {
                Some(length) if length <= self.received.len() => {
                    let bytes: Vec<u8> = self.received.drain(..length).collect();
                    return decode(&bytes).ok_or_else(malformed);
                }
                _ => self.receive(deadline, what)?,
            }
        }
    }

    fn send(&self, mut bytes: &[u8], deadline: Instant, what: &str) -> Result<()> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline, what)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context(format!("send {what}")),
            }
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant, what: &str) -> Result<()> {
        let mut room = [0; 4096];
        loop {
            match recv(&self.socket, &mut room, RecvFlags::empty()) {
                Ok((0, _)) => return Err(Error::new(format!("it has hung up, with no answer to {what}"))),
                Ok((got, _)) => {
                    self.received.extend_from_slice(room.get(..got).unwrap_or_default());
                    return Ok(());
                }
                Err(Errno::AGAIN) => self.wait(PollFlags::IN, deadline, what)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context(format!("receive an answer to {what}")),
            }
        }
    }

    fn wait(&self, events: PollFlags, deadline: Instant, what: &str) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::from(Errno::TIMEDOUT).replace(format!("it does not answer {what}")));
        }
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.socket, events)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno).context("poll"),
        }
    }
}

fn bus_call<'c>(member: &'c str, body: &'c [Value]) -> Call<'c> {
    Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member,
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::{Peer, error, reply, signal};
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn ask(member: &str) -> Call<'_> {
        Call { destination: "x.y", path: "/", interface: "x.y", member, body: &[] }
    }

    #[test]
    fn answers_and_signals_come_in_any_order() {
        let peer = Peer::start(|call| match call.member.as_str() {
            "Hello" => vec![reply(call, &[":1.1".into()])],
            "AddMatch" => vec![reply(call, &[])],
            "Ask" => vec![
                signal("Other", &[]),
                signal("News", &["a".into()]),
                reply(call, &[Value::U32(5)]),
                signal("News", &["b".into()]),
            ],
            _ => vec![error(call, "x.y.No", "not so")],
        });
        let mut it = Connection::open(&peer.endpoint(), true, soon()).unwrap();
        it.subscribe("member='News'", soon()).unwrap();
        assert_eq!(it.call(&ask("Ask"), soon()).unwrap(), [Value::U32(5)]);
        let is = |text: &'static str| move |m: &Message| m.body == [Value::from(text)];
        assert_eq!(it.signal("News", is("a"), soon()).unwrap().member, "News");
        it.signal("News", is("b"), soon()).unwrap();
        let refused = it.call(&ask("Else"), soon()).unwrap_err();
        assert!(refused.is("x.y.No"));
        assert_eq!(Error::from(refused).to_string(), "not so (x.y.No)");
        assert_eq!(peer.calls(), ["Hello", "AddMatch", "Ask", "Else"]);
    }

    #[test]
    fn a_peer_without_a_bus_is_not_asked_for_a_name() {
        let peer = Peer::start(|call| vec![reply(call, &[])]);
        let mut it = Connection::open(&peer.endpoint(), false, soon()).unwrap();
        it.subscribe("member='News'", soon()).unwrap();
        it.call(&ask("Ask"), soon()).unwrap();
        assert_eq!(peer.calls(), ["Ask"]);
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let peer = Peer::start(|_| Vec::new());
        let start = Instant::now();
        let deadline = || Instant::now() + Duration::from_millis(300);
        let mut it = Connection::open(&peer.endpoint(), false, soon()).unwrap();
        let error = Error::from(it.call(&ask("Ask"), deadline()).unwrap_err());
        assert_eq!(error.to_string(), "it does not answer Ask");
        drop(it);
        let error = Connection::open(&peer.endpoint(), true, deadline()).unwrap_err();
        assert_eq!(error.to_string(), "Hello: it does not answer Hello");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn who_is_not_let_in_is_told() {
        for (said, expected) in [
            (&b"REJECTED EXTERNAL\r\n"[..], "authenticate: refused with \"REJECTED EXTERNAL\""),
            (b"DATA\r\nREJECTED\r\n", "authenticate: refused with \"REJECTED\""),
            (b"", "authenticate: it has hung up, with no answer to AUTH"),
            (b"no line", "authenticate: it has hung up, with no answer to AUTH"),
            (&[b'x'; 5000], "authenticate: refused with \"\""),
        ] {
            let peer = Peer::that_says(said);
            let error = Connection::open(&peer.endpoint(), true, soon()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let nobody = Endpoint::Path("/nonexistent/bus".into());
        let error = Connection::open(&nobody, true, soon()).unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory");
    }

    #[test]
    fn rubbish_is_not_taken_for_a_message() {
        let peer = Peer::that_says(b"DATA\r\nOK 1234\r\nHTTP/1.1 400 Bad Request\r\n");
        let mut it = Connection::open(&peer.endpoint(), false, soon()).unwrap();
        let error = Error::from(it.call(&ask("Ask"), soon()).unwrap_err());
        assert_eq!(error.to_string(), "what has come is no D-Bus message");
    }
}
