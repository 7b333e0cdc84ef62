//! `plan`: held against what `create` then does, by its system calls; all conflicts; and no trace of itself.

use crate::common::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn report(c: &Container) -> Value {
    let out = c.plan_with(&["--format", "json"]);
    let report: Value = serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    assert_eq!(out.code, if report["wouldSucceed"] == true { 0 } else { 1 }, "{report:#}");
    report
}

/// The system calls of a creation and the start behind it, one process each: the runtime, and the init program, with
/// its stage one before it.
struct Trace {
    runtime: Vec<String>,
    init: Vec<String>,
}

impl Trace {
    fn of(c: &Container) -> Trace {
        c.write_config();
        let prefix = c.path("trace");
        let mut command = Command::new("strace");
        command.args(["-ff", "-qq", "-y", "-s", "4096", "-o", &prefix]).arg(program());
        command.arg("--root").arg(c.root()).args(["create", &c.id]).current_dir(c.bundle());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(c.path("trace-error")).unwrap());
        // It stays until the container's process has ended.
        let strace = Helper(command.spawn().unwrap());
        eventually("created under strace", || {
            assert_eq!(read(Path::new(&c.path("trace-error"))), "");
            c.root().join(&c.id).join("state.json").exists() && c.status() == "created"
        });
        c.start();
        assert_eq!(strace.exit_code(), 0);

        let mut files: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        for entry in fs::read_dir(c.dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("trace.") {
                files.insert(path.clone(), read(&path).lines().map(str::to_owned).collect());
            }
        }
        let with = |text: &str| {
            let mut found = files.values().filter(|lines| lines.iter().any(|line| line.contains(text)));
            found.next().unwrap_or_else(|| panic!("no call with {text}")).clone()
        };
        let (runtime, first, last) = (with("hilum-plan"), with("[\"hilum-init\""), with("accept4("));
        let mut init = first.clone();
        if first != last {
            init.extend(last);
        }
        // What the user's program does is not the plan's.
        let end = init.iter().rposition(|line| line.starts_with("execve(")).expect("the program was executed");
        init.truncate(end + 1);
        Trace { runtime, init }
    }
}

/// All of these stand in a line that is behind `from`; the number of the line after it.
#[track_caller]
fn find(lines: &[String], from: usize, texts: &[String], what: &str) -> usize {
    let found = lines.iter().skip(from).position(|line| texts.iter().all(|text| line.contains(text.as_str())));
    let at = found.unwrap_or_else(|| {
        let near: Vec<_> = lines.iter().skip(from).take(12).collect();
        panic!("{what:?}: no call with {texts:?} behind line {from}, where it goes on with {near:#?}")
    });
    from + at + 1
}

fn clone_flag(kind: &str) -> &'static str {
    match kind {
        "user" => "CLONE_NEWUSER",
        "mount" => "CLONE_NEWNS",
        "pid" => "CLONE_NEWPID",
        "network" => "CLONE_NEWNET",
        "ipc" => "CLONE_NEWIPC",
        "uts" => "CLONE_NEWUTS",
        "cgroup" => "CLONE_NEWCGROUP",
        "time" => "CLONE_NEWTIME",
        other => panic!("{other}"),
    }
}

const BARE: &str = "create a mount namespace without the host's mounts";

/// What the runtime opens for the init program, which has no path to it.
fn source_of(step: &str) -> Option<&str> {
    match step.strip_prefix("bind ").and_then(|rest| rest.split_once(" on ")) {
        Some((source, _)) => Some(source),
        None => step.strip_prefix("mount the root file system "),
    }
}

