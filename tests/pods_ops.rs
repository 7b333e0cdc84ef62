//! What is done to a pod and its containers together, and what is seen of them.

use crate::common::*;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Counts in /dev/shm/NAME, which is the pod's.
fn counter(pod: &Pod, name: &str) -> Container {
    Container::sh(&format!("i=0; while :; do i=$((i+1)); echo $i >/dev/shm/{name}; sleep 0.01; done")).in_pod(pod)
}

/// Whether it goes on counting.
fn moves(pod: &Pod, name: &str) -> bool {
    let count = || read(&pod.path().join("private/shm").join(name));
    let before = count();
    std::thread::sleep(Duration::from_millis(200) * patience().min(5));
    count() != before
}

fn comm(pid: u32) -> String {
    read(&proc(pid, "comm")).trim().into()
}

/// A test runs with cgroups of hilum's own, and where there is a systemd, with its units.
pub fn each_driver(test: impl Fn(fn() -> Pod)) {
    if !hilum_only("pods") {
        return;
    }
    test(Pod::new);
    if Path::new("/run/systemd/system").exists() && Host::plain() == Host::V2 {
        test(|| Pod::new().by_systemd());
    } else {
        skip("the systemd driver: no systemd, or no cgroup v2");
    }
}

#[test]
fn pause_stops_all_of_a_pod_and_resume_lets_it_go_on() {
    each_driver(|new| {
        let pod = new();
        pod.create(&["--share", "net,ipc,uts,pid"]).ok();
        let (a, b) = (counter(&pod, "a"), counter(&pod, "b"));
        a.up();
        b.up();
        eventually("both count", || moves(&pod, "a") && moves(&pod, "b"));
        pod.verb("pause", &[]).ok();
        assert!(!moves(&pod, "a") && !moves(&pod, "b"));
        assert_eq!((a.status().as_str(), b.status().as_str()), ("paused", "paused"));
        assert_eq!(pod.json_of("ls", &[])[0]["status"], "paused");
        // Nothing is done to it that would wait for it.
        pod.verb("pause", &[]).fails("is paused already");
        a.call(&["pause", &a.id]).fails("it is paused");
        a.call(&["resume", &a.id]).fails(&format!("hilum pod resume {}", pod.name));
        assert_eq!(a.call(&["exec", &a.id, "true"]).code, 255);
        let late = Container::sleeper().in_pod(&pod);
        late.create_with(&[]).fails("is paused; hilum pod resume");
        pod.verb("resume", &[]).ok();
        eventually("both count again", || moves(&pod, "a") && moves(&pod, "b"));
        assert_eq!((a.status().as_str(), b.status().as_str()), ("running", "running"));
        a.call(&["exec", &a.id, "true"]).ok();
        pod.verb("resume", &[]).fails("is not paused");
        pod.finish();
    });
}

#[test]
fn a_container_that_is_paused_for_itself_stays_so() {
    each_driver(|new| {
        let pod = new();
        pod.create(&[]).ok();
        let (a, b) = (counter(&pod, "a"), counter(&pod, "b"));
        a.up();
        b.up();
        a.call(&["pause", &a.id]).ok();
        assert_eq!(pod.json_of("ls", &[])[0]["status"], "running");
        pod.verb("pause", &[]).ok();
        pod.verb("resume", &[]).ok();
        assert_eq!((a.status().as_str(), b.status().as_str()), ("paused", "running"));
        assert!(!moves(&pod, "a") && moves(&pod, "b"));
        a.call(&["resume", &a.id]).ok();
        eventually("it counts again", || moves(&pod, "a"));
        pod.finish();
    });
}

