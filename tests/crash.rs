//! The runtime killed at any system call, and system calls that fail: afterwards the state tells the truth, `delete --force`
//! takes away whatever there is, and the id can be used again.

use crate::common::*;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// More calls of one kind than any command makes.
const MOST: u32 = 60;

/// The command with something done to its calls: `sendto:signal=KILL:when=2`. `follow`: its children's calls, too.
fn tampered(c: &Container, args: &[&str], inject: &str, follow: bool) -> Out {
    c.write_config();
    let mut command = strace(c.host, inject, follow);
    command.arg(program()).arg("--root").arg(c.root()).args(args).arg(&c.id).current_dir(c.bundle());
    c.finish_call(command, Stdio::null())
}

fn processes(c: &Container) -> Vec<String> {
    let procs = cgroups_named(&c.id).into_iter().map(|dir| read(&dir.join("cgroup.procs")));
    procs.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// What `state` says is what is so.
fn tells_the_truth(c: &Container, at: &str) {
    let out = c.call(&["state", &c.id]);
    if out.code != 0 {
        assert!(out.stderr.contains("container does not exist"), "{at}: {}", out.stderr);
        return;
    }
    let state: Value = serde_json::from_str(&out.stdout).unwrap();
    let pid = state["pid"].as_u64().unwrap() as u32;
    match state["status"].as_str().unwrap() {
        // The process may see a moment later that nobody is left to answer it; then it goes by itself.
        "creating" | "stopped" | "created" | "running" => {}
        other => panic!("{at}: status {other}"),
    }
    let deadline = deadline_in(5);
    loop {
        let status = c.status();
        let (alive, left) = (proc(pid, "stat").exists(), processes(c));
        let so = match status.as_str() {
            "creating" | "stopped" => left.is_empty(),
            _ => alive && !left.is_empty(),
        };
        if so {
            break;
        }
        assert!(Instant::now() < deadline, "{at}: status {status}, pid {pid} alive {alive}, in the cgroup {left:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    if c.status() == "created" {
        // Created means that it can be started, and ends as a container ends; or that it was on its way out.
        let out = c.call(&["start", &c.id]);
        assert!(out.code == 0 || c.status() == "stopped", "{at}: start: {}", out.stderr);
    }
}

/// Kills the command at every call of these kinds, one after the other.
fn survives(what: &str, make: impl Fn() -> Container, args: &[&str], calls: &[&str]) {
    if !has_strace() {
        return;
    }
    let mut kills = 0;
    for call in calls {
        for n in 1..=MOST {
            let c = make();
            let out = tampered(&c, args, &format!("{call}:signal=KILL:when={n}"), false);
            let at = format!("{what}: killed at {call} {n}");
            if out.code != 137 {
                assert_eq!(out.code, 0, "{what}, not killed, at {call} {n}: {}", out.stderr);
                c.finish();
                break;
            }
            kills += 1;
            tells_the_truth(&c, &at);
            let gone = c.call(&["delete", "--force", &c.id]);
            assert_eq!(gone.code, 0, "{at}: delete --force: {}", gone.stderr);
            c.left_nothing();
            if n % 8 == 1 {
                c.create_with(&[]).ok();
                c.start();
                assert_eq!(c.status(), "running", "{at}: the same id once more");
            }
            c.finish();
        }
    }
    assert!(kills >= calls.len() / 2, "{what}: killed only {kills} times");
}

#[test]
fn create_killed_at_any_call_leaves_what_delete_can_remove() {
    survives(
        "create",
        Container::sleeper,
        &["create"],
        &[
            "mkdir",
            "mkdirat",
            "rename",
            "flock",
            "memfd_create",
            "socketpair",
            "bind",
            "listen",
            "clone3",
            "recvmsg",
            "sendto",
            "write",
        ],
    );
}

#[test]
fn create_with_a_user_namespace_killed_at_any_call_leaves_what_delete_can_remove() {
    survives(
        "create in a user namespace",
        || Container::sleeper().in_user_namespace(),
        &["create"],
        &["clone3", "recvmsg", "sendto", "pidfd_open", "waitid", "rename"],
    );
}

#[test]
fn create_on_v2_killed_at_any_call_leaves_what_delete_can_remove() {
    survives(
        "create on v2",
        || Container::sleeper().on(Host::V2),
        &["create"],
        &["mkdirat", "bpf", "clone3", "recvmsg", "sendto"],
    );
}

#[test]
fn a_detached_run_killed_at_any_call_leaves_what_delete_can_remove() {
    survives(
        "run --detach",
        Container::sleeper,
        &["run", "--detach"],
        &["mkdirat", "rename", "clone3", "recvmsg", "sendto"],
    );
}

#[test]
fn without_a_pid_namespace_a_killed_create_leaves_no_process() {
    survives(
        "create in the host's pid namespace",
        || Container::sleeper().without_namespace("pid"),
        &["create"],
        &["clone3", "recvmsg", "sendto", "rename"],
    );
}

#[test]
fn delete_killed_at_any_call_can_be_repeated() {
    if !has_strace() {
        return;
    }
    for call in ["pidfd_send_signal", "poll", "rmdir", "unlinkat", "unlink"] {
        for n in 1..=MOST {
            let c = Container::sleeper();
            c.up();
            let out = tampered(&c, &["delete", "--force"], &format!("{call}:signal=KILL:when={n}"), false);
            let again = c.call(&["delete", "--force", &c.id]);
            assert_eq!(again.code, 0, "killed at {call} {n}: {}", again.stderr);
            c.left_nothing();
            if out.code != 137 {
                break;
            }
        }
    }
}

/// A container killed before it made its cgroup does not own one that somebody else has made there since.
#[test]
fn what_a_crashed_creation_never_owned_is_not_killed_by_its_delete() {
    if !has_strace() || !hilum_only("the oracle has no state that early") {
        return;
    }
    let crashed = Container::sleeper();
    let path = format!("/shared-{}", crashed.id);
    let crashed = crashed.set("linux/cgroupsPath", json!(path));
    let out = tampered(&crashed, &["create"], "mkdirat:signal=KILL:when=1", false);
    assert_eq!(out.code, 137, "{}", out.stderr);
    // strace's signal may come after the call.
    for dir in cgroups_named(&path[1..]) {
        _ = fs::remove_dir(dir);
    }
    let other = Container::sleeper().set("linux/cgroupsPath", json!(path));
    other.up();
    crashed.call(&["delete", "--force", &crashed.id]);
    assert_eq!(other.status(), "running", "delete of the crashed one has killed another container");
    other.call(&["delete", "--force", &other.id]).ok();
    other.finish();
    crashed.finish();
}

/// What is left of a command that was killed in its first moments takes no id, and what is anybody else's does.
#[test]
fn a_directory_without_a_state_makes_room_unless_something_is_in_it() {
    if !hilum_only("the oracle wants it deleted first") {
        return;
    }
    let c = Container::sleeper();
    let dir = c.root().join(&c.id);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("state.json.new"), "{").unwrap();
    c.up();
    c.call(&["delete", "--force", &c.id]).ok();
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("letter"), "").unwrap();
    c.create_with(&[]).fails("container with given ID already exists");
    assert!(dir.join("letter").exists());
    fs::remove_dir_all(&dir).unwrap();
    c.finish();
}

