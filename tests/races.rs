//! 32 commands on one id at the same moment: whatever meets whatever, each of them ends, each failure is one that callers
//! know, and what the state says then is what is so.
//!
//! A round that fails prints its seed: HILUM_TEST_SEED repeats it. HILUM_TEST_LONG has 10,000 rounds, and says in the end
//! which answers there were.

use crate::common::race::{Answers, Race, Verb, verb};
use crate::common::schema::Random;
use crate::common::*;
use crate::random::with_seeds;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Of one round.
const COMMANDS: u64 = 32;

const MISSING: &str = "container does not exist";
const TAKEN: &str = "container with given ID already exists";
const NOT_RUNNING: &str = "container not running";

/// `kill` came when the state was saved already, and the process was not told to go on yet.
const KILLED: &str = "the container's process ended before it could execute";

const START: &[&str] = &[
    MISSING,
    "cannot start a container that has stopped",
    "cannot start a container that is paused",
    "cannot start an already running container",
    KILLED,
];
const EXEC: &[&str] = &[
    "exec failed: container does not exist",
    // It ended meanwhile, at one step or another.
    "exec failed: container not running: *",
    // Another one ended all processes, this one as well.
    "exec failed: init killed by signal *",
    "exec failed: the container's process ended before it could execute",
    "exec failed: cannot exec in a stopped container",
    "exec failed: cannot exec in a container that is not created",
    "exec failed: cannot exec in a paused container (use --ignore-paused to override)",
];
const DELETE: &[&str] = &[
    MISSING,
    "cannot delete container ID that is not stopped: running",
    "cannot delete container ID that is not stopped: paused",
];

const UPDATE: &[&str] = &[
    MISSING,
    NOT_RUNNING,
    // A hybrid host's version 2 has no controllers.
    "linux.resources.memory.limit: cannot write memory.max: the cgroup controller \"memory\" is not available",
];

const VERBS: &[Verb] = &[
    verb(5, &["create", "ID"], &[TAKEN, KILLED]),
    verb(2, &["run", "-d", "ID"], &[TAKEN]),
    verb(1, &["run", "ID"], &[TAKEN]),
    verb(5, &["start", "ID"], START),
    verb(3, &["kill", "ID", "KILL"], &[MISSING, NOT_RUNNING]),
    verb(2, &["kill", "ID", "TERM"], &[MISSING, NOT_RUNNING]),
    verb(1, &["kill", "--all", "ID", "TERM"], &[MISSING, NOT_RUNNING]),
    verb(3, &["delete", "ID"], DELETE),
    verb(2, &["delete", "--force", "ID"], &[]),
    verb(3, &["state", "ID"], &[MISSING]),
    verb(3, &["exec", "ID", "true"], EXEC),
    verb(2, &["exec", "-d", "ID", "sleep", "1000"], EXEC),
    verb(2, &["pause", "ID"], &[MISSING, NOT_RUNNING]),
    verb(2, &["resume", "ID"], &[MISSING, "container not paused"]),
    verb(2, &["update", "--memory", "256M", "ID"], UPDATE),
    verb(1, &["ps", "--format", "json", "ID"], &[MISSING]),
    verb(1, &["ps", "ID"], &[MISSING]),
    verb(1, &["events", "--stats", "ID"], &[MISSING, "container with id ID is not running"]),
    verb(1, &["list", "--format", "json"], &[]),
];

/// The things that are raced for: a container whose program notes that it runs.
fn contested(edit: impl FnOnce(Container) -> Container) -> Container {
    let script = "echo >>/mnt/ran; trap 'exit 0' TERM; sleep 1000 & wait";
    let c = Container::sh(script);
    fs::create_dir(c.rootfs().join("mnt")).unwrap();
    let mnt = c.path("mnt");
    fs::create_dir(&mnt).unwrap();
    let c = edit(c.push("mounts", json!({ "destination": "/mnt", "source": mnt, "options": ["bind"] })));
    c.write_config();
    c
}

/// What was there before the commands were started.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Created,
    Running,
}

fn round(c: &Container, random: &mut Random, answers: &mut Answers) {
    let ran = c.dir().join("mnt/ran");
    _ = fs::remove_file(&ran);
    let before = *random.one(&[Before::Nothing, Before::Nothing, Before::Created, Before::Running]);
    if before != Before::Nothing {
        c.create();
    }
    if before == Before::Running {
        c.start();
    }
    let command = |args: &[&str]| c.command(args);
    let race = Race { verbs: VERBS, names: &[("ID", &c.id)], command: &command, dir: c.dir() };
    let (all, held_up) = race.start(COMMANDS, random);
    let mut ended = race.end(all);
    answers.add(&ended);
    let exists = tells_the_truth(c);
    let rest = race.end_by(held_up, || drop(c.call(&["delete", "--force", &c.id]).ok()));
    answers.add(&rest);
    ended.extend(rest);
    let count = |start: &[&str]| ended.iter().filter(|one| one.ok && one.is(start)).count() as i64;
    let created = count(&["create"]) + i64::from(before != Before::Nothing);
    let lifetimes = created + count(&["run"]);
    let deleted = count(&["delete", "ID"]);
    let started = count(&["start"]) + i64::from(before == Before::Running);
    let ran = read(&ran).lines().count() as i64;
    let of_it =
        format!("{lifetimes} made, {deleted} deleted, {started} started, {ran} ran, exists {exists}: {ended:#?}");
    assert!(started <= created, "one was started twice: {of_it}");
    assert!(ran <= started + count(&["run"]), "one ran that was not started: {of_it}");
    assert!(deleted <= lifetimes - i64::from(exists), "one was deleted twice: {of_it}");
    let ends = deleted + count(&["delete", "--force"]) + count(&["run", "ID"]);
    assert!(lifetimes - i64::from(exists) <= ends, "one has been lost, or was made over another: {of_it}");
}

