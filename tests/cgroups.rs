//! Cgroups: where a container's are, what is written to them, and what they enforce, on every layout.

use crate::common::*;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

/// A file of the cgroup of the container's init.
pub fn file(c: &Container, controller: &str, name: &str) -> PathBuf {
    let name_in_v2 = if c.host == Host::V2 { "" } else { controller };
    let path = cgroup_of(c.pid(), name_in_v2);
    c.host.hierarchy(controller).join(path.trim_start_matches('/')).join(name)
}

#[track_caller]
pub fn assert_file(c: &Container, controller: &str, name: &str, expected: &str) {
    let path = file(c, controller, name);
    assert_eq!(read(&path).trim(), expected, "{}", path.display());
}

/// The layouts that have a controller; says so where one lacks it.
fn hosts_with(controller: &str) -> Vec<Host> {
    let (with, without): (Vec<_>, Vec<_>) = Host::all().into_iter().partition(|host| host.has(controller));
    for host in without {
        skip(&format!("no {controller} controller on {host:?}"));
    }
    with
}

fn v1_only(controller: &str) -> bool {
    (Host::plain() == Host::V1Hybrid && Host::V1Hybrid.has(controller))
        || skip(&format!("no {controller} of version 1"))
}

pub fn v2_only(controller: &str) -> Option<Host> {
    hosts_with(controller).into_iter().find(|host| *host == Host::V2)
}

impl Container {
    /// A cgroupsPath, in which ID stands for the container's.
    fn in_cgroup(self, path: &str) -> Container {
        let path = path.replace("ID", &self.id);
        self.set("linux/cgroupsPath", json!(path))
    }
}

#[test]
fn without_a_path_the_cgroup_has_the_id_as_its_name() {
    for host in Host::all() {
        let c = Container::sleeper().on(host);
        c.create();
        let controllers: &[&str] = if host == Host::V2 { &[""] } else { &["memory", "pids", "devices", "freezer"] };
        for controller in controllers {
            let path = cgroup_of(c.pid(), controller);
            assert!(path.ends_with(&format!("/{}", c.id)), "{host:?} {controller}: {path}");
        }
        c.finish();
    }
}

#[test]
fn an_absolute_path_starts_at_the_root_of_the_hierarchy() {
    for host in Host::all() {
        let c = Container::sleeper().on(host).in_cgroup("/ID/deep/down");
        let path = format!("/{}/deep/down", c.id);
        c.create();
        let controllers: &[&str] = if host == Host::V2 { &[""] } else { &["memory", "pids", "devices", "freezer"] };
        for controller in controllers {
            assert_eq!(cgroup_of(c.pid(), controller), path, "{host:?} {controller}");
        }
        c.call(&["delete", "-f", &c.id]).ok();
        for dir in cgroups_named(&c.id) {
            // The container's own is gone; parents stay, as the caller may have made them.
            assert!(!dir.ends_with("down"), "{}", dir.display());
            fs::remove_dir(dir).unwrap();
        }
        c.finish();
    }
}

/// In v1 that is the caller's own. In v2 it is the one above, as one with processes cannot give controllers to others; and
/// machine.slice where that would be among the services of systemd.
#[test]
fn a_relative_path_starts_at_the_cgroup_of_the_caller() {
    for host in Host::all() {
        let c = Container::sleeper().on(host).in_cgroup("ID/relative");
        c.create();
        let controller = if host == Host::V2 { "" } else { "pids" };
        let own = cgroup_of(std::process::id(), controller);
        let start = match own.rsplit_once('/') {
            _ if host == Host::V1Hybrid => &own,
            Some(("/system.slice", _)) if is_hilum() => "/machine.slice/machine-hilum.slice",
            Some((above, _)) => above,
            None => "",
        };
        let expected = format!("{}/{}/relative", start.trim_end_matches('/'), c.id);
        assert_eq!(cgroup_of(c.pid(), controller), expected, "{host:?}");
        c.call(&["delete", "-f", &c.id]).ok();
        for dir in cgroups_named(&c.id) {
            fs::remove_dir(dir).unwrap();
        }
        c.finish();
    }
}

