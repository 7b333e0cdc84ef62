//! A container that runs: paused, resumed, given other limits, listed and measured.

use crate::common::*;
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn pause_freezes_every_process_and_resume_lets_them_go_on() {
    for host in Host::all() {
        let c = Container::sh("i=0; while :; do i=$((i+1)); echo $i >/dev/shm/count; sleep 0.01; done").on(host);
        c.up();
        let count = proc(c.pid(), "root/dev/shm/count");
        let moves = || {
            let before = read(&count);
            std::thread::sleep(std::time::Duration::from_millis(150));
            read(&count) != before
        };
        eventually("the counter moves", moves);
        c.call(&["pause", &c.id]).ok();
        assert_eq!(c.status(), "paused", "{host:?}");
        assert!(!moves(), "it goes on while paused, {host:?}");
        c.call(&["pause", &c.id]).fails("container not running");
        c.call(&["resume", &c.id]).ok();
        assert_eq!(c.status(), "running", "{host:?}");
        eventually("the counter moves again", moves);
        c.call(&["resume", &c.id]).fails("container not paused");
        c.finish();
    }
}

/// By /proc/PID/stat a process in v1 does not run freely, whatever it did when it was frozen: the status goes by that, and
/// `list` reads the cgroup only then.
#[test]
fn whatever_the_first_process_does_it_is_seen_to_be_paused() {
    let scripts = [
        ("it computes", "while :; do :; done"),
        ("it waits for a child", "sleep 1000; true"),
        ("it sleeps", "exec sleep 1000"),
        ("it is stopped", "kill -STOP $$"),
    ];
    for host in Host::all() {
        for (what, script) in scripts {
            let c = Container::sh(script).on(host).without_namespace("pid");
            c.up();
            if what == "it is stopped" {
                eventually("it is", || read(&proc(c.pid(), "stat")).contains(") T "));
            }
            for _ in 0..10 {
                c.call(&["pause", &c.id]).ok();
                assert_eq!((c.status(), listed(&c)), ("paused".into(), "paused".into()), "{host:?}, {what}");
                c.call(&["resume", &c.id]).ok();
                assert_eq!((c.status(), listed(&c)), ("running".into(), "running".into()), "{host:?}, {what}");
            }
            c.finish();
        }
    }
}

