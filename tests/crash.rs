//! The runtime killed at any system call, and system calls that fail: afterwards the state tells the truth, `delete --force`
//! takes away whatever there is, and the id can be used again.

// What a system call is about is in registers, which each architecture names its own way.
#[cfg(target_arch = "x86_64")]
mod calls;
#[cfg(target_arch = "x86_64")]
mod cni;
#[cfg(target_arch = "x86_64")]
mod living;
#[cfg(target_arch = "x86_64")]
mod making;
#[cfg(target_arch = "x86_64")]
mod matrix;
#[cfg(target_arch = "x86_64")]
mod pods;
#[cfg(target_arch = "x86_64")]
mod stepper;
#[cfg(target_arch = "x86_64")]
mod systemd;
#[cfg(target_arch = "x86_64")]
mod truth;

use crate::common::*;
use std::fs;
use std::process::{Command, Stdio};

#[test]
#[cfg(not(target_arch = "x86_64"))]
fn commands_can_be_killed_anywhere() {
    skip("commands are stepped on x86_64 alone");
}

/// The command with something done to its calls: `sendto:signal=KILL:when=2`. `follow`: its children's calls, too.
fn tampered(c: &Container, args: &[&str], inject: &str, follow: bool) -> Out {
    c.write_config();
    let mut command = strace(c.host, inject, follow);
    command.arg(program()).arg("--root").arg(c.root()).args(args).arg(&c.id).current_dir(c.bundle());
    c.finish_call(command, Stdio::null())
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

/// What is left of it makes room for the next of its id, at whatever removal the command was killed.
#[test]
fn a_removal_that_is_killed_leaves_a_state_or_room() {
    if !has_strace() || !hilum_only("the oracle leaves what it leaves") {
        return;
    }
    let (mut kills, mut without_state) = (0, 0);
    for call in ["unlink", "unlinkat", "rmdir"] {
        for n in 1..=6 {
            let c = Container::sleeper();
            c.create();
            // As with a service manager's socket in NOTIFY_SOCKET.
            let dir = c.root().join(&c.id);
            fs::create_dir_all(dir.join("notify")).unwrap();
            fs::write(dir.join("notify/notify.sock"), "").unwrap();
            let inject = format!("{call}:signal=KILL:when={n}");
            kills += i32::from(tampered(&c, &["delete", "--force"], &inject, false).code == 137);
            if dir.exists() && !dir.join("state.json").exists() {
                without_state += 1;
                c.create();
            }
            c.finish();
        }
    }
    assert!(kills > 5 && without_state > 0, "{kills}, {without_state}");
}
