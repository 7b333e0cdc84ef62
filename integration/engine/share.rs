//! Namespaces that a container shares: with the host, with another container, with none.

use super::{Engine, Kind};
use crate::common::*;

fn interfaces(e: &'static Engine, flags: &str) -> Vec<String> {
    e.sh(flags, "ls /sys/class/net").split_whitespace().map(str::to_owned).collect()
}

pub fn network_none(e: &'static Engine) {
    assert_eq!(interfaces(e, "--network none"), ["lo"]);
}

pub fn network_host(e: &'static Engine) {
    let c = e.sleeper("--network host");
    assert_eq!(ns(c.pid(), "net"), own_ns("net"));
    assert_ne!(ns(c.pid(), "mnt"), own_ns("mnt"));
}

/// Two containers, each with an address of its own, reach each other.
pub fn network_bridge(e: &'static Engine) {
    let server = e.sh_detached("", "mkdir /www; echo page >/www/index.html; exec httpd -f -p 80 -h /www");
    assert_ne!(ns(server.pid(), "net"), own_ns("net"));
    let address = server.exec("", &["sh", "-c", "ip -4 -o addr show eth0"]).ok().stdout;
    let address = address.split("inet ").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
    let page = e.sh("", &format!("wget -q -O - http://{address}/"));
    assert_eq!(page, "page");
}

pub fn network_of_another(e: &'static Engine) {
    let server = e
        .sh_detached("--network none", "mkdir /www; echo page >/www/index.html; exec httpd -f -p 127.0.0.1:80 -h /www");
    let client = e.sleeper(&format!("--network container:{}", server.id));
    assert_eq!(ns(server.pid(), "net"), ns(client.pid(), "net"));
    assert_ne!(ns(server.pid(), "ipc"), ns(client.pid(), "ipc"));
    eventually("a page over localhost", || {
        client.exec("", &["wget", "-q", "-O", "-", "http://127.0.0.1/"]).stdout == "page\n"
    });
}

pub fn ipc(e: &'static Engine) {
    if e.kind != Kind::Rootless || std::path::Path::new("/dev/mqueue").exists() {
        let host = e.sleeper("--ipc host");
        assert_eq!(ns(host.pid(), "ipc"), own_ns("ipc"));
    } else {
        skip("--ipc host: podman binds /dev/mqueue of the host, which has none");
    }
    let owner = e.sleeper("--ipc shareable");
    let other = e.sleeper(&format!("--ipc container:{}", owner.id));
    assert_eq!(ns(owner.pid(), "ipc"), ns(other.pid(), "ipc"));
    assert_ne!(ns(owner.pid(), "ipc"), own_ns("ipc"));
    owner.exec("", &["ipcmk", "--shmem", "4096"]).ok();
    let seen = other.exec("", &["ipcs", "-m"]).ok().stdout;
    assert!(seen.contains("4096"), "{seen}");
    // POSIX shared memory is a directory, which goes with it.
    owner.exec("", &["sh", "-c", "echo shm >/dev/shm/name"]).ok();
    assert_eq!(other.exec("", &["cat", "/dev/shm/name"]).ok().stdout, "shm\n");
    let private = e.sleeper("--ipc private");
    assert!(![own_ns("ipc"), ns(owner.pid(), "ipc")].contains(&ns(private.pid(), "ipc")));
}

pub fn pid(e: &'static Engine) {
    let host = e.sleeper("--pid host");
    assert_eq!(ns(host.pid(), "pid"), own_ns("pid"));
    let owner = e.sleeper("");
    let other = e.start(&format!("--pid container:{}", owner.id), &["sleep", "996"]);
    assert_eq!(ns(owner.pid(), "pid"), ns(other.pid(), "pid"));
    let seen = other.exec("", &["ps"]).ok().stdout;
    assert!(seen.contains("sleep 1000") && seen.contains("sleep 996"), "{seen}");
    // The end of the one that joined is its own alone.
    let joined = other.pid();
    other.ok(&["kill"]);
    assert_eq!(other.wait(), 137);
    eventually("the joined process is gone", || !proc(joined, "exe").exists());
    assert_eq!(owner.status(), "running");
}

/// Without a pid namespace of its own, the end of a container's first process must be the end of all.
pub fn pid_of_another_dies_whole(e: &'static Engine) {
    let owner = e.sleeper("");
    let other = e.sh_detached(&format!("--pid container:{}", owner.id), "sleep 995 & exec sleep 994");
    let first = other.pid();
    let mut second = 0;
    eventually("its second process", || {
        second = children(first).first().copied().unwrap_or(0);
        second != 0
    });
    other.ok(&["kill"]);
    eventually("both are gone", || !proc(first, "exe").exists() && std::fs::read_link(proc(second, "exe")).is_err());
    assert_eq!(owner.status(), "running");
    assert_eq!(comm(owner.pid()), "sleep");
}

