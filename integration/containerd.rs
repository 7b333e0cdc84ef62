//! containerd through its shim io.containerd.runc.v2, as `ctr` drives it. The daemon is also that of cri.rs.

use crate::common::counter::*;
use crate::common::*;
use crate::engine::limits::parent;
use crate::{Group, Test};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub struct Containerd {
    daemon: Mutex<Daemon>,
    pub ctr: Client,
    pub socket: String,
    pub state: PathBuf,
    pub version: String,
}

static CONTAINERD: Lazy<Containerd> = Lazy::new();

pub fn group() -> Group {
    let tests: [Test<Containerd>; 10] = [
        ("run_in_the_foreground", run_in_the_foreground),
        ("run_on_a_terminal", run_on_a_terminal),
        ("exec", exec),
        ("pause_and_resume", pause_and_resume),
        ("metrics", metrics),
        ("kill_and_delete", kill_and_delete),
        ("processes", processes),
        ("joins_a_namespace", joins_a_namespace),
        ("limits", limits),
        ("checkpoint_and_restore", checkpoint_and_restore),
    ];
    // The CRI group comes next, and stops the daemon that both use.
    let mut group = Group { name: "containerd", tests: Vec::new(), stop: || () };
    for (name, test) in tests {
        group.add(name, move || with(test));
    }
    group
}

pub fn with(test: impl FnOnce(&'static Containerd)) {
    if installed("containerd") {
        test(CONTAINERD.get(start));
    }
}

const RUNTIME_TYPE: &str = "runtime_type = \"io.containerd.runc.v2\"";
/// The annotations that hilum reads, of a pod and of its containers.
const HILUMS: &str = "[\"org.hilum.*\"]";

/// Where the CRI plugin's images and containers are.
pub const KUBERNETES: &str = "k8s.io";

fn start() -> Containerd {
    let top = dir().join("containerd");
    fs::create_dir_all(top.join("cni")).unwrap();
    let path = |name: &str| top.join(name).to_str().unwrap().to_owned();
    let network = json!({
        "cniVersion": "0.4.0", "name": "hilum",
        "plugins": [{
            "type": "bridge", "bridge": "hilum0", "isGateway": true,
            "ipam": { "type": "host-local", "dataDir": path("leases"), "ranges": [[{ "subnet": "10.99.0.0/24" }]] },
        }],
    });
    fs::write(path("cni/10-hilum.conflist"), network.to_string()).unwrap();
    // What belongs to no table comes first.
    let config = format!(
        r#"root = "{root}"
state = "{state}"
oom_score = 0
{readme}
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
"#,
        root = path("root"),
        state = path("state"),
        socket = path("sock"),
        opt = path("opt"),
        cni = path("cni"),
        image = image::NAME,
        // Of version 2, and so also one of containerd 2.x, which converts it.
        readme = readme::configuration("containerd 1.x")
            // For cri::pods_by_annotation; not for everybody.
            .replace(
                RUNTIME_TYPE,
                &format!("{RUNTIME_TYPE}\npod_annotations = {HILUMS}\ncontainer_annotations = {HILUMS}")
            )
            .replace("SystemdCgroup = false", &format!("SystemdCgroup = {}", systemd())),
    );
    fs::write(path("config.toml"), config).unwrap();
    let socket = path("sock");
    let ctr = Client::new(&["ctr", "--address", &socket]);
    let ready = || ctr.call(&["version"]).code == 0;
    let daemon = Daemon::start("containerd", &["containerd", "--config", &path("config.toml")], ready);
    let version = ctr.ok(&["version"]);
    let version = version.rsplit("Version:").next().unwrap().split_whitespace().next().unwrap().to_owned();
    println!("containerd {version}");
    for namespace in [KUBERNETES, &unique()] {
        ctr.ok(&["--namespace", namespace, "images", "import", image::archive().to_str().unwrap()]);
    }
    let ctr = Client::new(&["ctr", "--address", &socket, "--namespace", &unique()]);
    Containerd { daemon: Mutex::new(daemon), ctr, socket, state: top.join("state"), version }
}

pub fn stop() {
    if let Some(containerd) = CONTAINERD.started() {
        containerd.daemon.lock().unwrap().stop();
    }
}

/// A task in the background. Removed on drop.
struct Task {
    ctr: &'static Client,
    id: String,
}

fn flags(id: &str) -> Vec<&str> {
    let mut flags = vec!["--runtime", "io.containerd.runc.v2", "--runc-binary", program()];
    if systemd() {
        flags.extend(["--runc-systemd-cgroup", "--cgroup", format!("{}:ctr:{id}", parent("ctr")).leak()]);
    }
    flags
}

impl Task {
    fn start(containerd: &'static Containerd, id: &str, more: &[&str], cmd: &[&str]) -> Task {
        let task = Task { ctr: &containerd.ctr, id: id.to_owned() };
        containerd.ctr.ok(&[&["run", "--detach"], &flags(id)[..], more, &[image::NAME, id], cmd].concat());
        task
    }

    fn pid(&self) -> u32 {
        let list = self.ctr.ok(&["tasks", "list"]);
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(&self.id));
        let pid = line.unwrap_or_else(|| panic!("not in {list}")).split_whitespace().nth(1).unwrap().parse().unwrap();
        eventually("the user's program runs", || runs_program(pid));
        pid
    }

    fn status(&self) -> String {
        let list = self.ctr.ok(&["tasks", "list"]);
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(&self.id));
        line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or("none").to_owned()
    }

    fn exec(&self, cmd: &[&str]) -> Out {
        self.ctr.call(&[&["tasks", "exec", "--exec-id", "second", &self.id], cmd].concat())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.ctr.call(&["tasks", "delete", "--force", &self.id]);
        self.ctr.call(&["containers", "delete", &self.id]);
    }
}