/// One failing call at a time: an error that says so and nothing left, or a container all the same.
fn fails_cleanly(what: &str, make: impl Fn() -> Container, faults: &[(&str, &str)]) {
    if !has_strace() {
        return;
    }
    let mut failures = 0;
    for (call, errno) in faults {
        for n in 1..=MOST {
            let c = make();
            let at = format!("{what}: {call} {n} fails with {errno}");
            let out = tampered(&c, &["create"], &format!("{call}:error={errno}:when={n}"), false);
            assert!(matches!(out.code, 0 | 1), "{at}: code {}: {}", out.code, out.stderr);
            assert!(!out.stderr.contains("panicked"), "{at}: {}", out.stderr);
            if out.code == 1 {
                failures += 1;
                assert!(
                    out.stderr.contains("level=error") || *call == "write",
                    "{at}: an error without a word: {:?}",
                    out.stderr
                );
                let left = leftovers(&c.id, c.dir(), &c.root());
                let deadline = deadline_in(5);
                let mut left = left;
                while !left.is_empty() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(20));
                    left = leftovers(&c.id, c.dir(), &c.root());
                }
                assert!(left.is_empty(), "{at}: {:?}, and left behind: {left:#?}", out.stderr);
            }
            c.finish();
            // Beyond the last call, nothing fails any more; a tolerated failure looks the same, so go on for a while.
            if out.code == 0 && n > 25 {
                break;
            }
        }
    }
    assert!(failures > 0, "{what}: nothing failed");
}

