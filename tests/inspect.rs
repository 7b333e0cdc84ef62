//! The commands that show or write and touch no container: list, spec, features.

use crate::common::*;
use std::fs;
use std::process::Stdio;

#[test]
fn an_empty_list_is_a_header_or_null() {
    let c = Container::new(&["true"]);
    fs::create_dir(c.root()).unwrap();
    let table = c.call(&["list"]).ok();
    let words: Vec<&str> = table.stdout.split_whitespace().collect();
    assert_eq!(words, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!(c.call(&["list", "--format", "json"]).ok().stdout.trim(), "null");
    assert_eq!(c.call(&["list", "-q"]).ok().stdout, "");
}

#[test]
fn list_shows_each_container_as_table_json_and_ids() {
    let c = Container::sleeper();
    c.create();
    let table = c.call(&["list"]).ok();
    let row: Vec<&str> = table.lines()[1].split_whitespace().collect();
    let pid = c.pid();
    assert_eq!(row[..3], [&c.id, &pid.to_string(), "created"]);
    assert_eq!((row[3], row[5]), (c.bundle().to_str().unwrap(), "root"));

    let list: Value = serde_json::from_str(&c.call(&["list", "-f=json"]).ok().stdout).unwrap();
    let entry = &list.as_array().unwrap()[0];
    assert_eq!((&entry["id"], &entry["pid"], &entry["status"]), (&json!(c.id), &json!(pid), &json!("created")));
    assert_eq!((&entry["owner"], &entry["bundle"]), (&json!("root"), &json!(c.bundle())));
    assert!(entry["created"].is_string() && entry["rootfs"].is_string() && entry["ociVersion"].is_string());
    assert_eq!(c.call(&["list", "--quiet"]).ok().stdout.trim(), c.id);
    c.finish();
}

#[test]
fn list_reports_a_broken_entry_and_goes_on() {
    let c = Container::sleeper();
    c.create();
    let broken = c.root().join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("state.json"), "{").unwrap();
    let out = c.call(&["list", "-q"]).ok();
    assert_eq!(out.stdout.trim(), c.id);
    assert!(out.stderr.contains("broken"), "{out:?}");
    c.finish();
}

/// More than one thread may look at them, or none could be started.
#[test]
fn list_shows_each_of_many_once_and_in_order() {
    if !hilum_only("its state directory") {
        return;
    }
    let c = Container::sleeper();
    c.create();
    let state = fs::read_to_string(c.root().join(&c.id).join("state.json")).unwrap();
    let ids: Vec<String> = (0..700).map(|i| format!("{}-{i:03}", c.id)).collect();
    for id in &ids {
        fs::create_dir(c.root().join(id)).unwrap();
        let own = state.replacen(&format!("\"id\":\"{}\"", c.id), &format!("\"id\":\"{id}\""), 1);
        fs::write(c.root().join(id).join("state.json"), own).unwrap();
    }
    fs::write(c.root().join(&ids[500]).join("state.json"), "{").unwrap();
    let all: Vec<&str> = std::iter::once(&c.id).chain(&ids).filter(|id| **id != ids[500]).map(String::as_str).collect();
    let seen = |out: Out| {
        assert!(out.stderr.contains(&format!("load container {}: ", ids[500])), "{}", out.stderr);
        assert_eq!(out.lines(), all);
    };
    seen(c.call(&["list", "-q"]).ok());
    let pid = c.pid().to_string();
    let table = c.call(&["list"]).ok();
    let rows = table.lines().into_iter().skip(1).map(|row| row.split_whitespace().take(3).collect::<Vec<_>>());
    assert!(rows.eq(all.iter().map(|id| vec![*id, &pid, "created"])), "{table:?}");
    if has_strace() {
        let prefix =
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=clone,clone3:error=EAGAIN"].map(String::from);
        seen(c.finish_call(c.command_behind(&prefix, &["list", "-q"]), Stdio::null()).ok());
    }
    for id in &ids {
        fs::remove_dir_all(c.root().join(id)).unwrap();
    }
    c.finish();
}