fn run_in_the_foreground(c: &'static Containerd) {
    let script = ["sh", "-c", "echo out; echo err >&2; exit 3"];
    let out = c.ctr.call(&[&["run", "--rm"], &flags("foreground")[..], &[image::NAME, "foreground"], &script].concat());
    assert_eq!((out.code, out.stdout.as_str()), (3, "out\n"), "{}", out.stderr);
    assert!(out.stderr.contains("err"), "{}", out.stderr);
    let out =
        c.ctr.call(&[&["run", "--rm"], &flags("missing")[..], &[image::NAME, "missing", "/no/such/program"]].concat());
    assert!(out.code == 1 && out.stderr.contains("no such file or directory"), "{out:?}");
    assert_eq!(c.ctr.ok(&["containers", "list", "--quiet"]), "");
}

fn run_on_a_terminal(c: &'static Containerd) {
    let words = [&["run", "--rm", "--tty"], &flags("terminal")[..], &[image::NAME, "terminal", "sh"]].concat();
    let out = c.ctr.on_terminal(&words, "echo $((40+2)) $(tty)\nexit 4\n");
    assert!(out.stdout.contains("42 /dev/"), "{}", out.stdout);
    assert_eq!(out.code, 4, "{}", out.stdout);
}

fn exec(c: &'static Containerd) {
    let task = Task::start(c, "exec", &["--env", "A=b"], &["sleep", "1000"]);
    let pid = task.pid();
    let out = task.exec(&["sh", "-c", "echo $A; cat /proc/1/comm; exit 5"]);
    assert_eq!((out.code, out.stdout.as_str()), (5, "b\nsleep\n"), "{}", out.stderr);
    let inside = task.exec(&["readlink", "/proc/self/ns/net"]).ok().stdout;
    assert_eq!(inside.trim(), ns(pid, "net"));
    let user = c.ctr.ok(&[
        "tasks",
        "exec",
        "--exec-id",
        "third",
        "--user",
        "1234:5678",
        "--cwd",
        "/tmp",
        "exec",
        "sh",
        "-c",
        "id -u; id -g; pwd",
    ]);
    assert_eq!(user, "1234\n5678\n/tmp");
    let out = c.ctr.on_terminal(
        &["tasks", "exec", "--exec-id", "fourth", "--tty", "exec", "sh"],
        "echo $((40+2)) $(tty)\nexit 6\n",
    );
    assert!(out.stdout.contains("42 /dev/pts/") && out.code == 6, "{out:?}");
    let out = task.exec(&["/no/such/program"]);
    assert!(out.code != 0 && out.stderr.contains("no such file or directory"), "{out:?}");
}

fn pause_and_resume(c: &'static Containerd) {
    let task = Task::start(c, "pause", &[], &["sleep", "1000"]);
    let pid = task.pid();
    c.ctr.ok(&["tasks", "pause", "pause"]);
    assert!(Limits(pid).frozen());
    assert_eq!(task.status(), "PAUSED");
    c.ctr.ok(&["tasks", "resume", "pause"]);
    assert!(!Limits(pid).frozen());
    assert_eq!(task.status(), "RUNNING");
}

