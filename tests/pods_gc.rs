//! `gc`: what killed commands have left is removed, and nothing that is in use.

use crate::common::*;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// A command of the pod's, killed at the n-th call of a kind. Whether it came that far.
fn killed(pod: &Pod, args: &[&str], call: &str, n: u32) -> bool {
    let mut command = std::process::Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", &format!("inject={call}:signal=KILL:when={n}")]);
    let plain = pod.command(args);
    command.arg(plain.get_program()).args(plain.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    wait_within(&mut command.spawn().unwrap(), LIMIT, "a command that is killed") == 137
}

/// The runtime killed at a call of each kind that makes or removes something: gc leaves nothing, and the name is free.
#[test]
fn what_a_killed_command_leaves_of_a_pod_is_removed() {
    if !hilum_only("pods") || !has_strace() {
        return;
    }
    let mut kills = 0;
    for verb in ["create", "rm"] {
        for call in ["mkdir", "mount", "rename", "umount2", "rmdir", "unlink", "openat", "clone3,clone,vfork"] {
            for n in [1, 2, 3, 5, 8, 13, 21].into_iter().take(rounds(4, 7) as usize) {
                let pod = Pod::new();
                let came = match verb {
                    "create" => killed(&pod, &["pod", "create", "--share", "net,ipc,uts,pid", &pod.name], call, n),
                    _ => {
                        pod.create(&["--share", "net,ipc,uts,pid"]).ok();
                        killed(&pod, &["pod", "rm", "-f", &pod.name], call, n)
                    }
                };
                if !came {
                    continue;
                }
                kills += 1;
                // One that it came to nothing with, or not yet to anything, is still a pod.
                let whole = pod.path().exists() && pod.document_or_null()["phase"] == "ready";
                let out = pod.call(&["gc"]).ok();
                assert_eq!(pod.path().exists(), whole, "{verb} {call} {n}: {}", out.stdout);
                if whole {
                    pod.verb("rm", &["-f"]).ok();
                }
                pod.left_nothing();
                pod.create(&[]).ok();
                pod.finish();
            }
        }
    }
    assert!(kills > 20, "only {kills}");
}

#[test]
fn half_made_containers_are_removed_and_told() {
    if !hilum_only("a command of its own") || !has_strace() {
        return;
    }
    let pod = Pod::with(&[]);
    let c = Container::sleeper().in_pod(&pod);
    c.write_config();
    for (call, n) in [("rename", 1), ("rename", 2), ("symlink", 1), ("mkdir", 2), ("clone", 1)] {
        let plain = c.command(&["create", "--pod", &pod.name, &c.id]);
        let mut command = std::process::Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-e", &format!("inject={call}:signal=KILL:when={n}")]);
        command.arg(plain.get_program()).args(plain.get_args()).current_dir(c.bundle());
        c.finish_call(command, Stdio::null());
        let out = c.call(&["gc"]).ok();
        assert!(!c.root().join(&c.id).exists() || c.status() != "creating", "{call} {n}: {}", out.stdout);
        c.call(&["delete", "--force", &c.id]).ok();
        c.left_nothing();
        assert!(!pod.path().join("containers").join(&c.id).is_symlink(), "{call} {n}: {}", out.stdout);
    }
    // By hand: a directory without a state, and a link to nothing.
    fs::create_dir(c.root().join("half")).unwrap();
    std::os::unix::fs::symlink("/nonexistent/gone", pod.path().join("containers/gone")).unwrap();
    let out = c.call(&["gc"]).ok().stdout;
    assert!(out.contains("removed container half, half-made"), "{out}");
    assert!(out.contains(&format!("removed the entry of gone in pod {}", pod.name)), "{out}");
    assert_eq!(fs::read_dir(pod.path().join("containers")).unwrap().count(), 0);
    assert_eq!(c.call(&["gc"]).ok().stdout, "");
    pod.finish();
}

#[test]
fn what_is_in_use_stays() {
    if !hilum_only("a command of its own") {
        return;
    }
    let (pod, empty, other) = (Pod::with(&["--share", "net,pid"]), Pod::with(&[]), Pod::with(&[]));
    let (running, stopped) = (Container::sleeper().in_pod(&pod), Container::sh("true").in_pod(&pod));
    let created = Container::sleeper().in_pod(&pod);
    running.up();
    stopped.create().start().wait("stopped");
    created.create();
    for c in [&running, &stopped, &created] {
        assert_eq!(c.call(&["gc"]).ok().stdout, "");
    }
    assert_eq!(empty.call(&["gc"]).ok().stdout, "");
    for pod in [&pod, &empty, &other] {
        assert!(pod.cgroup("").exists(), "another one's gc");
        assert!(pod.ns("net").starts_with("net:["));
    }
    let states = [&running, &stopped, &created].map(Container::status);
    assert_eq!(states, ["running", "stopped", "created"]);
    // A command is at work: the lock says so, whatever it looks like.
    let half = running.root().join("half");
    fs::create_dir(&half).unwrap();
    let lock = fs::File::open(&half).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(running.call(&["gc"]).ok().stdout, "");
    drop(lock);
    // What no runtime has put there: --root was mistaken.
    fs::write(half.join("letter.txt"), "dear").unwrap();
    assert_eq!(running.call(&["gc"]).ok().stdout, "");
    assert!(half.join("letter.txt").exists());
    drop(half);
    other.finish();
    empty.finish();
    pod.finish();
}

/// Somebody has removed the directory of a pod by hand: its cgroup says whose it was.
#[test]
fn a_cgroup_that_no_pod_names_is_removed() {
    if !hilum_only("a command of its own") {
        return;
    }
    let (pod, stranger) = (Pod::with(&["--share", "net"]), Pod::with(&[]));
    let cgroup = pod.cgroup("");
    let net = pod.path().join("ns/net");
    assert!(std::process::Command::new("umount").arg(&net).status().unwrap().success());
    fs::remove_dir_all(pod.path()).unwrap();
    // Not by one who looks after other pods; nor while there is a process in it.
    assert_eq!(stranger.call(&["gc"]).ok().stdout, "");
    let inside = Helper::start(&["sleep", "1000"], "sleep");
    fs::write(cgroup.join("cgroup.procs"), inside.pid().to_string()).unwrap();
    pod.call(&["gc"]).ok();
    assert!(cgroup.exists());
    drop(inside);
    let out = pod.call(&["gc"]).ok().stdout;
    assert!(out.contains(&format!("removed cgroup {}\n", cgroup.display())), "{out}");
    assert_eq!(cgroups_named(&pod.name), Vec::<std::path::PathBuf>::new());
    assert!(Path::new(&stranger.cgroup("")).exists());
    stranger.finish();
    pod.left_nothing();
}

/// One that cannot be removed is no reason to keep the others of its pod, nor to be silent about them.
#[test]
fn the_rest_of_a_pod_is_collected_all_the_same() {
    if !hilum_only("a command of its own") {
        return;
    }
    let pod = Pod::with(&["--share", "net"]);
    let c = Container::sleeper().in_pod(&pod);
    c.create();
    // As if it had no process yet, and its cgroup were in a hierarchy that is not mounted here.
    let file = c.root().join(&c.id).join("state.json");
    let whole = read(&file);
    let mut state: Value = serde_json::from_str(&whole).unwrap();
    state["process"] = Value::Null;
    for directory in state["cgroup"]["directories"].as_array_mut().unwrap() {
        (directory["mount"], directory["path"]) = (json!("/nonexistent"), json!("/nonexistent/x"));
    }
    fs::write(&file, state.to_string()).unwrap();
    std::os::unix::fs::symlink("/nonexistent/gone", pod.path().join("containers/zz")).unwrap();
    let out = pod.call(&["gc"]).fails("is not mounted on /nonexistent");
    assert!(out.stdout.contains(&format!("removed the entry of zz in pod {}", pod.name)), "{}", out.stdout);
    fs::write(&file, whole).unwrap();
    c.finish();
    pod.finish();
}
