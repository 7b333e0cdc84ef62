//! The commands on a container that is there.

use super::matrix::{Scene, matrix};
use super::truth::{agrees, has_state, remove, sweep};
use crate::common::*;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command on a container that is there.
struct Deed {
    c: Container,
    args: &'static [&'static str],
    /// What there is before.
    status: &'static str,
    /// What it may be afterwards, besides that.
    then: &'static [&'static str],
    /// Whether it has had its effect.
    effect: fn(&Container) -> bool,
}

impl Deed {
    fn new(
        args: &'static [&'static str],
        status: &'static str,
        then: &'static [&'static str],
        effect: fn(&Container) -> bool,
    ) -> Deed {
        Deed { c: Container::sleeper(), args, status, then, effect }
    }

    fn on(mut self, host: Host) -> Deed {
        self.c = self.c.on(host);
        self
    }

    fn start() -> Deed {
        Deed::new(&["start"], "created", &["running", "stopped"], |c| c.status() == "running")
    }

    fn exec() -> Deed {
        Deed::new(&["exec", "ID", "true"], "running", &[], |_| true)
    }

    fn exec_detached() -> Deed {
        Deed::new(&["exec", "--detach", "ID", "sleep", "1000"], "running", &[], |_| true)
    }

    fn kill() -> Deed {
        Deed::new(&["kill", "ID", "KILL"], "running", &["stopped"], |c| c.status() == "stopped")
    }

    fn kill_all() -> Deed {
        Deed::new(&["kill", "--all", "ID", "KILL"], "running", &["stopped", "paused"], |c| c.status() == "stopped")
    }

    fn state(status: &'static str) -> Deed {
        Deed::new(&["state"], status, &[], |_| true)
    }

    fn delete() -> Deed {
        Deed::new(&["delete"], "stopped", &[], |c| !has_state(c))
    }

    fn delete_by_force() -> Deed {
        Deed::new(&["delete", "--force"], "running", &["stopped"], |c| !has_state(c))
    }

    fn pause() -> Deed {
        Deed::new(&["pause"], "running", &["paused"], |c| c.status() == "paused")
    }

    fn resume() -> Deed {
        Deed::new(&["resume"], "paused", &["running"], |c| c.status() == "running")
    }

    /// Of several files, and of the document that is kept.
    fn update() -> Deed {
        let args = &["update", "--pids-limit", "40", "--cpu-share", "512", "--memory", "64m"];
        Deed::new(args, "running", &[], |c| {
            let set =
                |file: &str, value: &str| cgroups_named(&c.id).iter().any(|dir| read(&dir.join(file)).trim() == value);
            let document: Value = serde_json::from_str(&read(&c.root().join(&c.id).join("config.json"))).unwrap();
            let kept = &document["linux"]["resources"];
            let kept = (&kept["pids"]["limit"], &kept["cpu"]["shares"], &kept["memory"]["limit"]);
            set("pids.max", "40")
                && (set("cpu.shares", "512") || set("cpu.weight", "20") || set("cpu.weight", "59"))
                && (set("memory.limit_in_bytes", "67108864") || set("memory.max", "67108864"))
                && kept == (&json!(40), &json!(512), &json!(67_108_864))
        })
    }
}

impl Scene for Deed {
    fn prepare(&self) {
        self.c.create();
        if self.status != "created" {
            self.c.start();
        }
        if self.status == "paused" {
            self.c.call(&["pause", &self.c.id]).ok();
        }
        if self.status == "stopped" {
            self.c.kill("KILL").ok();
        }
        self.c.wait(self.status);
    }

    fn command(&self) -> Command {
        let mut args: Vec<&str> =
            self.args.iter().map(|arg| if *arg == "ID" { self.c.id.as_str() } else { arg }).collect();
        if !self.args.contains(&"ID") {
            args.push(&self.c.id);
        }
        self.c.command(&args)
    }

    /// Who waits for `start`.
    fn others(&self) -> Vec<u32> {
        if self.args[0] == "start" { vec![self.c.pid()] } else { Vec::new() }
    }

