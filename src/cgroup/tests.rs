//! Plans for hosts that exist in the test only. What the kernel makes of them is tested with the command line.

use serde_json::{Value, json};

use std::path::Path;

use super::*;

const HYBRID: &str = "\
32 31 0:29 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /cg/cpuset rw - cgroup cgroup rw,cpuset
34 31 0:31 / /cg/memory rw - cgroup cgroup rw,memory
35 31 0:32 / /cg/devices rw - cgroup cgroup rw,devices
36 31 0:33 / /cg/blkio rw - cgroup cgroup rw,blkio
37 31 0:34 / /cg/pids rw - cgroup cgroup rw,pids
38 31 0:35 / /cg/net rw - cgroup cgroup rw,net_cls,net_prio
41 31 0:38 / /cg/unified rw,relatime - cgroup2 cgroup2 rw
";
const UNIFIED: &str = "41 31 0:38 / /cg rw,relatime - cgroup2 cgroup2 rw\n";
const OWN: &str = "3:memory:/\n0::/a/b\n";

fn hybrid() -> Host {
    Host::fake(HYBRID, &["hugetlb", "rdma"], OWN)
}

fn unified() -> Host {
    Host::fake(UNIFIED, &["cpuset", "cpu", "io", "memory", "hugetlb", "pids"], OWN)
}

fn strict(host: &Host, linux: &Linux, rootless: bool, driver: Driver<'_>) -> Result<Plan> {
    Conflicts::none(|conflicts| plan(host, linux, "id", rootless, driver, conflicts))?
}

fn try_plan(host: &Host, resources: Value) -> Result<Plan> {
    let linux = serde_json::from_value(json!({ "cgroupsPath": "/x", "resources": resources })).unwrap();
    strict(host, &linux, false, Driver::Files)
}

/// `file=value`, without the devices.
fn writes(host: &Host, resources: Value) -> Vec<String> {
    let writes = try_plan(host, resources).unwrap().writes;
    let shown = |w: &Write| match &w.missing {
        Missing::Error => format!("{}={}", w.file, w.value),
        Missing::Skip => format!("{}={}?", w.file, w.value),
        Missing::Instead(file, value) => format!("{}={} or {file}={value}", w.file, w.value),
    };
    writes.iter().filter(|w| w.controller != "devices").map(shown).collect()
}

fn error(host: &Host, resources: Value) -> String {
    try_plan(host, resources).unwrap_err().to_string()
}

