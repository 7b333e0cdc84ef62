//! The commands on pods.

use super::cni::Network;
use super::matrix::{Scene, matrix};
use super::stepper::{RUNTIME, Strike, walk};
use super::truth::is_frozen;
use crate::common::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const MIB: u64 = 1 << 20;
const ALL: [&str; 4] = ["--share", "net,ipc,uts,pid,user,time,cgroup", "--uidmap", "0:100000:65536"];

/// A command on a pod, with all that it needs.
pub struct Stage {
    pod: Pod,
    /// Those that the command, or what comes before it, starts.
    containers: Vec<Container>,
    network: Option<Network>,
    /// What makes what there is before the command.
    before: Vec<Command>,
    /// The last of those is killed so late.
    killed: Option<usize>,
    command: Command,
    purpose: Purpose,
}

enum Purpose {
    Make,
    /// A container in a pod that is there.
    Join,
    Remove,
    /// Something that it can be seen to have done, and can be asked to do again.
    Change(fn(&Stage) -> bool),
}

impl Stage {
    fn new(pod: Pod, command: Command, purpose: Purpose) -> Stage {
        Stage { pod, containers: Vec::new(), network: None, before: Vec::new(), killed: None, command, purpose }
    }

    fn create(flags: &[&str]) -> Stage {
        let pod = Pod::new();
        let command = pod.command(&[&["pod", "create"], flags, &[&pod.name]].concat());
        Stage::new(pod, command, Purpose::Make)
    }

    pub fn create_by_systemd() -> Stage {
        let pod = Pod::new().by_systemd();
        let command = pod.command(&["pod", "create", "--share", "net,pid", &pod.name]);
        Stage::new(pod, command, Purpose::Make)
    }

    fn create_with_network() -> Stage {
        let pod = Pod::new();
        let network = Network::new(&pod);
        let pod = pod.env("NETCONFPATH", &network.dir).env("CNI_PATH", &network.dir);
        let command = pod.command(&["pod", "create", "--cni", "fake", &pod.name]);
        Stage { network: Some(network), ..Stage::new(pod, command, Purpose::Make) }
    }

    fn run_manifest() -> Stage {
        let pod = Pod::new();
        let containers: Vec<_> = (0..2).map(|_| Container::sleeper()).collect();
        containers.iter().for_each(Container::write_config);
        let items = containers.iter().map(|c| json!({ "id": c.id, "bundle": c.bundle() }));
        let manifest = json!({ "name": pod.name, "containers": items.collect::<Vec<_>>() });
        let command = pod.command(&["pod", "run", &pod.file("pod.json", &manifest.to_string())]);
        Stage { containers, ..Stage::new(pod, command, Purpose::Make) }
    }

    fn run() -> Stage {
        let pod = Pod::new();
        let c = Container::sleeper();
        c.write_config();
        let bundle = c.bundle().display().to_string();
        let command = pod.command(&["run", "-d", "--pod", &pod.name, "-b", &bundle, &c.id]);
        let before = vec![pod.command(&["pod", "create", "--share", "net", &pod.name])];
        Stage { containers: vec![c], before, ..Stage::new(pod, command, Purpose::Join) }
    }

    /// A command on what this one makes.
    fn then(self, args: &[&str], purpose: Purpose) -> Stage {
        let command = self.pod.command(&[args, &[&self.pod.name]].concat());
        Stage { before: vec![self.command], command, purpose, ..self }
    }

    fn remove() -> Stage {
        Stage::run_manifest().then(&["pod", "rm", "-f"], Purpose::Remove)
    }

    fn remove_with_network_and_reaper() -> Stage {
        let mut stage = Stage::create_with_network();
        stage.command.args(["--share", "net,pid"]);
        stage.then(&["pod", "rm", "-f"], Purpose::Remove)
    }

    fn pause() -> Stage {
        Stage::run_manifest().then(&["pod", "pause"], Purpose::Change(|stage| stage.status() == "paused"))
    }