/// SECURITY-RECORD 18.
#[test]
fn dots_do_not_lead_out_of_the_hierarchy() {
    for host in Host::all() {
        for path in ["../../../ID", "/../../ID", "a/../../../../ID", "/ID/../../../../../tmp/ID"] {
            let c = Container::sleeper().on(host).in_cgroup(path);
            let out = c.create_with(&[]);
            assert!(out.code == 0 || out.code == 1, "{out:?}");
            if out.code == 0 {
                for dir in cgroups_named(&c.id) {
                    assert!(dir.starts_with("/sys/fs/cgroup"), "{path}: {}", dir.display());
                }
                assert!(!fs::exists(format!("/tmp/{}", c.id)).unwrap());
                c.call(&["delete", "-f", &c.id]).ok();
            }
            for dir in cgroups_named(&c.id) {
                _ = fs::remove_dir(dir);
            }
            c.finish();
        }
    }
}

#[test]
fn memory_limits_of_version_1() {
    if !v1_only("memory") {
        return;
    }
    let c = Container::sleeper().set(
        "linux/resources/memory",
        json!({
        "limit": 33554432, "reservation": 16777216, "disableOOMKiller": true }),
    );
    c.create();
    assert_file(&c, "memory", "memory.limit_in_bytes", "33554432");
    assert_file(&c, "memory", "memory.soft_limit_in_bytes", "16777216");
    assert!(read(&file(&c, "memory", "memory.oom_control")).contains("oom_kill_disable 1"));
    if file(&c, "memory", "memory.swappiness").exists() {
        let c = Container::sleeper().set("linux/resources/memory", json!({ "limit": 33554432, "swappiness": 10 }));
        c.create();
        assert_file(&c, "memory", "memory.swappiness", "10");
        c.finish();
    }
    c.finish();
}

#[test]
fn memory_and_swap_of_version_1() {
    if !v1_only("memory") || !fs::exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").unwrap() {
        skip("no swap accounting");
        return;
    }
    let c = Container::sleeper().set("linux/resources/memory", json!({ "limit": 33554432, "swap": 67108864 }));
    c.create();
    assert_file(&c, "memory", "memory.memsw.limit_in_bytes", "67108864");
    c.finish();
}

#[test]
fn memory_limits_of_version_2() {
    let Some(host) = v2_only("memory") else { return };
    let c = Container::sleeper().on(host).set(
        "linux/resources/memory",
        json!({
        "limit": 33554432, "swap": 67108864, "reservation": 16777216 }),
    );
    c.create();
    assert_file(&c, "memory", "memory.max", "33554432");
    assert_file(&c, "memory", "memory.swap.max", "33554432");
    assert_file(&c, "memory", "memory.low", "16777216");
    c.finish();
}

#[test]
fn a_memory_limit_is_enforced() {
    for host in hosts_with("memory") {
        let c = Container::sh("dd if=/dev/zero of=/dev/null bs=200M count=1; echo $?").on(host);
        let c = c.set("linux/resources/memory", json!({ "limit": 16777216, "swap": 16777216 }));
        let out = c.run();
        assert_eq!(out.stdout, "137\n", "{out:?}");
        c.finish();
    }
}

#[test]
fn cpu_limits_of_version_1() {
    if !v1_only("cpu") {
        return;
    }
    let c = Container::sleeper().set("linux/resources/cpu", json!({ "shares": 512, "quota": 50000, "period": 100000 }));
    c.create();
    assert_file(&c, "cpu", "cpu.shares", "512");
    assert_file(&c, "cpu", "cpu.cfs_quota_us", "50000");
    assert_file(&c, "cpu", "cpu.cfs_period_us", "100000");
    c.finish();
}

#[test]
fn cpu_limits_of_version_2() {
    let Some(host) = v2_only("cpu") else { return };
    let c = Container::sleeper()
        .on(host)
        .set("linux/resources/cpu", json!({ "shares": 1024, "quota": 50000, "period": 100000 }));
    c.create();
    // runc's current conversion of shares: 1024 is the default weight.
    assert_file(&c, "cpu", "cpu.weight", if is_hilum() { "100" } else { "39" });
    assert_file(&c, "cpu", "cpu.max", "50000 100000");
    c.finish();
}

#[test]
fn the_pids_limit_is_written_and_enforced() {
    for host in hosts_with("pids") {
        let c = Container::sh("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait").on(host);
        let c = c.set("linux/resources/pids", json!({ "limit": 4 }));
        c.create();
        assert_file(&c, "pids", "pids.max", "4");
        c.finish();
        let out = Container::sh("(sleep 1) & (sleep 1) & (sleep 1) & (sleep 1) & (sleep 1) & echo all").on(host);
        let out = out.set("linux/resources/pids", json!({ "limit": 4 })).run();
        assert!(out.stderr.contains("fork") && !out.stdout.contains("all"), "{out:?}");
    }
}