#[test]
fn memory() {
    let memory = |value: Value| json!({ "memory": value });
    let all = memory(json!({"limit": 100, "swap": 150, "reservation": 50, "swappiness": 7, "disableOOMKiller": true,
        "useHierarchy": true, "kernel": 1, "kernelTCP": 1}));
    let expected = [
        "memory.limit_in_bytes=100",
        "memory.memsw.limit_in_bytes=150",
        "memory.soft_limit_in_bytes=50",
        "memory.use_hierarchy=1?",
        "memory.oom_control=1",
        "memory.swappiness=7",
    ];
    assert_eq!(writes(&hybrid(), all.clone()), expected);
    let both = memory(json!({"limit": 100, "swap": 150, "reservation": 50, "useHierarchy": true}));
    assert_eq!(writes(&unified(), both), ["memory.swap.max=50", "memory.max=100", "memory.low=50"]);
    let warnings = try_plan(&hybrid(), all).unwrap().warnings;
    assert!(
        warnings.len() == 2 && warnings[1].starts_with("linux.resources.memory.kernelTCP: ignored"),
        "{warnings:?}"
    );
    assert_eq!(try_plan(&unified(), memory(json!({"useHierarchy": false}))).unwrap().warnings.len(), 1);

    let none = memory(json!({"limit": -1}));
    assert_eq!(writes(&hybrid(), none.clone()), ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1?"]);
    assert_eq!(writes(&unified(), none), ["memory.swap.max=max?", "memory.max=max"]);
    let unset = memory(json!({"limit": 0, "swap": 0, "reservation": 0, "disableOOMKiller": false}));
    assert!(writes(&hybrid(), unset.clone()).is_empty() && writes(&unified(), unset).is_empty());
    assert_eq!(writes(&unified(), memory(json!({"limit": 9, "swap": 9}))), ["memory.swap.max=0?", "memory.max=9"]);

    for host in [hybrid(), unified()] {
        let wrong = error(&host, memory(json!({"limit": 100, "swap": 50})));
        assert!(wrong.contains("memory+swap limit should be >= memory limit"), "{wrong}");
        let wrong = error(&host, memory(json!({"limit": -2})));
        assert_eq!(wrong, "linux.resources.memory.limit: -2 is neither a size nor -1");
    }
    assert!(error(&hybrid(), memory(json!({"swappiness": 101}))).contains("valid range is 0-100"));
    assert!(error(&unified(), memory(json!({"swap": 5}))).contains("without memory limit"));
}

#[test]
fn cpu() {
    let cpu = |value: Value| json!({ "cpu": value });
    let all = cpu(json!({"shares": 512, "quota": 50000, "period": 100000, "burst": 10, "realtimeRuntime": 5,
        "realtimePeriod": 6, "cpus": "0-1", "mems": "0", "idle": 0}));
    let expected = [
        "cpu.idle=0",
        "cpu.shares=512",
        "cpu.cfs_period_us=100000",
        "cpu.cfs_quota_us=50000",
        "cpu.cfs_burst_us=10",
        "cpu.rt_period_us=6",
        "cpu.rt_runtime_us=5",
        "cpuset.cpus=0-1",
        "cpuset.mems=0",
    ];
    assert_eq!(writes(&hybrid(), all.clone()), expected);
    let all = cpu(json!({"shares": 512, "quota": 50000, "period": 100000, "burst": 10, "cpus": "0-1", "mems": "0",
        "idle": 0}));
    let expected =
        ["cpu.idle=0", "cpu.weight=59", "cpu.max=50000 100000", "cpu.max.burst=10", "cpuset.cpus=0-1", "cpuset.mems=0"];
    assert_eq!(writes(&unified(), all), expected);

    assert_eq!(writes(&unified(), cpu(json!({"quota": -1}))), ["cpu.max=max 100000"]);
    assert_eq!(writes(&unified(), cpu(json!({"period": 5000}))), ["cpu.max=max 5000"]);
    assert_eq!(writes(&hybrid(), cpu(json!({"quota": -1}))), ["cpu.cfs_quota_us=-1"]);
    for host in [hybrid(), unified()] {
        assert_eq!(writes(&host, cpu(json!({"shares": 100, "idle": 1}))), ["cpu.idle=1"]);
        assert!(writes(&host, cpu(json!({"shares": 0, "quota": 0, "period": 0}))).is_empty());
    }
    assert!(error(&hybrid(), cpu(json!({"shares": 1}))).ends_with("the minimum allowed cpu-shares is 2"));
    assert!(error(&hybrid(), cpu(json!({"shares": 262145}))).ends_with("the maximum allowed cpu-shares is 262144"));
}

#[test]
fn pids() {
    for host in [hybrid(), unified()] {
        for (limit, expected) in [(10, "pids.max=10"), (0, "pids.max=1"), (-1, "pids.max=max")] {
            assert_eq!(writes(&host, json!({ "pids": { "limit": limit } })), [expected]);
        }
        assert!(writes(&host, json!({ "pids": {} })).is_empty());
    }
}

#[test]
fn block_io() {
    let device = |key: &str, value: u64| json!([{"major": 8, "minor": 1, key: value}]);
    let all = json!({"blockIO": {"weight": 100, "leafWeight": 20,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 30, "leafWeight": 40}],
        "throttleReadBpsDevice": device("rate", 1), "throttleWriteBpsDevice": device("rate", 2),
        "throttleReadIOPSDevice": device("rate", 3), "throttleWriteIOPSDevice": device("rate", 0)}});
    let expected = [
        "blkio.weight=100 or blkio.bfq.weight=100",
        "blkio.leaf_weight=20",
        "blkio.weight_device=8:0 30 or blkio.bfq.weight_device=8:0 30",
        "blkio.leaf_weight_device=8:0 40",
        "blkio.throttle.read_bps_device=8:1 1",
        "blkio.throttle.write_bps_device=8:1 2",
        "blkio.throttle.read_iops_device=8:1 3",
        "blkio.throttle.write_iops_device=8:1 0",
    ];
    assert_eq!(writes(&hybrid(), all.clone()), expected);
    let mut all = all;
    all["blockIO"].as_object_mut().unwrap().remove("leafWeight");
    all["blockIO"]["weightDevice"][0].as_object_mut().unwrap().remove("leafWeight");
    let expected = [
        "io.bfq.weight=100 or io.weight=910",
        "io.bfq.weight=8:0 30 or io.weight=8:0 203",
        "io.max=8:1 rbps=1",
        "io.max=8:1 wbps=2",
        "io.max=8:1 riops=3",
        "io.max=8:1 wiops=max",
    ];
    assert_eq!(writes(&unified(), all), expected);
    assert!(writes(&unified(), json!({"blockIO": {"weight": 0}})).is_empty());
}

