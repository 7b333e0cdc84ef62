//! Namespaces: new, the host's, or joined by path, alone and together.

use crate::common::*;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn ns_path(c: &Container, kind: &str) -> PathBuf {
    proc(c.pid(), "ns").join(kind)
}

#[test]
fn each_namespace_in_the_config_is_new() {
    let c = Container::sleeper().in_user_namespace();
    c.up();
    for kind in ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup"] {
        assert_ne!(ns(c.pid(), kind), own_ns(kind), "{kind}");
    }
    assert_eq!(ns(c.pid(), "time"), own_ns("time"));
    c.finish();
}

#[test]
fn each_namespace_that_is_absent_is_the_hosts() {
    for (kind, link) in KINDS.iter().filter(|(kind, _)| !["mount", "user", "time"].contains(kind)) {
        let mut c = Container::sleeper().without_namespace(kind);
        if *kind == "uts" {
            c.config.as_object_mut().unwrap().remove("hostname");
        }
        c.up();
        for (_, other) in KINDS.iter().filter(|(k, _)| !["user", "time"].contains(k)) {
            assert_eq!(ns(c.pid(), other) == own_ns(other), other == link, "{kind} absent: {other}");
        }
        c.finish();
    }
}

#[test]
fn each_namespace_of_another_container_is_joined_by_path() {
    let sandbox = Container::sleeper().set("hostname", json!("sandbox"));
    sandbox.up();
    for (kind, link) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid"), ("cgroup", "cgroup")] {
        if kind == "cgroup" && !hilum_only("the oracle joins a cgroup namespace since 1.2") {
            continue;
        }
        let mut c = Container::sleeper().join(kind, ns_path(&sandbox, link));
        c.config.as_object_mut().unwrap().remove("hostname");
        c.up();
        for other in ["pid", "net", "ipc", "uts", "cgroup", "mnt"] {
            assert_eq!(ns(c.pid(), other) == ns(sandbox.pid(), other), other == link, "{kind} joined: {other}");
            assert_ne!(ns(c.pid(), other), own_ns(other), "{kind} joined: {other}");
        }
        c.finish();
    }
    sandbox.finish();
}

#[test]
fn net_ipc_and_uts_of_a_sandbox_are_joined_together() {
    let sandbox = Container::sleeper()
        .set("hostname", json!("sandbox"))
        .set("linux/sysctl", json!({ "kernel.msgmax": "12345" }))
        .set("process/args", json!(["nc", "-l", "-p", "80", "-e", "echo", "hello"]));
    sandbox.up();
    let script = "hostname; cat /proc/sys/kernel/msgmax; nc 127.0.0.1 80";
    let mut c = Container::sh(script)
        .join("network", ns_path(&sandbox, "net"))
        .join("ipc", ns_path(&sandbox, "ipc"))
        .join("uts", ns_path(&sandbox, "uts"));
    c.config.as_object_mut().unwrap().remove("hostname");
    assert_eq!(c.run().ok().stdout, "sandbox\n12345\nhello\n");
    c.finish();
    sandbox.finish();
}

#[test]
fn a_hostname_with_a_joined_uts_namespace_is_set_for_both() {
    let sandbox = Container::sleeper().set("hostname", json!("before"));
    sandbox.up();
    let c = Container::new(&["hostname"]).set("hostname", json!("after")).join("uts", ns_path(&sandbox, "uts"));
    assert_eq!(c.run().ok().stdout, "after\n");
    let uts = ns_path(&sandbox, "uts");
    let out = Command::new("nsenter").arg(format!("--uts={}", uts.display())).arg("hostname").output().unwrap();
    assert_eq!(out.stdout, b"after\n");
    c.finish();
    sandbox.finish();
}

#[test]
fn a_namespace_that_is_pinned_by_a_bind_mount_is_joined() {
    let c = Container::sleeper();
    let pin = c.path("pin");
    fs::write(&pin, "").unwrap();
    assert!(Command::new("unshare").args([&format!("--uts={pin}"), "hostname", "pinned"]).status().unwrap().success());
    let mut c = c.join("uts", &pin).set("process/args", json!(["hostname"]));
    c.config.as_object_mut().unwrap().remove("hostname");
    let pinned = HostMount(pin);
    let out = c.run();
    drop(pinned);
    assert_eq!(out.ok().stdout, "pinned\n");
    c.finish();
}

#[test]
fn a_container_survives_the_end_of_its_sandbox_between_create_and_start() {
    let sandbox = Container::sleeper();
    sandbox.up();
    let c = Container::sh("echo alive").join("network", ns_path(&sandbox, "net")).join("ipc", ns_path(&sandbox, "ipc"));
    c.create();
    sandbox.finish();
    c.start().says("alive");
    c.finish();
}

#[test]
fn a_new_pid_namespace_makes_the_process_pid_1_and_shows_no_other() {
    let c = Container::sh("echo $$; ls /proc | grep '^[0-9]'");
    let out = c.run().ok();
    assert_eq!(out.lines()[0], "1");
    // The shell, ls and grep.
    assert!(out.lines()[1] == "1" && out.lines().len() <= 4, "{out:?}");
    c.finish();
}

#[test]
fn a_joined_pid_namespace_shows_the_processes_of_both() {
    let sandbox = Container::sleeper();
    sandbox.up();
    let c = Container::sh("echo $$; tr '\\0' ' ' < /proc/1/cmdline").join("pid", ns_path(&sandbox, "pid"));
    let out = c.run().ok().stdout;
    assert!(out.ends_with("\nsleep 1000 ") && !out.starts_with("1\n"), "{out}");
    c.finish();
    assert_eq!(sandbox.status(), "running");
    sandbox.finish();
}

#[test]
fn a_container_in_a_joined_pid_namespace_ends_without_ending_it() {
    let sandbox = Container::sleeper();
    sandbox.up();
    let c = Container::sleeper().join("pid", ns_path(&sandbox, "pid"));
    c.up();
    assert_eq!(status_of(c.pid(), "NSpid").split_whitespace().count(), 2);
    c.finish();
    assert_eq!(sandbox.status(), "running");
    sandbox.finish();
}

#[test]
fn a_time_namespace_has_the_offsets_of_the_config() {
    if !hilum_only("since runc 1.2") {
        return;
    }
    let c = Container::sh("cut -d. -f1 /proc/uptime; sleep 1000").namespace(json!({ "type": "time" })).set(
        "linux/timeOffsets",
        json!({ "boottime": { "secs": 1_000_000 }, "monotonic": { "secs": 5, "nanosecs": 7 } }),
    );
    c.up();
    assert_ne!(ns(c.pid(), "time"), own_ns("time"));
    let offsets = read(&proc(c.pid(), "timens_offsets"));
    let words: Vec<&str> = offsets.split_whitespace().collect();
    assert_eq!(words, ["monotonic", "5", "7", "boottime", "1000000", "0"]);
    eventually("uptime", || c.output().lines().any(|l| l.parse::<u64>().is_ok_and(|s| s >= 1_000_000)));
    c.finish();
}

#[test]
fn a_time_namespace_is_joined_by_path() {
    if !hilum_only("since runc 1.2") {
        return;
    }
    let time = Helper::start(&["unshare", "-T", "--boottime", "7000", "sleep", "1000"], "sleep");
    let c = Container::sleeper().join("time", proc(time.pid(), "ns/time_for_children"));
    c.up();
    assert_eq!(ns(c.pid(), "time"), ns(time.pid(), "time_for_children"));
    c.finish();
}
