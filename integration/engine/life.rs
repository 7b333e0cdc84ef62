//! Signals, ends, restarts and health.

use super::Engine;
use crate::common::*;
use std::time::{Duration, Instant};

pub fn kill_sends_the_signal(e: &'static Engine) {
    let c = e.sh_detached(
        "",
        "trap 'echo usr1' USR1; trap 'echo term; exit 11' TERM; echo ready; while :; do sleep 0.05; done",
    );
    c.says("ready");
    c.ok(&["kill", "--signal", "USR1"]);
    c.says("usr1");
    assert_eq!(c.status(), "running");
    c.ok(&["kill", "--signal", "TERM"]);
    assert_eq!(c.wait(), 11);
    assert!(c.logs().contains("term"));
}

pub fn kill_ends_it(e: &'static Engine) {
    let c = e.sleeper("");
    c.ok(&["kill"]);
    assert_eq!(c.wait(), 137);
}

pub fn stop_asks_first(e: &'static Engine) {
    let c = e.sh_detached("", "trap 'exit 12' TERM; echo ready; while :; do sleep 0.05; done");
    c.says("ready");
    c.ok(&["stop", "--time", &(20 * patience()).to_string()]);
    assert_eq!(c.wait(), 12);
}

pub fn stop_kills_in_the_end(e: &'static Engine) {
    // As process 1, sleep does not hear SIGTERM.
    let c = e.sleeper("");
    let before = Instant::now();
    c.ok(&["stop", "--time", "1"]);
    let took = before.elapsed();
    assert!(took.as_millis() >= 1000 && took < Duration::from_secs(15) * patience(), "{took:?}");
    assert_eq!(c.wait(), 137);
    assert_eq!(c.inspect("{{.State.Pid}}"), "0");
}

pub fn stopped_starts_again(e: &'static Engine) {
    let c = e.sh_detached("", "echo run >>/runs; exec sleep 1000");
    let first = c.pid();
    c.ok(&["restart", "--time", "0"]);
    assert_ne!(c.pid(), first);
    assert_eq!(c.exec("", &["cat", "/runs"]).ok().stdout, "run\nrun\n");
}

pub fn restarts_after_a_crash(e: &'static Engine) {
    let c = e.sleeper("--restart on-failure:3");
    let pid = c.pid();
    rustix::process::kill_process(rustix_pid(pid), rustix::process::Signal::KILL).unwrap();
    eventually("another process", || !["0", &pid.to_string()].contains(&c.inspect("{{.State.Pid}}").as_str()));
    let again = c.pid();
    assert_eq!(comm(again), "sleep");
    assert_eq!(c.inspect("{{.RestartCount}}"), "1");
}

pub fn health(e: &'static Engine) {
    let flags = "--health-interval 1s --health-retries 1 --health-cmd";
    let words: Vec<&str> =
        ["run", "--detach"].into_iter().chain(e.flags.split_whitespace()).chain(flags.split_whitespace()).collect();
    let id = e.client.ok(&[&words[..], &["test -e /tmp/healthy", image::NAME, "sleep", "1000"]].concat());
    let c = super::Running { engine: e, id };
    let check = || {
        // podman leaves the timer to systemd, and has a command for one check.
        if !e.is_docker() {
            e.client.call(&["healthcheck", "run", &c.id]);
        }
        c.inspect(if e.is_docker() { "{{.State.Health.Status}}" } else { "{{.State.Healthcheck.Status}}" })
    };
    eventually("unhealthy", || check() == "unhealthy");
    c.exec("", &["touch", "/tmp/healthy"]).ok();
    eventually("healthy", || check() == "healthy");
}
