//! `--log journald:ID`: what a journal receives. It is the test's own, a socket at that place in a mount namespace.

use crate::common::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Message = BTreeMap<String, String>;

const END: &[u8] = b"END";

/// A container whose commands log to a socket of the test's.
struct Journal {
    c: Container,
    socket: UnixDatagram,
    /// What was received so far: the kernel keeps ten messages, or however many the host allows.
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Journal {
    fn new(c: Container) -> Journal {
        fs::create_dir(c.path("journal")).unwrap();
        let socket = UnixDatagram::bind(c.path("journal/socket")).unwrap();
        Journal { c, socket, received: Arc::default() }
    }

    /// The test reads along.
    fn reading(c: Container) -> Journal {
        let journal = Journal::new(c);
        let (socket, received) = (journal.socket.try_clone().unwrap(), journal.received.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            loop {
                let len = socket.recv(&mut buffer).unwrap();
                received.lock().unwrap().push(buffer[..len].to_vec());
            }
        });
        journal
    }

    fn call(&self, args: &[&str]) -> Out {
        self.c.write_config();
        let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
                      mount --bind \"$1\" /run/systemd/journal && shift && exec \"$@\"";
        let directory = self.c.path("journal");
        let prefix = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", &directory];
        let args = [&["--log", "journald:web"], args].concat();
        self.c.finish_call(self.c.command_behind(&prefix.map(String::from), &args), Stdio::null())
    }

    /// Those since the last look.
    fn messages(&self) -> Vec<Message> {
        // All has been sent: when this one has come, so have they.
        let end = UnixDatagram::unbound().unwrap();
        end.send_to(END, self.c.path("journal/socket")).unwrap();
        eventually("the last message", || self.received.lock().unwrap().last().is_some_and(|it| it == END));
        let received = std::mem::take(&mut *self.received.lock().unwrap());
        received.iter().filter(|bytes| *bytes != END).map(|bytes| parse(bytes)).collect()
    }
}

/// `KEY=value`, or `KEY`, the length in eight bytes, and a value that may have several lines.
fn parse(mut rest: &[u8]) -> Message {
    let mut message = Message::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let line = String::from_utf8(rest[..end].to_vec()).unwrap();
        rest = &rest[end + 1..];
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => {
                let (length, behind) = rest.split_first_chunk().unwrap();
                let (value, behind) = behind.split_at(u64::from_le_bytes(*length) as usize);
                rest = behind.strip_prefix(b"\n").unwrap();
                (line, String::from_utf8(value.to_vec()).unwrap())
            }
        };
        assert!(message.insert(key.clone(), value).is_none(), "{key} twice");
    }
    message
}

#[test]
fn an_error_is_in_the_journal_with_the_fields_of_the_json_log() {
    if !hilum_only("--log journald:ID") {
        return;
    }
    let journal = Journal::reading(Container::new(&["true"]).push(
        "mounts",
        json!({
            "destination": "/mnt",
            "source": "/nonexistent",
            "type": "tmpfs",
            "options": ["no-such-option"],
        }),
    ));
    let out = journal.call(&["run", &journal.c.id]).fails("no-such-option");
    let messages = journal.messages();
    let [message] = messages.as_slice() else { panic!("{messages:#?}") };
    assert_eq!(message["MESSAGE"], out.stderr.trim_end(), "what stderr says, too");
    assert_eq!((message["PRIORITY"].as_str(), message["SYSLOG_IDENTIFIER"].as_str()), ("3", "web"));

    let log = journal.c.path("log");
    journal.c.call(&["--log", &log, "--log-format", "json", "run", &journal.c.id]).fails("no-such-option");
    let json: Value = serde_json::from_str(read(log.as_ref()).trim()).unwrap();
    for key in ["step", "path", "errno", "hint"] {
        let field = message.get(&format!("HILUM_{}", key.to_uppercase())).map(String::as_str);
        assert_eq!(field, json[key].as_str(), "{key}: {message:#?}");
    }
    assert!(json["step"].is_string() && json["errno"].is_string(), "what this test is about: {json}");
    journal.c.left_nothing();
}

