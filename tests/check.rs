//! `check`: what it says of a host, of one that was made worse, and that it leaves nothing.

use crate::common::*;
use crate::rootless;
use std::fs;
use std::process::{Command, Stdio};

/// What is looked at on every host.
const ALWAYS: &[&str] = &[
    "kernel",
    "clone3",
    "openat2",
    "mount-api",
    "close_range",
    "pidfd_open",
    "mount_setattr",
    "memfd",
    "keyrings",
    "proc",
    "privileges",
    "state",
    "namespaces",
    "userns",
    "cgroups",
    "seccomp",
    "apparmor",
    "selinux",
    "criu",
    "cni",
    "resctrl",
];

/// Of those that a host with cgroups has besides.
const CGROUPS: &[&str] = &["controllers", "freezer", "devices", "systemd"];

/// A document whose fields are what the manual page says, and whose exit status is, too.
#[track_caller]
fn document(out: &Out) -> Vec<Value> {
    let document: Value = serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    let checks = document["checks"].as_array().unwrap().clone();
    for check in &checks {
        let status = check["status"].as_str().unwrap();
        assert!(["ok", "missing", "optional"].contains(&status), "{check}");
        assert!(!check["detail"].as_str().unwrap().is_empty(), "{check}");
        let advice = check["advice"].as_str().unwrap_or_default();
        assert_eq!(status == "ok", advice.is_empty(), "{check}");
        assert!(!check["detail"].as_str().unwrap().contains('\n') && !advice.contains('\n'), "{check}");
        assert_eq!(check.as_object().unwrap().len(), if status == "ok" { 3 } else { 4 }, "{check}");
    }
    for name in ALWAYS {
        assert_eq!(checks.iter().filter(|check| check["name"] == *name).count(), 1, "{name}: {checks:#?}");
    }
    let ok = checks.iter().all(|check| check["status"] != "missing");
    assert_eq!((&document["ok"], out.code), (&json!(ok), i32::from(!ok)), "{out:?}");
    assert_eq!(out.stderr, "");
    checks
}

#[track_caller]
fn find<'c>(checks: &'c [Value], name: &str) -> &'c Value {
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {checks:#?}"))
}

#[track_caller]
fn status<'c>(checks: &'c [Value], name: &str) -> &'c str {
    find(checks, name)["status"].as_str().unwrap()
}

fn check(c: &Container) -> Vec<Value> {
    document(&c.call(&["check", "--format", "json"]))
}

/// On this host after what the script has done to it, in a mount namespace.
#[track_caller]
fn worse(c: &Container, script: &str) -> Vec<Value> {
    let script = format!("{script} && exec \"$@\"");
    let prefix = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"].map(String::from);
    document(&c.finish_call(c.command_behind(&prefix, &["check", "-f", "json"]), Stdio::null()))
}

#[test]
fn this_host_has_what_is_needed_and_the_table_says_the_same_as_json() {
    if !hilum_only("its own command") {
        return;
    }
    let c = Container::new(&["true"]);
    let checks = check(&c);
    for name in CGROUPS {
        find(&checks, name);
    }
    // Or no other test would pass.
    let missing: Vec<_> = checks.iter().filter(|check| check["status"] == "missing").collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let release = read("/proc/sys/kernel/osrelease".as_ref());
    assert_eq!(find(&checks, "kernel")["detail"], release.trim());
    assert_eq!(status(&checks, "clone3"), "ok");

    let table = c.call(&["check"]).ok();
    let lines = table.lines();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["CHECK", "STATUS", "DETAIL"]);
    assert_eq!(lines.len() - 1, checks.len(), "{table:?}");
    for (line, check) in lines[1..].iter().zip(&checks) {
        let [name, status, detail] = ["name", "status", "detail"].map(|key| check[key].as_str().unwrap());
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [name, status]);
        let advice = check["advice"].as_str().map(|advice| format!("; {advice}")).unwrap_or_default();
        assert!(line.ends_with(&format!(" {detail}{advice}")), "{line:?}: {check}");
    }
    c.left_nothing();
}

#[test]
fn what_a_host_lacks_is_missing_with_an_advice() {
    if !hilum_only("its own command") {
        return;
    }
    let c = Container::new(&["true"]);

    let checks = worse(&c, "mount -t tmpfs none /proc");
    assert_eq!((status(&checks, "proc"), status(&checks, "namespaces")), ("missing", "missing"));
    assert_eq!(find(&checks, "proc")["advice"], "mount -t proc proc /proc");

    let checks = worse(&c, "umount -R /sys/fs/cgroup");
    assert_eq!(status(&checks, "cgroups"), "missing");
    assert!(find(&checks, "cgroups")["advice"].as_str().unwrap().starts_with("mount -t cgroup2"), "{checks:#?}");

    let root = c.root().display().to_string();
    let checks = worse(&c, &format!("mkdir {root} && mount -t tmpfs -o ro none {root}"));
    assert_eq!(status(&checks, "state"), "missing");
    let detail = find(&checks, "state")["detail"].as_str().unwrap();
    assert!(detail.contains(&root) && detail.contains("Read-only file system"), "{detail}");

    let sysctl = c.path("sysctl");
    fs::write(&sysctl, "0\n").unwrap();
    let checks = worse(&c, &format!("mount --bind {sysctl} /proc/sys/user/max_user_namespaces"));
    // Root can do without.
    assert_eq!(status(&checks, "userns"), "optional");
    assert_eq!(find(&checks, "userns")["detail"], "user.max_user_namespaces is 0");
}