/// By the property, and not left out without a word.
#[test]
fn what_version_2_has_not_is_refused_there() {
    for (resources, property) in [
        (json!({"memory": {"swappiness": 0}}), "memory.swappiness"),
        (json!({"memory": {"disableOOMKiller": true}}), "memory.disableOOMKiller"),
        (json!({"cpu": {"realtimePeriod": 6}}), "cpu.realtimePeriod"),
        (json!({"cpu": {"realtimeRuntime": 5}}), "cpu.realtimeRuntime"),
        (json!({"blockIO": {"leafWeight": 20}}), "blockIO.leafWeight"),
        (
            json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 40}]}}),
            "blockIO.weightDevice[0].leafWeight",
        ),
        (json!({"network": {"classID": 1}}), "network.classID"),
        (json!({"network": {"priorities": [{"name": "eth0", "priority": 5}]}}), "network.priorities"),
    ] {
        let expected = format!("linux.resources.{property}: cgroup v2 has no such setting; remove it");
        assert_eq!(error(&unified(), resources), expected);
    }
    let unset = json!({"memory": {"disableOOMKiller": false}, "cpu": {"realtimeRuntime": 0, "realtimePeriod": 0},
        "blockIO": {"leafWeight": 0}, "network": {"classID": 0, "priorities": []}});
    assert!(writes(&unified(), unset).is_empty());
}