#[test]
fn a_pids_limit_of_minus_one_is_no_limit() {
    for host in hosts_with("pids") {
        let c = Container::sleeper().on(host).set("linux/resources/pids", json!({ "limit": -1 }));
        c.create();
        assert_file(&c, "pids", "pids.max", "max");
        c.finish();
    }
}

#[test]
fn the_cpuset_is_written_and_seen_by_the_process() {
    for host in hosts_with("cpuset") {
        let c = Container::new(&["grep", "Cpus_allowed_list", "/proc/self/status"]).on(host);
        let c = c.set("linux/resources/cpu", json!({ "cpus": "0", "mems": "0" }));
        assert_eq!(c.run().ok().stdout, "Cpus_allowed_list:\t0\n");
        let c = c.set("linux/resources/cpu", json!({ "cpus": "4000" }));
        c.create_with(&[]).fails("cpuset.cpus");
        c.finish();
    }
}

#[test]
fn block_io_limits_of_version_1() {
    let weight = "/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device";
    if !v1_only("blkio") || !fs::exists(weight).unwrap() {
        skip("no throttling of block devices");
        return;
    }
    let devices = read(std::path::Path::new("/proc/partitions"));
    let Some(row) =
        devices.lines().skip(2).map(|l| l.split_whitespace().collect::<Vec<_>>()).find(|r| r[3].ends_with(['a', 'b']))
    else {
        skip("no disk");
        return;
    };
    let rate = |rate: u32| json!([{ "major": row[0].parse::<u32>().unwrap(), "minor": row[1].parse::<u32>().unwrap(), "rate": rate }]);
    let c = Container::sleeper().set(
        "linux/resources/blockIO",
        json!({
        "throttleReadBpsDevice": rate(1048576), "throttleWriteBpsDevice": rate(2097152),
        "throttleReadIOPSDevice": rate(100), "throttleWriteIOPSDevice": rate(200) }),
    );
    c.create();
    for (name, value) in [("read_bps", 1048576), ("write_bps", 2097152), ("read_iops", 100), ("write_iops", 200)] {
        assert_file(&c, "blkio", &format!("blkio.throttle.{name}_device"), &format!("{}:{} {value}", row[0], row[1]));
    }
    c.finish();
}

#[test]
fn hugetlb_limits_are_written() {
    for host in hosts_with("hugetlb") {
        let c = Container::sleeper()
            .on(host)
            .set("linux/resources/hugepageLimits", json!([{ "pageSize": "2MB", "limit": 4194304 }]));
        c.create();
        let name = if host == Host::V2 { "hugetlb.2MB.max" } else { "hugetlb.2MB.limit_in_bytes" };
        assert_file(&c, "hugetlb", name, "4194304");
        c.finish();
    }
}

#[test]
fn unified_writes_any_file_of_version_2() {
    let Some(host) = v2_only("hugetlb") else { return };
    let c = Container::sleeper()
        .on(host)
        .set("linux/resources/unified", json!({ "hugetlb.2MB.max": "2097152", "cgroup.max.depth": "3" }));
    c.create();
    assert_file(&c, "", "hugetlb.2MB.max", "2097152");
    assert_file(&c, "", "cgroup.max.depth", "3");
    c.finish();
    for name in ["../cgroup.procs", "nonsense.max", "a/b"] {
        let c = Container::sleeper().on(host).set("linux/resources/unified", json!({ name: "1" }));
        c.create_with(&[]).fails("");
        c.left_nothing();
    }
}

#[test]
fn a_cgroup_with_processes_is_refused_and_they_live_on() {
    if !hilum_only("the oracle only warns; an error since runc 1.2") {
        return;
    }
    for host in Host::all() {
        let controllers = if host == Host::V2 { &[""][..] } else { &["devices", "memory"] };
        for controller in controllers {
            let c = Container::sleeper().on(host).in_cgroup("/ID");
            let dir = host.hierarchy(controller).join(&c.id);
            fs::create_dir(&dir).unwrap();
            let other = Helper::start(&["sleep", "1000"], "sleep");
            fs::write(dir.join("cgroup.procs"), other.pid().to_string()).unwrap();
            c.create_with(&[]).fails("not empty");
            assert_eq!(read(&dir.join("cgroup.procs")).trim(), other.pid().to_string());
            drop(other);
            eventually("an empty cgroup", || fs::remove_dir(&dir).is_ok());
            c.left_nothing();
        }
    }
}