pub fn uts_host(e: &'static Engine) {
    let c = e.sleeper("--uts host");
    assert_eq!(ns(c.pid(), "uts"), own_ns("uts"));
}

/// The pod that people make by hand: a parent cgroup, a sandbox, and containers that join it.
pub fn pod_by_hand(e: &'static Engine) {
    let parent = super::limits::parent("pod");
    let sandbox = e.sleeper(&format!("--ipc shareable --network none --hostname the-pod --cgroup-parent {parent}"));
    let join = format!("--network container:{0} --ipc container:{0} --cgroup-parent {parent}", sandbox.id);
    let web = e.sh_detached(
        &join,
        "ipcmk --shmem 8192; mkdir /www; echo page >/www/index.html; exec httpd -f -p 127.0.0.1:80 -h /www",
    );
    let client = e.sleeper(&join);
    let pids = [sandbox.pid(), web.pid(), client.pid()];
    let controller = if Host::plain() == Host::V2 { "" } else { "memory" };
    for pid in pids {
        assert!(cgroup_of(pid, controller).contains(&parent), "{}", cgroup_of(pid, controller));
    }
    // lsns counts the processes of a namespace, and names the first.
    for (kind, count) in [("net", 3), ("ipc", 3), ("pid", 1), ("mnt", 1)] {
        let inode = ns(pids[0], kind).replace(|c: char| !c.is_ascii_digit(), "");
        let listed = run(std::process::Command::new("lsns").args(["--noheadings", "--output", "NPROCS", &inode])).ok();
        // With columns named and a namespace given, lsns lists its processes, one a line.
        assert_eq!(listed.lines().len(), count, "{kind}: {}", listed.stdout);
    }
    eventually("a page over localhost", || {
        client.exec("", &["wget", "-q", "-O", "-", "http://127.0.0.1/"]).stdout == "page\n"
    });
    let seen = client.exec("", &["ipcs", "-m"]).ok().stdout;
    assert!(seen.contains("8192"), "{seen}");
    assert_eq!(client.exec("", &["hostname"]).ok().stdout, "the-pod\n");
}

/// Whether the client can hand an annotation to a runtime that knows what it means.
fn takes_annotations(e: &'static Engine) -> bool {
    if !host::is_hilum() {
        return skip("another runtime does not know org.hilum.*");
    }
    if e.kind == Kind::Rootless {
        return skip("a pod is the work of root, and not of the user");
    }
    match e.major_version() {
        major if e.is_docker() && major < 24 => skip(&format!("Docker {major} has no --annotation: 24 has")),
        _ => true,
    }
}

/// Containers of any client take part in a pod that has none of them for its anchor.
pub fn pod_by_annotation(e: &'static Engine) {
    if !takes_annotations(e) {
        return;
    }
    // Docker and podman are tested side by side.
    let pod = NamedPod::create(&format!("of{:?}", e.kind), &[]);
    let flags = format!("--network none --annotation org.hilum.pod={}", pod.name);
    let (one, two) = (e.sleeper(&flags), e.sleeper(&flags));
    for c in [&one, &two] {
        for kind in ["net", "ipc", "uts"] {
            assert_eq!(ns(c.pid(), kind), pod.ns(kind), "{kind}");
        }
        assert!(cgroup_of(c.pid(), if Host::plain() == Host::V2 { "" } else { "memory" }).contains(&pod.name));
        assert_eq!(c.exec("", &["hostname"]).ok().stdout, format!("{}\n", pod.name));
    }
    one.exec("", &["sh", "-c", "echo shm >/dev/shm/name"]).ok();
    assert_eq!(two.exec("", &["cat", "/dev/shm/name"]).ok().stdout, "shm\n");
    // It outlives them.
    let before = pod.ns("net");
    drop((one, two));
    assert_eq!(pod.ns("net"), before);
    assert_eq!(ns(e.sleeper(&flags).pid(), "net"), before);
}

/// What Docker has no option for at all.
pub fn uts_of_another_by_annotation(e: &'static Engine) {
    if !takes_annotations(e) {
        return;
    }
    let owner = e.sleeper("--hostname the-owner");
    let other = e.sleeper(&format!("--annotation org.hilum.join={}:uts", owner.id));
    assert_eq!(ns(owner.pid(), "uts"), ns(other.pid(), "uts"));
    assert_ne!(ns(owner.pid(), "net"), ns(other.pid(), "net"));
    for c in [&owner, &other] {
        assert_eq!(c.exec("", &["hostname"]).ok().stdout, "the-owner\n");
    }
}
