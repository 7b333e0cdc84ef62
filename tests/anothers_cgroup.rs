//! Cgroups that several want: what is removed, signalled and shown is one's own, whoever has the path by now.

use crate::common::*;
use std::fs;
use std::path::PathBuf;

/// A cgroup at the root of a hierarchy that every host has.
fn top(host: Host, name: &str) -> PathBuf {
    host.hierarchy(if host == Host::V2 { "" } else { "memory" }).join(name)
}

#[test]
fn delete_spares_who_has_the_cgroup_by_now() {
    if !hilum_only("the oracle cannot remove what others are in, and fails") {
        return;
    }
    for host in Host::all() {
        let new = Container::sleeper().on(host);
        let path = json!(format!("/{}", new.id));
        let new = new.set("linux/cgroupsPath", path.clone());
        let old = Container::new(&["true"]).on(host).set("linux/cgroupsPath", path);
        old.create().start().wait("stopped");
        new.up();
        old.call(&["delete", &old.id]).ok();
        assert_eq!(new.status(), "running", "{host:?}");
        old.finish();
        new.finish();
    }
}

/// Empty by the time that this is dropped.
struct Made([PathBuf; 2]);

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            _ = fs::remove_dir(path);
        }
    }
}

#[test]
fn where_one_hierarchy_refuses_the_others_stay_as_they_are() {
    if !hilum_only("the oracle uses an empty cgroup as it is") || Host::plain() == Host::V2 {
        return;
    }
    let c = Container::sleeper();
    let path = json!(format!("/{}", c.id));
    let c = c.set("linux/cgroupsPath", path);
    let made = Made(["cpu", "pids"].map(|name| Host::plain().hierarchy(name).join(&c.id)));
    made.0.iter().for_each(|path| fs::create_dir(path).unwrap());
    let [empty, used] = &made.0;
    fs::write(empty.join("cpu.shares"), "512").unwrap();
    let process = Helper::start(&["sleep", "1000"], "sleep");
    fs::write(used.join("cgroup.procs"), process.pid().to_string()).unwrap();
    c.create_with(&[]).fails("container's cgroup is not empty");
    assert_eq!(read(&empty.join("cpu.shares")).trim(), "512");
    drop(process);
    drop(made);
    c.left_nothing();
}

#[test]
fn limits_of_before_are_gone() {
    if !hilum_only("the oracle uses an empty cgroup as it is") {
        return;
    }
    let c = Container::sleeper();
    let path = json!(format!("/{}", c.id));
    let c = c.set("linux/cgroupsPath", path);
    let dir = Host::plain().hierarchy("pids").join(&c.id);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("pids.max"), "7").unwrap();
    c.up();
    assert_ne!(read(&dir.join("pids.max")).trim(), "7");
    c.finish();
}

#[test]
fn the_cgroup_of_a_pod_is_nobody_elses() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&["--share", "net"]);
    let inside = Container::sleeper().in_pod(&pod);
    inside.up();
    let mut other = Pod::new();
    other.name.clone_from(&pod.name);
    let belongs = format!("is that of the pod in {}", pod.path().display());
    other.create(&["--share", "net", "--memory", "64m"]).fails(&belongs);
    assert!(!other.path().exists());
    drop(other);
    let c = Container::sleeper().set("linux/cgroupsPath", json!(format!("/hilum-pods/{}", pod.name)));
    c.create_with(&[]).fails(&belongs);
    assert_eq!(inside.status(), "running");
    assert!(pod.cgroup("").exists());
    inside.finish();
    pod.finish();
}

/// The name is free again when the directory of the pod is gone, whatever happened to it.
#[test]
fn a_cgroup_of_a_pod_that_is_gone_can_be_had() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&["--share", "net"]);
    let net = pod.path().join("ns/net");
    assert!(std::process::Command::new("umount").arg(&net).status().unwrap().success());
    fs::remove_dir_all(pod.path()).unwrap();
    let mut other = Pod::new();
    other.name.clone_from(&pod.name);
    other.create(&["--share", "net"]).ok();
    other.finish();
}

#[test]
fn what_is_below_a_cgroup_of_others_stays() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::new();
    let dir = top(Host::plain(), &pod.name);
    fs::create_dir_all(dir.join("below")).unwrap();
    let inside = Helper::start(&["sleep", "1000"], "sleep");
    fs::write(dir.join("cgroup.procs"), inside.pid().to_string()).unwrap();
    pod.create(&["--share", "net", "--cgroup", &format!("/{}", pod.name)]).fails("not empty");
    assert!(dir.join("below").exists());
    assert!(!pod.path().exists());

    // Nor does the removal of a container whose creation was killed before it knew which one is its own.
    let c = Container::sleeper();
    c.create();
    let file = c.root().join(&c.id).join("state.json");
    let whole = read(&file);
    let mut state: Value = serde_json::from_str(&whole).unwrap();
    for directory in state["cgroup"]["directories"].as_array_mut().unwrap() {
        directory["path"] = json!(format!("{}/{}", directory["mount"].as_str().unwrap(), pod.name));
        directory["inode"] = Value::Null;
    }
    let half = c.root().join("half");
    fs::create_dir(&half).unwrap();
    state["id"] = json!("half");
    state["process"] = Value::Null;
    fs::write(half.join("state.json"), state.to_string()).unwrap();
    c.call(&["delete", "--force", "half"]).ok();
    assert!(!half.exists() && dir.join("below").exists());
    c.finish();

    drop(inside);
    fs::remove_dir(dir.join("below")).unwrap();
    eventually("an empty cgroup", || fs::remove_dir(&dir).is_ok());
}

/// The number of an inode is not used twice: what has another one is another's.
#[test]
fn a_cgroup_in_the_place_of_the_reapers_is_not_shown() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&["--share", "pid"]);
    let processes = || pod.json("ps", &[]).as_array().unwrap().len();
    assert_eq!(processes(), 1);
    let mut document = pod.document();
    for directory in document["reaper"]["cgroup"]["directories"].as_array_mut().unwrap() {
        directory["inode"] = json!(directory["inode"].as_u64().unwrap() + 1_000_000);
    }
    fs::write(pod.path().join("pod.json"), document.to_string()).unwrap();
    assert_eq!(processes(), 0);
    pod.finish();
}

/// Whatever somebody has mounted somewhere: names of files are bytes.
#[test]
fn a_mount_whose_name_is_no_text_is_no_obstacle() {
    let c = Container::sh("echo here");
    let dir = c.path("odd");
    let script = "d=$(printf '%s\\377' \"$0\"); mkdir \"$d\" && mount -t tmpfs odd \"$d\" && exec \"$@\"";
    c.write_config();
    let prefix = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, &dir].map(String::from);
    let out = c.finish_call(c.command_behind(&prefix, &["run", &c.id]), std::process::Stdio::null()).ok();
    assert_eq!(out.stdout, "here\n");
    c.finish();
}