/// What the kernel is asked when a step is done; nothing, for a step that may find that there is nothing to do.
fn call_of(step: &str, id: &str) -> Vec<String> {
    let quoted = |text: &str| format!("\"{text}\"");
    let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let behind = |start: &str| step.strip_prefix(start);
    let name = |path: &str| quoted(path.rsplit('/').next().unwrap());
    if let Some(kinds) = behind("start the container's process with new ") {
        let kinds = kinds.trim_end_matches(" namespaces").split(", ");
        return std::iter::once("clone".to_string()).chain(kinds.map(|kind| clone_flag(kind).into())).collect();
    }
    if let Some(kind) = behind("join the ").and_then(|rest| rest.strip_suffix(" namespace")) {
        return texts(&["setns(", clone_flag(kind)]);
    }
    if let Some(kind) = behind("create a ").and_then(|rest| rest.strip_suffix(" namespace")) {
        return texts(&["unshare(", clone_flag(kind)]);
    }
    if let Some((fs, _)) = behind("mount ").and_then(|rest| rest.split_once(" on ")) {
        return vec![format!("fsopen(\"{fs}\"")];
    }
    if source_of(step).is_some() {
        return texts(&["move_mount("]);
    }
    if let Some(path) = behind("make the device ") {
        return texts(&["mknodat(", &name(path)]);
    }
    if let Some((path, to)) = behind("link ").and_then(|rest| rest.split_once(" to ")) {
        return texts(&["symlinkat(", &quoted(to), &name(path)]);
    }
    if let Some(path) = behind("mask ").or(behind("make ").and_then(|rest| rest.strip_suffix(" read-only"))) {
        return match path {
            "the root file system" => texts(&["mount_setattr(", "MOUNT_ATTR_RDONLY"]),
            // From the mount on /proc or /sys, if there is one.
            path => {
                let below = path.strip_prefix("/proc/").or(path.strip_prefix("/sys/")).unwrap_or(path);
                texts(&["openat2(", &format!("{below}\"")])
            }
        };
    }
    if let Some((value, path)) = behind("write ").and_then(|rest| rest.split_once(" to /proc/")) {
        // Also where a value is only compared.
        assert!(!value.is_empty());
        return texts(&["openat2(", &quoted(path)]);
    }
    if let Some(limit) = behind("set RLIMIT_") {
        let (name, values) = limit.split_once(" to ").unwrap();
        let (soft, hard) = values.split_once(", at most ").unwrap();
        return texts(&["prlimit64(0, RLIMIT_", name, &format!("{{rlim_cur={soft}, rlim_max={hard}}}")]);
    }
    if let Some(policy) = behind("set process.scheduler to ") {
        return texts(&["sched_setattr(0, {", policy]);
    }
    if let Some((class, level)) = behind("set process.ioPriority to ").and_then(|rest| rest.split_once(", ")) {
        return texts(&["ioprio_set(", &format!("({class}, {level})")]);
    }
    if let Some(mode) = behind("set linux.memoryPolicy to ") {
        return texts(&["set_mempolicy(", mode]);
    }
    if let Some(domain) = behind("set linux.personality to ") {
        return texts(&["personality(", &format!("PER_{domain}")]);
    }
    if let Some(ids) = behind("become user ") {
        let uid = ids.split(':').next().unwrap();
        return texts(&[&format!("setresuid({uid}, {uid}, {uid})")]);
    }
    if let Some(mask) = behind("set the umask ") {
        return texts(&[&format!("umask(0{mask})")]);
    }
    if let Some(cwd) = behind("chdir to cwd (").and_then(|rest| rest.strip_suffix(") set in config.json")) {
        return texts(&[&format!("chdir({cwd})")]);
    }
    if let Some(hostname) = behind("set the hostname ") {
        return texts(&["sethostname(", &quoted(hostname)]);
    }
    if let Some(domainname) = behind("set the domainname ") {
        return texts(&["setdomainname(", &quoted(domainname)]);
    }
    if let Some(program) = behind("exec ") {
        return texts(&["execve(\"/bin/", &format!("[{program}")]);
    }
    if step.starts_with("run hooks.") {
        return texts(&["clone"]);
    }
    if step.starts_with("change the mount flags of ") {
        return texts(&["mount_setattr("]);
    }
    texts(match step {
        BARE => &["setns(", "CLONE_NEWNS"],
        "start the container's process" => &["clone"],
        "enter the container's cgroup" if Host::plain() == Host::V2 => &[],
        "enter the container's cgroup" => &["write(", "tasks>, \"0\""],
        "hide from the container's processes (PR_SET_DUMPABLE)" => &["prctl(PR_SET_DUMPABLE"],
        "join a new session keyring (--no-new-keyring does without)" => {
            return texts(&["keyctl(KEYCTL_JOIN_SESSION_KEYRING", &format!("_ses.{id}")]);
        }
        "bring up the loopback interface" => &["SIOCSIFFLAGS", "\"lo\"", "IFF_UP"],
        "set the propagation of the mount namespace" => &["mount(NULL, \"/\"", "MS_REC"],
        "pivot_root into the root file system" => &["pivot_root("],
        "become root of the user namespace" => &["setresuid(0, 0, 0)"],
        "set linux.timeOffsets" => &["openat2(", "timens_offsets"],
        "start a new session" => &["setsid("],
        "drop capabilities from the bounding set" => &["prctl(PR_CAPBSET_DROP"],
        "set the capabilities" => &["capset("],
        "set no_new_privs" => &["prctl(PR_SET_NO_NEW_PRIVS"],
        "install the seccomp filter" => &["seccomp(SECCOMP_SET_MODE_FILTER"],
        "find the program" => &["faccessat2("],
        "wait for start" => &["accept4("],
        "wait for the user namespace's id maps"
        | "wait for the runtime's hooks"
        | "wait for the seccomp program"
        | "report that the container is created" => &["sendto("],
        _ if step.starts_with("give the standard streams") || step.starts_with("make the directory") => &[],
        other => panic!("which system call is {other:?}?"),
    })
}