#[test]
fn a_warning_and_a_debug_message_have_their_priorities() {
    if !hilum_only("--log journald:ID") {
        return;
    }
    let journal = Journal::reading(Container::new(&["true"]));
    journal.call(&["run", &journal.c.id]).ok();
    assert_eq!(journal.messages(), []);
    let out = journal.call(&["--debug", "run", &journal.c.id]).ok();
    let messages = journal.messages();
    assert!(messages.iter().any(|it| it["MESSAGE"].starts_with("step 0: ")), "{messages:#?}");
    assert!(messages.iter().all(|it| it["PRIORITY"] == "7" && it.len() == 3), "{messages:#?}");
    assert_eq!(out.stderr, "");
    journal.c.finish();
}

#[test]
fn a_value_may_have_several_lines() {
    if !hilum_only("--log journald:ID") {
        return;
    }
    let journal = Journal::reading(Container::new(&["true"]));
    journal.call(&["run", "--bundle", "/non\nexistent=\n", &journal.c.id]).fails("bundle");
    let messages = journal.messages();
    assert_eq!((messages.len(), messages[0]["HILUM_PATH"].as_str()), (1, "/non\nexistent=\n"));
    assert!(messages[0]["MESSAGE"].contains(r"/non\nexistent"), "{messages:#?}");
}

#[test]
fn a_message_that_is_too_large_is_cut_and_not_lost() {
    if !hilum_only("--log journald:ID") {
        return;
    }
    let program = "é".repeat(200_000);
    let journal = Journal::reading(Container::new(&[&program]));
    journal.call(&["--debug", "run", &journal.c.id]).fails("unable to start container process");
    let messages = journal.messages();
    let cut: Vec<_> = messages.iter().filter(|it| it["MESSAGE"].contains("exec \"ééé")).collect();
    assert_eq!(cut.len(), 1, "{}", messages.len());
    assert!(cut[0]["MESSAGE"].ends_with("é…") && cut[0]["MESSAGE"].len() > 10_000, "{}", cut[0]["MESSAGE"].len());
    assert_eq!(messages.last().unwrap()["PRIORITY"], "3", "and what comes behind it");
    journal.c.left_nothing();
}

#[test]
fn a_journal_that_is_not_there_is_an_error() {
    if !hilum_only("--log journald:ID") {
        return;
    }
    let journal = Journal::new(Container::new(&["true"]));
    fs::remove_file(journal.c.path("journal/socket")).unwrap();
    let out = journal.call(&["list"]);
    let expected = "open the log journald:web: connect to /run/systemd/journal/socket: No such file or directory; ";
    let line = out.fails(expected).stderr;
    assert!(line.contains("--log") && line.trim_end().lines().count() == 1, "{line}");
    journal.c.call(&["--log", "journald:", "list"]).fails("--log journald:: a name is missing");
}

/// One that has stopped to read must not stop containers.
#[test]
fn a_journal_that_does_not_read_is_not_waited_for() {
    if !hilum_only("--log journald:ID") {
        return;
    }
    let journal = Journal::new(Container::new(&["true"]));
    // Several, as each has a bound of its own on what it has sent: until there is no room for the first of one.
    let fill = || {
        let filler = UnixDatagram::unbound().unwrap();
        filler.connect(journal.c.path("journal/socket")).unwrap();
        filler.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| filler.send(b"MESSAGE=full\n").ok()).count()
    };
    while fill() > 0 {}
    journal.c.write_config();
    let started = Instant::now();
    journal.call(&["--debug", "run", &journal.c.id]).ok();
    // Once, and not for each of the messages.
    let waited = started.elapsed();
    assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(10) * patience(), "{waited:?}");
    journal.c.finish();
}