/// In version 1 a frozen process dies when it is thawed, and its neighbours are not to be.
#[test]
fn what_is_in_a_paused_pod_can_be_killed_and_deleted_alone() {
    each_driver(|new| {
        for share in ["net,ipc,uts", "net,ipc,uts,pid"] {
            let pod = new();
            pod.create(&["--share", share]).ok();
            let (a, b) = (counter(&pod, "a"), counter(&pod, "b"));
            a.up();
            b.up();
            let pid = a.pid();
            pod.verb("pause", &[]).ok();
            a.kill("KILL").ok();
            a.wait("stopped");
            assert!(!proc(pid, "stat").exists() || read(&proc(pid, "stat")).contains(") Z"));
            assert_eq!(b.status(), "paused");
            a.call(&["delete", &a.id]).ok();
            let c = Container::sleeper().in_pod(&pod);
            pod.verb("resume", &[]).ok();
            c.up();
            pod.verb("pause", &[]).ok();
            c.call(&["delete", "--force", &c.id]).ok();
            c.left_nothing();
            assert!(!moves(&pod, "b"), "the other has been thawed");
            pod.verb("rm", &["-f"]).ok();
            b.left_nothing();
            pod.left_nothing();
        }
    });
}

#[test]
fn a_paused_pod_without_containers_can_be_removed() {
    each_driver(|new| {
        for share in ["net,ipc", "pid"] {
            let pod = new();
            pod.create(&["--share", share]).ok();
            pod.verb("pause", &[]).ok();
            pod.verb("rm", &[]).ok();
            pod.left_nothing();
        }
    });
}

/// In version 1 a process joins one hierarchy after another: here it is between two of them when all that is in the container
/// is killed, and then the pause holds it.
#[test]
fn an_exec_that_a_pause_holds_half_way_does_not_keep_its_pod() {
    if !hilum_only("pods") || !has_strace() {
        return;
    }
    if Host::plain() == Host::V2 {
        skip("version 2 alone: a process is cloned into its cgroup");
        return;
    }
    let pod = Pod::new();
    pod.create(&["--share", "net,pid"]).ok();
    let c = Container::sleeper().in_pod(&pod);
    c.up();
    let state: Value = serde_json::from_str(&read(&c.root().join(&c.id).join("state.json"))).unwrap();
    let all = state["cgroup"]["directories"].as_array().unwrap();
    let nth = |controller: &str| {
        all.iter().position(|it| it["controllers"].as_array().unwrap().iter().any(|it| it == controller)).unwrap()
    };
    assert!(0 < nth("devices") && nth("devices") < nth("freezer"), "{all:?}");
    let first = PathBuf::from(all[0]["path"].as_str().unwrap()).join("cgroup.procs");
    let there = || read(&first).lines().count();
    let before = there();
    let delay = format!("write:delay_enter={}s:when={}", patience(), nth("devices") + 1);
    let mut command = strace(c.host, &delay, true);
    command.arg(program()).arg("--root").arg(c.root()).arg("--pods").arg(pod.pods()).args(["exec", &c.id, "true"]);
    let mut exec = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it has joined the first hierarchy", || there() > before);
    pod.verb("pause", &[]).ok();
    pod.verb("rm", &["-f"]).ok();
    assert_ne!(wait_within(&mut exec, LIMIT, "exec"), 0);
    pod.left_nothing();
    c.left_nothing();
}

/// What cannot be frozen whole goes on whole: here a process waits for a disk that does not answer.
#[test]
fn what_cannot_be_frozen_goes_on_all_of_it() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&[]);
    let Some(disk) = Disk::new(&pod) else { return };
    let write = "while :; do dd if=/dev/zero of=/disk/file bs=4k count=1 conv=fsync 2>/dev/null; done";
    let (a, b) = (counter(&pod, "a"), Container::sh(write).in_pod(&pod));
    let b = b.push("mounts", json!({ "destination": "/disk", "source": disk.inner, "options": ["bind"] }));
    a.up();
    b.up();
    disk.stop();
    let procs = read(&pod.cgroup("").join(&b.id).join("cgroup.procs"));
    let state = |pid: &str| read(Path::new(&format!("/proc/{pid}/stat")));
    let stuck =
        || read(&pod.cgroup("").join(&b.id).join("cgroup.procs")).lines().any(|pid| state(pid).contains(") D "));
    eventually(&format!("one of {procs:?} waits for the disk"), stuck);
    pod.verb("pause", &[]).fails("unable to freeze");
    assert!(moves(&pod, "a"), "half of the pod stays frozen");
    assert_eq!((a.status().as_str(), b.status().as_str()), ("running", "running"));
    disk.go_on();
    pod.verb("pause", &[]).ok();
    b.call(&["delete", "--force", &b.id]).ok();
    drop(disk);
    pod.finish();
}

