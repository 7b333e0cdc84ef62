//! Commands on one pod that meet.

use crate::common::*;
use std::process::{Child, Command, Stdio};

/// Many containers of one bundle: commands on them differ in the id alone.
struct Crowd {
    pod: Pod,
    bundle: Container,
}

impl Crowd {
    fn new() -> Crowd {
        let bundle = Container::sleeper();
        bundle.write_config();
        Crowd { pod: Pod::new(), bundle }
    }

    fn id(&self, n: u32) -> String {
        format!("{}-{n}", self.bundle.id)
    }

    fn run(&self, n: u32) -> Child {
        let bundle = self.bundle.bundle().display().to_string();
        spawn(self.pod.command(&["run", "-d", "--pod", &self.pod.name, "-b", &bundle, &self.id(n)]))
    }

    fn has_state(&self, n: u32) -> bool {
        self.pod.root().join(self.id(n)).exists()
    }
}

fn spawn(mut command: Command) -> Child {
    // The container keeps what it inherits, so nobody may wait for the end of its output.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[track_caller]
fn end(mut child: Child) -> i32 {
    wait_within(&mut child, LIMIT, "a command that meets another")
}

#[test]
fn of_two_that_create_one_pod_one_wins() {
    for share in ["net,ipc,uts", "uts", "net,pid"] {
        for _ in 0..rounds(4, 50) {
            let pod = Pod::new();
            let create = || spawn(pod.command(&["pod", "create", "--share", share, &pod.name]));
            let all = [create(), create(), create()];
            let mut codes = all.map(end);
            codes.sort();
            assert_eq!(codes, [0, 1, 1]);
            assert_eq!(pod.call(&["pod", "ls", "-q"]).ok().stdout, format!("{}\n", pod.name));
            assert_eq!(pod.document()["phase"], "ready");
            pod.finish();
        }
    }
}

#[test]
fn a_container_that_meets_the_end_of_its_pod_is_removed_or_refused() {
    let crowd = Crowd::new();
    let (mut removed, mut refused) = (0, 0);
    for n in 0..rounds(50, 500) {
        crowd.pod.create(&["--share", "uts,pid"]).ok();
        let run = crowd.run(n);
        // Sometimes the one is first, and sometimes the other.
        std::thread::sleep(std::time::Duration::from_micros(400) * (n % 20));
        let rm = spawn(crowd.pod.command(&["pod", "rm", "-f", &crowd.pod.name]));
        let (run, rm) = (end(run), end(rm));
        assert_eq!(rm, 0, "round {n}");
        match run {
            0 => removed += 1,
            _ => refused += 1,
        }
        assert!(!crowd.has_state(n), "round {n}: run ended with {run}, and the container is there");
        crowd.pod.left_nothing();
    }
    println!("removed {removed}, refused {refused}");
    crowd.bundle.left_nothing();
}

#[test]
fn a_pod_that_is_removed_while_it_is_made_is_whole_or_gone() {
    for n in 0..rounds(20, 200) {
        let pod = Pod::new();
        let create = spawn(pod.command(&["pod", "create", "--share", "uts,pid", &pod.name]));
        std::thread::sleep(std::time::Duration::from_micros(500) * (n % 20));
        assert_eq!(pod.verb("rm", &["-f"]).ok().stderr, "");
        let created = end(create);
        if created == 0 && pod.path().exists() {
            assert_eq!(pod.document()["phase"], "ready");
            pod.verb("rm", &[]).ok();
        }
        pod.left_nothing();
    }
}

#[test]
fn many_containers_start_in_one_pod_at_once() {
    let crowd = Crowd::new();
    crowd.pod.create(&["--share", "net,ipc,uts,pid"]).ok();
    let all: Vec<Child> = (0..20).map(|n| crowd.run(n)).collect();
    let codes: Vec<i32> = all.into_iter().map(end).collect();
    assert_eq!(codes, [0; 20]);
    let rows: Value = serde_json::from_str(&crowd.pod.call(&["pod", "ls", "-f", "json"]).ok().stdout).unwrap();
    assert_eq!((&rows[0]["running"], &rows[0]["containers"]), (&json!(20), &json!(20)));
    for n in 0..20 {
        let state: Value = serde_json::from_str(&crowd.pod.call(&["state", &crowd.id(n)]).ok().stdout).unwrap();
        let pid = state["pid"].as_u64().unwrap() as u32;
        assert_eq!(ns(pid, "net"), crowd.pod.ns("net"));
        assert!(cgroup_of(pid, "").ends_with(&format!("/{}/{}", crowd.pod.name, crowd.id(n))));
    }
    crowd.pod.verb("rm", &["-f"]).ok();
    crowd.pod.left_nothing();
    assert!((0..20).all(|n| !crowd.has_state(n)));
    crowd.bundle.left_nothing();
}
