//! What the tests of every client stand on: commands with a time limit, and the kernel's evidence.

pub mod counter;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "../../tests/common/host.rs"]
pub mod host;
pub mod image;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "../../tests/common/kernel.rs"]
pub mod kernel;
mod process;
pub mod readme;
#[path = "../../tests/common/session.rs"]
mod session;

pub use host::{Host, LIMIT, Out, eventually, patience, read};
pub use kernel::{cgroup_of, mount_at, mounts_of, ns, own_ns, proc, status_of};
pub use process::*;
pub use serde_json::{Value, json};
pub use session::Session;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory that has everything of this run; its name is unique on the host.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| std::env::var_os(crate::supervise::DIR).expect("set by the outer process").into())
}

pub fn unique() -> String {
    dir().file_name().unwrap().to_string_lossy().into_owned()
}

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

pub fn set_program(path: PathBuf) {
    PROGRAM.set(path).expect("set once");
}

/// The runtime under test.
pub fn program() -> &'static str {
    PROGRAM.get().expect("set before the first test").to_str().unwrap()
}

thread_local!(static TEST: RefCell<String> = const { RefCell::new(String::new()) });

pub fn set_test(name: &str) {
    TEST.set(name.to_owned());
}

/// Says that a test, or a part of it, was not run; always false.
pub fn skip(why: &str) -> bool {
    eprintln!("SKIPPED {}: {why}", TEST.with_borrow(String::clone));
    false
}

/// Whether hosts with systemd are asked to make cgroups through it.
pub fn systemd() -> bool {
    Host::plain() == Host::V2 && Path::new("/run/systemd/system").is_dir()
}

/// The content of a process's cgroup file: its name on version 1, and on version 2.
pub fn cgroup_file(pid: u32, controller: &str, v1: &str, v2: &str) -> String {
    read(&cgroup_dir(pid, controller).join(if Host::plain() == Host::V2 { v2 } else { v1 })).trim().to_owned()
}

/// The directory of a process's cgroup in the hierarchy that has the controller.
pub fn cgroup_dir(pid: u32, controller: &str) -> PathBuf {
    let host = Host::plain();
    let path = cgroup_of(pid, if host == Host::V2 { "" } else { controller });
    host.hierarchy(controller).join(path.trim_start_matches('/'))
}

/// The limits of a cgroup as version 1 shows them, whichever the host has.
pub struct Limits(pub u32);

impl Limits {
    pub fn memory(&self) -> String {
        cgroup_file(self.0, "memory", "memory.limit_in_bytes", "memory.max")
    }

    pub fn pids(&self) -> String {
        cgroup_file(self.0, "pids", "pids.max", "pids.max")
    }

    /// Quota and period.
    pub fn cpu(&self) -> String {
        match Host::plain() {
            Host::V2 => cgroup_file(self.0, "cpu", "", "cpu.max"),
            Host::V1Hybrid => {
                let file = |name| cgroup_file(self.0, "cpu", name, "");
                format!("{} {}", file("cpu.cfs_quota_us"), file("cpu.cfs_period_us"))
            }
        }
    }

    pub fn frozen(&self) -> bool {
        matches!(cgroup_file(self.0, "freezer", "freezer.state", "cgroup.freeze").as_str(), "FROZEN" | "1")
    }
}

/// The kinds of namespace, as in /proc/PID/ns, that two processes share.
pub fn shared(a: u32, b: u32) -> Vec<&'static str> {
    ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .into_iter()
        .filter(|kind| ns(a, kind) == ns(b, kind))
        .collect()
}

/// Processes whose parent is this one.
pub fn children(pid: u32) -> Vec<u32> {
    let list = read(&proc(pid, &format!("task/{pid}/children")));
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A pid as rustix has it.
pub fn rustix_pid(pid: u32) -> rustix::process::Pid {
    i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).unwrap()
}

/// The name of the program that a process runs, as it was called.
pub fn comm(pid: u32) -> String {
    read(&proc(pid, "comm")).trim().to_owned()
}

/// The process in the same pid namespace whose arguments contain this (each ends with a zero byte).
#[track_caller]
pub fn process_like(pid: u32, arguments: &str) -> u32 {
    let namespace = fs::read_link(proc(pid, "ns/pid")).unwrap();
    let mut found = None;
    eventually(&format!("a process {arguments:?}"), || {
        found = fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let other = entry.file_name().to_str()?.parse().ok()?;
            let same = fs::read_link(proc(other, "ns/pid")).is_ok_and(|link| link == namespace);
            (same && read(&proc(other, "cmdline")).contains(arguments)).then_some(other)
        });
        found.is_some()
    });
    found.unwrap()
}

