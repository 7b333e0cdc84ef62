//! No more processes: the container's own limit, the cgroup that hilum is in, RLIMIT_NPROC.

use super::{HostCgroup, Limit, tally};
use crate::common::*;
use std::process::Stdio;

const SAYS: &[&str] = &["the limit on processes"];

/// The init is one process, and becomes the program; another of exec, and of a joined pid namespace, is one more.
#[test]
fn a_pids_limit_of_one_is_enough_for_the_first_process_alone() {
    if !hilum_only("the oracle has threads") {
        return;
    }
    let tally = tally("linux.resources.pids.limit 1 to 4");
    for host in Host::all().into_iter().filter(|host| host.has("pids") || skip(&format!("no pids on {host:?}"))) {
        let mut with_exec = 0;
        for most in 1..=4 {
            let c = Container::sleeper().on(host).set("linux/resources/pids", json!({ "limit": most }));
            let limit = Limit::new(&tally, &format!("pids.limit {most}"), &["env"], SAYS);
            assert!(limit.creations(&c), "{host:?} {most}");
            c.up();
            with_exec += i32::from(limit.call(&c, &["exec", &c.id, "true"]).code == 0);
            c.call(&["update", "--pids-limit", "100", &c.id]).ok();
            c.call(&["exec", &c.id, "true"]).ok();
            limit.commands_on(&c);
            c.finish();
        }
        assert_eq!(with_exec, 2, "{host:?}");
    }
}

#[test]
fn a_pids_limit_of_one_with_a_joined_pid_namespace_says_what_it_needs() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("pids.limit 1, joined pid namespace");
    let owner = Helper::start(&["unshare", "-p", "-f", "--kill-child", "sleep", "1000"], "unshare");
    eventually("its child", || !read(&proc(owner.pid(), "task").join(format!("{}/children", owner.pid()))).is_empty());
    let child = read(&proc(owner.pid(), "task").join(format!("{}/children", owner.pid())));
    for host in Host::all().into_iter().filter(|host| host.has("pids")) {
        let c = Container::sleeper().on(host).set("linux/resources/pids", json!({ "limit": 1 }));
        let c = c.join("pid", format!("/proc/{}/ns/pid", child.trim()));
        let limit = Limit::new(&tally, "joined", &["env"], SAYS);
        assert!(!limit.creations(&c));
        let c = c.set("linux/resources/pids", json!({ "limit": 2 }));
        c.up();
        c.finish();
    }
}

#[test]
fn a_full_pids_cgroup_around_hilum_fails_cleanly() {
    if !hilum_only("the oracle has threads") {
        return;
    }
    let tally = tally("hilum in a full pids cgroup");
    let c = Container::sleeper();
    let Some(around) = HostCgroup::new(&c, "pids") else { return };
    let mut worked = Vec::new();
    for most in 1..=4 {
        let limit = Limit::in_cgroup(&tally, &format!("pids.max {most}"), &around, SAYS);
        around.set("pids.max", most);
        worked.push(limit.creations(&c));
        around.set("pids.max", "max");
        c.up();
        around.set("pids.max", most);
        limit.commands_on(&c);
        around.set("pids.max", "max");
    }
    assert_eq!(worked, [false, true, true, true]);
    c.run_with(&["-d"]).ok();
    c.finish();
}

/// Root is not counted; a user who has as many processes as allowed is refused the next one.
#[test]
fn a_user_at_the_limit_of_processes_is_told_so() {
    if !crate::rootless::can_be_tested() {
        return;
    }
    let tally = tally("RLIMIT_NPROC of a user");
    let r = crate::rootless::single_id(Container::new(&["true"]).without_cgroup_mounts());
    let mut worked = Vec::new();
    for most in [0, 1, 2, 4] {
        let command = r.command(&[], &["run", &r.c.id]);
        let mut limited = std::process::Command::new("prlimit");
        limited.arg(format!("--nproc={most}:{most}")).arg(command.get_program()).args(command.get_args());
        limited.current_dir(command.get_current_dir().unwrap());
        tally.tries();
        let out = r.c.finish_call(limited, Stdio::null());
        assert!(out.code == 0 || out.clone().fails("the limit on processes").code == 1);
        worked.push(out.code == 0);
        r.c.left_nothing();
        tally.survives();
    }
    assert!(!worked[0] && worked[3], "{worked:?}");
    r.finish();
}
