//! The commands that make a container.

use super::matrix::{Scene, matrix};
use super::truth::{agrees, appearance, has_state, remove, sweep};
use crate::common::*;
use std::cell::{Cell, OnceCell, RefCell};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command that makes a container.
pub struct Making {
    c: Container,
    args: &'static [&'static str],
    /// What --console-socket names.
    console: Option<UnixListener>,
    /// What the first that ran was.
    appearance: OnceCell<String>,
}

impl Making {
    fn new(c: Container, args: &'static [&'static str]) -> Making {
        Making { c, args, console: None, appearance: OnceCell::new() }
    }

    fn create() -> Making {
        Making::new(Container::sleeper(), &["create"])
    }

    fn create_on_v2() -> Making {
        Making::new(Container::sleeper().on(Host::V2), &["create"])
    }

    fn create_in_user_namespace() -> Making {
        Making::new(Container::sleeper().in_user_namespace(), &["create"])
    }

    fn create_in_the_hosts_pid_namespace() -> Making {
        Making::new(Container::sleeper().without_namespace("pid"), &["create"])
    }

    fn create_with_terminal() -> Making {
        let c = Container::sleeper().set("process/terminal", json!(true));
        let console = Some(UnixListener::bind(c.path("console")).unwrap());
        Making { console, ..Making::new(c, &["create", "--console-socket", "../console"]) }
    }

    fn run_with_hooks() -> Making {
        let hook = json!([{ "path": "/bin/true" }]);
        let hooks = ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
        let hooks: serde_json::Map<_, _> = hooks.into_iter().map(|name| (name.into(), hook.clone())).collect();
        Making::new(Container::sleeper().set("hooks", hooks.into()), &["run", "--detach"])
    }

    pub fn create_by_systemd() -> Making {
        Making::new(Container::sleeper().by_systemd(), &["create"])
    }

    fn run_detached() -> Making {
        Making::new(Container::sleeper(), &["run", "--detach"])
    }

    fn run() -> Making {
        Making::new(Container::sh("true"), &["run"])
    }
}

impl Making {
    /// Where it runs, nothing of it is missing.
    fn is_whole(&self) -> bool {
        let runs = agrees(&self.c).as_deref() == Some("running");
        // One that ends by itself may do so at any moment.
        if runs && self.args != ["run"] {
            let now = appearance(&self.c);
            assert_eq!(&now, self.appearance.get_or_init(|| now.clone()), "it is another");
        }
        runs
    }
}

impl Scene for Making {
    fn prepare(&self) {
        self.c.write_config();
        if let Some(console) = &self.console {
            console.set_nonblocking(true).unwrap();
            while console.accept().is_ok() {}
        }
    }

    fn command(&self) -> Command {
        self.c.command(&[self.args, &[&self.c.id]].concat())
    }

    fn dir(&self) -> &Path {
        self.c.dir()
    }

    fn is_truthful(&self) {
        let status = agrees(&self.c);
        if status.as_deref() == Some("created") {
            // Created means that it can be started, and ends as a container ends; or that it was on its way out.
            let out = self.c.call(&["start", &self.c.id]);
            assert!(out.code == 0 || self.c.status() == "stopped", "start: {}", out.stderr);
        }
        self.is_whole();
    }

    fn is_done(&self) {
        match self.args[0] {
            "create" => {
                assert_eq!(agrees(&self.c).as_deref(), Some("created"));
                self.c.start();
                assert!(self.is_whole(), "it does not run");
            }
            "run" if self.args.len() > 1 => assert!(self.is_whole(), "it does not run"),
            _ => assert!(!has_state(&self.c)),
        }
    }

    fn is_undone(&self) {
        // What a `run` that has had its container could not remove is there to be deleted.
        match self.args {
            ["run"] if self.c.root().join(&self.c.id).exists() => {
                assert!(agrees(&self.c).is_none_or(|status| status == "stopped"));
            }
            _ => self.c.left_nothing(),
        }
    }

    fn remove(&self) {
        remove(&self.c);
    }

    fn leftovers(&self) -> Vec<String> {
        sweep(&self.c)
    }

    fn once_more(&self) {
        self.prepare();
        let more = if self.console.is_some() { &["--console-socket", "../console"][..] } else { &[] };
        self.c.create_with(more).ok();
        self.c.start();
        remove(&self.c);
    }
}

/// The first creation of a host, which makes the bare mount namespace: each has a /run of its own.
struct First {
    making: Making,
    host: RefCell<Option<Helper>>,
    /// The mounts that it has from the test's own.
    before: Cell<usize>,
}

