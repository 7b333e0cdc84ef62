//! Terminals: given to the caller over a console socket, or joined to the caller's own.

use crate::common::*;
use rustix::fd::OwnedFd;
use rustix::io::{read as read_fd, write as write_fd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};
use std::cell::RefCell;
use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The master side of the terminal that the runtime sends to a console socket.
fn receive(listener: &UnixListener) -> Terminal {
    Terminal::of(receive_fd(listener).1)
}

/// The master side of a terminal.
struct Terminal {
    fd: OwnedFd,
    /// Read, and not yet asked for.
    said: RefCell<String>,
}

impl Terminal {
    fn of(fd: OwnedFd) -> Terminal {
        rustix::io::ioctl_fionbio(&fd, true).unwrap();
        Terminal { fd, said: RefCell::new(String::new()) }
    }

    /// Reads up to `text`, and returns what came before.
    #[track_caller]
    fn until(&self, text: &str) -> String {
        let mut said = self.said.borrow_mut();
        let mut buffer = [0; 1024];
        let deadline = deadline_in(20);
        loop {
            if let Some(at) = said.find(text) {
                let before = said[..at].to_owned();
                said.drain(..at + text.len());
                return before;
            }
            assert!(Instant::now() < deadline, "waited in vain for {text:?} in {said:?}");
            match read_fd(&self.fd, &mut buffer) {
                Ok(n) if n > 0 => said.push_str(&String::from_utf8_lossy(&buffer[..n])),
                // EIO: no process has the other side open, not yet or no longer.
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

fn in_terminal(script: &str) -> (Container, UnixListener) {
    let c = Container::sh(script).set("process/terminal", json!(true));
    let listener = UnixListener::bind(c.path("console")).unwrap();
    (c, listener)
}

#[test]
fn create_sends_the_terminal_to_the_console_socket() {
    let (c, listener) = in_terminal("tty; ls -l /proc/self/fd/0; read line; echo \"got $line.\"; sleep 1000");
    c.create_with(&["--console-socket", &c.path("console")]).ok();
    let master = receive(&listener);
    c.start();
    // The terminal is the container's own: the first of its devpts.
    master.until("/dev/pts/0");
    write_fd(&master.fd, b"hello\n").unwrap();
    master.until("got hello.");
    c.finish();
}

#[test]
fn the_terminal_controls_the_process() {
    let (c, listener) = in_terminal("trap 'echo interrupted.' INT; echo ready; while :; do sleep 0.02; done");
    c.create_with(&["--console-socket", &c.path("console")]).ok();
    let master = receive(&listener);
    c.start();
    master.until("ready");
    write_fd(&master.fd, b"\x03").unwrap();
    master.until("interrupted.");
    let stat = read(&proc(c.pid(), "stat"));
    // pid (comm) state ppid pgrp session tty_nr …
    let after: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_ne!(after[4], "0", "no controlling terminal: {stat}");
    assert_eq!(after[2], after[3], "the leader of its session: {stat}");
    c.finish();
}

#[test]
fn dev_console_is_the_terminal() {
    let (c, listener) =
        in_terminal("echo spoken > /dev/console; stat -c %F /dev/console; cat /proc/self/mountinfo; echo end.");
    c.create_with(&["--console-socket", &c.path("console")]).ok();
    let master = receive(&listener);
    c.start();
    let said = master.until("end.");
    assert!(said.contains("spoken") && said.contains("character special file"), "{said}");
    let mounts = parse_mounts(&said.replace('\r', ""));
    let console = mount_at(&mounts, "/dev/console");
    assert_eq!((console.fstype.as_str(), console.root.as_str()), ("devpts", "/0"));
    c.finish();
}

#[test]
fn console_size_is_the_size_of_the_terminal() {
    let (c, listener) = in_terminal("stty size; sleep 1000");
    let c = c.set("process/consoleSize", json!({ "height": 33, "width": 101 }));
    c.create_with(&["--console-socket", &c.path("console")]).ok();
    let master = receive(&listener);
    c.start();
    master.until("33 101");
    assert_eq!(tcgetwinsize(&master.fd).map(|w| (w.ws_row, w.ws_col)), Ok((33, 101)));
    c.finish();
}

#[test]
fn the_terminal_belongs_to_the_user() {
    let (c, listener) = in_terminal("stat -c '%u is the owner' /dev/pts/0; sleep 1000");
    let c = c.set("process/user", json!({ "uid": 1000, "gid": 1000 }));
    c.create_with(&["--console-socket", &c.path("console")]).ok();
    let master = receive(&listener);
    c.start();
    master.until("1000 is the owner");
    c.finish();
}

#[test]
fn a_terminal_works_in_a_user_namespace() {
    let (c, listener) = in_terminal("tty; sleep 1000");
    let c = c.in_user_namespace();
    c.create_with(&["--console-socket", &c.path("console")]).ok();
    let master = receive(&listener);
    c.start();
    master.until("/dev/pts/0");
    c.finish();
}

#[test]
fn run_detached_takes_a_console_socket_too() {
    let (c, listener) = in_terminal("tty; sleep 1000");
    c.run_with(&["--detach", "--console-socket", &c.path("console")]).ok();
    receive(&listener).until("/dev/pts/0");
    c.finish();
}

#[test]
fn create_with_a_terminal_needs_a_console_socket() {
    let c = Container::sh("true").set("process/terminal", json!(true));
    c.create_with(&[]).fails("console socket");
    c.left_nothing();
}

#[test]
fn a_console_socket_needs_a_terminal() {
    let c = Container::sh("true");
    let _listener = UnixListener::bind(c.path("console")).unwrap();
    c.create_with(&["--console-socket", &c.path("console")]).fails("console socket");
    c.left_nothing();
}

#[test]
fn a_console_socket_that_is_none_is_an_error() {
    let c = Container::sh("true").set("process/terminal", json!(true));
    c.create_with(&["--console-socket", &c.path("nothing")]).fails("");
    fs::write(c.path("file"), "").unwrap();
    c.create_with(&["--console-socket", &c.path("file")]).fails("");
    c.left_nothing();
}

/// `run` in the foreground, as the leader of a session on a terminal of ours.
fn foreground(c: &Container, size: (u16, u16)) -> (Terminal, Helper) {
    c.write_config();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    resize(&master, size);
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let side = || Stdio::from(fs::OpenOptions::new().read(true).write(true).open(&name).unwrap());
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(program()).arg("--root").arg(c.root()).args(["run", &c.id]);
    let child = Helper(command.current_dir(c.bundle()).stdin(side()).stdout(side()).stderr(side()).spawn().unwrap());
    (Terminal::of(master), child)
}

fn resize(master: &OwnedFd, (rows, columns): (u16, u16)) {
    tcsetwinsize(master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

#[test]
fn run_in_the_foreground_joins_the_callers_terminal() {
    let c = Container::sh(
        "tty; while ! stty size | grep '40 90'; do sleep 0.02; done; read line; echo \"got $line.\"; exit 5",
    )
    .set("process/terminal", json!(true));
    let (master, child) = foreground(&c, (40, 90));
    master.until("/dev/pts/0");
    master.until("40 90");
    write_fd(&master.fd, b"hello\n").unwrap();
    master.until("got hello.");
    assert_eq!(child.exit_code(), 5);
    c.left_nothing();
}

#[test]
fn a_resize_of_the_callers_terminal_reaches_the_container() {
    let c = Container::sh("echo ready; while ! stty size | grep '50 120'; do sleep 0.02; done; echo resized.");
    let c = c.set("process/terminal", json!(true));
    let (master, child) = foreground(&c, (24, 80));
    master.until("ready");
    resize(&master.fd, (50, 120));
    master.until("resized.");
    assert_eq!(child.exit_code(), 0);
    c.left_nothing();
}

#[test]
fn the_interrupt_key_goes_to_the_container_and_not_to_the_runtime() {
    let c = Container::sh("trap 'echo interrupted.; exit 6' INT; echo ready; while :; do sleep 0.02; done");
    let c = c.set("process/terminal", json!(true));
    let (master, child) = foreground(&c, (24, 80));
    master.until("ready");
    write_fd(&master.fd, b"\x03").unwrap();
    master.until("interrupted.");
    assert_eq!(child.exit_code(), 6);
    c.left_nothing();
}

#[test]
fn the_callers_terminal_has_its_settings_back_after_run() {
    let c = Container::sh("stty -echo raw; exit 0").set("process/terminal", json!(true));
    let (master, child) = foreground(&c, (24, 80));
    let before = rustix::termios::tcgetattr(&master.fd).unwrap();
    assert_eq!(child.exit_code(), 0);
    let after = rustix::termios::tcgetattr(&master.fd).unwrap();
    assert_eq!(before.local_modes, after.local_modes);
    assert_eq!(before.output_modes, after.output_modes);
    c.left_nothing();
}

#[test]
fn run_with_a_terminal_but_without_one_of_its_own_fails_cleanly() {
    let c = Container::sh("true").set("process/terminal", json!(true));
    c.write_config();
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(program()).arg("--root").arg(c.root()).args(["run", &c.id]).current_dir(c.bundle());
    let out = c.finish_call(command, Stdio::null());
    if hilum_only("the oracle goes on without") {
        assert!(out.code <= 1, "{out:?}");
    }
    c.finish();
}

#[test]
fn exec_sends_its_terminal_to_the_console_socket() {
    let c = Container::sleeper();
    c.up();
    let listener = UnixListener::bind(c.path("console")).unwrap();
    let script = "tty; stty size; read line; echo \"got $line.\"";
    c.exec_with(&["-t", "-d", "--console-socket", &c.path("console")], &["sh", "-c", script]).ok();
    let master = receive(&listener);
    master.until("/dev/pts/0");
    write_fd(&master.fd, b"hello\n").unwrap();
    master.until("got hello.");
    c.finish();
}

#[test]
fn the_end_of_input_ends_it_with_or_without_a_newline() {
    let c = Container::sleeper();
    c.up();
    for input in ["abc", "abc\n", ""] {
        fs::write(c.path("input"), input).unwrap();
        let command = c.command(&["exec", "-t", &c.id, "cat"]);
        let out = c.finish_call(command, Stdio::from(fs::File::open(c.path("input")).unwrap())).ok();
        assert!(out.stdout.contains(input.trim_end()), "{out:?}");
    }
    c.finish();
}

#[test]
fn exec_checks_the_terminal_and_the_socket_against_each_other() {
    let c = Container::sleeper();
    c.up();
    let _listener = UnixListener::bind(c.path("console")).unwrap();
    for flags in [&["-t", "-d"][..], &["-d", "--console-socket", &c.path("console")]] {
        let out = c.exec_with(flags, &["true"]);
        assert_eq!(out.code, 255, "{out:?}");
    }
    c.finish();
}

#[test]
fn exec_in_the_foreground_has_a_terminal_of_the_callers_size() {
    let c = Container::sleeper();
    c.up();
    let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&outer).unwrap();
    unlockpt(&outer).unwrap();
    tcsetwinsize(&outer, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let slave =
        fs::OpenOptions::new().read(true).write(true).open(ptsname(&outer, vec![]).unwrap().to_str().unwrap()).unwrap();
    let mut command: Command = c.command(&["exec", "-t", &c.id, "sh", "-c", "stty size; read x; exit 9"]);
    command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(Stdio::null());
    let child = Helper(command.spawn().unwrap());
    let terminal = Terminal::of(outer);
    terminal.until("33 77");
    write_fd(&terminal.fd, b"\n").unwrap();
    assert_eq!(child.exit_code(), 9);
    drop(slave);
    c.finish();
}
