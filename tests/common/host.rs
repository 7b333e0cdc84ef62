//! The program under test, the host's cgroup layout, and calls that end within a time limit.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes longer, on a machine that needs no patience.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How many times longer all waits may be: HILUM_TEST_PATIENCE, for a machine that is emulated.
pub fn patience() -> u32 {
    let given = std::env::var("HILUM_TEST_PATIENCE").ok();
    given.map_or(1, |text| text.parse().expect("HILUM_TEST_PATIENCE is a number"))
}

pub fn deadline_in(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds) * patience()
}

/// hilum, or what HILUM_UNDER_TEST names: `HILUM_UNDER_TEST=runc` checks the tests themselves.
pub fn program() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_hilum").unwrap_or("hilum");
    std::env::var_os("HILUM_UNDER_TEST").map_or(built.into(), PathBuf::from)
}

pub fn is_hilum() -> bool {
    program().file_name().is_some_and(|name| name == "hilum")
}

/// For what the oracle does otherwise or not at all: `if !hilum_only("why") { return }`.
pub fn hilum_only(why: &str) -> bool {
    is_hilum() || skip(&format!("hilum only: {why}"))
}

/// Says that a test, or a part of it, was not run; always false.
pub fn skip(why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // Not by eprintln: the harness keeps what a test that passes prints so, and the reason would be lost.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    false
}

