//! What is so of a container, by the kernel's own word, and what is left of it.

use crate::common::*;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

pub fn has_state(c: &Container) -> bool {
    c.root().join(&c.id).join("state.json").exists()
}

pub fn remove(c: &Container) {
    let gone = c.call(&["delete", "--force", &c.id]);
    assert_eq!((gone.code, gone.stderr.as_str()), (0, ""), "delete --force");
}

pub fn sweep(c: &Container) -> Vec<String> {
    let mut left = leftovers(&c.id, c.dir(), &c.root());
    let named = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = ["/tmp", "/dev/shm", "/run", "/run/hilum"].into_iter().flat_map(named);
    left.extend(named.filter(|path| path.to_string_lossy().contains(&c.id)).map(|path| format!("{}", path.display())));
    let own = named_files(&c.root());
    left.extend(own.into_iter().map(|name| format!("{name} in the state directory")));
    left
}

fn named_files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn processes(c: &Container) -> Vec<u32> {
    let procs = cgroups_named(&c.id).into_iter().map(|dir| read(&dir.join("cgroup.procs")));
    let mut pids: Vec<u32> = procs.flat_map(|text| text.lines().flat_map(str::parse).collect::<Vec<_>>()).collect();
    pids.sort();
    pids.dedup();
    pids
}

/// Frozen, or about to be, by the kernel's own word.
pub fn is_frozen(cgroup: &Path) -> bool {
    ["cgroup.freeze", "freezer.self_freezing"].iter().any(|file| read(&cgroup.join(file)).trim() == "1")
}

fn runs_init_program(pid: u32) -> bool {
    fs::read_link(proc(pid, "exe")).is_ok_and(|path| path.to_string_lossy().contains("memfd:hilum-init"))
}

/// What `state` says is what is so, or will be in a moment: who has lost the runtime sees it then, and ends by itself. The
/// status; None, if there is no container.
pub fn agrees(c: &Container) -> Option<String> {
    let deadline = deadline_in(5);
    loop {
        let out = c.call(&["state", &c.id]);
        if out.code != 0 {
            assert!(out.stderr.contains("container does not exist"), "state: {}", out.stderr);
            return None;
        }
        let state: Value = serde_json::from_str(&out.stdout).unwrap();
        let (status, pid) = (state["status"].as_str().unwrap(), state["pid"].as_u64().unwrap() as u32);
        let (inside, frozen) = (processes(c), cgroups_named(&c.id).iter().any(|dir| is_frozen(dir)));
        let unready: Vec<_> = inside.iter().filter(|pid| runs_init_program(**pid)).collect();
        let alive = pid != 0 && !has_ended(pid) && inside.contains(&pid);
        let so = match status {
            "creating" | "stopped" => inside.is_empty(),
            "created" => alive && !frozen && unready == [&pid],
            "running" => alive && !frozen && unready.is_empty(),
            "paused" => alive && frozen,
            _ => false,
        };
        if so {
            return Some(status.to_owned());
        }
        assert!(
            Instant::now() < deadline,
            "status {status}, pid {pid} alive {alive}, frozen {frozen}, in the cgroup {inside:?}, the init program {unready:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the kernel says of a container that runs: equal for two of the same config.json.
pub fn appearance(c: &Container) -> String {
    let pid = c.pid();
    let mounts = mounts_of(pid).into_iter().map(|mount| format!("{:?}\n", Mount { tags: String::new(), ..mount }));
    let names = ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"];
    let status = names.into_iter().map(|name| format!("{name} {}\n", status_of(pid, name)));
    let shared =
        KINDS.iter().filter(|(_, kind)| ns(pid, kind) == own_ns(kind)).map(|(kind, _)| format!("host's {kind}\n"));
    let cgroups = read(&proc(pid, "cgroup"));
    let cgroups = lasting(&cgroups).join("\n");
    let devices = cgroups_named(&c.id).into_iter().map(|dir| read(&dir.join("devices.list")));
    let mut nodes = named_files(&proc(pid, "root/dev"));
    nodes.sort();
    let limits = read(&proc(pid, "limits"));
    let texts = mounts.chain(status).chain(shared).chain(devices).collect::<String>();
    format!("{texts}{limits}{cgroups}\n{}", nodes.join(" "))
}