#[test]
fn a_frozen_cgroup_is_refused() {
    for host in Host::all() {
        let c = Container::sleeper().on(host).in_cgroup("/ID");
        let dir = host.hierarchy(if host == Host::V2 { "" } else { "freezer" }).join(&c.id);
        fs::create_dir(&dir).unwrap();
        let (file, value) = if host == Host::V2 { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
        fs::write(dir.join(file), value).unwrap();
        let out = c.create_with(&[]);
        _ = fs::write(dir.join(file), if host == Host::V2 { "0" } else { "THAWED" });
        out.fails("frozen");
        for dir in cgroups_named(&c.id) {
            _ = fs::remove_dir(dir);
        }
        c.left_nothing();
    }
}

#[test]
fn an_empty_cgroup_that_exists_is_used() {
    for host in Host::all() {
        let c = Container::sleeper().on(host).in_cgroup("/ID");
        fs::create_dir(host.hierarchy(if host == Host::V2 { "" } else { "memory" }).join(&c.id)).unwrap();
        c.create();
        c.finish();
    }
}

#[test]
fn the_whole_lifecycle_works_on_every_layout() {
    for host in Host::all() {
        let c = Container::sh("(sleep 1000) & (sleep 1000) & echo ready; wait").on(host);
        c.up().says("ready");
        assert_eq!(c.status(), "running");
        c.kill("KILL").ok();
        c.wait("stopped");
        c.call(&["delete", &c.id]).ok();
        c.left_nothing();
    }
}

#[test]
fn a_property_of_the_wrong_size_is_an_error_and_leaves_no_cgroup() {
    for host in hosts_with("pids") {
        let c = Container::sleeper().on(host).set("linux/resources/pids", json!({ "limit": 9223372036854775807i64 }));
        c.create_with(&[]).fails("pids.max");
        c.left_nothing();
    }
}

/// As far as it can: the cgroup has to be mounted to be written to, and to be the root of a namespace.
#[test]
fn the_root_of_a_user_namespace_may_make_cgroups_below_its_own() {
    if !hilum_only("older oracles do this with systemd alone") {
        return;
    }
    let Some(host) = Host::all().into_iter().find(|host| *host == Host::V2) else { return };
    let ids = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let c = Container::sh("mkdir /sys/fs/cgroup/below && echo made; exec sleep 1000")
        .on(host)
        .namespace(json!({ "type": "user" }))
        .set("linux/uidMappings", ids.clone())
        .set("linux/gidMappings", ids)
        .with(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
            cgroup["options"] = json!(["nosuid", "noexec", "nodev", "rw"]);
        });
    c.up().says("made");
    let owner = |name: &str| std::os::unix::fs::MetadataExt::uid(&fs::metadata(file(&c, "", name)).unwrap());
    assert_eq!((owner("cgroup.procs"), owner("below"), owner("cgroup.max.depth")), (100_000, 100_000, 0));
    c.finish();
}

#[test]
fn burst_idle_and_real_time() {
    if !hilum_only("the oracle is older than burst and idle") {
        return;
    }
    for host in hosts_with("cpu") {
        let burst = if host == Host::V2 { "cpu.max.burst" } else { "cpu.cfs_burst_us" };
        for (cpu, name, expected) in [
            (json!({ "quota": 50000, "period": 100000, "burst": 10000 }), burst, "10000"),
            (json!({ "idle": 1 }), "cpu.idle", "1"),
        ] {
            let c = Container::sleeper().on(host).set("linux/resources/cpu", cpu);
            c.create();
            assert_file(&c, "cpu", name, expected);
            c.finish();
        }
    }
    if !v1_only("cpu") || !fs::exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").unwrap() {
        skip("no real-time groups");
        return;
    }
    let cpu = json!({ "realtimePeriod": 900000, "realtimeRuntime": 1000 });
    let c = Container::sleeper().set("linux/resources/cpu", cpu);
    c.create();
    assert_file(&c, "cpu", "cpu.rt_period_us", "900000");
    assert_file(&c, "cpu", "cpu.rt_runtime_us", "1000");
    c.finish();
}

