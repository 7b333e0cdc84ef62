//! Kernels without a feature, and filters that hide one: a system call that fails with ENOSYS, EPERM or EINVAL each time.

use super::{Limit, tally};
use crate::common::*;

/// Newer than Linux 4.0, or such that a kernel can be built without; all that a creation or an exec makes of them.
const CALLS: &[&str] = &[
    "clone3",
    "openat2",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "move_mount",
    "mount_setattr",
    "pidfd_open",
    "pidfd_send_signal",
    "memfd_create",
    "close_range",
    "seccomp",
    "statx",
    "execveat",
    "faccessat2",
    "keyctl",
    "getrandom",
    "rseq",
    "unshare",
    "setns",
    "signalfd4",
    "bpf",
];

/// Those that 5.10 may lack, or that are not needed: hilum finds another way.
const DISPENSABLE: &[&str] = &["mount_setattr", "statx", "rseq", "getrandom"];

fn confined() -> Container {
    Container::new(&["true"]).set(
        "linux/seccomp",
        json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["swapon"], "action": "SCMP_ACT_ERRNO" }] }),
    )
}

/// A call fails in hilum and in its child, for `run` and for `exec`.
fn without(tally: &Tally, call: &str, errno: &str, says: &[&str]) -> bool {
    let inject = format!("inject={call}:error={errno}");
    let prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
    let limit = Limit::new(tally, &inject, &prefix, says);
    let c = confined();
    let ran = limit.call(&c, &["run", &c.id]).code == 0;
    c.left_nothing();
    let c = c.set("process/args", json!(["sleep", "1000"]));
    c.up();
    let executed = limit.call(&c, &["exec", &c.id, "true"]).code == 0;
    c.call(&["kill", &c.id, "KILL"]).ok();
    c.wait("stopped");
    limit.call(&c, &["delete", &c.id]);
    c.finish();
    ran && executed
}

#[test]
fn without_a_system_call_there_is_another_way_or_the_version_is_named() {
    if !has_strace() || !hilum_only("text") {
        return;
    }
    let tally = tally("a system call fails with ENOSYS");
    for call in CALLS {
        let works = without(&tally, call, "ENOSYS", &["hilum needs Linux 5.10 or newer"]);
        assert!(works || !DISPENSABLE.contains(call), "{call}");
    }
}

/// Old seccomp profiles of clients answer so for calls that they do not know.
#[test]
fn a_forbidden_system_call_is_said_to_be_forbidden() {
    if !has_strace() || !hilum_only("text") {
        return;
    }
    let tally = tally("a system call fails with EPERM");
    let says = [
        "hilum lacks CAP_",
        "forbids it",
        "operation not permitted",
        "(--no-new-keyring does without): Operation not permitted",
    ];
    // Each of the others is in one of the profiles that are tested in nested.rs.
    for call in CALLS.iter().step_by(rounds(3, 1) as usize) {
        without(&tally, call, "EPERM", &says);
    }
}

#[test]
fn a_kernel_without_seccomp_or_without_a_namespace_says_which() {
    if !has_strace() || !hilum_only("text") {
        return;
    }
    let tally = tally("seccomp, namespaces fail with EINVAL");
    for call in ["seccomp", "unshare", "setns", "clone3", "prctl"] {
        without(&tally, call, "EINVAL", &["Invalid argument", "invalid argument"]);
    }
}

/// Each kind is used up in a user namespace whose root hilum is.
#[test]
fn a_limit_of_namespaces_is_named() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("max_*_namespaces is 0");
    let make = || {
        let map = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
        let c = Container::new(&["true"]).namespace(json!({ "type": "user" })).namespace(json!({ "type": "time" }));
        c.set("linux/uidMappings", map.clone()).set("linux/gidMappings", map).for_a_single_id()
    };
    for (_, kind) in KINDS {
        let script = format!("echo 0 >/proc/sys/user/max_{kind}_namespaces || exit 99; exec \"$@\"");
        let prefix = ["unshare", "-Urm", "--propagation", "private", "sh", "-c", &script, "sh"];
        let limit = Limit::new(&tally, kind, &prefix, &["No space left on device; a limit of /proc/sys/user/max_"]);
        let c = make();
        limit.call_fails(&c, &["run", &c.id]);
        c.left_nothing();
        let lifted = Limit::new(&tally, kind, &["unshare", "-Urm", "--propagation", "private"], &[]);
        assert_eq!(lifted.call(&c, &["run", &c.id]).code, 0);
        c.finish();
    }
}