    fn resume() -> Stage {
        let mut stage = Stage::pause();
        stage.before.push(stage.command);
        let command = stage.pod.command(&["pod", "resume", &stage.pod.name]);
        Stage { command, purpose: Purpose::Change(|stage| stage.status() == "running"), ..stage }
    }

    fn kill() -> Stage {
        let dead = Purpose::Change(|stage| !stage.containers.iter().any(|c| stage.lives(c)));
        let mut stage = Stage::run_manifest().then(&["pod", "kill"], dead);
        stage.command.arg("KILL");
        stage
    }

    /// Of the pod and a container, whose document is kept, too.
    fn update() -> Stage {
        let stage = Stage::run_manifest();
        let of_one = format!("{}:memory=32m,pids-limit=9", stage.containers[0].id);
        let args = ["pod", "update", "--memory", "64m", "--pids-limit", "90", "--container", &of_one];
        stage.then(
            &args,
            Purpose::Change(|stage| {
                let c = &stage.containers[0];
                let set = |id: &str, file: &str, value: &str| {
                    cgroups_named(id).iter().any(|dir| read(&dir.join(file)).trim() == value)
                };
                let pod = stage.pod.document();
                let one: Value = serde_json::from_str(&read(&stage.state(c).join("config.json"))).unwrap();
                let kept = |document: &Value| {
                    let resources = &document["linux"]["resources"];
                    (resources["memory"]["limit"].as_u64(), resources["pids"]["limit"].as_u64())
                };
                let memory = Pod::memory_files().0;
                kept(&pod["spec"]) == (Some(64 * MIB), Some(90))
                    && kept(&one) == (Some(32 * MIB), Some(9))
                    && set(&stage.pod.name, memory, &(64 * MIB).to_string())
                    && set(&stage.pod.name, "pids.max", "90")
                    && set(&c.id, memory, &(32 * MIB).to_string())
                    && set(&c.id, "pids.max", "9")
            }),
        )
    }

    /// Of a pod whose creation was killed when almost all of it was there.
    fn gc() -> Stage {
        let stage = Stage::create(&["--share", "net,ipc,uts,pid"]);
        let plain = walk(&stage.command, stage.dir(), &[], None);
        let changes = plain.calls.iter().filter(|call| call.who == RUNTIME && call.changes);
        let late = changes.map(|call| call.nth).rev().nth(6).unwrap();
        Scene::remove(&stage);
        let command = stage.pod.command(&["gc"]);
        Stage { before: vec![stage.command], killed: Some(late), command, purpose: Purpose::Remove, ..stage }
    }

    /// As `pod ls` says it.
    fn status(&self) -> String {
        let row = self.row();
        row.as_ref().map_or("", |row| row["status"].as_str().unwrap()).to_owned()
    }

    fn row(&self) -> Option<Value> {
        let out = self.pod.call(&["pod", "ls", "-f", "json"]);
        assert_eq!((out.code, out.stderr.as_str()), (0, ""), "pod ls");
        let rows: Value = serde_json::from_str(&out.stdout).unwrap();
        rows.as_array().unwrap().iter().find(|row| row["name"] == self.pod.name.as_str()).cloned()
    }

    /// Every container has the `--root` of the pod's commands.
    fn state(&self, c: &Container) -> PathBuf {
        self.pod.root().join(&c.id)
    }