#[test]
fn what_only_some_containers_need_is_optional() {
    if !hilum_only("its own command") {
        return;
    }
    let c = Container::new(&["true"]);
    let hide = "for d in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do \
                [ ! -e $d/criu ] || mount --bind /dev/null $d/criu || exit 99; done";
    let without = |cni: &str| worse(&c, &format!("{hide}; export CNI_PATH={cni}"));
    let checks = without("/nonexistent");
    assert_eq!((status(&checks, "criu"), status(&checks, "cni")), ("optional", "optional"));
    assert!(find(&checks, "criu")["advice"].as_str().unwrap().contains("3.16"), "{checks:#?}");
    assert!(find(&checks, "cni")["detail"].as_str().unwrap().contains("/nonexistent"), "{checks:#?}");
    let checks = without("/usr");
    assert_eq!((status(&checks, "cni"), &find(&checks, "cni")["detail"]), ("ok", &json!("/usr")));
}

#[test]
fn in_a_container_the_system_calls_that_a_filter_hides_are_missing() {
    if !hilum_only("its own command") {
        return;
    }
    let rule = |name: &str, errno: u32| json!({ "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [rule("clone3", 38), rule("openat2", 1), rule("keyctl", 1)],
    });
    let mut c = Container::new(&["/bin/hilum", "check", "-f", "json"]).set("linux/seccomp", filter);
    fs::copy(program(), c.rootfs().join("bin/hilum")).unwrap();
    let checks = document(&c.run());
    for name in ["clone3", "openat2", "keyrings", "privileges"] {
        assert_eq!(status(&checks, name), "missing", "{checks:#?}");
    }
    assert_eq!((status(&checks, "proc"), status(&checks, "close_range")), ("ok", "ok"));
    c.config["linux"]["seccomp"] = json!(null);
    let checks = document(&c.run());
    assert_eq!((status(&checks, "clone3"), status(&checks, "openat2")), ("ok", "ok"));
    assert_eq!(status(&checks, "privileges"), "missing");
    c.finish();
}

#[test]
fn a_user_is_told_of_ranges_and_who_maps_them() {
    if !rootless::can_be_tested() {
        return;
    }
    let r = rootless::single_id(Container::new(&["true"]));
    let checks = document(&r.call(&["check", "-f", "json"]));
    for (name, expected) in [("subuid", "300000-365535 in /etc/subuid"), ("subgid", "300000-365535 in /etc/subgid")] {
        assert_eq!(find(&checks, name)["detail"], expected);
    }
    for name in ["newuidmap", "newgidmap", "controllers"] {
        find(&checks, name);
    }
    assert_eq!((status(&checks, "privileges"), status(&checks, "devices")), ("ok", "optional"));
    // Nobody has made the directory for state, and nothing else.
    assert!(
        status(&checks, "state") == "ok" && find(&checks, "state")["detail"].as_str().unwrap().contains("xdg/hilum")
    );
    assert_eq!(fs::read_dir(r.c.path("xdg")).unwrap().count(), 0);

    fs::write(r.c.path("subuid"), "").unwrap();
    let checks = document(&r.call(&["check", "-f", "json"]));
    assert_eq!((status(&checks, "subuid"), status(&checks, "subgid")), ("optional", "ok"));
    let checks = document(&r.call(&["--root", "/etc/hilum", "check", "-f", "json"]));
    assert_eq!(status(&checks, "state"), "missing");
}

#[test]
fn nothing_is_made() {
    if !hilum_only("its own command") {
        return;
    }
    let c = Container::new(&["true"]);
    let cgroups = || {
        let out = Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", "*hilum*"]).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let before = cgroups();
    let script = "mount -t tmpfs none /run && \"$@\" >/dev/null && ls -A /run && cat /proc/self/mounts | wc -l && \
                  \"$@\" >/dev/null && cat /proc/self/mounts | wc -l";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).arg(program()).arg("check");
    let out = c.finish_call(command, Stdio::null()).ok();
    let lines = out.lines();
    assert!(lines.len() == 2 && lines[0] == lines[1], "in /run, and the number of mounts: {out:?}");
    check(&c);
    assert!(!c.root().exists(), "the state directory was made");
    assert_eq!(cgroups(), before);
}