/// A file system on a loop device, whose file is in another one: with that frozen (fsfreeze(8)), no write ends.
struct Disk {
    outer: String,
    inner: String,
}

impl Disk {
    fn new(pod: &Pod) -> Option<Disk> {
        let dir = pod.pods().parent().unwrap().join("disk").display().to_string();
        let (outer, inner) = (format!("{dir}.outer"), format!("{dir}.inner"));
        let make = |image: &str, size: &str, on: &str| {
            format!("mkdir {on} && truncate -s {size} {image} && mkfs.ext2 -q {image} && mount -o loop {image} {on}")
        };
        let script = make(&format!("{dir}.img"), "16M", &outer) + " && " + &make(&format!("{outer}/img"), "4M", &inner);
        let made = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let disk = Disk { outer, inner };
        if !made.status.success() {
            skip(&format!("no file system on a loop device: {}", String::from_utf8_lossy(&made.stderr).trim()));
            return None;
        }
        Some(disk)
    }

    fn stop(&self) {
        assert!(std::process::Command::new("fsfreeze").args(["-f", &self.outer]).status().unwrap().success());
    }

    fn go_on(&self) {
        _ = std::process::Command::new("fsfreeze").args(["-u", &self.outer]).output();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.go_on();
        for dir in [&self.inner, &self.outer] {
            _ = std::process::Command::new("umount").args(["-l", dir]).output();
        }
    }
}

#[test]
fn kill_reaches_all_containers_and_leaves_the_pod() {
    each_driver(|new| {
        let pod = new();
        pod.create(&["--share", "net,ipc,uts,pid"]).ok();
        let reaper = pod.document()["reaper"]["process"]["pid"].as_u64().unwrap() as u32;
        let script = "trap 'echo got TERM.' TERM; sleep 1000 & echo ready; while :; do sleep 0.02; done";
        let all: Vec<_> = (0..3).map(|_| Container::sh(script).in_pod(&pod)).collect();
        for c in &all {
            c.up().says("ready");
        }
        // To all processes of each: the shell traps it, the sleep beside it ends.
        pod.verb("kill", &[]).ok();
        for c in &all {
            c.says("got TERM.");
            assert_eq!(c.status(), "running");
        }
        pod.call(&["pod", "kill", &pod.name, "KILL"]).ok();
        // Waited for: there is nothing to wait for here.
        for c in &all {
            assert_eq!(c.status(), "stopped");
            assert_eq!(read(&pod.cgroup("").join(&c.id).join("cgroup.procs")), "");
        }
        assert_eq!(comm(reaper), "hilum:reaper", "it has been killed");
        pod.call(&["pod", "kill", &pod.name, "KILL"]).ok();
        let again = Container::sleeper().in_pod(&pod);
        again.up();
        pod.call(&["pod", "kill", &pod.name, "NONSENSE"]).fails("unknown signal");
        pod.finish();
    });
}

#[test]
fn wait_lasts_as_long_as_a_container_runs() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&[]);
    // No container: nothing to wait for.
    pod.verb("wait", &[]).ok();
    let (a, b) = (Container::sleeper().in_pod(&pod), Container::sleeper().in_pod(&pod));
    a.up();
    b.up();
    let mut wait = Helper(pod.command(&["pod", "wait", &pod.name]).spawn().unwrap());
    let mut ended = || wait.0.try_wait().unwrap().is_some();
    a.kill("KILL").ok();
    a.wait("stopped");
    std::thread::sleep(Duration::from_millis(100));
    assert!(!ended(), "the other one runs");
    b.kill("KILL").ok();
    assert_eq!(wait.exit_code(), 0);
    pod.call(&["pod", "wait", "nobody"]).fails("does not exist");
    pod.finish();
}