#[test]
fn spec_writes_a_config_that_runs() {
    let mut c = Container::new(&["true"]);
    c.call(&["spec"]).ok();
    let path = c.bundle().join("config.json");
    c.config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let process = &c.config["process"];
    assert_eq!((&process["args"], &process["terminal"]), (&json!(["sh"]), &json!(true)));
    assert_eq!((&process["noNewPrivileges"], &process["cwd"]), (&json!(true), &json!("/")));
    let mut caps: Vec<&str> =
        process["capabilities"]["bounding"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
    caps.sort();
    assert_eq!(caps, ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    for empty in ["inheritable", "ambient"] {
        let set = &process["capabilities"][empty];
        if is_hilum() || empty == "inheritable" {
            assert!(set.is_null() || set == &json!([]), "{empty}: {set}");
        }
    }
    assert_eq!(process["rlimits"], json!([{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }]));
    assert_eq!(c.config["root"], json!({ "path": "rootfs", "readonly": true }));
    let mounts: Vec<&str> =
        c.config["mounts"].as_array().unwrap().iter().flat_map(|m| m["destination"].as_str()).collect();
    assert_eq!(mounts, ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"]);
    assert_eq!(c.config["linux"]["resources"]["devices"], json!([{ "allow": false, "access": "rwm" }]));
    let c = c.set("process/terminal", json!(false)).set("process/args", json!(["echo", "hello"]));
    assert_eq!(c.run().ok().stdout, "hello\n");
    c.finish();
}

#[test]
fn spec_never_overwrites() {
    let c = Container::new(&["true"]);
    fs::write(c.bundle().join("config.json"), "mine").unwrap();
    c.call(&["spec"]).fails("File config.json exists. Remove it first");
    assert_eq!(fs::read_to_string(c.bundle().join("config.json")).unwrap(), "mine");
}

#[test]
fn spec_writes_into_the_bundle_that_it_is_given() {
    let c = Container::new(&["true"]);
    fs::create_dir(c.path("other")).unwrap();
    c.call(&["spec", "--bundle", &c.path("other")]).ok();
    assert!(c.dir().join("other/config.json").exists() && !c.bundle().join("config.json").exists());
}

#[test]
fn spec_rootless_has_a_user_namespace_and_no_network_namespace() {
    let c = Container::new(&["true"]);
    c.call(&["spec", "--rootless"]).ok();
    let config: Value = serde_json::from_slice(&fs::read(c.bundle().join("config.json")).unwrap()).unwrap();
    let kinds: Vec<&str> =
        config["linux"]["namespaces"].as_array().unwrap().iter().flat_map(|n| n["type"].as_str()).collect();
    assert!(kinds.contains(&"user") && !kinds.contains(&"network"), "{kinds:?}");
    for map in ["uidMappings", "gidMappings"] {
        assert_eq!(config["linux"][map], json!([{ "containerID": 0, "hostID": 0, "size": 1 }]));
    }
    assert!(config["linux"]["resources"].is_null(), "{}", config["linux"]["resources"]);
    let sys = config["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == "/sys").unwrap();
    assert_eq!((&sys["type"], &sys["source"]), (&json!("none"), &json!("/sys")));
    assert!(sys["options"].as_array().unwrap().contains(&json!("ro")));
}

#[test]
fn features_has_the_shape_of_the_runtime_spec() {
    let c = Container::new(&["true"]);
    let features: Value = serde_json::from_str(&c.call(&["features"]).ok().stdout).unwrap();
    let has = |pointer: &str, item: &str| {
        let list =
            features.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("{pointer}: {features}"));
        assert!(list.contains(&json!(item)), "{pointer} lacks {item}");
    };
    assert_eq!(features["ociVersionMin"], "1.0.0");
    for hook in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        has("/hooks", hook);
    }
    for option in ["bind", "rbind", "ro", "rro", "nosuid", "rprivate", "rslave", "strictatime"] {
        has("/mountOptions", option);
    }
    for kind in ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"] {
        has("/linux/namespaces", kind);
    }
    has("/linux/capabilities", "CAP_SYS_ADMIN");
    has("/linux/seccomp/actions", "SCMP_ACT_ERRNO");
    has("/linux/seccomp/operators", "SCMP_CMP_MASKED_EQ");
    has("/linux/seccomp/archs", "SCMP_ARCH_X86_64");
    assert_eq!(features["linux"]["cgroup"]["v1"], true);
    assert_eq!(features["linux"]["cgroup"]["v2"], true);
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    assert!(
        features["linux"]["apparmor"]["enabled"].is_boolean() && features["linux"]["selinux"]["enabled"].is_boolean()
    );
    if hilum_only("the oracle knows runtime-spec 1.0 only") {
        assert_eq!(features["ociVersionMax"], "1.3.0");
        has("/linux/namespaces", "time");
        assert!(features["linux"]["mountExtensions"]["idmap"]["enabled"].is_boolean());
        assert!(features["linux"]["intelRdt"]["enabled"].is_boolean());
        let unsafe_ones = json!(["org.hilum.join", "org.hilum.pod", "org.systemd.property."]);
        assert_eq!(features["potentiallyUnsafeConfigAnnotations"], unsafe_ones);
    }
}