#[test]
fn a_full_disk_fails_cleanly() {
    fails_cleanly(
        "create",
        Container::sleeper,
        &[("mkdir", "ENOSPC"), ("mkdirat", "ENOSPC"), ("rename", "ENOSPC"), ("write", "ENOSPC")],
    );
}

#[test]
fn no_more_descriptors_or_processes_fails_cleanly() {
    fails_cleanly(
        "create",
        Container::sleeper,
        &[
            ("open", "EMFILE"),
            ("flock", "ENOLCK"),
            ("memfd_create", "EMFILE"),
            ("socketpair", "EMFILE"),
            ("clone3", "EAGAIN"),
            ("clone3", "EPERM"),
        ],
    );
}

#[test]
fn a_small_limit_on_descriptors_fails_cleanly() {
    for limit in (4..32).step_by(2) {
        // The container wants no more than it can get.
        let c = Container::sh("true").set("process/rlimits", json!([]));
        c.write_config();
        let mut command = Command::new("sh");
        command
            .args(["-c", "n=$1; shift; exec prlimit --nofile=$n:$n \"$@\"", "sh", &limit.to_string()])
            .arg(program())
            .arg("--root")
            .arg(c.root())
            .args(["run", &c.id])
            .current_dir(c.bundle());
        let out = c.finish_call(command, Stdio::null());
        assert!(matches!(out.code, 0 | 1), "limit {limit}: code {}: {}", out.code, out.stderr);
        if out.code == 1 {
            assert!(!out.stderr.trim().is_empty(), "limit {limit}: an error without a word");
            c.left_nothing();
        }
        c.finish();
    }
}

/// Linux before 5.12 has no mount_setattr: a mount gets its flags after it is attached, and they are the same.
#[test]
fn mounts_have_their_flags_without_mount_setattr() {
    if !has_strace() || !hilum_only("the oracle has its own ways") {
        return;
    }
    let make = || {
        Container::sh("grep -E ' (/|/sys|/proc/sys|/tmp) ' /proc/self/mountinfo | cut -d' ' -f5,6 | sort").push(
            "mounts",
            json!({ "destination": "/tmp", "type": "bind", "source": "/etc",
                    "options": ["bind", "ro", "nosuid", "nodev", "noexec"] }),
        )
    };
    let c = make();
    let expected = c.run().ok().stdout;
    assert!(expected.contains("/tmp ro,nosuid,nodev,noexec"), "{expected}");
    c.finish();
    let c = make();
    let out = tampered(&c, &["run"], "mount_setattr:error=ENOSYS", true).ok();
    assert_eq!(out.stdout, expected);
    c.finish();
}

#[test]
fn the_access_time_flags_are_kept_or_refused_without_mount_setattr() {
    if !has_strace() || !hilum_only("the oracle has its own ways") {
        return;
    }
    let c = Container::sh("grep ' /tmp ' /proc/self/mountinfo").push(
        "mounts",
        json!({ "destination": "/tmp", "type": "bind", "source": "/etc", "options": ["bind", "noatime"] }),
    );
    let out = tampered(&c, &["run"], "mount_setattr:error=ENOSYS", true);
    assert!(out.code == 1 || out.stdout.contains("noatime"), "silently without noatime: {}", out.stdout);
    c.finish();
}

#[test]
fn a_user_namespace_works_without_mount_setattr() {
    if !has_strace() || !hilum_only("the oracle has its own ways") {
        return;
    }
    let c = Container::sh("echo works").in_user_namespace();
    let out = tampered(&c, &["run"], "mount_setattr:error=ENOSYS", true).ok();
    assert_eq!(out.stdout, "works\n");
    c.finish();
}

/// A filter that refuses every call refuses exit, too: what cannot even end itself must not stay.
#[test]
fn a_filter_that_forbids_even_exit_ends_the_container() {
    if !hilum_only("the oracle ends with a fault of its own") {
        return;
    }
    for no_new_privileges in [true, false] {
        let c = Container::sh("true")
            .set("process/noNewPrivileges", json!(no_new_privileges))
            .set("linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ERRNO" }));
        c.write_config();
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=1", &(10 * patience()).to_string()])
            .arg(program())
            .arg("--root")
            .arg(c.root())
            .args(["run", &c.id])
            .current_dir(c.bundle());
        let out = c.finish_call(command, Stdio::null());
        assert!(out.code != 124 && out.code != 137, "noNewPrivileges {no_new_privileges}: still there");
        assert_ne!(out.code, 0);
        c.finish();
    }
}