/// Its status by `list`.
fn listed(c: &Container) -> String {
    let all: serde_json::Value = serde_json::from_str(&c.call(&["list", "--format", "json"]).ok().stdout).unwrap();
    let own = all.as_array().unwrap().iter().find(|it| it["id"] == *c.id).unwrap();
    own["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_created_container_can_be_paused_and_starts_after_its_resumption() {
    let c = Container::sh("echo started; sleep 1000");
    c.create();
    c.call(&["pause", &c.id]).ok();
    assert_eq!(c.status(), "paused");
    assert_eq!(c.call(&["start", &c.id]).code, 1);
    c.call(&["resume", &c.id]).ok();
    c.start().says("started");
    c.finish();
}

#[test]
fn what_does_not_run_is_neither_paused_nor_updated() {
    let c = Container::new(&["true"]);
    c.create().start().wait("stopped");
    c.call(&["pause", &c.id]).fails("container not running");
    c.call(&["resume", &c.id]).fails("container not paused");
    if hilum_only("the oracle says so of the cgroup") {
        c.call(&["update", "--pids-limit", "5", &c.id]).fails("container not running");
    }
    assert_eq!(c.call(&["events", "--stats", &c.id]).code, 1);
    c.finish();
    for verb in ["pause", "resume", "ps", "update", "events"] {
        c_does_not_exist(verb);
    }
}

fn c_does_not_exist(verb: &str) {
    let c = Container::sleeper();
    c.call(&[verb, "nobody"]).fails("does not exist");
}

#[test]
fn a_paused_container_can_be_killed_and_deleted() {
    let c = Container::sleeper();
    c.up();
    c.call(&["pause", &c.id]).ok();
    c.call(&["delete", &c.id]).fails("that is not stopped: paused");
    c.kill("KILL").ok();
    c.wait("stopped");
    c.finish();
    let c = Container::sleeper();
    c.up();
    c.call(&["pause", &c.id]).ok();
    c.call(&["delete", "--force", &c.id]).ok();
    c.left_nothing();
}

fn limit(c: &Container, controller: &str, file: &str) -> String {
    let dirs = cgroups_named(&c.id);
    let dir = dirs.iter().find(|dir| dir.join(file).exists());
    read(&dir.unwrap_or_else(|| panic!("no {file} of {controller}")).join(file)).trim().to_owned()
}

#[test]
fn update_writes_what_is_given_and_nothing_else() {
    let host = Host::plain();
    if !["memory", "pids", "cpu"].iter().all(|controller| host.has(controller)) {
        skip("the host lacks memory, pids or cpu");
        return;
    }
    let resources = json!({ "devices": [{ "allow": false, "access": "rwm" }],
        "memory": { "limit": 64 << 20 }, "cpu": { "quota": 40_000, "period": 80_000, "shares": 200 },
        "pids": { "limit": 50 } });
    let c = Container::sleeper().set("linux/resources", resources);
    c.up();
    c.call(&["update", "--memory", "96m", "--pids-limit", "60", &c.id]).ok();
    let (memory, quota) = match host {
        Host::V1Hybrid => ("memory.limit_in_bytes", "cpu.cfs_quota_us"),
        Host::V2 => ("memory.max", "cpu.max"),
    };
    assert_eq!(limit(&c, "memory", memory), (96 << 20).to_string());
    assert_eq!(limit(&c, "pids", "pids.max"), "60");
    let before = if host == Host::V2 { "40000 80000" } else { "40000" };
    assert_eq!(limit(&c, "cpu", quota), before);
    // The period is the one that was configured.
    c.call(&["update", "--cpu-quota", "20000", &c.id]).ok();
    assert_eq!(limit(&c, "cpu", quota), if host == Host::V2 { "20000 80000" } else { "20000" });
    if host == Host::V1Hybrid {
        assert_eq!(limit(&c, "cpu", "cpu.cfs_period_us"), "80000");
        assert_eq!(limit(&c, "cpu", "cpu.shares"), "200");
    }
    // And what an update has changed counts for the next.
    c.call(&["update", "--cpu-period", "100000", &c.id]).ok();
    assert_eq!(limit(&c, "cpu", quota), if host == Host::V2 { "20000 100000" } else { "20000" });
    c.call(&["update", "--memory=-1", "--pids-limit", "-1", &c.id]).ok();
    assert_eq!(limit(&c, "pids", "pids.max"), "max");
    c.finish();
}

/// A file of a cgroup, and what it says.
type File = (&'static str, &'static str);

/// Every option, its value, and the files that it ends in: v1's and v2's.
const OPTIONS: &[(&str, &str, File, File)] = &[
    ("--cpu-period", "50000", ("cpu.cfs_period_us", "50000"), ("cpu.max", "max 50000")),
    ("--cpu-quota", "30000", ("cpu.cfs_quota_us", "30000"), ("cpu.max", "30000 50000")),
    ("--cpu-burst", "10000", ("cpu.cfs_burst_us", "10000"), ("cpu.max.burst", "10000")),
    ("--cpu-share", "512", ("cpu.shares", "512"), ("cpu.weight", "59")),
    ("--cpu-idle", "1", ("cpu.idle", "1"), ("cpu.idle", "1")),
    ("--cpu-rt-period", "900000", ("cpu.rt_period_us", "900000"), ("", "")),
    ("--cpu-rt-runtime", "1000", ("cpu.rt_runtime_us", "1000"), ("", "")),
    ("--cpuset-cpus", "0", ("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
    ("--cpuset-mems", "0", ("cpuset.mems", "0"), ("cpuset.mems", "0")),
    ("--memory", "64m", ("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864")),
    ("--memory-swap", "96m", ("memory.memsw.limit_in_bytes", "100663296"), ("memory.swap.max", "33554432")),
    ("--memory-reservation", "32m", ("memory.soft_limit_in_bytes", "33554432"), ("memory.low", "33554432")),
    ("--pids-limit", "21", ("pids.max", "21"), ("pids.max", "21")),
    ("--blkio-weight", "100", ("blkio.bfq.weight", "100"), ("io.weight", "default 910")),
];

#[test]
fn update_has_an_option_for_each_limit() {
    let host = Host::plain();
    let c = Container::sleeper().on(host);
    c.up();
    for (option, value, v1, v2) in OPTIONS {
        let (file, expected) = if host == Host::V1Hybrid { v1 } else { v2 };
        let Some(dir) = cgroups_named(&c.id).into_iter().find(|dir| !file.is_empty() && dir.join(file).exists()) else {
            skip(&format!("{option}: no file for it in the container's cgroup ({file})"));
            continue;
        };
        c.call(&["update", option, value, &c.id]).ok();
        assert_eq!(read(&dir.join(file)).trim(), *expected, "{option}");
    }
    c.finish();
}

#[test]
fn update_reads_a_document_and_never_touches_devices() {
    let host = Host::plain();
    if !host.has("pids") {
        skip("the host lacks pids");
        return;
    }
    let c = Container::sleeper();
    c.up();
    let devices = || cgroups_named(&c.id).iter().map(|dir| read(&dir.join("devices.list"))).collect::<String>();
    let before = devices();
    let document = json!({ "pids": { "limit": 33 }, "devices": [{ "allow": true, "access": "rwm" }] });
    fs::write(c.path("resources.json"), document.to_string()).unwrap();
    c.call(&["update", "--resources", &c.path("resources.json"), &c.id]).ok();
    assert_eq!(limit(&c, "pids", "pids.max"), "33");
    let stdin = fs::File::open(c.path("resources.json")).unwrap();
    c.call(&["update", "--pids-limit", "44", &c.id]).ok();
    c.finish_call(c.command(&["update", "-r", "-", &c.id]), Stdio::from(stdin)).ok();
    assert_eq!(limit(&c, "pids", "pids.max"), "33");
    assert_eq!(devices(), before);
    c.finish();
}

#[test]
fn update_refuses_what_it_cannot_do_and_says_which() {
    let c = Container::sleeper();
    c.up();
    for (flags, text) in [
        (&["--memory", "5q"][..], "--memory"),
        (&["--cpu-quota", "x"], "--cpu-quota"),
        (&["--cpu-period", "1"], "period"),
        (&["--l3-cache-schema", "L3:0=f"], ""),
    ] {
        let out = c.call(&[&["update"], flags, &[&c.id]].concat());
        assert_eq!(out.code, 1, "{flags:?} {out:?}");
        assert!(!is_hilum() || out.stderr.contains(text), "{out:?}");
    }
    for bad in ["{", "[]", "{\"pids\": {\"limit\": \"x\"}}"] {
        fs::write(c.path("bad.json"), bad).unwrap();
        assert_eq!(c.call(&["update", "-r", &c.path("bad.json"), &c.id]).code, 1, "{bad}");
    }
    c.finish();
}

#[test]
fn ps_lists_the_processes_of_the_container_alone() {
    for host in Host::all() {
        let c = Container::sh("sleep 1001 & sleep 1002 & echo ready; wait").on(host);
        c.up().says("ready");
        let out = c.call(&["ps", "--format", "json", &c.id]).ok().stdout;
        let mut pids: Vec<u32> = serde_json::from_str(&out).unwrap();
        pids.sort_unstable();
        let mut expected: Vec<u32> = cgroups_named(&c.id)
            .first()
            .map(|dir| read(&dir.join("cgroup.procs")).lines().map(|pid| pid.parse().unwrap()).collect())
            .unwrap();
        expected.sort_unstable();
        assert_eq!((pids.len(), &pids), (3, &expected), "{host:?}");
        let table = c.call(&["ps", &c.id]).ok().stdout;
        assert!(table.starts_with("UID") && table.lines().count() == 4, "{table}");
        let table = c.call(&["ps", &c.id, "-o", "pid,args"]).ok().stdout;
        assert!(table.contains("sleep 1001") && table.contains("sleep 1002"), "{table}");
        c.call(&["ps", &c.id, "-o", "args"]).fails("PID");
        c.finish();
    }
}

#[test]
fn events_prints_statistics_of_the_kernels_numbers() {
    let c = Container::sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; sleep 1000");
    c.up().says("done");
    let out = c.call(&["events", "--stats", &c.id]).ok().stdout;
    assert_eq!(out.lines().count(), 1);
    let event: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(c.id)));
    let data = &event["data"];
    if Host::plain() == Host::V1Hybrid {
        let total: u64 = limit(&c, "cpuacct", "cpuacct.usage").parse().unwrap();
        let told = data["cpu"]["usage"]["total"].as_u64().unwrap();
        assert!(told > 1_000_000 && told <= total, "{told} of {total}");
        assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{data}");
    }
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{data}");
    if Host::plain().has("pids") {
        assert_eq!(data["pids"]["current"].to_string(), limit(&c, "pids", "pids.current"), "{data}");
    }
    c.finish();
}

#[test]
fn events_goes_on_at_intervals_and_ends_with_the_container() {
    let c = Container::sleeper();
    c.up();
    let out = fs::File::create(c.path("events")).unwrap();
    let mut command = c.command(&["events", "--interval", "50ms", &c.id]);
    let events = Helper(command.stdin(Stdio::null()).stdout(out).spawn().unwrap());
    eventually("three statistics", || read(c.path("events").as_ref()).lines().count() >= 3);
    if !is_hilum() {
        return c.finish();
    }
    c.kill("KILL").ok();
    assert_eq!(events.exit_code(), 0);
    c.finish();
    let c = Container::sleeper();
    c.up();
    for bad in ["0s", "x", "5"] {
        assert_eq!(c.call(&["events", "--interval", bad, &c.id]).code, 1, "{bad}");
    }
    c.finish();
}

#[test]
fn events_tells_when_the_container_runs_out_of_memory() {
    if !Host::plain().has("memory") {
        skip("the host lacks the memory controller");
        return;
    }
    let c = Container::sh(
        "echo ready; while :; do dd if=/dev/zero bs=64M count=1 2>/dev/null | tail -c 1 >/dev/null; sleep 0.05; done",
    )
    .set("linux/resources/memory", json!({ "limit": 16 << 20, "swap": 16 << 20 }));
    c.up().says("ready");
    let out = fs::File::create(c.path("events")).unwrap();
    let mut command = c.command(&["events", "--interval", "10s", &c.id]);
    let _events = Helper(command.stdin(Stdio::null()).stdout(out).spawn().unwrap());
    let expected = json!({ "type": "oom", "id": c.id });
    let told = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|event| event == expected);
    eventually("an event of type oom", || read(c.path("events").as_ref()).lines().any(told));
    c.finish();
}

