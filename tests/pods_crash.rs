//! Commands on pods killed at any system call, and system calls that fail: `pod ls` tells the truth afterwards, `pod rm -f`
//! takes away whatever there is, and the name can be used again.

use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// More calls of one kind than any command makes.
const MOST: u32 = 400;

const ALL: [&str; 4] = ["--share", "net,ipc,uts,pid,user,time,cgroup", "--uidmap", "0:100000:65536"];

/// A command on a pod, with all that it needs.
struct Stage {
    pod: Pod,
    /// Those that the command, or what comes before it, starts.
    containers: Vec<Container>,
    network: Option<Network>,
    /// What makes what there is before the command.
    before: Vec<Command>,
    command: Command,
}

impl Stage {
    fn create(flags: &[&str]) -> Stage {
        let pod = Pod::new();
        let command = pod.command(&[&["pod", "create"], flags, &[&pod.name]].concat());
        Stage { pod, containers: Vec::new(), network: None, before: Vec::new(), command }
    }

    fn create_with_network() -> Stage {
        let pod = Pod::new();
        let network = Network::new(&pod);
        let pod = pod.env("NETCONFPATH", &network.dir).env("CNI_PATH", &network.dir);
        let command = pod.command(&["pod", "create", "--cni", "fake", &pod.name]);
        Stage { pod, containers: Vec::new(), network: Some(network), before: Vec::new(), command }
    }

    fn run_manifest() -> Stage {
        let pod = Pod::new();
        let containers: Vec<_> = (0..2).map(|_| Container::sleeper()).collect();
        containers.iter().for_each(Container::write_config);
        let items = containers.iter().map(|c| json!({ "id": c.id, "bundle": c.bundle() }));
        let manifest = json!({ "name": pod.name, "containers": items.collect::<Vec<_>>() });
        let command = pod.command(&["pod", "run", &pod.file("pod.json", &manifest.to_string())]);
        Stage { pod, containers, network: None, before: Vec::new(), command }
    }

    fn remove() -> Stage {
        let stage = Stage::run_manifest();
        let command = stage.pod.command(&["pod", "rm", "-f", &stage.pod.name]);
        Stage { before: vec![stage.command], command, ..stage }
    }

    fn remove_with_network_and_reaper() -> Stage {
        let mut stage = Stage::create_with_network();
        stage.command.args(["--share", "net,pid"]);
        let command = stage.pod.command(&["pod", "rm", "-f", &stage.pod.name]);
        Stage { before: vec![stage.command], command, ..stage }
    }

    fn run() -> Stage {
        let pod = Pod::new();
        let c = Container::sleeper();
        c.write_config();
        let bundle = c.bundle().display().to_string();
        let command = pod.command(&["run", "-d", "--pod", &pod.name, "-b", &bundle, &c.id]);
        let before = vec![pod.command(&["pod", "create", "--share", "net", &pod.name])];
        Stage { pod, containers: vec![c], network: None, before, command }
    }

    fn prepare(&self) {
        for command in &self.before {
            self.pod.finish_call(again(command)).ok();
        }
    }

    /// Every container has the `--root` of the pod's commands.
    fn state(&self, c: &Container) -> PathBuf {
        self.pod.root().join(&c.id)
    }

    #[track_caller]
    fn remove_and_leave_nothing(&self, at: &str) {
        let gone = self.pod.verb("rm", &["-f"]);
        assert_eq!(gone.code, 0, "{at}: pod rm -f: {}", gone.stderr);
        assert!(gone.stderr.is_empty(), "{at}: pod rm -f: {}", gone.stderr);
        self.left_nothing(at);
    }

    /// The containers' processes are in the pod's cgroup, so `left_nothing` finds them too.
    #[track_caller]
    fn left_nothing(&self, at: &str) {
        self.pod.left_nothing();
        for c in &self.containers {
            let text = read(&self.state(c).join("state.json"));
            assert!(!text.contains(&self.pod.name), "{at}: the state of {} is left: {text}", c.id);
        }
        let leases = self.network.iter().flat_map(Network::leases).collect::<Vec<_>>();
        assert!(leases.is_empty(), "{at}: the network still has {leases:?}");
    }