    fn dir(&self) -> &Path {
        self.c.dir()
    }

    fn failure(&self) -> i32 {
        if self.args[0] == "exec" { 255 } else { 1 }
    }

    fn is_truthful(&self) {
        let status = agrees(&self.c);
        // What a killed init leaves of a container that is started.
        if self.args[0] == "start" && status.as_deref() == Some("stopped") {
            return;
        }
        if let Some(status) = &status {
            let may_be = self.status == status || self.then.contains(&status.as_str());
            assert!(may_be, "it was {}, and is {status}", self.status);
        }
        if (self.effect)(&self.c) && self.args[0] != "exec" && self.args[0] != "update" {
            return;
        }
        let again = self.c.finish_call(self.command(), Stdio::null());
        assert!(again.code == 0 || (self.effect)(&self.c), "again: {}", again.stderr);
        self.is_done();
    }

    fn is_done(&self) {
        eventually("it has had its effect", || (self.effect)(&self.c));
        if self.status != "paused" && agrees(&self.c).is_some_and(|status| status == "paused") {
            self.c.call(&["resume", &self.c.id]).ok();
            assert_eq!(agrees(&self.c).as_deref(), Some("running"));
        }
    }

    fn has_said(&self, text: &str) {
        if self.args[0] == "state" {
            assert!(text.contains(&format!("\"status\": \"{}\"", self.status)), "it is {}: {text}", self.status);
        }
    }

    fn is_undone(&self) {
        self.is_truthful();
    }

    fn remove(&self) {
        remove(&self.c);
    }

    fn leftovers(&self) -> Vec<String> {
        sweep(&self.c)
    }

    /// Each preparation is one.
    fn once_more(&self) {}
}

#[test]
fn start_can_be_killed_anywhere() {
    matrix("start", 20).runtime_killed(Deed::start);
    matrix("start", 20).init_killed(Deed::start);
    matrix("start", 20).runtime_fails(Deed::start);
    matrix("start", 20).init_fails(Deed::start);
}

#[test]
fn exec_can_be_killed_anywhere() {
    matrix("exec", 8).runtime_killed(Deed::exec);
    matrix("exec", 8).init_killed(Deed::exec);
    matrix("exec --detach", 8).runtime_killed(Deed::exec_detached);
    matrix("exec --detach", 8).init_killed(Deed::exec_detached);
}

#[test]
fn exec_survives_faults() {
    matrix("exec", 30).runtime_fails(Deed::exec);
    matrix("exec", 20).init_fails(Deed::exec);
}

#[test]
fn state_does_not_lie() {
    for status in ["created", "running", "paused", "stopped"] {
        matrix(&format!("state of one that is {status}"), 20).runtime_fails(|| Deed::state(status));
    }
}

#[test]
fn kill_can_be_killed_anywhere() {
    matrix("kill", 20).runtime_killed(Deed::kill);
    matrix("kill --all", 20).runtime_killed(Deed::kill_all);
    matrix("kill --all", 20).runtime_fails(Deed::kill_all);
}

#[test]
fn delete_can_be_killed_anywhere() {
    matrix("delete", 20).runtime_killed(Deed::delete);
    matrix("delete --force", 20).runtime_killed(Deed::delete_by_force);
    matrix("delete --force", 30).runtime_fails(Deed::delete_by_force);
}

#[test]
fn update_can_be_killed_anywhere() {
    matrix("update", 20).runtime_killed(Deed::update);
    matrix("update", 30).runtime_fails(Deed::update);
}

#[test]
fn pause_and_resume_can_be_killed_anywhere() {
    for host in Host::all() {
        let on = |what: &str| format!("{what} on {host:?}");
        matrix(&on("pause"), 20).runtime_killed(|| Deed::pause().on(host));
        matrix(&on("resume"), 20).runtime_killed(|| Deed::resume().on(host));
        matrix(&on("pause"), 20).runtime_fails(|| Deed::pause().on(host));
        matrix(&on("resume"), 20).runtime_fails(|| Deed::resume().on(host));
    }
}
