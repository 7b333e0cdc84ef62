//! Hosts without cgroups, with some of them, and with cgroups that may only be looked at.

use super::{Limit, tally};
use crate::common::*;

#[test]
fn without_any_cgroup_what_needs_none_works() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("no cgroup file system");
    let says = [
        "no devices cgroup is mounted; mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        "no cgroup file system is mounted; mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        "the host has no cgroup file system that it could show",
        "its hierarchy is not mounted on",
        "is not available",
        "cgroups not configured",
    ];
    let limit = Limit::view(&tally, "no cgroups", "umount -R /sys/fs/cgroup", &says);
    assert!(!limit.life(Container::sleeper), "with rules for devices and a cgroup mount");
    let make = || Container::sleeper().without_cgroup_mounts().with(|config| _ = config["linux"]["resources"].take());
    assert!(limit.life(make));
    for (name, value) in [("memory", json!({ "limit": 1 << 30 })), ("pids", json!({ "limit": 10 }))] {
        let c = make().set("linux/resources", json!({ name: value }));
        let says = format!("the cgroup controller \\\"{name}\\\" is not available");
        limit.call_fails_saying(&c, &["run", "-d", &c.id], &[&says]);
        c.left_nothing();
    }
    limit.pod();
}

/// As in a container that was not given its own.
#[test]
fn read_only_cgroups_are_an_error_that_says_so() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("cgroups mounted read-only");
    let script =
        "for m in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do mount -o remount,bind,ro $m || exit 99; done";
    let says = ["Read-only file system; the cgroup file system is mounted read-only", "is not available"];
    for host in Host::all() {
        let limit = Limit::view(&tally, "read-only", script, &says);
        assert!(!limit.life(|| Container::sleeper().on(host)), "{host:?}");
    }
    Limit::view(&tally, "read-only", script, &says).pod();
}

#[test]
fn hierarchies_of_version_1_that_are_missing_matter_to_their_limits_alone() {
    if !hilum_only("text") {
        return;
    }
    if Host::plain() != Host::V1Hybrid {
        skip("no cgroup v1");
        return;
    }
    let tally = tally("some controllers of cgroup v1");
    for name in ["memory", "pids", "freezer", "cpu", "cpuset", "blkio", "unified", "systemd"] {
        let script = format!("umount /sys/fs/cgroup/{name}");
        let says = ["is not available", "its hierarchy is not mounted on", "cgroups not configured"];
        let limit = Limit::view(&tally, &script, &script, &says);
        assert!(limit.life(Container::sleeper), "without {name}");
    }
}
