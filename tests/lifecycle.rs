//! From create to delete: states, transitions, signals, exit codes.

use crate::common::*;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

#[test]
fn create_start_state_kill_delete() {
    let c = Container::sleeper();
    c.create();
    assert_eq!(c.status(), "created");
    c.start().wait("running");
    let pid = c.pid();
    assert!(proc(pid, "status").exists());
    c.kill("KILL").ok();
    c.wait("stopped");
    assert_eq!(c.pid(), 0);
    c.call(&["delete", &c.id]).ok();
    c.call(&["state", &c.id]).fails("container does not exist");
    c.left_nothing();
}

#[test]
fn state_has_the_shape_that_its_readers_expect() {
    let c = Container::sleeper().set("annotations", json!({ "a": "b" }));
    c.create();
    let text = c.call(&["state", &c.id]).ok().stdout;
    assert!(text.starts_with("{\n  \"ociVersion\": \"1.") && text.ends_with('}'), "{text:?}");
    let state = c.state();
    assert_eq!((&state["id"], &state["status"]), (&json!(c.id), &json!("created")));
    assert_eq!((&state["bundle"], &state["rootfs"]), (&json!(c.bundle()), &json!(c.rootfs())));
    assert_eq!((&state["annotations"], &state["owner"]), (&json!({ "a": "b" }), &json!("")));
    assert!(state["pid"].as_u64().unwrap() > 1);
    let created = state["created"].as_str().unwrap();
    assert!(created.len() >= 20 && created.contains('T') && created.ends_with('Z'), "{created}");
    c.finish();
}

#[test]
fn nothing_of_the_user_runs_before_start() {
    let c = Container::sh("echo started; sleep 1000");
    c.create();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(c.output().matches("started").count(), 0);
    c.start().says("started");
    c.finish();
}

#[test]
fn start_refuses_a_running_and_a_stopped_container() {
    let c = Container::sleeper();
    c.up();
    c.call(&["start", &c.id]).fails("cannot start an already running container");
    c.kill("KILL").ok();
    c.wait("stopped");
    c.call(&["start", &c.id]).fails("cannot start a container that has stopped");
    c.finish();
}

#[test]
fn an_id_in_use_is_refused_and_the_container_unharmed() {
    let c = Container::sleeper();
    c.up();
    let pid = c.pid();
    c.call(&["create", &c.id]).fails("container with given ID already exists");
    c.call(&["run", &c.id]).fails("container with given ID already exists");
    assert_eq!((c.status().as_str(), c.pid()), ("running", pid));
    c.finish();
}

#[test]
fn every_command_says_when_there_is_no_such_container() {
    let c = Container::sleeper();
    for command in ["state", "start", "kill", "delete"] {
        c.call(&[command, "none"]).fails("container does not exist");
    }
    c.call(&["delete", "--force", "none"]).ok();
    c.call(&["delete", "-f", "none"]).ok();
}

#[test]
fn delete_refuses_a_running_container_unless_forced() {
    let c = Container::sleeper();
    c.up();
    let expected = format!("cannot delete container {} that is not stopped: running", c.id);
    c.call(&["delete", &c.id]).fails(&expected);
    assert_eq!(c.status(), "running");
    c.call(&["delete", "--force", &c.id]).ok();
    c.left_nothing();
}

#[test]
fn delete_kills_and_removes_a_created_container() {
    let c = Container::sleeper();
    c.create();
    c.call(&["delete", &c.id]).ok();
    c.left_nothing();
}

#[test]
fn deleting_twice_says_that_it_does_not_exist() {
    let c = Container::sleeper();
    c.create();
    c.call(&["delete", "-f", &c.id]).ok();
    c.call(&["delete", &c.id]).fails("container does not exist");
    c.call(&["delete", "-f", &c.id]).ok();
    c.left_nothing();
}

#[test]
fn run_returns_the_exit_code_of_the_process() {
    for code in [0, 1, 7, 126, 255] {
        let c = Container::sh(&format!("exit {code}"));
        assert_eq!(c.run().code, code);
        c.left_nothing();
    }
}

