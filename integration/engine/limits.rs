//! Cgroups: limits, their change, and what the engines show of them.

use super::Engine;
use crate::common::*;
use std::process::Command;

pub fn limits(e: &'static Engine) {
    let c = e.sleeper("--memory 64m --cpus 0.5 --pids-limit 50 --cpuset-cpus 0");
    let pid = c.pid();
    let limits = Limits(pid);
    assert_eq!(limits.memory(), "67108864");
    assert_eq!(limits.cpu(), "50000 100000");
    assert_eq!(limits.pids(), "50");
    assert_eq!(status_of(pid, "Cpus_allowed_list"), "0");
    // The tree is the container's alone.
    assert!(cgroup_of(pid, if Host::plain() == Host::V2 { "" } else { "memory" }).contains(&c.id));
}

pub fn pids_limit_holds(e: &'static Engine) {
    let out = e.run("--pids-limit 3", &["sh", "-c", "for i in 1 2 3 4 5 6; do sleep 100 & done"]);
    assert!(out.code != 0 && out.stderr.contains("can't fork"), "{out:?}");
}

pub fn out_of_memory(e: &'static Engine) {
    // The shim watches for this from the moment that start has returned, and reads it from the cgroup, which systemd
    // removes when it is empty: not at once, then.
    let script = format!("{0}; tail /dev/zero; code=$?; {0}; exit $code", a_moment());
    let c = e.sh_detached("--memory 16m --memory-swap 16m", &script);
    assert_eq!(c.wait(), 137);
    eventually("OOMKilled", || c.inspect("{{.State.OOMKilled}}") == "true");
}

pub fn update(e: &'static Engine) {
    let c = e.sleeper("--memory 64m --memory-swap 64m --pids-limit 50");
    let limits = Limits(c.pid());
    c.ok(&["update", "--memory", "128m", "--memory-swap", "128m", "--cpus", "0.25"]);
    assert_eq!(limits.memory(), "134217728");
    assert_eq!(limits.cpu(), "25000 100000");
    // What was not named stays.
    assert_eq!(limits.pids(), "50");
}

pub fn pause_and_resume(e: &'static Engine) {
    let c = e.sh_detached("", "while :; do date +%s%N >/tmp/now; sleep 0.05; done");
    let pid = c.pid();
    let now = proc(pid, "root/tmp/now");
    eventually("it works", || !read(&now).is_empty());
    c.ok(&["pause"]);
    assert!(Limits(pid).frozen());
    assert_eq!(c.status(), "paused");
    let before = read(&now);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(read(&now), before, "it goes on while paused");
    assert_ne!(c.exec("", &["true"]).code, 0, "exec into a paused container");
    c.ok(&["unpause"]);
    assert!(!Limits(pid).frozen());
    eventually("it goes on", || read(&now) != before);
}

pub fn stats(e: &'static Engine) {
    let c = e.sh_detached("--memory 64m --pids-limit 50", "while :; do :; done");
    let pid = c.pid();
    assert_eq!(Limits(pid).pids(), "50");
    let said = c.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}}|{{.PIDs}}|{{.CPUPerc}}"]);
    let columns: Vec<&str> = said.split('|').collect();
    assert!(columns[0].contains("64MiB") || columns[0].contains("67.11MB"), "{said}");
    assert!(!columns[0].starts_with("0B"), "{said}");
    assert_eq!(columns[1], "1", "{said}");
}

pub fn top(e: &'static Engine) {
    let c = e.sh_detached("", "sleep 998 & exec sleep 997");
    c.pid();
    eventually("two processes", || {
        let said = c.ok(&["top"]);
        said.lines().count() == 3 && said.contains("sleep 998") && said.contains("sleep 997")
    });
}

pub fn cgroup_parent(e: &'static Engine) {
    let parent = parent("given");
    let c = e.sleeper(&format!("--cgroup-parent {parent}"));
    let cgroup = cgroup_of(c.pid(), if Host::plain() == Host::V2 { "" } else { "memory" });
    assert!(cgroup.contains(&parent) && cgroup.contains(&c.id), "{cgroup}");
}

/// The cgroup is the one of a unit that systemd has made as it was asked to, and that ends with the container.
pub fn systemd_has_the_unit(e: &'static Engine) {
    if !systemd() {
        skip("there is no systemd here that makes cgroups");
        return;
    }
    let c = e.sleeper("--memory 64m --pids-limit 50");
    let cgroup = cgroup_of(c.pid(), "");
    let unit = cgroup.rsplit('/').next().unwrap();
    assert!(unit.contains(&c.id) && unit.ends_with(".scope"), "{cgroup}");
    let show = |property: &str| {
        run(Command::new("systemctl").args(["show", "--value", "--property", property, unit]))
            .ok()
            .stdout
            .trim()
            .to_owned()
    };
    assert_eq!((show("ActiveState").as_str(), show("ControlGroup")), ("active", cgroup.clone()));
    let parent = parent(if e.is_docker() { "docker" } else { "podman" });
    assert_eq!((show("Slice"), show("Delegate")), (parent, "yes".to_owned()));
    assert_eq!((show("MemoryMax"), show("TasksMax")), ("67108864".to_owned(), "50".to_owned()));
    c.ok(&["kill"]);
    c.wait();
    eventually("the unit's end", || show("ActiveState") == "inactive");
}

/// The name of a parent cgroup of this run, in the way of the host's driver.
pub fn parent(name: &str) -> String {
    // systemd nests slices by the dashes in their names: this one is a child of the root.
    let unique = unique().replace('-', "_");
    if systemd() { format!("{unique}_{name}.slice") } else { format!("/{unique}/{name}") }
}