/// In a mount namespace in which they are mounted, as a host seldom has them.
#[test]
fn network_class_and_priorities_of_version_1() {
    let network = json!({ "classID": 1048577, "priorities": [{ "name": "lo", "priority": 5 }] });
    let c = Container::sleeper().set("linux/resources/network", network);
    c.write_config();
    let Some(hierarchy) = Hierarchy::new("net_cls,net_prio", None) else { return };
    fs::create_dir(c.path("net")).unwrap();
    // Again, as in Hierarchy::new.
    let script = "for try in $(seq 50); do mount -t cgroup -o net_cls,net_prio cgroup \"$0\" && break; sleep 0.1; done
        \"$@\"; code=$?
        cat \"$0/$CONTAINER/net_cls.classid\" \"$0/$CONTAINER/net_prio.ifpriomap\"
        \"$1\" \"$2\" \"$3\" delete --force \"$CONTAINER\" && exit $code";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, &c.path("net")]).arg(program());
    command.arg("--root").arg(c.root()).args(["create", &c.id]).env("CONTAINER", &c.id).current_dir(c.bundle());
    let out = c.finish_call(command, std::process::Stdio::null());
    let out = out.ok();
    assert!(out.stdout.starts_with("1048577\n") && out.stdout.contains("lo 5\n"), "{out:?}");
    drop(hierarchy);
    c.left_nothing();
}

/// Where the oracle is silent.
#[test]
fn what_version_2_has_not_is_refused_there() {
    if !hilum_only("the oracle leaves it out") || !Host::all().contains(&Host::V2) {
        return;
    }
    for (pointer, value) in [
        ("memory", json!({ "swappiness": 10 })),
        ("memory", json!({ "disableOOMKiller": true })),
        ("cpu", json!({ "realtimePeriod": 900000 })),
        ("cpu", json!({ "realtimeRuntime": 1000 })),
        ("blockIO", json!({ "leafWeight": 100 })),
        ("network", json!({ "classID": 1 })),
        ("network", json!({ "priorities": [{ "name": "lo", "priority": 5 }] })),
    ] {
        let name = value.as_object().unwrap().keys().next().unwrap();
        let expected = format!("linux.resources.{pointer}.{name}: cgroup v2 has no such setting");
        let c = Container::sleeper().on(Host::V2).set(&format!("linux/resources/{pointer}"), value);
        c.create_with(&[]).fails(&expected);
        c.left_nothing();
    }
}

#[test]
fn what_the_kernel_has_dropped_is_warned_of() {
    if !hilum_only("the oracle is silent") {
        return;
    }
    for host in Host::all() {
        let memory = json!({ "kernel": 1 << 20, "kernelTCP": 1 << 20, "useHierarchy": false });
        let c = Container::sleeper().on(host).set("linux/resources/memory", memory);
        let log = c.path("log");
        c.write_config();
        c.call(&["--log", &log, "create", &c.id]).ok();
        let said = read(log.as_ref());
        for name in ["kernel", "kernelTCP", "useHierarchy"] {
            assert!(said.contains(&format!("linux.resources.memory.{name}: ignored")), "{said}");
        }
        c.finish();
    }
}

/// v1's kernel refuses it in any case.
#[test]
fn check_before_update_refuses_what_is_used_already() {
    for host in hosts_with("memory") {
        let c = Container::sh("dd if=/dev/zero of=/dev/shm/x bs=1M count=20; echo ready; sleep 1000").on(host);
        let c = c.set("linux/resources/memory", json!({ "limit": 64 << 20, "swap": 64 << 20 }));
        c.up().says("ready");
        let document = json!({ "memory": { "limit": 4 << 20, "swap": 4 << 20, "checkBeforeUpdate": true } });
        fs::write(c.path("resources.json"), document.to_string()).unwrap();
        c.call(&["update", "--resources", &c.path("resources.json"), &c.id]).fails("memory");
        let name = if host == Host::V2 { "memory.max" } else { "memory.limit_in_bytes" };
        assert_file(&c, "memory", name, "67108864");
        assert_eq!(c.status(), "running");
        c.finish();
    }
}

/// A process that moves into a v1 cgroup has the kernel wait for every processor (10 to 25 ms); a thread that moves itself does
/// not, nor does one that is made in its v2 cgroup.
#[test]
fn entering_the_cgroup_waits_for_no_processor() {
    if !hilum_only("its own speed") || !has_strace() {
        return;
    }
    for host in Host::all() {
        let c = Container::new(&["true"]).on(host);
        let trace = c.path("trace");
        let prefix = ["strace", "-f", "-y", "-qq", "-e", "trace=write", "-o", &trace].map(String::from);
        c.write_config();
        c.finish_call(c.command_behind(&prefix, &["run", &c.id]), Stdio::null()).ok();
        let text = read(trace.as_ref());
        assert!(!text.contains("/cgroup.procs>"), "{host:?}: {text}");
        let moves = text.lines().filter(|line| line.contains("/tasks>, \"0\", 1)"));
        match host {
            Host::V2 => assert_eq!(moves.count(), 0, "{text}"),
            _ => assert!(moves.count() > 1, "{text}"),
        }
        c.finish();
    }
}