/// Acts (but the unshare of a bare mount namespace) of which there must be no more than the plan has.
const ACTS: &[&str] = &[
    "setns(",
    "unshare(",
    "mknodat(",
    "symlinkat(",
    "pivot_root(",
    "sethostname(",
    "setdomainname(",
    "setsid(",
    "capset(",
    "accept4(",
    "sched_setattr(0, {",
    "ioprio_set(",
    "set_mempolicy(",
    "personality(",
    "keyctl(KEYCTL_JOIN_SESSION_KEYRING",
    "prctl(PR_SET_NO_NEW_PRIVS",
];

/// Plans, creates, and compares: each step in order, and nothing else of what the kernel tells apart.
fn is_done_as_planned(c: Container) {
    let planned = report(&c);
    assert_eq!(planned["conflicts"], json!([]));
    let trace = Trace::of(&c);

    let strings = |value: &Value| value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect();
    let actions: Vec<String> = strings(&planned["cgroup"]["actions"]);
    assert!(!actions.is_empty());
    let mut at = 0;
    for action in &actions {
        let texts = if let Some((path, _)) = action.strip_prefix("mkdir ").and_then(|rest| rest.split_once(" (")) {
            vec!["mkdir".to_string(), format!("\"{path}\"")]
        } else if let Some((value, path)) = action.strip_prefix("write ").and_then(|rest| rest.split_once(" to ")) {
            vec!["write(".to_string(), format!("<{}>", path.split(" (").next().unwrap()), value.to_string()]
        } else if action.starts_with("attach the device filter ") {
            vec!["bpf(".to_string()]
        } else {
            assert!(action.starts_with("enable "), "{action}"); // in most cases it is enabled
            continue;
        };
        at = find(&trace.runtime, at, &texts, action);
    }

    let steps: Vec<String> =
        planned["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap().into()).collect();
    assert!(steps.len() > 20, "{steps:#?}");
    let is_bare = steps.iter().any(|step| step == BARE);
    let clone = steps.iter().position(|step| step.starts_with("start the container's process")).unwrap();
    let mut at = 0;
    for (index, step) in steps.iter().enumerate() {
        let texts = call_of(step, &c.id);
        match texts.is_empty() || step.starts_with("chdir ") && steps[..index].contains(step) {
            true => {}
            // The first is the runtime's own clone, if the init program has no stage one.
            false if index == 0 && clone == 0 => drop(find(&trace.runtime, 0, &texts, step)),
            false => at = find(&trace.init, at, &texts, step),
        }
        if let Some(source) = source_of(step) {
            let by_init = if is_bare { &[] } else { trace.init.as_slice() };
            find(&[&trace.runtime, by_init].concat(), 0, &["open_tree(".into(), format!("\"{source}\"")], step);
        }
    }
    for act in ACTS {
        let mut expected =
            steps.iter().filter(|step| call_of(step, &c.id).first().is_some_and(|call| call == act)).count();
        expected += usize::from(is_bare && *act == "unshare(");
        let done: Vec<_> = trace
            .init
            .iter()
            .filter(|l| l.starts_with(act) && !l.contains(" = -1 ") && !l.contains("S_IFREG"))
            .collect();
        assert_eq!(done.len(), expected, "{act}: {done:#?} {steps:#?}");
    }
    let limits = trace
        .init
        .iter()
        .filter(|l| l.starts_with("prlimit64(0, ") && l.contains("{rlim_cur=") && l.contains("}, NULL)"));
    assert_eq!(limits.count(), steps.iter().filter(|step| step.starts_with("set RLIMIT_")).count());
    c.finish();
}

fn can_compare() -> bool {
    hilum_only("the oracle has no plans") && has_strace()
}

#[test]
fn the_default_container_is_made_as_planned() {
    if can_compare() {
        is_done_as_planned(Container::new(&["true"]));
    }
}

#[test]
fn a_container_with_binds_is_made_as_planned() {
    if can_compare() {
        let bind = |to: &str, options: &[&str]| json!({ "destination": to, "source": "/usr", "options": options });
        let c = Container::new(&["true"]).push("mounts", bind("/mnt", &["rbind", "ro"]));
        is_done_as_planned(c.push("mounts", bind("/opt", &["bind", "rslave"])).namespace(json!({ "type": "time" })));
    }
}

#[test]
fn a_container_with_a_bit_of_everything_is_made_as_planned() {
    if !can_compare() {
        return;
    }
    let caps = json!(["CAP_KILL", "CAP_CHOWN"]);
    let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdirat"], "action": "SCMP_ACT_ERRNO" }] });
    let c = Container::new(&["true"])
        .set("domainname", json!("example"))
        .set("linux/sysctl", json!({ "net.ipv4.ip_default_ttl": "77", "kernel.msgmax": "4242" }))
        .set("linux/seccomp", seccomp)
        .set("linux/devices", json!([{ "type": "c", "path": "/dev/fuse", "major": 10, "minor": 229 }]))
        .set("linux/resources/pids", json!({ "limit": 77 }))
        .set("process/user", json!({ "uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o77 }))
        .set("process/capabilities", json!({ "bounding": caps, "effective": caps, "permitted": caps, "ambient": caps }))
        .set("process/noNewPrivileges", json!(false))
        .set("process/oomScoreAdj", json!(500))
        .set("process/scheduler", json!({ "policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"] }))
        .set("process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 5 }))
        .set("process/execCPUAffinity", json!({ "final": "0" }))
        .set("linux/personality", json!({ "domain": "LINUX32" }))
        .set("process/cwd", json!("/tmp"))
        .push("mounts", json!({ "destination": "/mnt", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] }))
        .push("mounts", json!({ "destination": "/tmp", "type": "tmpfs", "source": "t", "options": ["mode=1777"] }))
        .set("hooks", json!({ "prestart": [{ "path": "/bin/true" }], "createContainer": [{ "path": "/bin/true" }] }));
    let c = match Path::new("/proc/self/numa_maps").exists() {
        true => c.set("linux/memoryPolicy", json!({ "mode": "MPOL_PREFERRED", "nodes": "0" })),
        false => c,
    };
    is_done_as_planned(c.set("root/readonly", json!(false)));
}

#[test]
fn a_container_in_a_user_and_a_time_namespace_is_made_as_planned() {
    if !can_compare() {
        return;
    }
    let c = Container::new(&["true"])
        .in_user_namespace()
        .namespace(json!({ "type": "time" }))
        .set("linux/timeOffsets", json!({ "boottime": { "secs": 1000 } }));
    is_done_as_planned(c);
}

#[test]
fn a_container_in_the_namespaces_of_another_is_made_as_planned() {
    if !can_compare() {
        return;
    }
    let sandbox = Container::sleeper();
    sandbox.up();
    let path = |kind: &str| proc(sandbox.pid(), "ns").join(kind);
    let c = Container::new(&["true"])
        .join("network", path("net"))
        .join("ipc", path("ipc"))
        .join("uts", path("uts"))
        .join("pid", path("pid"));
    // box is what the sandbox is called already: there is no step that would say so again.
    is_done_as_planned(c);
    sandbox.finish();
}

#[test]
fn a_joined_namespace_is_shown_with_its_number_and_whose_it_is() {
    if !hilum_only("the oracle has no plans") {
        return;
    }
    let sandbox = Container::sleeper();
    sandbox.up();
    let path = proc(sandbox.pid(), "ns/net").display().to_string();
    let c = Container::new(&["true"]).under(&sandbox).join("network", &path);
    let report = report(&c);
    let of =
        |kind: &str| report["namespaces"].as_array().unwrap().iter().find(|ns| ns["type"] == kind).unwrap().clone();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
    let owner = format!("container {}", sandbox.id);
    assert_eq!(
        of("network"),
        json!({ "type": "network", "origin": "joined", "path": path, "inode": inode, "owner": owner })
    );
    assert_eq!(of("ipc"), json!({ "type": "ipc", "origin": "new" }));
    assert_eq!(of("user"), json!({ "type": "user", "origin": "host" }));
    assert!(c.plan_with(&[]).ok().stdout.contains(&format!("{inode}")));
    sandbox.finish();
}

#[test]
fn a_pod_is_planned_with_by_name() {
    if !hilum_only("the oracle has no pods") {
        return;
    }
    let pod = Pod::with(&["--hostname", "shop"]);
    let c = Container::new(&["true"]).in_pod(&pod);
    let report = report(&c);
    let namespaces = report["namespaces"].as_array().unwrap();
    let owner = |kind: &str| namespaces.iter().find(|ns| ns["type"] == kind).unwrap()["owner"].clone();
    for kind in ["network", "ipc", "uts"] {
        assert_eq!(owner(kind), format!("pod {}", pod.name), "{kind}");
    }
    assert!(report["cgroup"]["directories"][0].as_str().unwrap().contains(&pod.name), "{report:#}");
    let c = Container::new(&["true"]).knows(&pod).set("annotations", json!({ "org.hilum.pod": "nonesuch" }));
    let report = self::report(&c);
    assert!(report["conflicts"][0]["error"].as_str().unwrap().contains("pod nonesuch does not exist"), "{report:#}");
    pod.finish();
}

#[test]
fn every_conflict_is_listed_with_its_property_and_what_to_do() {
    if !hilum_only("the oracle has no plans") {
        return;
    }
    let c = Container::new(&["true"])
        .join("network", "/proc/4194304/ns/net")
        .set("process/cwd", json!("tmp"))
        .push("process/rlimits", json!({ "type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1 }))
        .push("mounts", json!({ "destination": "/proc/x", "type": "tmpfs", "source": "t" }))
        .push("mounts", json!({ "destination": "/mnt", "type": "bind", "source": "/nonexistent", "options": ["bind"] }))
        .set("linux/sysctl", json!({ "kernel.panic": "1", "kernel.msgmax": "4242" }))
        .set("linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NONSENSE" }))
        .set("linux/resources/cpu", json!({ "cpus": "0", "quota": -1 }))
        .set("linux/resources/memory", json!({ "limit": -7 }))
        .set("hooks", json!({ "poststop": [{ "path": "relative" }] }))
        .set("linux/personality", json!({ "domain": "LINUX32", "flags": ["NONSENSE"] }));
    let mounts = c.config["mounts"].as_array().unwrap().len();
    let report = report(&c);
    let conflicts = report["conflicts"].as_array().unwrap();
    let found: Vec<String> = conflicts.iter().map(|it| it["property"].as_str().unwrap().to_owned()).collect();
    let network = c.config["linux"]["namespaces"].as_array().unwrap().len() - 1;
    let expected = [
        "linux.resources.memory.limit".to_string(),
        "linux.seccomp.defaultAction".into(),
        "hooks.poststop[0].path".into(),
        format!("linux.namespaces[{network}].path"),
        format!("mounts[{}].destination", mounts - 2),
        format!("mounts[{}].source", mounts - 1),
        "linux.sysctl[\"kernel.panic\"]".into(),
        "process.cwd".into(),
        "process.rlimits[1].type".into(),
        "linux.personality.flags[0]".into(),
    ];
    assert_eq!(found, expected, "{report:#}");
    for conflict in conflicts {
        assert!(!conflict["error"].as_str().unwrap().is_empty(), "{conflict}");
        assert!(!conflict["fix"].as_str().unwrap().is_empty(), "{conflict}");
    }
    let out = c.plan_with(&[]);
    assert_eq!(out.code, 1, "{out:?}");
    for property in &expected {
        assert!(out.stdout.contains(property.as_str()), "{property}: {}", out.stdout);
    }
    assert!(out.stdout.matches("fix: ").count() == expected.len(), "{}", out.stdout);
    // The first of them is what create says.
    let first = conflicts[0]["error"].as_str().unwrap();
    c.create_with(&[]).fails(first);
    assert!(!c.root().exists());
    c.left_nothing();
}

#[test]
fn what_is_refused_makes_no_other_conflict() {
    if !hilum_only("the oracle has no plans") {
        return;
    }
    // hostname, mqueue, sysctl and the mounts need what is asked for here, and cannot be told whether they would be right.
    let c = Container::new(&["true"])
        .join("uts", "/nonexistent/uts")
        .join("ipc", "/nonexistent/ipc")
        .join("mount", "/nonexistent/mnt")
        .set("linux/sysctl", json!({ "kernel.msgmax": "4242" }));
    let report = report(&c);
    assert_eq!(report["conflicts"].as_array().unwrap().len(), 3, "{report:#}");
}

#[test]
fn conflicts_that_are_not_shown_are_counted() {
    if !hilum_only("the oracle has no plans") {
        return;
    }
    let mounts = vec![json!({ "destination": "/mnt", "type": "bind", "source": "/nonexistent" }); 1003];
    let c = Container::new(&["true"]).set("mounts", json!(mounts));
    let report = report(&c);
    assert_eq!(report["conflicts"].as_array().unwrap().len(), 1000);
    assert_eq!(report["warnings"], json!(["there are 3 conflicts more than the 1000 that are shown"]));
    c.left_nothing();
}

#[test]
fn a_config_that_cannot_be_read_or_an_id_that_is_taken_is_a_conflict() {
    if !hilum_only("the oracle has no plans") {
        return;
    }
    let c = Container::sleeper();
    c.up();
    let report = self::report(&c);
    assert_eq!(report["conflicts"][0]["error"], "container with given ID already exists", "{report:#}");
    fs::write(c.bundle().join("config.json"), "{").unwrap();
    let out = c.call(&["plan", "-f", "json", "other"]);
    assert_eq!(out.code, 1, "{out:?}");
    let report: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(report["conflicts"][0]["property"], "config.json", "{report:#}");
    c.finish();
}

#[test]
fn an_id_is_not_needed() {
    if !hilum_only("the oracle has no plans") {
        return;
    }
    let c = Container::new(&["true"]);
    c.write_config();
    let out = c.call(&["plan"]).ok();
    assert!(out.stdout.starts_with("container ID: create would succeed\n"), "{out:?}");
}

#[test]
fn planning_leaves_no_trace() {
    if !hilum_only("the oracle has no plans") {
        return;
    }
    let sandbox = Container::sleeper();
    sandbox.up();
    let uts = proc(sandbox.pid(), "ns/uts");
    // Detached mounts, a look into a namespace, devices that are bound: all that planning touches.
    let c = Container::new(&["true"])
        .in_user_namespace()
        .join("uts", &uts)
        .push("mounts", json!({ "destination": "/mnt", "type": "bind", "source": "/usr", "options": ["rbind"] }));
    let fails = Container::new(&["true"]).set("process/cwd", json!("x"));
    let dir = c.dir().display().to_string();
    let mounts = || read(Path::new("/proc/self/mountinfo")).lines().filter(|l| l.contains(&dir)).count();
    let hostname = read(Path::new("/proc/sys/kernel/hostname"));
    for c in [&c, &fails] {
        let files = || fs::read_dir(c.bundle()).unwrap().count();
        c.write_config();
        let before = (files(), mounts());
        c.plan_with(&[]);
        assert_eq!((files(), mounts()), before);
        assert!(!c.root().exists(), "the state directory was made");
        c.left_nothing();
    }
    assert_eq!(read(Path::new("/proc/sys/kernel/hostname")), hostname);
    let out = Command::new("nsenter").arg(format!("--uts={}", uts.display())).arg("hostname").output().unwrap();
    assert_eq!(out.stdout, b"box\n");
    sandbox.finish();
}

#[test]
fn the_text_fits_into_80_columns_and_has_its_sections() {
    if !hilum_only("the oracle has no plans") {
        return;
    }
    let c = Container::new(&["true"])
        .in_user_namespace()
        .set(
            "linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [{ "names": ["read", "write", "exit"], "action": "SCMP_ACT_ALLOW" }] }),
        )
        .set("hooks", json!({ "poststop": [{ "path": "/bin/true", "args": ["true", "x"] }] }))
        .set("process/capabilities/bounding", json!(["CAP_KILL", "CAP_UNKNOWN"]));
    let text = c.plan_with(&[]).ok().stdout;
    for line in text.lines() {
        assert!(line.chars().count() <= 80 || !line.trim().contains(' '), "{line:?}");
    }
    let sections: Vec<_> =
        text.lines().filter(|l| !l.is_empty() && l.chars().all(|c| c.is_uppercase() || c == ' ')).collect();
    assert_eq!(sections, ["NAMESPACES", "ID MAPS", "CGROUP", "SECCOMP", "HOOKS", "STEPS", "WARNINGS"], "{text}");
    assert!(text.contains("[CAP_UNKNOWN]") && text.contains("CAP_KILL") && text.contains("65536"), "{text}");
}
