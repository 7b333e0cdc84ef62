//! Commands on one pod that meet.

use crate::common::race::{Answers, Race, Verb, verb};
use crate::common::*;
use crate::random::with_seeds;
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

const MISSING: &str = "pod POD does not exist";
/// The moment between the making of its directory and its first line.
const HALF_MADE: &str = "pod POD is half-made: it is being created, or its creation was killed";
const NO_CONTAINER: &str = "container does not exist";
const NOT_RUNNING: &str = "container not running";
/// `kill`, or `pod kill`, came while it was made.
const KILLED: &str = "the container's process ended before it could execute";
const MADE: &[&str] = &[MISSING, HALF_MADE, "pod POD is paused", "container with given ID already exists", KILLED];

/// Commands on one pod and on two containers of it.
const VERBS: &[Verb] = &[
    verb(4, &["pod", "create", "--share", "uts,pid", "POD"], &["pod POD exists already"]),
    verb(
        2,
        &["pod", "rm", "POD"],
        &[
            "pod POD: pod POD does not exist",
            "pod POD: it has containers that are not stopped: *",
            // Made a moment before.
            "pod POD: its container * is *",
        ],
    ),
    verb(2, &["pod", "rm", "-f", "POD"], &[]),
    verb(2, &["pod", "pause", "POD"], &[MISSING, HALF_MADE, "pod POD is paused already"]),
    verb(2, &["pod", "resume", "POD"], &[MISSING, HALF_MADE, "pod POD is not paused"]),
    verb(1, &["pod", "kill", "POD", "KILL"], &[MISSING, HALF_MADE]),
    verb(1, &["pod", "kill", "POD", "TERM"], &[MISSING, HALF_MADE]),
    verb(2, &["pod", "update", "--memory", "256M", "POD"], &[MISSING, HALF_MADE]),
    verb(1, &["pod", "ls"], &[]),
    verb(1, &["pod", "ps", "--format", "json", "POD"], &[MISSING, HALF_MADE]),
    verb(1, &["pod", "inspect", "POD"], &[MISSING, HALF_MADE]),
    verb(1, &["pod", "stats", "POD"], &[MISSING, HALF_MADE]),
    verb(1, &["pod", "wait", "POD"], &[MISSING, HALF_MADE]),
    verb(3, &["run", "-d", "--pod", "POD", "-b", "BUNDLE", "ONE"], MADE),
    verb(3, &["create", "--pod", "POD", "-b", "BUNDLE", "ONE"], MADE),
    verb(3, &["run", "-d", "--pod", "POD", "-b", "BUNDLE", "TWO"], MADE),
    verb(
        2,
        &["start", "ONE"],
        &[
            NO_CONTAINER,
            "cannot start a container that has stopped",
            "cannot start a container that is paused",
            "cannot start an already running container",
            KILLED,
        ],
    ),
    verb(1, &["delete", "ONE"], &[NO_CONTAINER, "cannot delete container ONE that is not stopped: *"]),
    verb(1, &["delete", "--force", "ONE"], &[]),
    verb(1, &["kill", "TWO", "KILL"], &[NO_CONTAINER, NOT_RUNNING]),
    verb(
        1,
        &["exec", "TWO", "true"],
        &[
            "exec failed: container does not exist",
            "exec failed: container not running: *",
            "exec failed: cannot exec in a *",
            "exec failed: init killed by signal *",
            "exec failed: the container's process ended before it could execute",
        ],
    ),
    verb(1, &["state", "TWO"], &[NO_CONTAINER]),
];

#[test]
fn of_commands_that_meet_on_one_pod_each_ends_and_one_truth_is_left() {
    let mut answers = Answers::default();
    let bundle = Container::sh("trap 'exit 0' TERM; sleep 1000 & wait");
    bundle.write_config();
    let (path, one, two) =
        (bundle.bundle().display().to_string(), bundle.id.clone() + "one", bundle.id.clone() + "two");
    let pod = Pod::new();
    let command = |args: &[&str]| pod.command(args);
    let names = [("POD", pod.name.as_str()), ("BUNDLE", &path), ("ONE", &one), ("TWO", &two)];
    let race = Race { verbs: VERBS, names: &names, command: &command, dir: bundle.dir() };
    let tally = Tally::of("Races", "32 commands on one pod");
    with_seeds(rounds(20, 10_000), |random| {
        tally.tries();
        if random.below(2) == 0 {
            pod.create(&["--share", "uts,pid"]).ok();
        }
        let (all, held_up) = race.start(32, random);
        answers.add(&race.end(all));
        let release = || {
            pod.verb("rm", &["-f"]).ok();
        };
        answers.add(&race.end_by(held_up, release));
        if tally.tried() % 100 == 0 {
            pod.left_nothing();
        }
        tally.survives();
    });
    answers.print();
    pod.left_nothing();
    bundle.left_nothing();
}
