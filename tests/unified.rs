//! Version 2 with its controllers, which many a build host lacks: `make vm-test` has a machine with all of them.

use crate::cgroups::{assert_file, file, v2_only};
use crate::common::*;
use std::fs;
use std::path::Path;
use std::process::Command;

/// `259:0`: the first disk of the host, as io.max names it.
fn disk() -> Option<(u32, u32)> {
    let partitions = read(Path::new("/proc/partitions"));
    let rows = partitions.lines().skip(2).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_disk = |row: &Vec<&str>| row.len() == 4 && fs::exists(format!("/sys/block/{}", row[3])).unwrap();
    rows.filter(is_disk).map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap())).next()
}

#[test]
fn block_io_limits_and_weight() {
    let Some(host) = v2_only("io") else { return };
    let Some((major, minor)) = disk() else {
        skip("no disk");
        return;
    };
    let rate = |rate: u32| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let c = Container::sleeper().on(host).set(
        "linux/resources/blockIO",
        json!({
        "throttleReadBpsDevice": rate(1048576), "throttleWriteBpsDevice": rate(2097152),
        "throttleReadIOPSDevice": rate(100), "throttleWriteIOPSDevice": rate(200), "weight": 500 }),
    );
    c.create();
    assert_file(&c, "io", "io.max", &format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200"));
    if file(&c, "io", "io.bfq.weight").exists() {
        assert!(read(&file(&c, "io", "io.bfq.weight")).contains("default 500"));
    } else {
        assert_file(&c, "io", "io.weight", "default 4950");
    }
    c.finish();
}

#[test]
fn unified_values_win_over_those_of_version_1() {
    let Some(host) = v2_only("memory") else { return };
    let c = Container::sleeper()
        .on(host)
        .set("linux/resources/pids", json!({ "limit": 100 }))
        .set("linux/resources/unified", json!({ "memory.high": "33554432", "pids.max": "7", "cpu.weight": "50" }));
    c.create();
    for (name, value) in [("memory.high", "33554432"), ("pids.max", "7"), ("cpu.weight", "50")] {
        assert_file(&c, "", name, value);
    }
    c.finish();
}

#[test]
fn a_quota_of_the_cpu_is_enforced() {
    let Some(host) = v2_only("cpu") else { return };
    let c = Container::sh("while :; do :; done").on(host);
    let c = c.set("linux/resources/cpu", json!({ "quota": 5000, "period": 100000 }));
    c.up();
    let stat = file(&c, "cpu", "cpu.stat");
    let throttled = || read(&stat).lines().any(|l| l.strip_prefix("nr_throttled ").is_some_and(|n| n != "0"));
    eventually("the kernel holds it back", throttled);
    c.finish();
}

/// In a cgroup with processes no controller can be switched on for those below: an error, and not a limit that is none.
#[test]
fn a_limit_below_a_cgroup_with_processes_is_refused() {
    let Some(host) = v2_only("memory") else { return };
    let c = Container::sleeper().on(host).set("linux/resources/memory", json!({ "limit": 33554432 }));
    let occupied = host.hierarchy("").join(format!("{}-occupied", c.id));
    fs::create_dir(&occupied).unwrap();
    let other = Helper::start(&["sleep", "1000"], "sleep");
    fs::write(occupied.join("cgroup.procs"), other.pid().to_string()).unwrap();
    let path = format!("/{}-occupied/inner", c.id);
    let c = c.set("linux/cgroupsPath", json!(path));
    let out = c.create_with(&[]);
    drop(other);
    eventually("an empty cgroup", || fs::remove_dir(&occupied).is_ok());
    out.fails("with domain controllers");
    c.left_nothing();
}

/// systemd goes through all cgroups that it knows, when its units are read again: ours is not one of them.
#[test]
fn limits_and_processes_outlive_a_reload_of_systemd() {
    let Some(host) = v2_only("memory") else { return };
    if !Path::new("/run/systemd/system").exists() {
        skip("no systemd");
        return;
    }
    let c = Container::sleeper().on(host).set(
        "linux/resources",
        json!({ "memory": { "limit": 33554432 }, "pids": { "limit": 9 }, "devices": [{ "allow": false, "access": "rwm" }] }),
    );
    c.up();
    let before = cgroup_of(c.pid(), "");
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    assert_eq!(cgroup_of(c.pid(), ""), before);
    assert_file(&c, "memory", "memory.max", "33554432");
    assert_file(&c, "pids", "pids.max", "9");
    c.finish();
}