    /// What `pod ls` says is what is so.
    #[track_caller]
    fn tells_the_truth(&self, at: &str) {
        // Who has lost the runtime may see it a moment later.
        let deadline = deadline_in(5);
        loop {
            let out = self.pod.call(&["pod", "ls", "-f", "json"]);
            assert_eq!((out.code, out.stderr.as_str()), (0, ""), "{at}: pod ls");
            let rows: Value = serde_json::from_str(&out.stdout).unwrap();
            let lie = self.lie(&rows);
            match lie {
                None => return,
                Some(lie) => assert!(Instant::now() < deadline, "{at}: {lie}: pod ls says {rows}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn lie(&self, rows: &Value) -> Option<String> {
        let row = rows.as_array().unwrap().iter().find(|row| row["name"] == self.pod.name.as_str());
        let Some(row) = row else {
            return self.pod.path().exists().then(|| "there is a pod".into());
        };
        let running = self.containers.iter().filter(|c| self.lives(c)).count() as u64;
        if row["running"] != running {
            return Some(format!("{running} containers run"));
        }
        if !["ready", "running"].contains(&row["status"].as_str().unwrap()) {
            return None;
        }
        let mounts = mounts_of(std::process::id());
        let pins = row["shared"]
            .as_array()
            .unwrap()
            .iter()
            .map(|kind| self.pod.path().join("ns").join(kind.as_str().unwrap()));
        for pin in pins {
            let point = pin.display().to_string();
            if !mounts.iter().any(|mount| mount.point == point && mount.fstype == "nsfs") {
                return Some(format!("nothing is mounted on {point}"));
            }
        }
        let document = self.pod.document();
        for directory in document["cgroup"]["directories"].as_array().unwrap() {
            let path = directory["path"].as_str().unwrap();
            if !std::path::Path::new(path).exists() {
                return Some(format!("there is no {path}"));
            }
        }
        None
    }

    /// By the process that its state names.
    fn lives(&self, c: &Container) -> bool {
        let state: Option<Value> = serde_json::from_str(&read(&self.state(c).join("state.json"))).ok();
        let Some(state) = state else { return false };
        // As long as it has none, it may be about to.
        state["process"]["pid"].as_u64().is_none_or(|pid| !has_ended(pid as u32))
    }
}

/// A command can be run once.
fn again(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args()).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    copy
}

/// A CNI network of one plugin, which gives away a lease.
struct Network {
    dir: PathBuf,
}

impl Network {
    const PLUGIN: &str = r#"#!/bin/sh
cat >/dev/null
dir=${0%/*}
case $CNI_COMMAND in
ADD)
    : >"$dir/begun"
    [ ! -e "$dir/slow" ] || sleep 1
    : >"$dir/leases/$CNI_CONTAINERID"
    echo '{ "cniVersion": "1.0.0", "ips": [] }' ;;
DEL) rm -f "$dir/leases/$CNI_CONTAINERID" ;;
esac
"#;

    fn new(pod: &Pod) -> Network {
        let dir = pod.pods().with_file_name("net");
        fs::create_dir_all(dir.join("leases")).unwrap();
        let list = json!({ "cniVersion": "1.0.0", "name": "fake", "plugins": [{ "type": "plugin" }] });
        fs::write(dir.join("10-fake.conflist"), list.to_string()).unwrap();
        fs::write(dir.join("plugin"), Self::PLUGIN).unwrap();
        fs::set_permissions(dir.join("plugin"), fs::Permissions::from_mode(0o755)).unwrap();
        Network { dir }
    }

    fn leases(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("leases")).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

/// Kills the command at every call of these kinds, or every n-th of those of which there are many.
fn survives(what: &str, stage: &Stage, calls: &[(&str, usize)]) {
    if !has_strace() {
        return;
    }
    let mut kills = 0;
    for &(call, step) in calls {
        // A choice of them, where everything takes long.
        let step = if patience() > 1 { step * 4 } else { step };
        for n in (1..=MOST).step_by(step) {
            stage.prepare();
            let out = stage.pod.tampered(&stage.command, &format!("{call}:signal=KILL:when={n}"));
            let at = format!("{what}: killed at {call} {n}");
            if out.code != 137 {
                assert_eq!(out.code, 0, "{what}, not killed, at {call} {n}: {}", out.stderr);
                stage.remove_and_leave_nothing(&at);
                break;
            }
            kills += 1;
            println!("{at}");
            stage.tells_the_truth(&at);
            stage.remove_and_leave_nothing(&at);
        }
    }
    assert!(kills >= calls.len(), "{what}: killed only {kills} times");
    stage.containers.iter().for_each(Container::left_nothing);
}

#[test]
fn create_killed_at_any_call_leaves_what_rm_can_remove() {
    let calls = [
        ("mkdir", 1),
        ("mkdirat", 3),
        ("rename", 1),
        ("flock", 1),
        ("mount", 1),
        ("clone3", 1),
        ("recvmsg", 1),
        ("sendto", 1),
    ];
    survives("create", &Stage::create(&[]), &calls);
}

#[test]
fn create_of_all_kinds_killed_at_any_call_leaves_what_rm_can_remove() {
    let calls =
        [("mkdirat", 3), ("rename", 1), ("mount", 1), ("write", 1), ("clone3", 1), ("recvmsg", 1), ("sendto", 1)];
    survives("create of all kinds", &Stage::create(&ALL), &calls);
}

#[test]
fn create_with_a_network_killed_at_any_call_leaves_what_rm_can_remove() {
    let calls =
        [("mount", 2), ("rename", 1), ("memfd_create", 1), ("clone3", 1), ("pidfd_open", 1), ("poll", 1), ("read", 4)];
    survives("create with a network", &Stage::create_with_network(), &calls);
}

#[test]
fn a_manifests_run_killed_at_any_call_leaves_what_rm_can_remove() {
    let calls = [
        ("mkdir", 1),
        ("mkdirat", 6),
        ("rename", 1),
        ("symlink", 1),
        ("write", 5),
        ("mount", 2),
        ("clone3", 1),
        ("recvmsg", 1),
        ("sendto", 1),
    ];
    survives("pod run", &Stage::run_manifest(), &calls);
}

#[test]
fn a_run_in_a_pod_killed_at_any_call_leaves_what_rm_can_remove() {
    let calls = [
        ("mkdir", 1),
        ("mkdirat", 3),
        ("rename", 1),
        ("symlink", 1),
        ("write", 2),
        ("clone3", 1),
        ("recvmsg", 1),
        ("sendto", 1),
    ];
    survives("run --pod", &Stage::run(), &calls);
}

#[test]
fn rm_killed_at_any_call_can_be_repeated() {
    let calls = [
        ("pidfd_send_signal", 1),
        ("ppoll", 1),
        ("write", 1),
        ("umount2", 2),
        ("rmdir", 2),
        ("unlinkat", 4),
        ("unlink", 1),
    ];
    survives("rm", &Stage::remove(), &calls);
    let calls =
        [("pidfd_send_signal", 1), ("clone3", 1), ("pidfd_open", 1), ("umount2", 2), ("unlinkat", 4), ("unlink", 1)];
    survives("rm with a network", &Stage::remove_with_network_and_reaper(), &calls);
}

#[test]
fn rm_waits_for_a_plugin_that_has_outlived_its_create() {
    if !hilum_only("pods") {
        return;
    }
    let stage = Stage::create_with_network();
    let dir = &stage.network.as_ref().unwrap().dir;
    fs::write(dir.join("slow"), "").unwrap();
    let mut create = again(&stage.command).spawn().unwrap();
    eventually("the plugin is at work", || dir.join("begun").exists());
    create.kill().unwrap();
    create.wait().unwrap();
    assert!(stage.network.iter().all(|network| network.leases().is_empty()), "too late to tell");
    fs::remove_file(dir.join("slow")).unwrap();
    stage.tells_the_truth("killed while a plugin was at work");
    stage.remove_and_leave_nothing("killed while a plugin was at work");
    stage.pod.finish_call(again(&stage.command)).ok();
    assert_eq!(stage.network.as_ref().unwrap().leases().len(), 1);
    stage.remove_and_leave_nothing("made again");
}

/// What makes the namespaces is killed while `pod create` waits, just before one of its calls.
fn its_sandbox_killed(stage: &Stage, call: &str, n: u32) -> Out {
    let at = format!("the sandbox killed at {call} {n}");
    let delay = Duration::from_millis(300) * patience();
    let inject = format!("{call}:delay_enter={}:when={n}", delay.as_micros());
    let name = stage.pod.name.clone();
    let killer = std::thread::spawn(move || {
        eventually("the sandbox has done its part, and pod create waits", || {
            let procs = cgroups_named(&name).into_iter().map(|dir| read(&dir.join("cgroup.procs")));
            let pids: Vec<String> =
                procs.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
            let Some(pid) = pids.first() else { return false };
            let moves = || {
                let status = read(format!("/proc/{pid}/status").as_ref());
                let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap_or("0").to_owned();
                read(format!("/proc/{parent}/status").as_ref())
            };
            let before = moves();
            std::thread::sleep(delay / 6);
            !before.is_empty()
                && moves() == before
                && Command::new("kill").args(["-9", pid]).status().unwrap().success()
        });
    });
    let out = stage.pod.tampered(&stage.command, &inject);
    killer.join().unwrap();
    assert!(matches!(out.code, 0 | 1), "{at}: code {}: {}", out.code, out.stderr);
    stage.tells_the_truth(&at);
    if out.code == 1 {
        assert!(out.stderr.contains("level=error"), "{at}: {}", out.stderr);
        stage.left_nothing(&at);
    }
    out
}

#[test]
fn create_whose_sandbox_is_killed_leaves_nothing() {
    if !has_strace() {
        return;
    }
    for (flags, call, n) in [
        // The first is the one of /dev/shm.
        (&[][..], "mount", 2),
        (&[][..], "mount", 4),
        (&ALL, "mount", 3),
        (&ALL, "mount", 8),
        (&ALL, "rename", 3),
        (&ALL, "sendto", 2),
        (&["--share", "pid"], "recvmsg", 2),
    ] {
        let stage = Stage::create(flags);
        let out = its_sandbox_killed(&stage, call, n);
        println!("{call} {n}: {}", out.stderr);
        assert_eq!(out.code, 1, "{flags:?}: killed at {call} {n}");
    }
}

/// One failing call at a time: an error that says so and nothing left, or a pod all the same.
fn fails_cleanly(what: &str, stage: &Stage, faults: &[(&str, &str)]) {
    if !has_strace() {
        return;
    }
    for (call, errno) in faults {
        let (mut failures, mut since) = (0, 0);
        for n in (1..=MOST).step_by(if patience() > 1 { 4 } else { 1 }) {
            let at = format!("{what}: {call} {n} fails with {errno}");
            let out = stage.pod.tampered(&stage.command, &format!("{call}:error={errno}:when={n}"));
            assert!(matches!(out.code, 0 | 1), "{at}: code {}: {}", out.code, out.stderr);
            assert!(!out.stderr.contains("panicked"), "{at}: {}", out.stderr);
            if out.code == 1 {
                (failures, since) = (failures + 1, 0);
                println!("{at}: {}", out.stderr);
                // What cannot be written is the error itself, sometimes.
                assert!(out.stderr.contains("level=error") || *call == "write", "{at}: without a word");
                stage.left_nothing(&at);
            } else {
                since += 1;
                stage.tells_the_truth(&at);
                stage.remove_and_leave_nothing(&at);
            }
            // Beyond the last call nothing fails any more; a tolerated failure looks the same, so go on for a while.
            if since > 6 {
                break;
            }
        }
        assert!(failures > 0, "{what}: {call} never failed with {errno}");
    }
}

#[test]
fn a_create_that_gets_no_room_leaves_nothing() {
    let faults =
        [("mkdir", "ENOSPC"), ("rename", "ENOSPC"), ("mount", "ENOMEM"), ("mount", "EPERM"), ("write", "ENOSPC")];
    fails_cleanly("create", &Stage::create(&ALL), &faults);
}

#[test]
fn a_create_that_gets_no_descriptors_or_processes_leaves_nothing() {
    let faults = [
        ("flock", "ENOLCK"),
        ("memfd_create", "EMFILE"),
        ("socketpair", "EMFILE"),
        ("clone3", "EAGAIN"),
        ("clone3", "ENOMEM"),
        ("openat", "EMFILE"),
    ];
    fails_cleanly("create", &Stage::create(&["--share", "net,pid"]), &faults);
}