    /// What `pod ls` says is what is so.
    fn tells_the_truth(&self) {
        // Who has lost the runtime may see it a moment later.
        let deadline = deadline_in(5);
        while let Some(lie) = self.lie() {
            assert!(Instant::now() < deadline, "{lie}: pod ls says {:?}", self.row());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn lie(&self) -> Option<String> {
        let Some(row) = self.row() else {
            return self.pod.path().exists().then(|| "there is a pod".into());
        };
        let running = self.containers.iter().filter(|c| self.lives(c)).count() as u64;
        if row["running"] != running {
            return Some(format!("{running} containers run"));
        }
        let status = row["status"].as_str().unwrap();
        if !["ready", "running", "paused"].contains(&status) {
            return None;
        }
        let own = cgroups_named(&self.pod.name).into_iter().filter(|dir| dir.ends_with(&self.pod.name));
        let frozen = own.into_iter().any(|dir| is_frozen(&dir));
        if frozen != (status == "paused") {
            return Some(format!("frozen: {frozen}"));
        }
        let mounts = mounts_of(std::process::id());
        let shared = row["shared"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap());
        for pin in shared.map(|kind| self.pod.path().join("ns").join(kind)) {
            let point = pin.display().to_string();
            if !mounts.iter().any(|mount| mount.point == point && mount.fstype == "nsfs") {
                return Some(format!("nothing is mounted on {point}"));
            }
        }
        let document = self.pod.document();
        let mut cgroups = document["cgroup"]["directories"].as_array().unwrap().iter();
        let gone = cgroups.find(|it| !Path::new(it["path"].as_str().unwrap()).exists());
        gone.map(|it| format!("there is no {}", it["path"]))
    }

    /// Where it has waited for something, it needed more system calls than the next time, which is then done before: then
    /// earlier.
    fn cut_short(&self, command: &Command, nth: usize) {
        for earlier in [0, 4, 8, 16, 32] {
            let killed = walk(command, self.dir(), &[], Some(((RUNTIME, nth - earlier), Strike::Kill)));
            match killed.code {
                137 if self.status() != "ready" => return,
                0 | 137 => drop(self.pod.verb("rm", &["-f"]).ok()),
                code => panic!("code {code}: {}", killed.stderr),
            }
        }
        panic!("{command:?} cannot be killed at call {nth}");
    }

    /// By the process that its state names.
    fn lives(&self, c: &Container) -> bool {
        let state: Option<Value> = serde_json::from_str(&read(&self.state(c).join("state.json"))).ok();
        let Some(state) = state else { return false };
        // As long as it has none, it may be about to.
        state["process"]["pid"].as_u64().is_none_or(|pid| !has_ended(pid as u32))
    }
}

impl Scene for Stage {
    fn prepare(&self) {
        for (n, command) in self.before.iter().enumerate() {
            match self.killed {
                Some(nth) if n + 1 == self.before.len() => self.cut_short(command, nth),
                _ => drop(self.pod.finish_call(again(command)).ok()),
            }
        }
    }

    fn command(&self) -> Command {
        again(&self.command)
    }

    fn dir(&self) -> &Path {
        self.pod.dir()
    }

    fn is_truthful(&self) {
        self.tells_the_truth();
        if let Purpose::Change(effect) = self.purpose {
            let out = self.pod.finish_call(self.command());
            assert!(out.code == 0 || effect(self), "again: {}", out.stderr);
            self.is_done();
        }
    }

    fn is_done(&self) {
        match self.purpose {
            Purpose::Remove => assert!(self.row().is_none(), "the pod is there: {:?}", self.row()),
            Purpose::Change(effect) => eventually("it has had its effect", || effect(self)),
            Purpose::Make | Purpose::Join => {
                let wanted = if self.containers.is_empty() { "ready" } else { "running" };
                assert_eq!(self.status(), wanted);
            }
        }
        self.tells_the_truth();
    }

    fn is_undone(&self) {
        match self.purpose {
            Purpose::Make => self.left_nothing(),
            Purpose::Join => {
                self.containers.iter().for_each(Container::left_nothing);
                assert_eq!(self.status(), "ready");
                self.is_truthful();
            }
            Purpose::Remove | Purpose::Change(_) => self.is_truthful(),
        }
    }

    fn remove(&self) {
        // What gc is for, it can do again.
        if self.killed.is_some() {
            self.pod.call(&["gc"]).ok();
            assert!(!self.pod.path().exists(), "gc has left it");
        }
        let gone = self.pod.verb("rm", &["-f"]);
        assert_eq!((gone.code, gone.stderr.as_str()), (0, ""), "pod rm -f");
        // A container's directory without a state is no pod's.
        if self.containers.iter().any(|c| self.state(c).exists()) {
            self.pod.call(&["gc"]).ok();
        }
    }

    /// The containers' processes are in the pod's cgroup.
    fn leftovers(&self) -> Vec<String> {
        let mut left = leftovers(&self.pod.name, self.dir(), &self.pod.pods());
        let states = self.containers.iter().map(|c| self.state(c)).filter(|state| state.exists());
        left.extend(states.map(|state| format!("state {}", state.display())));
        left.extend(self.containers.iter().flat_map(|c| leftovers(&c.id, c.dir(), &c.root())));
        left.extend(self.network.iter().flat_map(Network::leases).map(|lease| format!("lease {lease}")));
        left
    }

    fn once_more(&self) {
        self.prepare();
        self.pod.finish_call(self.command()).ok();
        self.is_done();
        Scene::remove(self);
    }
}

impl Stage {
    fn left_nothing(&self) {
        eventually("nothing is left", || self.leftovers().is_empty());
    }
}

/// A command can be run once.
fn again(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args()).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    copy
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
    stage.tells_the_truth();
    Scene::remove(&stage);
    stage.left_nothing();
    stage.pod.finish_call(again(&stage.command)).ok();
    assert_eq!(stage.network.as_ref().unwrap().leases().len(), 1);
    Scene::remove(&stage);
    stage.left_nothing();
}

#[test]
fn pod_create_can_be_killed_anywhere() {
    matrix("pod create", 20).runtime_killed(|| Stage::create(&[]));
    matrix("pod create", 20).init_killed(|| Stage::create(&[]));
    matrix("pod create --share all", 30).runtime_killed(|| Stage::create(&ALL));
    matrix("pod create --share all", 20).init_killed(|| Stage::create(&ALL));
}

#[test]
fn pod_create_with_a_network_can_be_killed_anywhere() {
    matrix("pod create --cni", 30).runtime_killed(Stage::create_with_network);
}

#[test]
fn pod_run_can_be_killed_anywhere() {
    matrix("pod run", 30).runtime_killed(Stage::run_manifest);
    matrix("pod run", 20).init_killed(Stage::run_manifest);
}

#[test]
fn a_run_in_a_pod_can_be_killed_anywhere() {
    matrix("run --pod", 30).runtime_killed(Stage::run);
    matrix("run --pod", 20).init_killed(Stage::run);
}

#[test]
fn pod_rm_can_be_killed_anywhere() {
    matrix("pod rm -f", 30).runtime_killed(Stage::remove);
    matrix("pod rm -f, with a network and a reaper", 20).runtime_killed(Stage::remove_with_network_and_reaper);
}

#[test]
fn pod_update_can_be_killed_anywhere() {
    matrix("pod update", 20).runtime_killed(Stage::update);
    matrix("pod update", 20).runtime_fails(Stage::update);
}

#[test]
fn pod_pause_resume_and_kill_can_be_killed_anywhere() {
    matrix("pod pause", 10).runtime_killed(Stage::pause);
    matrix("pod resume", 10).runtime_killed(Stage::resume);
    matrix("pod kill", 10).runtime_killed(Stage::kill);
    matrix("pod pause", 10).runtime_fails(Stage::pause);
    matrix("pod resume", 10).runtime_fails(Stage::resume);
    matrix("pod kill", 10).runtime_fails(Stage::kill);
}

#[test]
fn gc_can_be_killed_anywhere() {
    matrix("gc", 20).runtime_killed(Stage::gc);
    matrix("gc", 20).runtime_fails(Stage::gc);
}

#[test]
fn pod_create_survives_faults() {
    matrix("pod create --share all", 35).runtime_fails(|| Stage::create(&ALL));
    matrix("pod create --share all", 20).init_fails(|| Stage::create(&ALL));
    matrix("pod create --cni", 30).runtime_fails(Stage::create_with_network);
}

#[test]
fn pod_run_survives_faults() {
    matrix("pod run", 30).runtime_fails(Stage::run_manifest);
    matrix("run --pod", 30).runtime_fails(Stage::run);
    matrix("pod rm -f", 30).runtime_fails(Stage::remove);
}