/// Whether the runtime's own program is no longer what the process runs.
pub fn runs_program(pid: u32) -> bool {
    let runtime = Path::new(program()).file_name();
    fs::read_link(proc(pid, "exe"))
        .is_ok_and(|exe| !exe.to_string_lossy().contains("memfd:") && exe.file_name() != runtime)
}

/// Whether a program is installed; says so when it is not.
pub fn installed(program: &str) -> bool {
    let found = run(Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]));
    found.code == 0 || skip(&format!("{program} is not installed: scripts/packages integration"))
}

/// Directories below `top` whose name is that of a container.
pub fn dirs_named(top: &Path, id: &str) -> Vec<PathBuf> {
    let out = run(Command::new("find").arg(top).args(["-xdev", "-type", "d", "-name", id]));
    out.lines().into_iter().map(PathBuf::from).collect()
}

/// `hilum ns` of containers that a client has made, held against what the kernel says: equal letters, and the numbers.
pub fn shows_namespaces(root: &Path, containers: &[(&str, u32)]) {
    if !host::is_hilum() {
        skip("hilum only: a command of its own");
        return;
    }
    let ids = containers.iter().map(|(id, _)| *id);
    let call =
        |format| run(Command::new(program()).arg("--root").arg(root).args(["ns", "-f", format]).args(ids.clone())).ok();
    let table = call("table");
    assert!(table.lines().iter().all(|line| line.len() <= 80), "{}", table.stdout);
    let rows: Vec<Vec<&str>> = table.lines().iter().map(|line| line.split_whitespace().collect()).collect();
    let row = |id: &str| rows.iter().skip(1).find(|row| id.starts_with(row[0])).unwrap();
    let listed: Vec<Value> = serde_json::from_str(&call("json").stdout).unwrap();
    for (id, pid) in containers {
        let entry = listed.iter().find(|entry| entry["id"] == *id).unwrap();
        assert_eq!((entry["pid"].as_u64(), entry["status"].as_str()), (Some((*pid).into()), Some("running")));
        for (column, name) in rows[0].iter().enumerate().skip(1) {
            let kind = name.to_lowercase();
            let shown = format!("{kind}:[{}]", entry["namespaces"][&kind]["inode"]);
            assert_eq!(shown, ns(*pid, &kind));
            assert_eq!(row(id)[column] == "host", shown == own_ns(&kind), "{}", table.stdout);
            for (other, its) in containers {
                assert_eq!(row(id)[column] == row(other)[column], shown == ns(*its, &kind), "{}", table.stdout);
            }
        }
    }
}

/// Asks the runtime under test itself, in the state directory that a client has given it.
pub fn runtime_state(root: &Path, id: &str) -> Value {
    let out = run(Command::new(program()).arg("--root").arg(root).args(["state", id])).ok();
    serde_json::from_str(&out.stdout).unwrap()
}

/// A pod of the runtime under test, where its clients' containers will look for it. Removed on drop.
pub struct NamedPod {
    pub name: String,
}

impl NamedPod {
    #[track_caller]
    pub fn create(name: &str, flags: &[&str]) -> NamedPod {
        // No dash, which the name of a slice would have escaped.
        let pod = NamedPod { name: format!("{}{name}", unique()) };
        pod.call(&[&["create"], flags].concat()).ok();
        pod
    }

    fn call(&self, args: &[&str]) -> Out {
        let mut command = Command::new(program());
        if systemd() {
            command.arg("--systemd-cgroup");
        }
        run(command.arg("pod").args(args).arg(&self.name))
    }

    /// As `ns` says it of a process.
    pub fn ns(&self, kind: &str) -> String {
        let path = Path::new("/run/hilum/pods").join(&self.name).join("ns").join(kind);
        let inode = fs::metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        format!("{kind}:[{}]", std::os::unix::fs::MetadataExt::ino(&inode))
    }
}

impl Drop for NamedPod {
    fn drop(&mut self) {
        let out = self.call(&["rm", "--force"]);
        if out.code != 0 {
            eprintln!("pod rm {}: {}", self.name, out.stderr);
        }
    }
}