fn metrics(c: &'static Containerd) {
    let task = Task::start(c, "metrics", &["--memory-limit", "67108864"], &["sleep", "1000"]);
    task.pid();
    let said: Value = serde_json::from_str(&c.ctr.ok(&["tasks", "metrics", "--format", "json", "metrics"])).unwrap();
    let find = |pointers: [&str; 2]| pointers.into_iter().find_map(|pointer| said.pointer(pointer)).cloned();
    let limit = find(["/memory/usage/limit", "/memory/usage_limit"]);
    assert_eq!(limit, Some(json!(67_108_864)), "{said:#}");
    assert_eq!(said.pointer("/pids/current"), Some(&json!(1)), "{said:#}");
}

fn kill_and_delete(c: &'static Containerd) {
    let script = ["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done"];
    let task = Task::start(c, "kill", &[], &script);
    let pid = task.pid();
    let id = c.state.join("io.containerd.runtime.v2.task").join(unique()).join("kill");
    assert!(id.is_dir(), "the shim's directory");
    // The shell sets its trap as soon as it runs; a signal that comes before would be ignored by process 1.
    eventually("it has ended", || {
        c.ctr.call(&["tasks", "kill", "--signal", "SIGTERM", "kill"]);
        task.status() == "STOPPED"
    });
    assert!(fs::read_link(proc(pid, "exe")).is_err());
    assert_eq!(exit_status(c, "kill"), 7);
    assert!(!id.exists());
    let stubborn = Task::start(c, "stubborn", &[], &["sleep", "1000"]);
    stubborn.pid();
    c.ctr.ok(&["tasks", "kill", "--signal", "SIGKILL", "--all", "stubborn"]);
    eventually("it has ended", || stubborn.status() == "STOPPED");
    assert_eq!(exit_status(c, "stubborn"), 137);
}

/// Deletes a task that has ended. ctr has only a warning for its exit status.
#[track_caller]
fn exit_status(c: &'static Containerd, id: &str) -> i32 {
    let out = c.ctr.call(&["tasks", "delete", id]).ok();
    let digits = out.stderr.rsplit("exit code ").next().unwrap_or_default().trim_end().trim_end_matches(['"', '\\']);
    digits.parse().unwrap_or_else(|_| panic!("no exit code in {out:?}"))
}

fn processes(c: &'static Containerd) {
    let task = Task::start(c, "ps", &[], &["sh", "-c", "sleep 996 & exec sleep 995"]);
    let pid = task.pid();
    let other = process_like(pid, "sleep\0996");
    let listed = c.ctr.ok(&["tasks", "ps", "ps"]);
    let mut pids: Vec<u32> =
        listed.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    pids.sort_unstable();
    let mut expected = vec![pid, other];
    expected.sort_unstable();
    assert_eq!(pids, expected);
}

/// A pod by hand: the second task joins a namespace of the first.
fn joins_a_namespace(c: &'static Containerd) {
    let first = Task::start(c, "owner", &[], &["sleep", "1000"]);
    let pid = first.pid();
    let with = [format!("network:/proc/{pid}/ns/net"), format!("ipc:/proc/{pid}/ns/ipc")];
    let second = Task::start(c, "joiner", &["--with-ns", &with[0], "--with-ns", &with[1]], &["sleep", "1000"]);
    let same = shared(pid, second.pid());
    assert!(same.contains(&"net") && same.contains(&"ipc") && !same.contains(&"pid"), "{same:?}");
    shows_namespaces(&runtime_root(&unique()), &[("owner", pid), ("joiner", second.pid())]);
}

fn limits(c: &'static Containerd) {
    let task = Task::start(
        c,
        "limits",
        &["--memory-limit", "67108864", "--cpu-quota", "50000", "--cpu-period", "100000"],
        &["sleep", "1000"],
    );
    let limits = Limits(task.pid());
    assert_eq!((limits.memory().as_str(), limits.cpu().as_str()), ("67108864", "50000 100000"));
    assert_eq!(status_of(task.pid(), "NoNewPrivs"), "1");
}

fn checkpoint_and_restore(c: &'static Containerd) {
    if !criu() {
        return;
    }
    let task = Task::start(c, "checkpoint", &[], &["sh", "-c", COUNTER]);
    counts_beyond(task.pid(), 5);
    let name = "localhost/checkpoint:latest";
    c.ctr.ok(&["containers", "checkpoint", "--image", "--rw", "--task", "checkpoint", name]);
    let reached = counted(task.pid());
    drop(task);
    c.ctr.ok(&["containers", "restore", "--rw", "--live", "checkpoint", name]);
    let task = Task { ctr: &c.ctr, id: "checkpoint".to_owned() };
    counts_beyond(task.pid(), reached);
}

/// The container's directory of state, below what the daemon gives to the shim.
pub fn runtime_root(namespace: &str) -> PathBuf {
    Path::new("/run/containerd/runc").join(namespace)
}