impl First {
    fn new() -> First {
        First { making: Making::create(), host: RefCell::new(None), before: Cell::new(0) }
    }
}

impl First {
    fn bare_mounts(host: &Helper) -> usize {
        mounts_of(host.pid()).iter().filter(|mount| mount.point == "/run/hilum.bare").count()
    }
}

impl Scene for First {
    fn prepare(&self) {
        self.making.prepare();
        let own = "mount -t tmpfs tmpfs /run && exec sleep 1000";
        let host = Helper::start(&["unshare", "-m", "--propagation", "private", "sh", "-c", own], "sleep");
        self.before.set(First::bare_mounts(&host));
        *self.host.borrow_mut() = Some(host);
    }

    fn command(&self) -> Command {
        let c = &self.making.c;
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.host.borrow().as_ref().unwrap().pid().to_string()]).arg(program());
        command.arg("--root").arg(c.root()).arg("create").arg("-b").arg(c.bundle()).arg(&c.id);
        command
    }

    fn dir(&self) -> &Path {
        self.making.dir()
    }

    fn is_truthful(&self) {
        self.making.is_truthful();
    }

    fn is_done(&self) {
        self.making.is_done();
    }

    fn is_undone(&self) {
        self.making.is_undone();
    }

    /// Others can be made there, and do not pile up what they make.
    fn remove(&self) {
        self.making.remove();
        for _ in 0..2 {
            self.making.c.finish_call(self.command(), Stdio::null()).ok();
            self.making.remove();
        }
        let host = self.host.borrow_mut().take().unwrap();
        assert!(First::bare_mounts(&host) <= self.before.get() + 2, "{:#?}", mounts_of(host.pid()));
    }

    fn leftovers(&self) -> Vec<String> {
        self.making.leftovers()
    }

    fn once_more(&self) {}
}

#[test]
fn create_can_be_killed_anywhere() {
    matrix("create", 30).runtime_killed(Making::create);
    matrix("create", 40).init_killed(Making::create);
}

#[test]
fn create_on_v2_can_be_killed_anywhere() {
    if Host::plain() == Host::V2 {
        return;
    }
    matrix("create on v2", 30).runtime_killed(Making::create_on_v2);
    matrix("create on v2", 20).init_killed(Making::create_on_v2);
}

#[test]
fn create_in_a_user_namespace_can_be_killed_anywhere() {
    matrix("create in a user namespace", 30).runtime_killed(Making::create_in_user_namespace);
    matrix("create in a user namespace", 40).init_killed(Making::create_in_user_namespace);
}

#[test]
fn create_without_a_pid_namespace_can_be_killed_anywhere() {
    matrix("create in the host's pid namespace", 30).runtime_killed(Making::create_in_the_hosts_pid_namespace);
    matrix("create in the host's pid namespace", 20).init_killed(Making::create_in_the_hosts_pid_namespace);
}

#[test]
fn create_with_a_terminal_can_be_killed_anywhere() {
    matrix("create with a terminal", 30).runtime_killed(Making::create_with_terminal);
    matrix("create with a terminal", 20).init_killed(Making::create_with_terminal);
}

#[test]
fn run_with_hooks_can_be_killed_anywhere() {
    matrix("run with hooks", 30).runtime_killed(Making::run_with_hooks);
    matrix("run with hooks", 20).init_killed(Making::run_with_hooks);
}

#[test]
fn run_can_be_killed_anywhere() {
    matrix("run --detach", 30).runtime_killed(Making::run_detached);
    matrix("run --detach", 20).init_killed(Making::run_detached);
    matrix("run", 30).runtime_killed(Making::run);
    matrix("run", 20).init_killed(Making::run);
}

#[test]
fn create_survives_faults() {
    matrix("create", 30).runtime_fails(Making::create);
    matrix("create", 20).init_fails(Making::create);
}

#[test]
fn create_on_v2_and_in_a_user_namespace_survives_faults() {
    matrix("create on v2", 30).runtime_fails(Making::create_on_v2);
    matrix("create in a user namespace", 30).runtime_fails(Making::create_in_user_namespace);
    matrix("create in a user namespace", 20).init_fails(Making::create_in_user_namespace);
}

#[test]
fn run_survives_faults() {
    matrix("run", 30).runtime_fails(Making::run);
    matrix("run with hooks", 30).runtime_fails(Making::run_with_hooks);
}

#[test]
fn the_first_creation_of_a_host_can_be_killed_anywhere() {
    matrix("the first create of a host", 30).runtime_killed(First::new);
    matrix("the first create of a host", 20).init_killed(First::new);
    matrix("the first create of a host", 20).runtime_fails(First::new);
}
