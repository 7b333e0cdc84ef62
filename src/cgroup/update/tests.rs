use super::value::{share_of, value_before};
use super::*;
use crate::cgroup::{Directory, Version};
use crate::spec;
use serde_json::json;
use std::fs;
use std::path::Path;

/// A directory that looks like a cgroup of version 1.
fn cgroup(top: &Path, name: &str, files: &[(&str, &str)]) -> Cgroup {
    let path = top.join(name);
    fs::create_dir(&path).unwrap();
    for (name, text) in files {
        fs::write(path.join(name), text).unwrap();
    }
    let controllers = ["memory", "cpu", "cpuset", "pids"].map(String::from).to_vec();
    let directory = Directory { version: Version::V1, controllers, mount: top.into(), path, inode: Some(1) };
    Cgroup { directories: vec![directory], unit: None }
}

fn resources(value: serde_json::Value) -> Resources {
    spec::parse(value.to_string().as_bytes()).unwrap()
}

/// `pod/memory.limit_in_bytes=5`, in the order of the writes, found by what was there before.
fn order(done: &Done<'_>) -> Vec<String> {
    let short = |write: &Write| {
        format!("{}/{}={}", write.directory.file_name().unwrap().to_string_lossy(), write.file, write.value)
    };
    done.0.iter().map(|(_, write)| short(write)).collect()
}

const LIMITS: [(&str, &str); 5] = [
    ("memory.limit_in_bytes", "100\n"),
    ("pids.max", "max\n"),
    ("cpu.cfs_quota_us", "-1\n"),
    ("cpu.cfs_period_us", "100000\n"),
    ("cpuset.cpus", "0-1\n"),
];

#[test]
fn the_pod_gets_more_first_and_less_last() {
    let top = tempfile::tempdir().unwrap();
    let [pod, a, b] = ["pod", "a", "b"].map(|name| cgroup(top.path(), name, &LIMITS));
    let pod_wants = resources(json!({ "memory": { "limit": 200 }, "pids": { "limit": 9 }, "cpu": { "cpus": "1-2" } }));
    let a_wants = resources(json!({ "memory": { "limit": 150 }, "pids": { "limit": 5 }, "cpu": { "cpus": "2" } }));
    let b_wants = resources(json!({ "memory": { "limit": 50 }, "cpu": { "quota": 5000, "period": 50_000 } }));
    let pod = Update::of_parent(&pod, "pod", &pod_wants).unwrap();
    let all = [Update::new(&a, "a", &a_wants).unwrap(), Update::new(&b, "b", &b_wants).unwrap()];
    let done = apply(Some(&pod), &all).unwrap();
    let expected = [
        "pod/memory.limit_in_bytes=100",
        "pod/cpuset.cpus=0-1",
        "a/cpuset.cpus=0-1",
        "a/pids.max=max",
        "b/memory.limit_in_bytes=100",
        "b/cpu.cfs_period_us=100000",
        "b/cpu.cfs_quota_us=-1",
        // With both sets of processors, until nobody is in the old one any more.
        "pod/cpuset.cpus=0,1,2",
        "pod/pids.max=max",
        "a/memory.limit_in_bytes=100",
    ];
    assert_eq!(order(&done), expected);
    done.undo();
    for name in ["pod", "a", "b"] {
        for (file, text) in LIMITS {
            let now = fs::read_to_string(top.path().join(name).join(file)).unwrap();
            assert!(now.starts_with(text.trim()), "{name}/{file}: {now:?}");
        }
    }
}

#[test]
fn what_fails_half_way_is_undone() {
    let top = tempfile::tempdir().unwrap();
    let pod = cgroup(top.path(), "pod", &LIMITS);
    let broken = cgroup(top.path(), "broken", &LIMITS[..1]);
    let [more, less] =
        [300, 20].map(|limit| resources(json!({ "memory": { "limit": limit }, "pids": { "limit": 1 } })));
    let pod = Update::of_parent(&pod, "pod web", &more).unwrap();
    let error = apply(Some(&pod), &[Update::new(&broken, "container app", &less).unwrap()]).err().unwrap().to_string();
    assert!(error.starts_with("container app: linux.resources.pids.limit: write \"1\" to "), "{error}");
    for name in ["pod", "broken"] {
        let now = fs::read_to_string(top.path().join(name).join("memory.limit_in_bytes")).unwrap();
        assert_eq!(now.get(..3), Some("100"), "{name}");
    }
}

