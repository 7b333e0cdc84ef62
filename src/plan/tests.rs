//! Every rejection of the planner, by the document that meets it; and the order of the steps.

use bumpalo::Bump;
use hilum_init::step::{Point, Step};
use serde_json::{Value, json};

use super::{Plan, Request, SecurityModules, describe, plan, rootfs};
use crate::cgroup::Cgroup;
use crate::spec;
use crate::spec::config::Spec;

/// A request for a document, on a host without cgroups and security modules.
fn with<T>(document: &Value, use_it: impl FnOnce(&mut Request<'_>) -> T) -> T {
    let spec: Spec = spec::parse(document.to_string().as_bytes()).unwrap();
    let cgroup = Cgroup::default();
    let mut request = Request {
        spec: &spec,
        written: None,
        id: "id",
        bundle: "/bundle".as_ref(),
        rootfs: "/bundle/rootfs".as_ref(),
        no_pivot: false,
        new_keyring: true,
        extra_env: Vec::new(),
        notify_dir: None,
        wait_for_start: true,
        seccomp: None,
        shm: None,
        bare: None,
        user_namespace: &|_| Ok(std::fs::File::open("/proc/self/ns/user")?.into()),
        cgroup: Some(&cgroup),
        rootless: false,
        in_user_namespace: false,
        setgroups_denied: false,
        modules: SecurityModules::default(),
    };
    use_it(&mut request)
}

/// The example without its cgroup mount, which needs a host that has cgroups.
fn example() -> Value {
    let mut document: Value = serde_json::from_str(&spec::example(false, false)).unwrap();
    let mounts = document["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    document
}

fn edited(pointer: &str, value: Value) -> Value {
    let mut document = example();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[key] = value;
    document
}

fn error(document: &Value) -> String {
    with(document, |request| plan(&Bump::new(), request).conflicts.check().unwrap_err().to_string())
}

#[test]
fn what_cannot_be_is_refused_with_the_property_that_asks_for_it() {
    let mount = |mount: Value| json!([mount]);
    let process_namespaces = json!([{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}]);
    for (pointer, value, expected) in [
        ("/process", json!(null), "process: missing"),
        ("/process/args", json!([]), "process.args: must not be empty"),
        ("/process/args", json!([""]), "process.args[0]: exec: \"\": executable file not found"),
        ("/process/args", json!(["a", "b\0c"]), "process.args[1]: holds a NUL byte"),
        ("/process/cwd", json!("relative"), "process.cwd: \"relative\" is not an absolute path"),
        ("/process/cwd", json!("/a\0"), "process.cwd: holds a NUL byte"),
        ("/process/env", json!(["NOVALUE"]), "process.env: \"NOVALUE\" is not NAME=VALUE"),
        ("/process/env", json!(["=x"]), "process.env: \"=x\" is not NAME=VALUE"),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj: 1001"),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
            "process.rlimits[0].type: unknown limit",
        ),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]),
            "process.rlimits[0]: the soft limit 2",
        ),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]),
            "process.rlimits[1].type: RLIMIT_CPU is there twice",
        ),
        ("/process/capabilities", json!({"effective": ["CAP_CHOWN"]}), "process.capabilities.effective"),
        (
            "/process/apparmorProfile",
            json!("p"),
            "process.apparmorProfile: cannot apply \"p\": AppArmor is not enabled",
        ),
        ("/process/selinuxLabel", json!("l"), "process.selinuxLabel: SELinux is not enabled"),
        ("/process/scheduler", json!({}), "process.scheduler.policy: missing"),
        ("/process/scheduler", json!({"policy": "SCHED_X"}), "process.scheduler.policy: unknown value \"SCHED_X\""),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RECLAIM", "X"]}),
            "process.scheduler.flags[1]: unknown value \"X\"",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_BATCH", "nice": 20}),
            "process.scheduler.nice: 20 is not between -20 and 19",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_IDLE", "priority": 1}),
            "process.scheduler.priority: SCHED_IDLE has none",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_RR", "priority": 100}),
            "process.scheduler.priority: 100 is not between 1 and 99",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_FIFO", "priority": 1, "deadline": 1}),
            "process.scheduler.deadline: SCHED_FIFO has none",
        ),
        ("/process/ioPriority", json!({"priority": 1}), "process.ioPriority.class: missing"),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_X"}), "process.ioPriority.class: unknown value"),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "process.ioPriority.priority: 8 is not between 0 and 7",
        ),
        (
            "/process/execCPUAffinity",
            json!({"initial": "0,x"}),
            "process.execCPUAffinity.initial: \"x\" in \"0,x\" is not a number",
        ),
        ("/process/execCPUAffinity", json!({"final": "1-0"}), "process.execCPUAffinity.final: \"1-0\" is a range"),
        ("/hostname", json!("a\0"), "hostname: holds a NUL byte"),
        ("/mounts", mount(json!({"destination": "/", "type": "tmpfs"})), "mounts[0].destination: a mount on /"),
        ("/mounts", mount(json!({"destination": "/../a/..", "type": "tmpfs"})), "mounts[0].destination: a mount on /"),
        ("/mounts", mount(json!({"destination": "/a"})), "mounts[0].type: missing"),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "mqueue", "options": ["tmpcopyup"]})),
            "mounts[0].options: \"tmpcopyup\" is for a tmpfs",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "tmpfs", "options": ["x=".to_string() + &"y".repeat(300)]})),
            "mounts[0].options: x: longer than",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "tmpfs", "options": ["remount", "size=1m"]})),
            "mounts[0].options: \"size=1m\" is not changed by a remount",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "bind", "source": "/", "uidMappings": [{"size": 1}]})),
            "mounts[0].uidMappings: id-mapped mounts must have both uid and gid mappings specified",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "tmpfs", "options": ["idmap"]})),
            "mounts[0].options: \"idmap\": id-mapped mounts are only supported for bind-mounts",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "bind", "source": "/", "options": ["ridmap"]})),
            "mounts[0].options: \"ridmap\": takes the mappings of the container's user namespace, and it has none",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "bind", "source": "/",
                "uidMappings": [{"size": 1}], "gidMappings": [{"size": 0}]})),
            "mounts[0].gidMappings[0]: 0 ids from 0 to 0 are not a range",
        ),
        ("/mounts", mount(json!({"destination": "/a", "type": "bind"})), "mounts[0].source: missing"),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "bind", "source": "/nonexistent"})),
            "mounts[0].source /nonexistent: No such file or directory",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/a", "type": "bind", "source": "/", "options": ["size=1"]})),
            "mounts[0].options: \"size=1\" is not an option of a bind mount",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/proc", "type": "tmpfs"})),
            "\"/proc\" cannot be mounted because it is not of type proc",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/proc", "type": "bind", "source": "/tmp"})),
            "\"/proc\" cannot be mounted because it is not of type proc",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/proc/sys", "type": "tmpfs"})),
            "\"/proc/sys\" cannot be mounted because it is inside /proc",
        ),
        (
            "/mounts",
            mount(json!({"destination": "/c", "type": "cgroup"})),
            "mount cgroup on /c: the host has no cgroup",
        ),
        ("/linux/namespaces", json!([{"type": "x"}]), "linux.namespaces[0].type: unknown namespace \"x\""),
        (
            "/linux/namespaces",
            json!([{"type": "ipc"}, {"type": "ipc"}]),
            "linux.namespaces[1].type: malformed spec file: duplicated ns",
        ),
        (
            "/linux/namespaces",
            json!([{"type": "ipc", "path": "x"}]),
            "linux.namespaces[0].path: \"x\" is not an absolute path",
        ),
        ("/linux/namespaces", json!([{"type": "ipc", "path": "/etc/passwd"}]), "/etc/passwd is not a namespace"),
        (
            "/linux/namespaces",
            json!([{"type": "ipc", "path": "/proc/self/ns/uts"}]),
            "is of type uts, and linux.namespaces[0].type says ipc",
        ),
        ("/linux/namespaces", json!([{"type": "net", "path": ""}]), "unknown namespace \"net\""),
        (
            "/linux/namespaces",
            json!([{"type": "network", "path": "/proc/4194305/ns/net"}]),
            "sandbox gone: /proc/4194305/ns/net: no process 4194305",
        ),
        ("/linux/namespaces", process_namespaces, "mounts: would be done in the host's mount namespace"),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}]),
            "hostname: unable to set hostname without a private UTS namespace",
        ),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "uts", "path": "/proc/self/ns/uts"}]),
            "hostname: unable to set hostname",
        ),
        ("/linux/uidMappings", json!([{"size": 1}]), "user namespace isn't enabled in the config"),
        (
            "/linux/namespaces",
            json!([{"type": "user"}]),
            "linux.uidMappings: user namespaces enabled, but no mapping found",
        ),
        ("/linux/timeOffsets", json!({"monotonic": {}}), "linux.timeOffsets: time namespace offsets specified"),
        ("/linux/rootfsPropagation", json!("odd"), "linux.rootfsPropagation: unknown propagation \"odd\""),
        (
            "/linux/devices",
            json!([{"type": "x", "path": "/dev/x"}]),
            "linux.devices[0].type: unknown device type \"x\"",
        ),
        ("/linux/devices", json!([{"type": "c", "path": "/dev/x", "major": -1}]), "linux.devices[0].major: -1"),
        ("/linux/maskedPaths", json!(["/a\0"]), "linux.maskedPaths[0]: holds a NUL byte"),
        ("/linux/readonlyPaths", json!(["/a\0"]), "linux.readonlyPaths[0]: holds a NUL byte"),
        ("/linux/sysctl", json!({"kernel.panic": "1"}), "linux.sysctl[\"kernel.panic\"]: is not in a separate"),
        (
            "/linux/sysctl",
            json!({"kernel.hostname": "x"}),
            "linux.sysctl[\"kernel.hostname\"]: hostname says the same thing",
        ),
        ("/linux/mountLabel", json!("l"), "linux.mountLabel: SELinux is not enabled"),
        ("/solaris", json!({}), "solaris: it is for Solaris"),
        ("/windows", json!({"layerFolders": []}), "windows: it is for Windows"),
        ("/vm", json!({"kernel": {"path": "/k"}}), "vm: it asks for a virtual machine"),
        ("/zos", json!({}), "zos: it is for z/OS"),
        ("/freebsd", json!({}), "freebsd: it is for FreeBSD"),
        ("/linux/personality", json!({}), "linux.personality.domain: missing"),
        ("/linux/personality", json!({"domain": "BSD"}), "linux.personality.domain: unknown value \"BSD\""),
        (
            "/linux/personality",
            json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}),
            "linux.personality.flags[0]: \"ADDR_NO_RANDOMIZE\" is not supported",
        ),
        ("/linux/memoryPolicy", json!({}), "linux.memoryPolicy.mode: missing"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_X"}), "linux.memoryPolicy.mode: unknown value \"MPOL_X\""),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_X"]}),
            "linux.memoryPolicy.flags[0]: unknown value \"MPOL_F_X\"",
        ),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "x"}), "linux.memoryPolicy.nodes: \"x\" in"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), "linux.memoryPolicy.nodes: missing, and MPOL_BIND needs"),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_LOCAL", "nodes": "0"}),
            "linux.memoryPolicy.nodes: MPOL_LOCAL takes none",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_DEFAULT", "flags": ["MPOL_F_STATIC_NODES"]}),
            "linux.memoryPolicy.flags: MPOL_DEFAULT takes none",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_PREFERRED", "flags": ["MPOL_F_STATIC_NODES"]}),
            "linux.memoryPolicy.nodes: missing, and a flag",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}),
            "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude",
        ),
        (
            "/linux/netDevices",
            json!({"no-such0": {}}),
            "linux.netDevices[\"no-such0\"]: the host has no network device",
        ),
        ("/hooks", json!({"poststop": [{"path": "relative"}]}), "hooks.poststop[0].path: \"relative\" is not absolute"),
        ("/hooks", json!({"prestart": [{"path": "/x", "timeout": 0}]}), "hooks.prestart[0].timeout: must be greater"),
        ("/hooks", json!({"createContainer": [{"path": "/x\0"}]}), "hooks.createContainer[0]"),
    ] {
        let said = error(&edited(pointer, value.clone()));
        assert!(said.contains(expected), "{pointer} = {value}:\n  said {said}\n  not  {expected}");
    }
}