/// The kernel tells of the end of a cgroup by the same descriptor.
#[test]
fn the_end_of_the_cgroup_is_no_want_of_memory() {
    if !hilum_only("the oracle's events do not end with the container") {
        return;
    }
    let layouts: Vec<Host> = Host::all().into_iter().filter(|host| host.has("memory")).collect();
    for host in layouts {
        let c = Container::sleeper().on(host);
        c.up();
        let out = fs::File::create(c.path("events")).unwrap();
        let mut command = c.command(&["events", "--interval", "200ms", &c.id]);
        let events = Helper(command.stdin(Stdio::null()).stdout(out).spawn().unwrap());
        eventually("it watches", || read(c.path("events").as_ref()).lines().count() >= 1);
        let signal = |name: &str| Command::new("kill").args(["-s", name, &events.pid().to_string()]).status().unwrap();
        // Both have happened when it looks.
        signal("STOP");
        c.call(&["delete", "--force", &c.id]).ok();
        // The kernel tells it a moment later.
        std::thread::sleep(std::time::Duration::from_millis(300));
        signal("CONT");
        assert_eq!(events.exit_code(), 0, "{host:?}");
        let told = read(c.path("events").as_ref());
        assert!(!told.contains("\"oom\""), "{host:?}: {told}");
        c.finish();
    }
}
