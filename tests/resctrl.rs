//! linux.intelRdt. Few machines have resctrl: a hierarchy of cgroups of version 1 stands in, which makes the file `tasks`
//! of a directory and takes it away as resctrl does, or a plain directory. The list of mounts says that it is resctrl.

use crate::common::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A call of the runtime, for which `root` is the file system.
fn call(c: &Container, root: &Path, args: &[&str]) -> Out {
    c.write_config();
    let line = format!("1 1 0:1 / {} rw - resctrl resctrl rw\n", root.display());
    fs::write(c.path("mountinfo"), read(Path::new("/proc/self/mountinfo")) + &line).unwrap();
    let script = "mount --bind \"$0\" /proc/$$/mountinfo && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, &c.path("mountinfo")]).arg(program());
    command.arg("--root").arg(c.root()).args(args).current_dir(c.bundle());
    c.finish_call(command, Stdio::null())
}

/// A hierarchy of cgroups without a controller, and the name by which /proc/PID/cgroup has it.
fn hierarchy(c: &Container) -> Option<(Hierarchy, String)> {
    let name = format!("name={}", c.id);
    Some((Hierarchy::new(&format!("none,{name}"), Some(&c.path("resctrl")))?, name))
}

fn directories(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap().flatten().filter(|entry| entry.file_type().unwrap().is_dir());
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn can_be_tested() -> bool {
    hilum_only("the oracle looks at the processor as well")
}

#[test]
fn the_processes_are_in_a_class_of_their_own_until_delete() {
    let c = Container::sleeper().set("linux/intelRdt", json!({})).with(|config| {
        // In which the class would be the root that one sees.
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "cgroup");
    });
    let Some((_hierarchy, name)) = hierarchy(&c).filter(|_| can_be_tested()) else { return };
    let root = &PathBuf::from(c.path("resctrl"));
    call(&c, root, &["create", &c.id]).ok();
    let class = format!("/{}", c.id);
    assert_eq!(cgroup_of(c.pid(), &name), class);
    c.start();
    // Of the runtime's own class it would be otherwise.
    let out = c.call(&["exec", &c.id, "grep", &name, "/proc/self/cgroup"]).ok();
    assert!(out.stdout.trim().ends_with(&class), "{out:?}");
    c.kill("KILL").ok();
    c.wait("stopped");
    c.call(&["delete", &c.id]).ok();
    assert_eq!(directories(root), [""; 0]);
}

#[test]
fn a_class_that_was_there_is_joined_and_stays() {
    let c = Container::sleeper().set("linux/intelRdt", json!({ "closID": "gold" }));
    let Some((_hierarchy, name)) = hierarchy(&c).filter(|_| can_be_tested()) else { return };
    let root = &PathBuf::from(c.path("resctrl"));
    call(&c, root, &["create", &c.id]).fails("linux.intelRdt.closID: there is no class");
    fs::create_dir(root.join("gold")).unwrap();
    call(&c, root, &["create", &c.id]).ok();
    assert_eq!(cgroup_of(c.pid(), &name), "/gold");
    c.call(&["delete", "--force", &c.id]).ok();
    assert_eq!(directories(root), ["gold"]);
    eventually("an empty class", || fs::remove_dir(root.join("gold")).is_ok());
}

#[test]
fn a_creation_that_fails_or_is_killed_leaves_no_class() {
    let hook = |script: &str| json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script] }] });
    let mut c = Container::sleeper().set("linux/intelRdt", json!({})).set("hooks", hook("exit 7"));
    let Some((_hierarchy, _)) = hierarchy(&c).filter(|_| can_be_tested()) else { return };
    let root = &PathBuf::from(c.path("resctrl"));
    call(&c, root, &["create", &c.id]).fails("hook");
    assert_eq!(directories(root), [""; 0]);

    // With a process, for delete; without one yet, for gc. (The same variable: its directory goes after what is mounted there.)
    c = c.set("hooks", hook("kill -9 $PPID"));
    for remove in [&["delete", "--force", &c.id][..], &["gc"]] {
        assert_eq!(call(&c, root, &["create", &c.id]).code, 137);
        assert_eq!(directories(root), [c.id.as_str()]);
        if remove == ["gc"] {
            let file = c.root().join(&c.id).join("state.json");
            let mut state: Value = serde_json::from_str(&read(&file)).unwrap();
            state["process"] = json!(null);
            eventually("its process ends", || read(&root.join(&c.id).join("tasks")).is_empty());
            fs::write(&file, state.to_string()).unwrap();
        }
        c.call(remove).ok();
        assert_eq!(directories(root), [""; 0], "{remove:?}");
    }
}

#[test]
fn schemata_and_monitoring_are_what_the_config_says() {
    if !can_be_tested() {
        return;
    }
    let rdt = json!({ "closID": "gold", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "schemata": ["L3:0=ff"] });
    let c = Container::sleeper().set("linux/intelRdt", rdt);
    let root = PathBuf::from(c.path("resctrl"));
    fs::create_dir_all(root.join("info/L3_MON")).unwrap();
    fs::write(root.join("schemata"), "    MB:0=100\n    L3:0=fffff\n").unwrap();
    let plan: Value = serde_json::from_str(&call(&c, &root, &["plan", "--format", "json", &c.id]).ok().stdout).unwrap();
    assert_eq!(plan["resctrl"].as_array().unwrap().len(), 5, "{plan}");
    assert_eq!(directories(&root), ["info"]);
    call(&c, &root, &["create", &c.id]).ok();
    let class = root.join("gold");
    assert_eq!(read(&class.join("schemata")), "L3:0=f\nMB:0=20\nL3:0=ff\n");
    assert_eq!(read(&class.join("tasks")), c.pid().to_string());

    // A second one, which has to ask for the same, and is counted for itself.
    let rdt = json!({ "closID": "gold", "schemata": ["L3:0=f"], "enableMonitoring": true });
    let other = Container::sleeper().set("linux/intelRdt", rdt);
    call(&other, &root, &["create", &other.id]).fails("linux.intelRdt.schemata[0]: the class");
    let other = other.set("linux/intelRdt/schemata", json!(["L3:0=ff"]));
    fs::create_dir(class.join("mon_groups")).unwrap();
    call(&other, &root, &["create", &other.id]).ok();
    let monitor = class.join("mon_groups").join(&other.id);
    assert_eq!(read(&monitor.join("tasks")), other.pid().to_string());
    // The kernel takes these away with their directory.
    fs::remove_file(monitor.join("tasks")).unwrap();
    other.finish();
    assert!(!monitor.exists() && class.exists());
    fs::remove_dir(class.join("mon_groups")).unwrap();
    fs::remove_file(class.join("tasks")).unwrap();
    fs::remove_file(class.join("schemata")).unwrap();
    c.call(&["delete", "--force", &c.id]).ok();
    assert!(!class.exists());
    c.finish();
}

#[test]
fn without_the_file_system_it_is_refused() {
    let c = Container::sleeper().set("linux/intelRdt", json!({ "l3CacheSchema": "L3:0=f" }));
    if read(Path::new("/proc/self/mountinfo")).contains(" - resctrl ") || !can_be_tested() {
        skip("there is a resctrl");
        return;
    }
    c.create_with(&[]).fails("linux.intelRdt: no resctrl file system is mounted");
    c.left_nothing();
}
