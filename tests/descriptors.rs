//! File descriptors: none but those asked for; sockets of systemd, readiness.

use crate::common::*;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Stdio;

#[test]
fn only_stdin_stdout_and_stderr_are_open() {
    let c = Container::sh("ls /proc/self/fd | tr '\\n' ' '");
    // ls has the directory open as 3.
    assert_eq!(c.run().ok().stdout, "0 1 2 3 ");
    c.finish();
}

/// A command whose descriptors 3 and 4 are open when the runtime starts.
fn with_two_files(c: &Container, args: &[&str]) -> Out {
    c.write_config();
    fs::write(c.path("three"), "three\n").unwrap();
    fs::write(c.path("four"), "four\n").unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$@\" 3< \"$DIR/three\" 4< \"$DIR/four\"", "sh"]).arg(program());
    command.arg("--root").arg(c.root()).args(args).arg(&c.id).env("DIR", c.dir()).current_dir(c.bundle());
    c.finish_call(command, Stdio::null())
}

#[test]
fn descriptors_of_the_caller_are_passed_on_only_when_asked() {
    let c = Container::sh("ls /proc/self/fd | tr '\\n' ' '; cat <&3; cat <&4");
    let out = with_two_files(&c, &["run", "--preserve-fds", "2"]);
    assert_eq!(out.stdout, "0 1 2 3 4 5 three\nfour\n", "{out:?}");
    let out = with_two_files(&c, &["run", "--preserve-fds=1"]);
    assert!(out.stdout.starts_with("0 1 2 3 4 three\n") && !out.stdout.contains("four"), "{out:?}");
    let out = with_two_files(&c, &["run"]);
    assert!(out.stdout.starts_with("0 1 2 3 ") && !out.stdout.contains("three"), "{out:?}");
    c.finish();
}

#[test]
fn preserve_fds_of_descriptors_that_are_not_open_is_an_error() {
    let c = Container::new(&["true"]);
    let out = with_two_files(&c, &["run", "--preserve-fds", "20"]);
    assert_eq!(out.code, 1, "{out:?}");
    c.left_nothing();
}

#[test]
fn listen_fds_are_passed_on_with_the_pid_of_the_process() {
    let c = Container::sh("echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4");
    c.write_config();
    fs::write(c.path("three"), "three\n").unwrap();
    fs::write(c.path("four"), "four\n").unwrap();
    let mut command = std::process::Command::new("sh");
    let script = "LISTEN_FDS=2 LISTEN_PID=$$ exec \"$@\" 3< \"$DIR/three\" 4< \"$DIR/four\"";
    command.args(["-c", script, "sh"]).arg(program()).arg("--root").arg(c.root());
    command.args(["run", &c.id]).env("DIR", c.dir()).current_dir(c.bundle());
    let out = c.finish_call(command, Stdio::null()).ok();
    assert_eq!(out.stdout, "2 1\nthree\nfour\n");
    c.finish();
}

/// The writing end of what nobody reads.
fn unread() -> Stdio {
    std::os::fd::OwnedFd::from(UnixStream::pair().unwrap().0).into()
}

#[test]
fn a_log_that_nobody_reads_ends_nothing_half_way() {
    // Without a pid namespace, so that a signal which has no handler ends the process.
    let c = Container::sh("sleep 0.2; exit 3").without_namespace("pid");
    c.write_config();
    for args in [&["create", &c.id][..], &["delete", "--force", &c.id]] {
        let args = [&["--debug"], args].concat();
        let status = c.command(&args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(unread()).status().unwrap();
        assert!(status.success(), "{args:?}: {status}");
    }
    c.left_nothing();
    let mut command = c.command(&["--debug", "run", &c.id]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(unread()).status().unwrap();
    assert_eq!(status.code(), Some(3), "{status}");
    c.left_nothing();
}

#[test]
fn an_answer_that_nobody_reads_is_no_error_to_tell() {
    let c = Container::sleeper();
    c.create();
    let out = c.command(&["list"]).stdout(unread()).output().unwrap();
    assert!(!out.status.success() && out.stderr.is_empty(), "{out:?}");
    c.finish();
}

#[test]
fn listen_fds_of_the_document_do_not_stand_before_the_callers() {
    if !hilum_only("an older oracle has both") {
        return;
    }
    let c = Container::new(&["cat", "/proc/self/environ"])
        .push("process/env", json!("LISTEN_FDS=7"))
        .push("process/env", json!("LISTEN_PID=7"));
    c.write_config();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\" 3</dev/null", "sh"]).arg(program());
    command.arg("--root").arg(c.root()).args(["run", &c.id]).current_dir(c.bundle());
    let out = c.finish_call(command, Stdio::null()).ok();
    let mut listen: Vec<&str> = out.stdout.split('\0').filter(|entry| entry.starts_with("LISTEN_")).collect();
    listen.sort_unstable();
    assert_eq!(listen, ["LISTEN_FDS=1", "LISTEN_PID=1"]);
    c.finish();
}

#[test]
fn readiness_is_passed_on_to_the_notify_socket() {
    let c = Container::sh("stat -c %F $NOTIFY_SOCKET; nc -h 2>/dev/null; sleep 1000");
    // A path that is longer than that of a socket may be.
    let root = c.dir().join("x".repeat(100));
    let c = c.kept_in(&root);
    let socket = UnixDatagram::bind(c.path("notify")).unwrap();
    socket.set_read_timeout(Some(LIMIT * patience())).unwrap();
    c.write_config();
    let out = fs::File::create(c.path("out")).unwrap();
    let mut command = c.command(&["run", &c.id]);
    let child =
        Helper(command.env("NOTIFY_SOCKET", c.path("notify")).stdin(Stdio::null()).stdout(out).spawn().unwrap());
    eventually("the socket", || read(&c.dir().join("out")).contains("socket"));
    // The process in the container says that it is ready: here, the test does, through the same socket.
    let state = c.state();
    let pid = state["pid"].as_u64().unwrap();
    let environ = read(&proc(pid as u32, "environ"));
    let inside = environ.split('\0').find_map(|v| v.strip_prefix("NOTIFY_SOCKET=")).unwrap();
    let inside = format!("/proc/{pid}/root{inside}");
    UnixDatagram::unbound().unwrap().send_to(b"READY=1\nSTATUS=up\n", &inside).unwrap();
    let mut message = [0; 100];
    let mut all = String::new();
    while !all.contains("READY=1") {
        let n = socket.recv(&mut message).expect("READY=1 within the time limit");
        all.push_str(&String::from_utf8_lossy(&message[..n]));
    }
    c.kill("KILL").ok();
    child.exit_code();
    c.left_nothing();
}

#[test]
fn what_is_closed_together_is_closed_and_its_neighbours_are_not() {
    for keep in 0..4 {
        let (mut readers, mut writers): (Vec<_>, Vec<_>) = (0..4).map(|_| UnixStream::pair().unwrap()).unzip();
        // With one of them left out: numbers that follow each other, and that do not.
        let mut kept = writers.remove(keep);
        let closed: Vec<OwnedFd> = writers.into_iter().map(OwnedFd::from).collect();
        hilum_sys::process::close_all(<[OwnedFd; 3]>::try_from(closed).unwrap());
        kept.write_all(b"x").unwrap();
        drop(kept);
        for (at, reader) in readers.iter_mut().enumerate() {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, if at == keep { "x" } else { "" }, "{at} of those without {keep}");
        }
    }
}