#[test]
fn run_returns_128_and_the_signal_that_killed_the_process() {
    let c = Container::sleeper();
    c.write_config();
    let child = Helper(c.command(&["run", &c.id]).stdin(Stdio::null()).spawn().unwrap());
    eventually("running", || c.call(&["state", &c.id]).stdout.contains("\"running\""));
    c.kill("KILL").ok();
    assert_eq!(child.exit_code(), 137);
    c.left_nothing();
}

#[test]
fn run_passes_stdin_stdout_and_stderr_through() {
    let c = Container::sh("cat; echo oops >&2");
    c.write_config();
    fs::write(c.path("input"), "hello").unwrap();
    let out = c.finish_call(c.command(&["run", &c.id]), Stdio::from(fs::File::open(c.path("input")).unwrap())).ok();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("hello", "oops\n"));
    c.left_nothing();
}

#[test]
fn run_in_the_foreground_forwards_signals() {
    let c = Container::sh("trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.02; done");
    c.write_config();
    let out = fs::File::create(c.path("out")).unwrap();
    let child = Helper(c.command(&["run", &c.id]).stdin(Stdio::null()).stdout(out).spawn().unwrap());
    eventually("ready", || read(&c.dir().join("out")).contains("ready"));
    send(child.pid(), Signal::TERM);
    assert_eq!(child.exit_code(), 3);
    assert!(read(&c.dir().join("out")).contains("got it"));
    c.left_nothing();
}

#[test]
fn run_detached_returns_at_once_and_keeps_the_container() {
    let c = Container::sleeper();
    c.run_with(&["--detach", "--pid-file", &c.path("pid")]).ok();
    assert_eq!(c.status(), "running");
    assert_eq!(fs::read_to_string(c.path("pid")).unwrap(), c.pid().to_string());
    c.finish();
}

#[test]
fn run_keep_leaves_a_stopped_container() {
    let c = Container::sh("exit 4");
    assert_eq!(c.run_with(&["--keep"]).code, 4);
    assert_eq!((c.status().as_str(), c.pid()), ("stopped", 0));
    c.call(&["delete", &c.id]).ok();
    c.left_nothing();
}

#[test]
fn the_pid_file_has_no_newline() {
    let c = Container::sleeper();
    c.create_with(&["--pid-file", &c.path("pid")]).ok();
    assert_eq!(fs::read_to_string(c.path("pid")).unwrap(), c.pid().to_string());
    c.finish();
}

#[test]
fn a_container_whose_init_was_killed_is_stopped_and_can_be_deleted() {
    for start in [false, true] {
        let c = Container::sleeper();
        c.create();
        if start {
            c.start();
        }
        send(c.pid(), Signal::KILL);
        c.wait("stopped");
        c.call(&["delete", &c.id]).ok();
        c.left_nothing();
    }
}

#[test]
fn parallel_creates_of_one_id_make_one_container() {
    if !hilum_only("the oracle takes no lock, and may make two") {
        return;
    }
    let c = Container::sleeper();
    c.write_config();
    let spawn =
        || c.command(&["create", &c.id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let children: Vec<_> = (0..6).map(|_| Helper(spawn().unwrap())).collect();
    let codes: Vec<i32> = children.into_iter().map(Helper::exit_code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(c.status(), "created");
    c.finish();
}

#[test]
fn parallel_deletes_all_end_and_leave_nothing() {
    for _ in 0..rounds(3, 30) {
        let c = Container::sleeper();
        c.up();
        let spawn = || c.command(&["delete", "-f", &c.id]).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let children: Vec<_> = (0..6).map(|_| Helper(spawn().unwrap())).collect();
        let codes: Vec<i32> = children.into_iter().map(Helper::exit_code).collect();
        if hilum_only("the oracle takes no lock") {
            assert_eq!(codes, [0; 6]);
        }
        c.finish();
    }
}

#[test]
fn a_create_killed_at_any_moment_can_be_deleted() {
    if !hilum_only("the oracle leaves processes and cgroups when create is killed") {
        return;
    }
    for round in 0..rounds(15, 300) {
        let c = Container::sleeper();
        c.write_config();
        let mut child = c.command(&["create", &c.id]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(round) * 700 % 10_000));
        _ = child.kill();
        _ = child.wait();
        c.call(&["delete", "--force", &c.id]).ok();
        c.left_nothing();
    }
}