#[test]
fn huge_pages_rdma_and_network() {
    let huge = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]});
    // Beside v1, v2 may have the controller; then it is enabled.
    for host in [hybrid(), unified()] {
        assert_eq!(writes(&host, huge.clone()), ["hugetlb.2MB.max=5", "hugetlb.2MB.rsvd.max=5?"]);
    }
    assert_eq!(try_plan(&hybrid(), huge.clone()).unwrap().enable, ["hugetlb"]);
    assert!(try_plan(&hybrid(), json!({})).unwrap().enable.is_empty());
    let v1 =
        Host::fake("1 1 0:1 / /cg/h rw - cgroup c rw,hugetlb\n2 1 0:2 / /cg/d rw - cgroup c rw,devices\n", &[], "");
    assert_eq!(writes(&v1, huge), ["hugetlb.2MB.limit_in_bytes=5", "hugetlb.2MB.rsvd.limit_in_bytes=5?"]);
    let wrong = error(&unified(), json!({"hugepageLimits": [{"pageSize": "../x", "limit": 5}]}));
    assert_eq!(wrong, "linux.resources.hugepageLimits: \"../x\" is not a page size");

    let rdma = json!({"rdma": {"mlx5_0": {"hcaHandles": 2, "hcaObjects": 3}, "x": {"hcaObjects": 4}}});
    let expected = ["rdma.max=mlx5_0 hca_handle=2 hca_object=3", "rdma.max=x hca_object=4"];
    assert_eq!(writes(&hybrid(), rdma.clone()), expected);
    let expected = "linux.resources.rdma: cannot write rdma.max: the cgroup controller \"rdma\" is not available";
    assert_eq!(error(&unified(), rdma), expected);

    let network = json!({"network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}]}});
    assert_eq!(writes(&hybrid(), network.clone()), ["net_cls.classid=1048577", "net_prio.ifpriomap=eth0 5"]);
    assert!(error(&v1, network).starts_with("linux.resources.network.classID: cannot write net_cls.classid"));
}

#[test]
fn unified_values() {
    let values = json!({"unified": {"io.max": "8:0 rbps=1\n8:1 rbps=2\n", "cgroup.max.depth": "3", "cpuset.cpus": ""}});
    let expected = ["cgroup.max.depth=3", "cpuset.cpus=\n", "io.max=8:0 rbps=1", "io.max=8:1 rbps=2"];
    assert_eq!(writes(&unified(), values.clone()), expected);
    assert_eq!(error(&hybrid(), values), "invalid configuration: cannot use unified on cgroup v1");
    let wrong = |key: &str| error(&unified(), json!({ "unified": { key: "1" } }));
    assert_eq!(wrong("a/b.c"), "unified resource \"a/b.c\" must be a file name (no slashes)");
    for key in ["memory", ".x", ".."] {
        assert_eq!(wrong(key), format!("unified resource {key:?} must be in the form CONTROLLER.PARAMETER"));
    }
    assert_eq!(wrong("misc.max"), "unified resource \"misc.max\" can't be set: controller \"misc\" not available");
}

#[test]
fn devices_go_to_v1_where_it_has_them() {
    let plan = try_plan(&hybrid(), json!({})).unwrap();
    assert!(plan.devices.is_none());
    assert!(plan.writes.iter().all(|w| w.directory == Path::new("/cg/devices/x") && !w.optional));
    let plan = try_plan(&unified(), json!({})).unwrap();
    assert!(plan.writes.is_empty());
    assert_eq!(plan.devices.unwrap().0, PathBuf::from("/cg/x"));
    assert_eq!(plan.enable, ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"]);
}

#[test]
fn a_host_without_cgroups_is_enough_for_who_asks_for_none() {
    let host = Host::default();
    assert_eq!(strict(&host, &Linux::default(), false, Driver::Files).unwrap().cgroup, Cgroup::default());
    let linux = |value: Value| serde_json::from_value::<Linux>(value).unwrap();
    let error = |value| strict(&host, &linux(value), false, Driver::Files).unwrap_err().to_string();
    assert_eq!(
        error(json!({"cgroupsPath": "/x"})),
        "linux.cgroupsPath \"/x\": no cgroup file system is mounted; mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    );
    let expected = "linux.resources.pids.limit: cannot write pids.max: the cgroup controller \"pids\" is not available";
    assert_eq!(error(json!({"resources": {"pids": {"limit": 1}}})), expected);
    let devices = json!({"resources": {"devices": [{"allow": false, "access": "rwm"}]}});
    assert_eq!(
        error(devices.clone()),
        "linux.resources.devices: no devices cgroup is mounted; mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    );
    assert!(strict(&host, &linux(devices), true, Driver::Files).is_ok());
}

#[test]
fn a_cgroup_is_recorded_in_full() {
    let cgroup = try_plan(&hybrid(), json!({})).unwrap().cgroup;
    let text = serde_json::to_string(&cgroup).unwrap();
    assert!(
        text.starts_with(r#"{"directories":[{"version":"v1","controllers":["cpu","cpuacct"],"mount":"/cg/cpu,"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), cgroup);
}

#[test]
fn the_cgroup_of_an_exec() {
    let cgroup = try_plan(&hybrid(), json!({})).unwrap().cgroup;
    let below = cgroup.below("/a/b", &["cpu", "pids"]).unwrap();
    let paths: Vec<_> = below.directories.iter().map(|d| d.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["/cg/cpu,cpuacct/x/a/b", "/cg/pids/x/a/b"]);
    assert_eq!(cgroup.below("/", &[]).unwrap().directories.len(), 8);
    assert_eq!(cgroup.below("a/../..", &[]).unwrap_err().to_string(), "bad sub cgroup path: a/../..");
    assert!(cgroup.below("a", &["nope"]).is_err());
}

fn systemd_plan(host: &Host, user: bool, document: Value) -> Result<Plan> {
    let linux = serde_json::from_value(document).unwrap();
    let bus = Bus { user, address: "unix:path=/bus".into() };
    let cgroup = if user { "/user.slice/user-7.slice/user@7.service" } else { "/" };
    let facts = Facts { version: 257, cgroup: cgroup.into() };
    let annotations = [("org.systemd.property.TimeoutStopSec".to_string(), "5".to_string())].into();
    strict(host, &linux, user, Driver::Systemd { bus: &bus, facts: &facts, annotations: &annotations })
}

#[test]
fn a_unit_is_planned_with_everything_that_systemd_is_told() {
    let resources = json!({"memory": {"limit": 1048576}, "cpu": {"quota": 1234, "period": 10000}, "pids": {"limit": 9},
        "unified": {"memory.oom.group": "1"}, "devices": [{"allow": true, "access": "rwm"}],
        "hugepageLimits": [{"pageSize": "2MB", "limit": 5}]});
    let plan =
        systemd_plan(&unified(), false, json!({"cgroupsPath": "a-b.slice:p:x", "resources": resources})).unwrap();
    let expected = "\
start the unit p-x.scope (unix:path=/bus)
  Description='hilum container id'
  Slice='a-b.slice'
  Delegate=true
  MemoryAccounting=true
  CPUAccounting=true
  IOAccounting=true
  TasksAccounting=true
  DefaultDependencies=false
  TimeoutStopUSec=uint64 5000000
  OOMPolicy='kill'
  DevicePolicy='auto'
  DeviceAllow=@a(ss) []
  MemoryMax=uint64 1048576
  CPUQuotaPeriodUSec=uint64 10000
  CPUQuotaPerSecUSec=uint64 130000
  TasksMax=uint64 9
enable cpuset cpu io memory hugetlb pids in cgroup.subtree_control above
write \"1048576\" to /cg/a.slice/a-b.slice/p-x.scope/memory.max (linux.resources.memory.limit)
write \"1300 10000\" to /cg/a.slice/a-b.slice/p-x.scope/cpu.max (linux.resources.cpu.quota)
write \"9\" to /cg/a.slice/a-b.slice/p-x.scope/pids.max (linux.resources.pids.limit)
write \"5\" to /cg/a.slice/a-b.slice/p-x.scope/hugetlb.2MB.max (linux.resources.hugepageLimits)
write \"5\" to /cg/a.slice/a-b.slice/p-x.scope/hugetlb.2MB.rsvd.max (linux.resources.hugepageLimits)
write \"1\" to /cg/a.slice/a-b.slice/p-x.scope/memory.oom.group (unified resource \"memory.oom.group\")
attach the device filter to /cg/a.slice/a-b.slice/p-x.scope (linux.resources.devices)
";
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn a_users_unit_is_below_the_users_systemd() {
    let plan = systemd_plan(&unified(), true, json!({})).unwrap();
    let expected = "/cg/user.slice/user-7.slice/user@7.service/user.slice/hilum-id.scope";
    assert_eq!(plan.cgroup.directories[0].path, PathBuf::from(expected));
    let text = serde_json::to_string(&plan.cgroup).unwrap();
    let unit = r#""unit":{"name":"hilum-id.scope","slice":"user.slice","user":true,"address":"unix:path=/bus"}"#;
    assert!(text.contains(unit), "{text}");
    assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), plan.cgroup);
}

#[test]
fn a_slice_has_its_place_by_its_name() {
    let plan = systemd_plan(&unified(), false, json!({"cgroupsPath": "::a-b.slice"})).unwrap();
    assert_eq!(plan.cgroup.directories[0].path, PathBuf::from("/cg/a.slice/a-b.slice"));
    let text = plan.to_string();
    assert!(text.contains("Wants=['a.slice']") && !text.contains("Delegate") && !text.contains("Slice="), "{text}");
}

#[test]
fn systemd_is_for_v2_alone() {
    let error = systemd_plan(&hybrid(), false, json!({})).unwrap_err().to_string();
    assert_eq!(error, "the host's cgroups are not those of v2 alone");
    let error = systemd_plan(&unified(), false, json!({"cgroupsPath": "/a/b"})).unwrap_err().to_string();
    let start = "linux.cgroupsPath \"/a/b\": expected cgroupsPath to be of format \"slice:prefix:name\"";
    assert!(error.starts_with(start), "{error}");
}

/// A unit whose cgroup is a plain directory, and a systemd that answers and keeps a list of what it was asked.
fn unit_in(dir: &Path, peer: &crate::dbus::peer::Peer) -> Cgroup {
    let path = dir.join("x.scope");
    std::fs::create_dir(&path).unwrap();
    let mut directory = Directory { version: Version::V2, controllers: vec![], mount: dir.into(), path, inode: None };
    directory.inode = directory.current_inode();
    let bus = Bus { user: false, address: format!("unix:path={}", peer.path()) };
    let unit = Unit { name: "x.scope".into(), slice: "a.slice".into(), description: None, bus };
    Cgroup { directories: vec![directory], unit: Some(unit) }
}

fn obliging_systemd() -> crate::dbus::peer::Peer {
    use crate::dbus::Value;
    use crate::dbus::peer::{Peer, reply, signal};
    Peer::start(|call| match call.member.as_str() {
        "StopUnit" => vec![
            reply(call, &[Value::Path("/job/7".into())]),
            signal("JobRemoved", &[Value::U32(7), Value::Path("/job/7".into()), "x.scope".into(), "done".into()]),
        ],
        _ => vec![reply(call, &[])],
    })
}

#[test]
fn a_unit_is_stopped_only_while_its_directory_is_the_containers() {
    let dir = tempfile::tempdir().unwrap();
    let peer = obliging_systemd();
    let cgroup = unit_in(dir.path(), &peer);
    let path = cgroup.directories[0].path.clone();
    cgroup.remove().unwrap();
    assert_eq!(peer.calls(), ["Hello", "AddMatch", "Subscribe", "StopUnit", "ResetFailedUnit"]);
    assert!(!path.exists(), "what systemd leaves is removed");

    // It has ended by itself: it may have failed.
    let peer = obliging_systemd();
    let mut cgroup = Cgroup { unit: unit_in(dir.path(), &peer).unit, ..cgroup };
    std::fs::remove_dir(&path).unwrap();
    // As `forget_others` does, for which the directory would have to be in a cgroup file system.
    cgroup.directories.retain(Directory::exists);
    assert!(cgroup.directories.is_empty() && cgroup.exists());
    cgroup.remove().unwrap();
    assert_eq!(peer.calls(), ["Hello", "ResetFailedUnit"]);
}

#[test]
fn a_unit_of_the_same_name_that_is_anothers_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let peer = obliging_systemd();
    let mut cgroup = unit_in(dir.path(), &peer);
    // The runtime was killed before it knew, and there are processes, so another's.
    let mut unknown = cgroup.clone();
    unknown.directories[0].inode = None;
    unknown.forget_others();
    std::fs::write(dir.path().join("x.scope/cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
    unknown.remove().unwrap();
    // A new one has taken the place.
    cgroup.directories[0].inode = cgroup.directories[0].inode.map(|inode| inode + 1);
    cgroup.forget_others();
    assert_eq!(cgroup, Cgroup::default());
    cgroup.remove().unwrap();
    assert!(peer.calls().is_empty() && dir.path().join("x.scope").exists());
    // Nobody is in it.
    std::fs::write(dir.path().join("x.scope/cgroup.events"), "populated 0\nfrozen 0\n").unwrap();
    unknown.remove().unwrap();
    assert_eq!(peer.calls()[3..], ["StopUnit", "ResetFailedUnit"]);
}