#[test]
fn what_is_in_use_is_not_undone() {
    let top = tempfile::tempdir().unwrap();
    let files = [
        ("memory.limit_in_bytes", "100\n"),
        ("memory.usage_in_bytes", "90\n"),
        ("memory.stat", "total_active_file 30\n"),
    ];
    let cgroup = cgroup(top.path(), "app", &files);
    let limit = |limit: u64| Update::new(&cgroup, "app", &resources(json!({ "memory": { "limit": limit } }))).unwrap();
    let error = limit(59).refuse_exceeded().unwrap_err().to_string();
    assert!(error.contains("60 bytes are in use, beside 30 of page cache, and the limit would be 59"), "{error}");
    limit(60).refuse_exceeded().unwrap();
    let file = |name: &str| top.path().join("app").join(name);
    let updates = [limit(200)];
    let done = apply(None, &updates).unwrap();
    fs::write(file("memory.usage_in_bytes"), "190\n").unwrap();
    done.undo();
    assert_eq!(fs::read_to_string(file("memory.limit_in_bytes")).unwrap().trim(), "200");
}

#[test]
fn what_was_there_before_is_said_as_the_kernel_takes_it() {
    for (file, new, text, expected) in [
        ("pids.max", "5", "max", Some("max")),
        ("cpu.max", "5 10", "max 100000", Some("max 100000")),
        ("cpuset.cpus", "1", "", Some("\n")),
        (
            "io.max",
            "8:0 rbps=5",
            "8:0 rbps=1 wbps=max riops=max wiops=max",
            Some("8:0 rbps=1 wbps=max riops=max wiops=max"),
        ),
        ("io.max", "8:0 rbps=5", "", Some("8:0 rbps=max wbps=max riops=max wiops=max")),
        ("blkio.throttle.read_bps_device", "8:0 5", "8:16 7\n8:0 9", Some("8:0 9")),
        ("blkio.throttle.read_bps_device", "8:0 5", "8:16 7", Some("8:0 0")),
        ("io.weight", "7", "default 100\n8:0 3", Some("default 100")),
        ("io.bfq.weight", "8:0 7", "default 100", Some("8:0 default")),
        ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 0", Some("0")),
        ("net_prio.ifpriomap", "lo 5", "lo 0\neth0 3", Some("lo 0")),
    ] {
        assert_eq!(value_before(file, new, text).as_deref(), expected, "{file}");
    }
}

#[test]
fn shares_and_sets_are_compared_by_what_they_mean() {
    assert!(share_of("max 100000") > share_of("50000 100000"));
    assert!(share_of("20000 10000") > share_of("50000 100000"));
    assert!(share_of("-1 100000") == share_of("max"));
    assert_eq!(set("0-2,7\n").into_iter().collect::<Vec<_>>(), [0, 1, 2, 7]);
    assert!(set("\n").is_empty());
}

/// Whoever writes it: systemd does not ask what is in use.
#[test]
fn what_is_exceeded_by_now_is_not_taken_back_by_systemd_either() {
    use crate::cgroup::systemd::{Bus, Unit};
    use crate::dbus::peer::{Peer, reply};
    let peer = Peer::start(|call| match call.member.as_str() {
        "Get" => vec![reply(call, &[crate::dbus::Value::variant("252")])],
        _ => vec![reply(call, &[])],
    });
    let top = tempfile::tempdir().unwrap();
    let mut cgroup = cgroup(top.path(), "x.scope", &[("memory.max", "2000000\n"), ("memory.current", "1000000\n")]);
    cgroup.directories[0].version = Version::V2;
    let bus = Bus { user: false, address: format!("unix:path={}", peer.path()) };
    cgroup.unit = Some(Unit { name: "x.scope".into(), slice: "a.slice".into(), description: None, bus });
    let old = |limit: i64| {
        let wanted = resources(json!({ "memory": { "limit": limit } }));
        let writes = Conflicts::none(|conflicts| resources::writes(&cgroup, &wanted, conflicts)).unwrap();
        Done(writes.into_iter().map(|write| (&cgroup, write)).collect())
    };
    old(4096).undo();
    assert!(!peer.calls().iter().any(|call| call == "SetUnitProperties"), "{:?}", peer.calls());
    assert_eq!(fs::read_to_string(top.path().join("x.scope/memory.max")).unwrap(), "2000000\n");
    old(1 << 20).undo();
    assert!(peer.calls().iter().any(|call| call == "SetUnitProperties"), "{:?}", peer.calls());
}
