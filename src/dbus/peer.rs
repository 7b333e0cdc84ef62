//! The other side, for tests: a peer on a socket of its own, which answers as it is told.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use super::message::{self, Kind, Message, field};
use super::{Endpoint, Value};

pub struct Peer {
    dir: tempfile::TempDir,
    calls: Arc<Mutex<Vec<Message>>>,
}

impl Peer {
    /// Lets everybody in and sends, for each call, the messages that `answer` makes. Its thread ends with the test.
    pub fn start(answer: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) -> Peer {
        let calls: Arc<Mutex<Vec<Message>>> = Arc::default();
        let seen = calls.clone();
        let serve = move |mut stream: UnixStream| {
            let mut bytes = Vec::new();
            let begin = b"BEGIN\r\n";
            while !bytes.windows(begin.len()).any(|window| window == begin) {
                if !more(&mut stream, &mut bytes) {
                    return;
                }
            }
            assert!(bytes.starts_with(b"\0AUTH EXTERNAL\r\nDATA\r\n"));
            let end = bytes.windows(begin.len()).position(|window| window == begin).unwrap() + begin.len();
            bytes.drain(..end);
            stream.write_all(b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n").unwrap();
            loop {
                while let Ok(Some(length)) = message::length(&bytes).map(|l| l.filter(|l| *l <= bytes.len())) {
                    let call: Vec<u8> = bytes.drain(..length).collect();
                    let call = message::decode(&call).unwrap();
                    seen.lock().unwrap().push(call.clone());
                    answer(&call).iter().for_each(|bytes| stream.write_all(bytes).unwrap());
                }
                if !more(&mut stream, &mut bytes) {
                    return;
                }
            }
        };
        Peer { dir: listen(serve), calls }
    }

    /// Says this to everybody who has spoken, and hangs up.
    pub fn that_says(text: &[u8]) -> Peer {
        let text = text.to_vec();
        let serve = move |mut stream: UnixStream| {
            more(&mut stream, &mut Vec::new());
            let _ = stream.write_all(&text);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            while more(&mut stream, &mut Vec::new()) {}
        };
        Peer { dir: listen(serve), calls: Arc::default() }
    }

    pub fn path(&self) -> String {
        self.dir.path().join("bus").display().to_string()
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Path(self.path().into_bytes())
    }

    /// The methods that were called until now.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|call| call.member.clone()).collect()
    }

    /// What the last call of a method said.
    pub fn body(&self, member: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().rev().find(|call| call.member == member).map(|call| call.body.clone()).unwrap_or_default()
    }
}

fn listen(mut serve: impl FnMut(UnixStream) + Send + 'static) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("bus")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap());
        }
    });
    dir
}

fn more(stream: &mut UnixStream, bytes: &mut Vec<u8>) -> bool {
    let mut room = [0; 4096];
    let got = stream.read(&mut room).unwrap_or(0);
    bytes.extend_from_slice(&room[..got]);
    got > 0
}

pub fn reply(call: &Message, body: &[Value]) -> Vec<u8> {
    message::encode(Kind::Return, 1, vec![field(5, Value::U32(call.serial))], body)
}

pub fn error(call: &Message, name: &str, text: &str) -> Vec<u8> {
    message::encode(Kind::Error, 1, vec![field(5, Value::U32(call.serial)), field(4, name.into())], &[text.into()])
}

pub fn signal(member: &str, body: &[Value]) -> Vec<u8> {
    let fields = vec![field(1, Value::Path("/org/freedesktop/systemd1".into())), field(3, member.into())];
    message::encode(Kind::Signal, 1, fields, body)
}