/// Whether there is a container: one of which the kernel says what the state says.
fn tells_the_truth(c: &Container) -> bool {
    let directory = c.root().join(&c.id);
    let deadline = deadline_in(10);
    loop {
        let out = c.call(&["state", &c.id]);
        if out.code != 0 {
            assert!(out.stderr.contains(MISSING), "{}", out.stderr);
            if !directory.exists() {
                return false;
            }
            // A `run` that is held up may begin only now.
            assert!(Instant::now() < deadline, "a directory without a container: {:?}", files(&directory));
            continue;
        }
        // A signal takes a moment to end a process.
        match contradiction(c, &serde_json::from_str(&out.stdout).unwrap()) {
            None => break,
            Some(what) => assert!(Instant::now() < deadline, "{what}, and the state is {}", out.stdout),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut files = files(&directory);
    files.retain(|name| name != "start.sock");
    assert_eq!(files, ["config.json", "state.json"]);
    true
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What the kernel says that the state does not.
fn contradiction(c: &Container, state: &Value) -> Option<String> {
    // What was held up may have gone on.
    let Ok(file) = serde_json::from_str::<Value>(&read(&c.root().join(&c.id).join("state.json"))) else {
        return Some("there is no state.json any more".to_owned());
    };
    let cgroup = file["cgroup"]["directories"].as_array().unwrap();
    let path = |name: &str| {
        let directory = cgroup.iter().find(|it| it["controllers"].as_array().unwrap().iter().any(|it| it == name));
        PathBuf::from(directory.unwrap_or(&cgroup[0])["path"].as_str().unwrap())
    };
    // The mount of a private view is not the test's.
    let freezer = match c.host {
        Host::V2 => Host::V2.hierarchy("").join(path("").strip_prefix("/sys/fs/cgroup").unwrap()),
        _ => path("freezer"),
    };
    let pids: Vec<u32> = read(&freezer.join("cgroup.procs")).lines().map(|pid| pid.parse().unwrap()).collect();
    let frozen = read(&freezer.join("freezer.self_freezing")) + &read(&freezer.join("cgroup.freeze"));
    let (status, pid) = (state["status"].as_str().unwrap(), state["pid"].as_u64().unwrap() as u32);
    if (status == "paused") != (frozen.trim() == "1") {
        return Some(format!("frozen is {frozen}"));
    }
    let exe = fs::read_link(proc(pid, "exe")).unwrap_or_default();
    let is_user = exe.ends_with("bin/busybox");
    let is_so = match status {
        "stopped" => pid == 0,
        "created" => exe.to_string_lossy().contains("hilum-init"),
        "running" => is_user,
        "paused" => is_user || exe.to_string_lossy().contains("hilum-init"),
        _ => false,
    };
    // Frozen, it would stay so.
    let text = read(&proc(pid, "status"));
    let pending = text.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
    if pending.map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap()).any(|mask| mask & 0x100 != 0) {
        return Some(format!("{pid} has been killed"));
    }
    if !is_so {
        return Some(format!("{pid} is {}", exe.display()));
    }
    let own_pid_namespace = file["ownPidNamespace"].as_bool().unwrap();
    let is_first =
        |pid: &u32| read(&proc(*pid, "status")).lines().any(|it| it.starts_with("NSpid:") && it.ends_with("\t1"));
    let first: Vec<u32> = pids.iter().copied().filter(is_first).collect();
    match (status, own_pid_namespace) {
        ("stopped", true) => (!pids.is_empty()).then(|| format!("{pids:?} are there")),
        ("stopped", false) => None,
        (_, true) => (first != [pid]).then(|| format!("{first:?} of {pids:?} are first processes")),
        (_, false) => (!pids.contains(&pid)).then(|| format!("only {pids:?} are there")),
    }
}

/// What is left, at a glance.
fn left(c: &Container) -> Vec<String> {
    let mut left = files(&c.root());
    let hierarchies = files(Path::new("/sys/fs/cgroup"));
    left.extend(hierarchies.into_iter().filter(|it| Path::new("/sys/fs/cgroup").join(it).join(&c.id).exists()));
    left
}

#[test]
fn of_commands_that_meet_on_one_id_each_ends_and_one_truth_is_left() {
    if !hilum_only("runc's state is not locked") {
        return;
    }
    let mut answers = Answers::default();
    let kinds = [contested(|c| c), contested(|c| c.without_namespace("pid")), contested(|c| c.on(Host::V2))];
    let tally = Tally::of("Races", "32 commands on one id");
    with_seeds(rounds(30, 10_000), |random| {
        let c = match random.below(8) {
            0 => &kinds[2],
            1..4 => &kinds[1],
            _ => &kinds[0],
        };
        tally.tries();
        round(c, random, &mut answers);
        let left = left(c);
        tally.leaves(left.len());
        assert!(left.is_empty(), "left behind: {left:?}");
        // To look at every process of the host takes a while.
        if tally.tried() % 100 == 0 {
            c.left_nothing();
        }
        tally.survives();
    });
    answers.print();
}