/// How often to repeat a test of a race: seldom by default, often with HILUM_TEST_LONG.
pub fn rounds(short: u32, long: u32) -> u32 {
    if std::env::var_os("HILUM_TEST_LONG").is_some() { long } else { short }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host {
    /// Controllers of version 1, each mounted on its own, and a version 2 hierarchy in `unified`.
    V1Hybrid,
    /// /sys/fs/cgroup is cgroup2: the host's own layout or, on a hybrid host, a private mount namespace.
    V2,
}

impl Host {
    /// The host as it is.
    pub fn plain() -> Host {
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { Host::V2 } else { Host::V1Hybrid }
    }

    /// Every layout that can be had here.
    pub fn all() -> Vec<Host> {
        if Host::plain() == Host::V2 { vec![Host::V2] } else { vec![Host::V1Hybrid, Host::V2] }
    }

    pub fn command(self, program: &Path) -> Command {
        if self == Host::plain() {
            return Command::new(program);
        }
        let view = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", view, "sh"]).arg(program);
        command
    }

    /// Where the test, outside of any private view, finds the hierarchy of a controller; `""` is version 2.
    pub fn hierarchy(self, controller: &str) -> PathBuf {
        let top = PathBuf::from("/sys/fs/cgroup");
        match (self, Host::plain()) {
            (Host::V1Hybrid, _) if !controller.is_empty() => top.join(controller),
            (_, Host::V1Hybrid) => top.join("unified"),
            (_, Host::V2) => top,
        }
    }

    /// Whether the hierarchy offers the controller: a hybrid host's version 2 has few.
    pub fn has(self, controller: &str) -> bool {
        match self {
            Host::V1Hybrid => self.hierarchy(controller).exists(),
            Host::V2 => {
                read(&self.hierarchy("").join("cgroup.controllers")).split_whitespace().any(|c| c == controller)
            }
        }
    }
}

/// What a call gave: its exit code (128+N for signal N), and what it printed.
#[derive(Debug, Clone)]
pub struct Out {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Out {
    #[track_caller]
    pub fn ok(self) -> Out {
        assert_eq!(self.code, 0, "failed: {}", self.stderr);
        self
    }

    /// Exit code 1, and an error that says `text`.
    #[track_caller]
    pub fn fails(self, text: &str) -> Out {
        assert_eq!(self.code, 1, "exit code; stdout {:?}, stderr {:?}", self.stdout, self.stderr);
        assert!(!self.stderr.trim().is_empty(), "an error without a word");
        assert!(self.stderr.contains(text), "{:?} does not say {text:?}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// The file's text, or what can be had of it: nothing, if it is not there.
pub fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = deadline_in(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The exit code as a shell counts it. A child that outlives the limit is killed and fails the test.
#[track_caller]
pub fn wait_within(child: &mut Child, limit: Duration, what: &str) -> i32 {
    let deadline = Instant::now() + limit * patience();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if Instant::now() > deadline {
            _ = child.kill();
            _ = child.wait();
            panic!("still running after {:?}: {what}", limit * patience());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process that the test started: the owner of a namespace, a `run` in the foreground. Killed on drop.
pub struct Helper(pub Child);

impl Helper {
    /// Starts it, and waits until it has become `name` (unshare, for one, execs what it was asked to).
    pub fn start(args: &[&str], name: &str) -> Helper {
        let helper = Helper(Command::new(args[0]).args(&args[1..]).spawn().unwrap());
        eventually(&format!("helper {name}"), || {
            read(&PathBuf::from(format!("/proc/{}/comm", helper.pid()))).trim() == name
        });
        helper
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn exit_code(mut self) -> i32 {
        wait_within(&mut self.0, LIMIT, "a process of the test")
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A mount of the host's that a test needs. Unmounted on drop, which must come before the container's.
pub struct HostMount(pub String);

impl HostMount {
    /// `mount` with these arguments, the last of which is the mount point.
    #[track_caller]
    pub fn new(args: &[&str]) -> HostMount {
        assert!(Command::new("mount").args(args).status().unwrap().success(), "mount {args:?}");
        HostMount(args.last().unwrap().to_string())
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A hierarchy of cgroup v1 that the host has not. Gone on drop, when its cgroups must have been removed.
pub struct Hierarchy {
    options: String,
    mounted: Option<HostMount>,
}

impl Hierarchy {
    /// `None`, with the reason: it cannot be had here. `options` as mount(8) takes them. With a directory it is mounted
    /// there, for the whole host; without, whoever mounts it leaves it to this to see that it goes.
    pub fn new(options: &str, dir: Option<&str>) -> Option<Hierarchy> {
        // Where version 2 is all there is, other tests say so.
        let can_be = Host::plain() == Host::V1Hybrid && !Hierarchy::is_there(options);
        if !can_be || !Hierarchy::mount_for_a_moment(options) {
            skip(&format!("no hierarchy {options} of cgroup v1 for this test"));
            return None;
        }
        let mounted = dir.map(|dir| {
            fs::create_dir(dir).unwrap();
            // While the kernel still takes it apart from the moment before, fsconfig(2) says EBUSY, where mount(2) waits: so
            // does mount(8) since util-linux 2.39.
            let mount = || Command::new("mount").args(["-t", "cgroup", "-o", options, "cgroup", dir]).output().unwrap();
            eventually("a hierarchy is mounted", || mount().status.success());
            HostMount(dir.to_string())
        });
        Some(Hierarchy { options: options.into(), mounted })
    }

    fn is_there(options: &str) -> bool {
        let name = options.rsplit(',').next().unwrap();
        let own = read(Path::new("/proc/self/cgroup"));
        own.lines().filter_map(|line| line.split(':').nth(1)).any(|names| names.split(',').any(|it| it == name))
    }

    /// In a mount namespace that ends with it: other containers would be in it, too.
    fn mount_for_a_moment(options: &str) -> bool {
        let mut mount = Command::new("unshare");
        mount.args(["-m", "--propagation", "private", "mount", "-t", "cgroup", "-o", options, "cgroup", "/mnt"]);
        mount.output().unwrap().status.success()
    }
}

impl Drop for Hierarchy {
    /// The kernel keeps it where a cgroup was removed a moment before the last unmounting: so, again.
    fn drop(&mut self) {
        let deadline = deadline_in(5);
        self.mounted = None;
        while Hierarchy::is_there(&self.options) && Instant::now() < deadline {
            Hierarchy::mount_for_a_moment(&self.options);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
