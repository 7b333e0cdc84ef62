//! Clients and daemons as processes of the suite.

use super::host::{deadline_in, patience, wait_within};
use super::{LIMIT, Out, dir, rustix_pid};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// Runs a command, with nothing to read, within the time limit.
#[track_caller]
pub fn run(command: &mut Command) -> Out {
    run_with(command, "")
}

/// Runs a command that reads `input`. The output goes to files: what a client leaves running may keep them open.
#[track_caller]
pub fn run_with(command: &mut Command, input: &str) -> Out {
    let file = |text: &str| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    };
    let (stdin, stdout, stderr) = (file(input), file(""), file(""));
    command.stdin(stdin).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let code = wait_within(&mut child, LIMIT, &format!("{command:?}"));
    let text = |mut file: File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Out { code, stdout: text(stdout), stderr: text(stderr) }
}

/// The command of a container that gives its client time to look on.
pub fn a_moment() -> String {
    format!("sleep {}", 0.5 * f64::from(patience()))
}

/// A client's program, with what every call of it has.
#[derive(Clone)]
pub struct Client {
    pub words: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl Client {
    pub fn new(words: &[&str]) -> Client {
        Client { words: words.iter().map(ToString::to_string).collect(), env: Vec::new() }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        // Nothing of the host's configuration for these clients; a directory that every user may be in.
        command.args(&self.words[1..]).args(args).env("HOME", dir()).current_dir("/");
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST", "CONTAINERD_ADDRESS", "NOTIFY_SOCKET"] {
            command.env_remove(name);
        }
        command.envs(self.env.iter().cloned());
        command
    }

    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Out {
        run(&mut self.command(args))
    }

    #[track_caller]
    pub fn call_with(&self, args: &[&str], input: &str) -> Out {
        run_with(&mut self.command(args), input)
    }

    /// What a call prints that must succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.call(args);
        assert_eq!(out.code, 0, "{} {args:?}: {}{}", self.words[0], out.stdout, out.stderr);
        out.stdout.trim().to_owned()
    }

    /// A call on a terminal, where `input` is typed. What it prints comes with the terminal's line ends.
    #[track_caller]
    pub fn on_terminal(&self, args: &[&str], input: &str) -> Out {
        let words = self.words.iter().map(String::as_str).chain(args.iter().copied());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]).current_dir("/");
        let plain = self.command(&[]);
        for (name, value) in plain.get_envs() {
            value.map(|value| script.env(name, value));
        }
        type_into(&mut script, input)
    }

    /// A call whose input does not end before the call does.
    #[track_caller]
    pub fn type_into(&self, args: &[&str], input: &str) -> Out {
        type_into(&mut self.command(args), input)
    }
}

/// Runs a command with an input that is kept open: on a terminal, its end would be a hang-up.
#[track_caller]
fn type_into(command: &mut Command, input: &str) -> Out {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    // It may have ended before it has read.
    _ = keyboard.write_all(input.as_bytes());
    let mut screen = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        _ = screen.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let code = wait_within(&mut child, LIMIT, &format!("{command:?}"));
    drop(keyboard);
    Out { code, stdout: reader.join().unwrap(), stderr: String::new() }
}

/// A daemon that the suite has started. Stopped by `stop_daemon`, or else by the outer process.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, and waits until `ready`. What it says goes to a file, shown when it fails.
    pub fn start(name: &str, words: &[&str], ready: impl Fn() -> bool) -> Daemon {
        let log = dir().join(format!("{name}.log"));
        let out = File::create(&log).unwrap();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir("/").stdin(Stdio::null());
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn();
        let mut daemon = Daemon { child: child.unwrap_or_else(|e| panic!("{words:?}: {e}")), log };
        let deadline = deadline_in(LIMIT.as_secs());
        while !ready() {
            let ended = daemon.child.try_wait().unwrap();
            let late = std::time::Instant::now() > deadline;
            assert!(ended.is_none() && !late, "{name} does not come up ({ended:?}):\n{}", daemon.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
        daemon
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// SIGTERM, and a bound on the time that it takes to end.
    pub fn stop(&mut self) {
        _ = rustix::process::kill_process(rustix_pid(self.child.id()), rustix::process::Signal::TERM);
        let code = wait_within(&mut self.child, Duration::from_secs(30), "a daemon after SIGTERM");
        if code != 0 {
            println!("a daemon ended with {code}:\n{}", self.tail());
        }
    }
}

/// What tests share, started by the first that asks. A start that failed is not tried again.
pub struct Lazy<T: 'static>(Mutex<Option<Result<&'static T, String>>>);

impl<T: Sync> Lazy<T> {
    pub const fn new() -> Lazy<T> {
        Lazy(Mutex::new(None))
    }

    #[track_caller]
    pub fn get(&self, start: impl FnOnce() -> T) -> &'static T {
        let mut slot = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if slot.is_none() {
            *slot = Some(Err("it did not start for an earlier test".to_owned()));
            *slot = Some(Ok(Box::leak(Box::new(start()))));
        }
        match slot.as_ref().unwrap() {
            Ok(shared) => shared,
            Err(why) => panic!("{why}"),
        }
    }

    /// It, if a test has asked for it.
    pub fn started(&self) -> Option<&'static T> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).as_ref()?.as_ref().ok().copied()
    }
}
