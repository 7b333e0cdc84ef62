//! Little memory: the container's limit, one around hilum itself, and RLIMIT_AS.

use super::{HostCgroup, Limit, tally};
use crate::common::*;
use std::process::Stdio;

const KIB: u64 = 1024;

/// What is left over from the init is the program's: a static one starts in 512 KiB.
#[test]
fn a_container_starts_in_512_kib_and_below_the_error_names_the_limit() {
    if !hilum_only("text, and the oracle needs more") {
        return;
    }
    let tally = tally("the container's memory limit");
    for host in Host::all() {
        if !host.has("memory") {
            skip(&format!("no memory controller on {host:?}"));
            continue;
        }
        // About 160 the init is killed between the question for `start` and the execution.
        for kib in [4, 8, 16, 32, 48, 64, 96, 128, 136, 144, 152, 160, 168, 176, 192, 256, 320, 384, 448, 512] {
            let limit = kib * KIB;
            let c = Container::new(&["busybox", "true"])
                .on(host)
                .set("linux/resources/memory", json!({ "limit": limit, "swap": limit }));
            let says = format!("; the memory limit of {limit} bytes is too small for the container's init");
            let before =
                format!("cannot start a container that has stopped; it ran out of memory: its limit is {limit} bytes");
            let judge = |out: Out| {
                match out.code {
                    0 => {}
                    1 if out.stderr.contains(&before) => {}
                    // The init has made the container; it was the program that had no room.
                    137 if out.stderr.is_empty() => {}
                    _ => drop(out.clone().fails(&says)),
                }
                assert!(out.code == 0 || kib < 512, "{host:?}, {kib} KiB: {out:?}");
                out.code == 0
            };
            tally.tries();
            judge(c.run());
            tally.survives();
            c.left_nothing();
            tally.tries();
            if judge(c.create_with(&[])) {
                judge(c.call(&["start", &c.id]));
                c.call(&["delete", "--force", &c.id]).ok();
            }
            tally.survives();
            c.left_nothing();
            // The same id, once there is enough.
            let c = c.set("linux/resources/memory", json!({ "limit": 64 << 20 }));
            c.run().ok();
            c.finish();
        }
    }
}

#[test]
fn a_container_of_512_kib_has_all_its_life() {
    if !hilum_only("the oracle needs more") {
        return;
    }
    let tally = tally("life in 512 KiB");
    for host in Host::all().into_iter().filter(|host| host.has("memory")) {
        let limit = 512 * KIB;
        let make = || {
            let c = Container::sleeper().on(host);
            c.set("linux/resources/memory", json!({ "limit": limit, "swap": limit }))
        };
        let says = ["512 KiB"];
        let none = Limit::new(&tally, "512 KiB", &["env"], &says);
        assert!(none.life(make), "{host:?}");
    }
}

/// Of the init program, and of the kernel for the namespaces and mounts of it. memory.current is counted in batches of 64 pages
/// for each processor; memory.stat is exact.
#[test]
fn a_created_container_is_charged_less_than_200_kib() {
    if !hilum_only("the oracle is larger") {
        return;
    }
    let host = Host::plain();
    if host != Host::V2 || !host.has("memory") {
        skip("cgroup v1 counts in batches, and v2 has no memory controller here");
        return;
    }
    let c = Container::sleeper();
    c.create();
    let charged = || {
        let stat = c.file("memory.stat");
        ["anon", "file", "kernel"].map(|name| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {stat}")).parse::<u64>().unwrap()
        })
    };
    // The kernel adds small changes up every two seconds only.
    eventually("it is counted", || charged()[0] > 0 && charged()[2] > 0);
    let charged = charged();
    assert!(charged.iter().sum::<u64>() < 200 * KIB, "anon, file, kernel: {charged:?}");
    c.finish();
}

/// The kernel kills whom it likes then: the runtime, with no word; or its child.
#[test]
fn a_runtime_without_memory_leaves_what_delete_can_remove() {
    if !hilum_only("the oracle is larger") {
        return;
    }
    let tally = tally("hilum in a small memory cgroup");
    let c = Container::new(&["busybox", "true"]);
    let Some(around) = HostCgroup::new(&c, "memory") else { return };
    let limit = Limit::in_cgroup(&tally, "memory cgroup", &around, &[]);
    let mut worked = 0;
    for kib in (256..4096).step_by(rounds(512, 64) as usize) {
        around.set("memory.limit_in_bytes", 64 << 20);
        around.set("memory.force_empty", 0);
        around.set("memory.limit_in_bytes", kib * KIB);
        c.write_config();
        tally.tries();
        let out = c.finish_call(c.command_behind(&limit.prefix, &["run", &c.id]), Stdio::null());
        assert!(matches!(out.code, 0 | 1 | 137), "{kib} KiB: {out:?}");
        assert!(out.code != 1 || out.stderr.contains("memory"), "{kib} KiB: {out:?}");
        worked += i32::from(out.code == 0);
        around.set("memory.limit_in_bytes", 64 << 20);
        c.call(&["delete", "--force", &c.id]).ok();
        c.left_nothing();
        tally.survives();
    }
    assert!(worked > 0);
    c.run().ok();
    c.finish();
}

/// In the last kilobytes before there is enough, the kernel gives no page for the stack, or the allocator none: that ends the
/// process at whatever it does, as any crash would.
#[test]
fn a_small_address_space_leaves_what_delete_can_remove() {
    if !hilum_only("the oracle reserves gigabytes") {
        return;
    }
    let tally = tally("RLIMIT_AS");
    let c = Container::new(&["busybox", "true"]);
    let run_in = |kib: u64, args: &[&str]| {
        c.write_config();
        let prefix = ["prlimit".to_string(), format!("--as={}", kib * KIB)];
        c.finish_call(c.command_behind(&prefix, args), Stdio::null())
    };
    let enough = (0..).step_by(64).find(|kib| run_in(*kib, &["--version"]).code == 0).unwrap();
    let mut worked = false;
    for kib in (enough..enough + 4096).step_by(rounds(64, 8) as usize) {
        tally.tries();
        let out = run_in(kib, &["run", &c.id]);
        assert!(matches!(out.code, 0 | 1 | 127 | 134 | 139), "{kib} KiB: {out:?}");
        assert!(!out.stderr.contains("panicked"), "{kib} KiB: {out:?}");
        c.call(&["delete", "--force", &c.id]).ok();
        c.left_nothing();
        tally.survives();
        worked = out.code == 0;
        if worked {
            break;
        }
    }
    assert!(worked);
    c.run().ok();
    c.finish();
}
