//! Signals: by name and number, to one process and to all of a container.

use crate::common::*;

/// Traps one signal after the other and prints their names.
fn trapper() -> Container {
    let script =
        "for s in TERM HUP INT USR1 USR2; do trap \"echo got $s.\" $s; done; echo ready; while :; do sleep 0.02; done";
    let c = Container::sh(script);
    c.up().says("ready");
    c
}

#[test]
fn kill_sends_term_unless_told_otherwise() {
    let c = trapper();
    c.call(&["kill", &c.id]).ok();
    c.says("got TERM.");
    c.finish();
}

#[test]
fn kill_takes_names_with_and_without_sig_and_numbers() {
    let c = trapper();
    for (signal, name) in [("SIGHUP", "HUP"), ("INT", "INT"), ("10", "USR1"), ("SIGUSR2", "USR2")] {
        c.kill(signal).ok();
        c.says(&format!("got {name}."));
    }
    c.finish();
}

#[test]
fn kill_refuses_what_is_no_signal() {
    let c = Container::sleeper();
    c.up();
    for signal in ["NONSENSE", "SIG", "KILL9"] {
        assert_eq!(c.kill(signal).code, 1, "{signal}");
    }
    if hilum_only("the oracle's number check is the kernel's") {
        for signal in ["-1", "65", "999999999999"] {
            assert_eq!(c.call(&["kill", "--", &c.id, signal]).code, 1, "{signal}");
        }
    }
    assert_eq!(c.status(), "running");
    c.finish();
}

#[test]
fn kill_ends_a_created_container() {
    let c = Container::sleeper();
    c.create();
    c.kill("KILL").ok();
    c.wait("stopped");
    c.finish();
}

#[test]
fn kill_of_a_stopped_container_fails_and_kill_all_does_not() {
    let c = Container::new(&["true"]);
    c.create().start().wait("stopped");
    c.kill("KILL").fails("container not running");
    c.call(&["kill", "--all", &c.id, "KILL"]).ok();
    c.call(&["kill", "-a", &c.id, "9"]).ok();
    c.finish();
}

/// A container in the host's pid namespace with two processes besides its init.
fn family(host: Host) -> Container {
    let c = Container::sh("sleep 1001 & sleep 1002 & echo ready; wait")
        .with(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "pid");
            config["linux"]["maskedPaths"] = json!([]);
            config["linux"]["readonlyPaths"] = json!([]);
        })
        .on(host);
    c.up().says("ready");
    c
}

fn members(c: &Container) -> usize {
    let dirs = cgroups_named(&c.id);
    read(&dirs.first().expect("a cgroup").join("cgroup.procs")).lines().count()
}

#[test]
fn kill_all_reaches_every_process_of_the_cgroup() {
    for host in Host::all() {
        let c = family(host);
        assert_eq!(members(&c), 3, "{host:?}");
        c.call(&["kill", "--all", &c.id, "KILL"]).ok();
        c.wait("stopped");
        eventually("an empty cgroup", || members(&c) == 0);
        c.finish();
    }
}

#[test]
fn sigkill_without_a_private_pid_namespace_reaches_every_process() {
    if !hilum_only("since runc 1.2") {
        return;
    }
    let c = family(Host::plain());
    c.kill("KILL").ok();
    c.wait("stopped");
    eventually("an empty cgroup", || members(&c) == 0);
    c.finish();
}

#[test]
fn delete_force_ends_every_process_without_a_private_pid_namespace() {
    let c = family(Host::plain());
    c.call(&["delete", "--force", &c.id]).ok();
    c.left_nothing();
}

#[test]
fn kill_all_in_a_shared_pid_namespace_spares_the_others() {
    let sandbox = Container::sleeper();
    sandbox.up();
    let path = proc(sandbox.pid(), "ns/pid");
    let c = Container::sh("sleep 1001 & echo ready; wait").set("linux/namespaces/0/path", json!(path));
    c.up().says("ready");
    let other = Container::sleeper().set("linux/namespaces/0/path", json!(path));
    other.up();
    c.call(&["kill", "--all", &c.id, "9"]).ok();
    c.wait("stopped");
    // The shim calls it again when init is gone.
    c.call(&["kill", "--all", &c.id, "9"]).ok();
    assert_eq!((other.status().as_str(), sandbox.status().as_str()), ("running", "running"));
    c.finish();
    other.finish();
    sandbox.finish();
}

/// Without the descriptors for it, none is left out without a word.
#[test]
fn kill_all_of_many_reaches_each_or_fails() {
    if !hilum_only("what it does with few descriptors") {
        return;
    }
    let c = Container::sh("i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo ready; wait");
    c.up().says("ready");
    assert_eq!(members(&c), 101);
    let with_descriptors = |limit: u32| {
        let prefix = ["prlimit".to_string(), format!("--nofile={limit}")];
        c.finish_call(c.command_behind(&prefix, &["kill", "--all", &c.id, "TERM"]), std::process::Stdio::null())
    };
    with_descriptors(32).fails("Too many open files");
    with_descriptors(90).ok();
    // The shell has waited for them.
    c.wait("stopped");
    c.finish();
}
