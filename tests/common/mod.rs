//! What every test stands on: a container that cleans up after itself, and the evidence of the kernel.

mod config;
mod host;
mod kernel;
mod namespaces;
mod pod;
pub mod race;
pub mod schema;
mod session;
mod sockets;
mod strace;
mod tally;

pub use host::*;
pub use kernel::*;
pub use pod::*;
pub use serde_json::{Value, json};
pub use session::Session;
pub use sockets::*;
pub use strace::*;
pub use tally::Tally;

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A bundle, an id and a state directory of its own. Deleted on drop; `finish` also proves that nothing stayed.
pub struct Container {
    dir: tempfile::TempDir,
    pub id: String,
    pub config: Value,
    pub host: Host,
    /// Options before the command, of every call.
    globals: Vec<String>,
    /// Options of every create and run.
    creation: Vec<String>,
    /// Another one's, if not its own.
    root: Option<PathBuf>,
    calls: Cell<u32>,
    /// The call that created the container, and has its output.
    created: Cell<u32>,
}

impl Container {
    /// A container of the default spec whose process is `args`.
    pub fn new(args: &[&str]) -> Container {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::Builder::new().prefix("hilum-test-").tempdir().unwrap();
        // A root user of a user namespace must get through to the bundle.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        // No other's id begins so: what is left of this one is found by it.
        let id = format!("ht{}-{}t", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let c = Container {
            dir,
            id,
            config: Container::config(args),
            host: Host::plain(),
            globals: Vec::new(),
            creation: Vec::new(),
            root: None,
            calls: Cell::new(0),
            created: Cell::new(0),
        };
        make_rootfs(&c.rootfs());
        c
    }

    /// What `new` has.
    pub fn config(args: &[&str]) -> Value {
        config::default(args)
    }

    pub fn sh(script: &str) -> Container {
        Container::new(&["sh", "-c", script])
    }

    /// A container that does nothing until it is killed. (As PID 1 it ignores what it does not handle, so: KILL.)
    pub fn sleeper() -> Container {
        Container::new(&["sleep", "1000"])
    }

    pub fn with(mut self, edit: impl FnOnce(&mut Value)) -> Container {
        edit(&mut self.config);
        self
    }

    /// Sets one property, named by a JSON pointer without the first slash: `process/user/uid`.
    pub fn set(mut self, pointer: &str, value: Value) -> Container {
        let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        let parent = if parent.is_empty() { String::new() } else { format!("/{parent}") };
        let object = self.config.pointer_mut(&parent).unwrap_or_else(|| panic!("no {parent}"));
        match object {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
            _ => object[key] = value,
        }
        self
    }

    /// Appends to a list, which may be missing.
    pub fn push(mut self, pointer: &str, value: Value) -> Container {
        if self.config.pointer(&format!("/{pointer}")).is_none() {
            self = self.set(pointer, json!([]));
        }
        self.config.pointer_mut(&format!("/{pointer}")).and_then(Value::as_array_mut).unwrap().push(value);
        self
    }

    pub fn on(mut self, host: Host) -> Container {
        self.host = host;
        self
    }

    /// With --systemd-cgroup, as containerd gives it to all commands.
    pub fn by_systemd(mut self) -> Container {
        self.globals.push("--systemd-cgroup".into());
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn bundle(&self) -> PathBuf {
        self.dir().join("bundle")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    /// The state directory of the runtime: `--root`.
    pub fn root(&self) -> PathBuf {
        self.root.clone().unwrap_or_else(|| self.dir().join("state"))
    }

    /// With its state in this directory.
    pub fn kept_in(mut self, root: &Path) -> Container {
        self.root = Some(root.into());
        self
    }

    /// With the state directory of another one.
    pub fn under(mut self, other: &Container) -> Container {
        self.root = Some(other.root());
        self
    }

    /// Every creation of it has these options.
    pub fn creating(mut self, options: &[&str]) -> Container {
        self.creation.extend(options.iter().map(|option| option.to_string()));
        self
    }

    /// A file beside the bundle.
    pub fn path(&self, name: &str) -> String {
        self.dir().join(name).display().to_string()
    }

    pub fn write_config(&self) {
        fs::write(self.bundle().join("config.json"), serde_json::to_vec_pretty(&self.config).unwrap()).unwrap();
    }

    /// The program under test with `--root` and `args`, in the bundle.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_behind(&[], args)
    }

    /// The same, started by another command.
    pub fn command_behind(&self, prefix: &[String], args: &[&str]) -> Command {
        let words: Vec<PathBuf> = prefix.iter().map(PathBuf::from).chain([program()]).collect();
        let mut command = self.host.command(&words[0]);
        command.args(&words[1..]);
        command.arg("--root").arg(self.root()).args(&self.globals).args(args).current_dir(self.bundle());
        command
    }

    pub fn call(&self, args: &[&str]) -> Out {
        self.finish_call(self.command(args), Stdio::null())
    }

    /// Runs a command of ours within the time limit. Its output goes to files: a created container keeps them open.
    pub fn finish_call(&self, mut command: Command, stdin: Stdio) -> Out {
        let n = self.calls.replace(self.calls.get() + 1);
        let (out, err) = (self.dir().join(format!("stdout.{n}")), self.dir().join(format!("stderr.{n}")));
        command.stdin(stdin).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let code = wait_within(&mut command.spawn().unwrap(), LIMIT, &format!("{command:?}"));
        Out { code, stdout: read(&out), stderr: read(&err) }
    }

    fn verb(&self, verb: &str, flags: &[&str]) -> Out {
        self.write_config();
        self.created.set(self.calls.get());
        let own: Vec<&str> = self.creation.iter().map(String::as_str).collect();
        self.call(&[&[verb], own.as_slice(), flags, &[&self.id]].concat())
    }

    /// `run` in the foreground.
    pub fn run(&self) -> Out {
        self.verb("run", &[])
    }

    pub fn run_with(&self, flags: &[&str]) -> Out {
        self.verb("run", flags)
    }

    pub fn plan_with(&self, flags: &[&str]) -> Out {
        self.verb("plan", flags)
    }

    pub fn create_with(&self, flags: &[&str]) -> Out {
        self.verb("create", flags)
    }

    pub fn create(&self) -> &Container {
        self.create_with(&[]).ok();
        self
    }

    pub fn start(&self) -> &Container {
        self.call(&["start", &self.id]).ok();
        self
    }

    /// Create, start, and wait until the user's process has taken over.
    pub fn up(&self) -> &Container {
        self.create().start();
        // All of them are busybox; before, it is the runtime.
        let exe = proc(self.pid(), "exe");
        eventually("the process runs", || fs::read_link(&exe).is_ok_and(|path| path.ends_with("bin/busybox")));
        self
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.id]).ok().stdout).unwrap()
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.state()["pid"].as_u64().unwrap() as u32
    }

    pub fn wait(&self, status: &str) -> &Container {
        eventually(&format!("status {status}"), || self.status() == status);
        self
    }

    pub fn kill(&self, signal: &str) -> Out {
        self.call(&["kill", &self.id, signal])
    }

    /// What the container has printed since the last create or run.
    pub fn output(&self) -> String {
        read(&self.dir().join(format!("stdout.{}", self.created.get())))
    }

    pub fn says(&self, text: &str) -> &Container {
        eventually(&format!("the container prints {text:?}"), || self.output().contains(text));
        self
    }

    /// Deletes what is there and proves that nothing of it is left.
    pub fn finish(self) {
        if self.root().join(&self.id).exists() {
            self.call(&["delete", "--force", &self.id]).ok();
        }
        self.left_nothing();
    }

    /// Fails if a process, cgroup, mount or state of this container exists. Processes may take a moment to go.
    pub fn left_nothing(&self) {
        let deadline = deadline_in(5);
        loop {
            let left = leftovers(&self.id, self.dir(), &self.root());
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind by {}: {left:#?}", self.id);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.root().join(&self.id).exists() {
            self.call(&["delete", "--force", &self.id]);
        }
        for dir in cgroups_named(&self.id) {
            _ = fs::remove_dir(dir);
        }
    }
}

/// busybox and the names it answers to. Each rootfs has a copy, so that a test may damage it.
fn make_rootfs(rootfs: &Path) {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    let applets = APPLETS.get_or_init(|| {
        let out = Command::new("busybox").arg("--list").output().expect("busybox-static is installed");
        String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
    });
    for dir in ["bin", "proc", "sys", "dev", "tmp", "etc", "root"] {
        fs::create_dir_all(rootfs.join(dir)).unwrap();
    }
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|p| Path::new(p).exists()).unwrap();
    fs::copy(busybox, rootfs.join("bin/busybox")).unwrap();
    for applet in applets.iter().filter(|a| *a != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
}
