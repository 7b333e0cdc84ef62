//! What Docker and podman have in common: one command line, and so one set of tests, run by each in its own way.

pub mod basics;
pub mod confine;
pub mod exec;
pub mod life;
pub mod limits;
pub mod share;

use crate::common::{Client, Out, dir, eventually, image, runs_program};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Docker,
    Podman,
    /// podman of a user who is not root.
    Rootless,
}

pub struct Engine {
    pub kind: Kind,
    pub client: Client,
    /// What every `run` and `create` has: `--runtime hilum` for Docker.
    pub flags: &'static str,
}

pub type EngineTest = fn(&'static Engine);

/// Names of tests with their functions: `tests![exec: failures; share: ipc, pid]`.
macro_rules! tests {
    ($($module:ident: $($name:ident),+);+) => {
        vec![$($((concat!(stringify!($module), "::", stringify!($name)), $crate::engine::$module::$name as $crate::engine::EngineTest)),+),+]
    };
}
pub(crate) use tests;

impl Engine {
    pub fn is_docker(&self) -> bool {
        self.kind == Kind::Docker
    }

    pub fn major_version(&self) -> u32 {
        let version = self.client.ok(&["version", "--format", "{{.Server.Version}}"]);
        version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_else(|| panic!("version {version:?}"))
    }

    /// A directory that the engine, whoever runs it, may read and write.
    pub fn scratch(&self) -> String {
        let name = if self.kind == Kind::Rootless { "rootless/scratch" } else { "scratch" };
        let scratch = dir().join(name);
        fs::create_dir_all(&scratch).unwrap();
        fs::set_permissions(&scratch, fs::Permissions::from_mode(0o777)).unwrap();
        scratch.to_str().unwrap().to_owned()
    }

    fn words<'a>(&'a self, verb: &[&'a str], flags: &'a str, cmd: &[&'a str]) -> Vec<&'a str> {
        let flags = self.flags.split_whitespace().chain(flags.split_whitespace());
        verb.iter().copied().chain(flags).chain([image::NAME]).chain(cmd.iter().copied()).collect()
    }

    /// `run --rm` in the foreground. Flags are divided at spaces.
    #[track_caller]
    pub fn run(&self, flags: &str, cmd: &[&str]) -> Out {
        self.client.call(&self.words(&["run", "--rm"], flags, cmd))
    }

    /// A script in the foreground; what it prints, without the last line end.
    #[track_caller]
    pub fn sh(&self, flags: &str, script: &str) -> String {
        self.run(flags, &["sh", "-c", script]).ok().stdout.trim().to_owned()
    }

    #[track_caller]
    pub fn run_with(&self, flags: &str, cmd: &[&str], input: &str) -> Out {
        self.client.call_with(&self.words(&["run", "--rm"], flags, cmd), input)
    }

    /// `run --rm` on a terminal. The flags must say `-t`.
    #[track_caller]
    pub fn run_on_terminal(&self, flags: &str, cmd: &[&str], input: &str) -> Out {
        self.client.on_terminal(&self.words(&["run", "--rm"], flags, cmd), input)
    }

    /// `run --detach`.
    #[track_caller]
    pub fn start(&'static self, flags: &str, cmd: &[&str]) -> Running {
        let out = self.client.call(&self.words(&["run", "--detach"], flags, cmd));
        // Docker leaves a container that could not be started; its id is printed first.
        let container = Running { engine: self, id: out.stdout.trim().to_owned() };
        assert_eq!(out.code, 0, "run {flags} {cmd:?}: {}", out.stderr);
        container
    }

    /// A container that does nothing.
    #[track_caller]
    pub fn sleeper(&'static self, flags: &str) -> Running {
        self.start(flags, &["sleep", "1000"])
    }

    #[track_caller]
    pub fn sh_detached(&'static self, flags: &str, script: &str) -> Running {
        self.start(flags, &["sh", "-c", script])
    }
}

/// A container in the background. Removed on drop.
pub struct Running {
    pub engine: &'static Engine,
    pub id: String,
}

impl Running {
    /// The verb, these arguments, and the id.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        self.engine.client.ok(&[args, &[&self.id]].concat())
    }

    pub fn inspect(&self, format: &str) -> String {
        self.ok(&["inspect", "--format", format])
    }

    pub fn status(&self) -> String {
        self.inspect("{{.State.Status}}")
    }

    /// The pid of its first process, once that has become the user's program.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        let pid = self.inspect("{{.State.Pid}}").parse().unwrap();
        assert_ne!(pid, 0, "not running: {}", self.logs());
        eventually("the user's program runs", || runs_program(pid));
        pid
    }

    /// What it has printed, on both streams.
    #[track_caller]
    pub fn logs(&self) -> String {
        let out = self.engine.client.call(&["logs", &self.id]).ok();
        out.stdout + &out.stderr
    }

    #[track_caller]
    pub fn says(&self, text: &str) {
        eventually(&format!("{text:?} in the logs"), || self.logs().contains(text));
    }

    pub fn exec(&self, flags: &str, cmd: &[&str]) -> Out {
        let words: Vec<&str> = ["exec"].into_iter().chain(flags.split_whitespace()).chain([self.id.as_str()]).collect();
        self.engine.client.call(&[&words, cmd].concat())
    }

    /// Waits for its end; its exit code.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        self.ok(&["wait"]).parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.id.is_empty() {
            // At once: only Docker does not know the flag.
            let now: &[&str] = if self.engine.is_docker() { &[] } else { &["--time", "0"] };
            self.engine.client.call(&[&["rm", "--force", "--volumes"], now, &[&self.id]].concat());
        }
    }
}