#[test]
fn a_user_namespace_that_does_not_own_the_others_is_told_what_it_cannot_mount() {
    let user = |kinds: &[&str]| {
        let mut document = example();
        let list: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
        document["linux"]["namespaces"] = json!(list);
        document["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
        document["linux"]["gidMappings"] = document["linux"]["uidMappings"].clone();
        document
    };
    let said = error(&user(&["user", "mount", "network", "ipc", "uts"]));
    assert!(
        said.contains("mount proc on /proc: the host's pid namespace is owned by another user namespace (EPERM)"),
        "{said}"
    );
    let said = error(&user(&["user", "mount", "network", "pid", "uts"]));
    assert!(said.contains("mount mqueue on /dev/mqueue: the host's ipc namespace is owned"), "{said}");
}

#[test]
fn groups_are_refused_where_setgroups_is_denied() {
    let document = edited("/process/user/additionalGids", json!([5]));
    let said = with(&document, |request| {
        request.setgroups_denied = true;
        plan(&Bump::new(), request).conflicts.check().unwrap_err().to_string()
    });
    assert!(said.contains("process.user.additionalGids: setgroups is denied"), "{said}");
}

#[test]
fn root_path_must_be_a_directory_of_the_bundle() {
    let root = |path: &str| crate::spec::config::Root { path: path.into(), readonly: false };
    for (path, expected) in [
        ("", "root.path: missing"),
        ("a\0", "root.path: holds a NUL byte"),
        ("nonexistent", "root.path: rootfs /tmp/nonexistent: No such file or directory"),
        ("/etc/passwd", "root.path: rootfs /etc/passwd is not a directory"),
        ("/", "root.path: the host's root directory"),
    ] {
        let said = rootfs::locate("/tmp".as_ref(), Some(&root(path))).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

/// The position of the first step whose name starts so.
fn at(plan: &Plan<'_>, name: &str) -> usize {
    let names: Vec<_> = plan.steps.iter().map(describe).collect();
    names.iter().position(|step| step.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {names:#?}"))
}

#[test]
fn the_order_is_the_kernels() {
    let arena = Bump::new();
    with(&example(), |request| {
        let mut plan = plan(&arena, request);
        plan.conflicts.check().unwrap();
        assert!(!plan.stage_one);
        let order = [
            "enter the container's cgroup",
            "hide from",
            "mount the root file system",
            "mount proc",
            "mount tmpfs on /dev",
            "mount devpts",
            "make the device /dev/null",
            "open the container's terminal",
            "mask /proc/acpi",
            "make /proc/bus read-only",
            "make the root file system read-only",
            "pivot_root",
            "start a new session",
            "set the hostname",
            "drop capabilities",
            "become user",
            "set the capabilities",
            "set no_new_privs",
            "find the program",
            "report that the container is created",
            "wait for start",
            "exec \"sh\"",
        ];
        let places: Vec<_> = order.iter().map(|name| at(&plan, name)).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(places.last(), Some(&(plan.steps.len() - 1)));
    });
}

#[test]
fn a_new_user_namespace_gets_its_maps_before_anything_is_done_in_it() {
    let mut document = example();
    document["linux"]["namespaces"].as_array_mut().unwrap().extend([json!({"type": "user"}), json!({"type": "time"})]);
    document["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    document["linux"]["gidMappings"] = document["linux"]["uidMappings"].clone();
    document["linux"]["timeOffsets"] = json!({"monotonic": {"secs": 5}});
    document["mounts"] = json!([{"destination": "/proc", "type": "proc"}]);
    let arena = Bump::new();
    with(&document, |request| {
        let mut plan = plan(&arena, request);
        plan.conflicts.check().unwrap();
        assert!(plan.stage_one);
        assert_eq!(plan.clone_kinds, 0);
        let order = [
            "create a user namespace",
            "wait for the user namespace's id maps",
            "create a time namespace",
            "set linux.timeOffsets",
            "become root",
            "hide from",
            "start the container's process with new mount, pid, network, ipc, uts namespaces",
            "mount the root file system",
        ];
        let places: Vec<_> = order.iter().map(|name| at(&plan, name)).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert!(plan.steps.contains(&Step::Wait(Point::Ready)));
    });
}

#[test]
fn the_message_survives_its_journey() {
    let arena = Bump::new();
    with(&example(), |request| {
        let mut plan = plan(&arena, request);
        plan.conflicts.check().unwrap();
        for step in &plan.steps {
            let bytes = postcard::to_stdvec(step).unwrap();
            let (back, rest) = postcard::take_from_bytes::<Step<'_>>(&bytes).unwrap();
            assert_eq!((back, rest.len()), (*step, 0));
            // Cut short anywhere, it is refused and never misread (CVE-2021-43784).
            for len in 0..bytes.len() {
                assert!(postcard::take_from_bytes::<Step<'_>>(&bytes[..len]).is_err());
            }
        }
    });
}
