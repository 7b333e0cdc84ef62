//! Namespaces to join that are stale, reused, somebody else's, or gone a moment later. (tests/join.rs has the paths that have come
//! to mean another process, tests/refused.rs those that are no namespace.)

use super::*;
use std::time::Duration;

const SHARED: [(&str, &str); 3] = [("network", "net"), ("ipc", "ipc"), ("uts", "uts")];

fn in_sandbox(c: Container, sandbox: u32, kinds: &[(&str, &str)]) -> Container {
    let mut c = kinds.iter().fold(c, |c, (kind, link)| c.join(kind, proc(sandbox, "ns").join(link)));
    c.config.as_object_mut().unwrap().remove("hostname");
    c
}

/// Its namespaces live on with who joined them.
#[test]
fn sandbox_that_dies_between_create_and_start_leaves_its_namespaces() {
    let tally = attacks("sandboxes that die between create and start");
    let sandbox = Container::sleeper();
    sandbox.up();
    let expected = SHARED.map(|(_, link)| ns(sandbox.pid(), link));
    let c = in_sandbox(Container::sleeper(), sandbox.pid(), &SHARED);
    c.create();
    tally.tries();
    sandbox.finish();
    c.start();
    assert_eq!(SHARED.map(|(_, link)| ns(c.pid(), link)), expected);
    assert_eq!(c.call(&["exec", &c.id, "echo", "works"]).ok().stdout, "works\n");
    tally.survives();
    c.finish();
}

/// With its pid namespace, what was created in it has ended: `start` says so, and starts nothing else.
#[test]
fn sandbox_with_the_pid_namespace_that_dies_between_create_and_start_takes_it_along() {
    let tally = attacks("sandboxes of a pid namespace that die between create and start");
    for _ in 0..rounds(3, 100) {
        let sandbox = Container::sleeper();
        sandbox.up();
        let kinds = [&SHARED[..], &[("pid", "pid")]].concat();
        let c = in_sandbox(Container::sh("echo started"), sandbox.pid(), &kinds);
        c.create();
        tally.tries();
        sandbox.finish();
        eventually("it has ended", || c.status() == "stopped");
        let out = c.call(&["start", &c.id]);
        assert_ne!(out.code, 0);
        assert!(!out.stderr.contains("panicked") && !c.output().contains("started"), "{out:?}");
        assert_ne!(c.call(&["exec", &c.id, "true"]).code, 0);
        tally.survives();
        c.finish();
    }
}

/// A pod's reaper, likewise.
#[test]
fn sandbox_of_a_pod_that_dies_between_create_and_start() {
    if !hilum_only("pods") {
        return;
    }
    let tally = attacks("reapers of pods that die between create and start");
    let pod = Pod::with(&["--share", "net,ipc,uts,pid"]);
    let mut c = Container::sh("echo started").in_pod(&pod);
    c.config.as_object_mut().unwrap().remove("hostname");
    c.create();
    tally.tries();
    let reaper = pod.document()["reaper"]["process"]["pid"].as_u64().unwrap();
    assert!(std::process::Command::new("kill").args(["-KILL", &reaper.to_string()]).status().unwrap().success());
    eventually("it has ended", || c.status() == "stopped");
    assert_ne!(c.call(&["start", &c.id]).code, 0);
    assert!(!c.output().contains("started"));
    // Nor is anything created in what is gone.
    let mut late = Container::new(&["true"]).in_pod(&pod);
    late.config.as_object_mut().unwrap().remove("hostname");
    late.create_with(&[]).fails("");
    late.left_nothing();
    tally.survives();
    c.finish();
    pod.finish();
}

/// It dies at any moment of a creation: the container is in its namespaces, or there is none; never in the host's.
#[test]
fn sandbox_that_dies_while_another_joins_is_joined_or_gone() {
    let tally = attacks("sandboxes that die while they are joined");
    let random = |n: u32| Duration::from_micros(u64::from(n) * 7919 % 25_000) * patience();
    let (mut created, mut refused) = (0, 0);
    for n in 0..rounds(40, 1000) {
        let sandbox = Helper::start(&["unshare", "-n", "-i", "-u", "sleep", "1000"], "sleep");
        let expected = SHARED.map(|(_, link)| ns(sandbox.pid(), link));
        let c = in_sandbox(Container::sleeper(), sandbox.pid(), &SHARED);
        tally.tries();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(random(n));
            drop(sandbox);
        });
        let out = c.create_with(&[]);
        killer.join().unwrap();
        match out.code {
            0 => {
                assert_eq!(SHARED.map(|(_, link)| ns(c.pid(), link)), expected);
                created += 1;
            }
            code => {
                assert_eq!(code, 1, "{out:?}");
                c.left_nothing();
                refused += 1;
            }
        }
        c.finish();
        tally.survives();
    }
    assert!(created + refused > 0);
}

/// Of a user namespace that does not own the network namespace that it comes with: they are joined as asked, and nobody in there may
/// change what is another's; nor does hilum, for whoever wrote the document.
#[test]
fn wrong_owner_of_a_network_namespace_does_not_change_it() {
    if !hilum_only("the oracle cannot mount some of it") {
        return;
    }
    let tally = attacks("namespaces of another owner");
    // Not the host's root, whose the files of /proc/sys are.
    let user = ["setpriv", "--reuid", "100000", "--regid", "100000", "--clear-groups"];
    let owner = || Helper::start(&[&user[..], &["unshare", "-U", "-r", "-n", "sleep", "1000"]].concat(), "sleep");
    let (one, other) = (owner(), owner());
    let path = |of: &Helper, link: &str| proc(of.pid(), "ns").join(link);
    let sysctl = "/proc/sys/net/ipv4/ip_default_ttl";
    let joined = |args: &[&str]| {
        let c = Container::new(args).join("user", path(&one, "user")).join("network", path(&other, "net"));
        c.set("linux/readonlyPaths", json!([])).with(|config| {
            for mount in config["mounts"].as_array_mut().unwrap().iter_mut().filter(|mount| mount["type"] == "devpts") {
                mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
            }
        })
    };
    let ttl = || {
        let out =
            std::process::Command::new("nsenter").args(["-t", &other.pid().to_string(), "-n", "cat", sysctl]).output();
        String::from_utf8(out.unwrap().stdout).unwrap()
    };
    let before = ttl();
    let script =
        format!("readlink /proc/self/ns/user; readlink /proc/self/ns/net; echo 77 >{sysctl} && echo changed; true");
    let c = joined(&["sh", "-c", &script]);
    for verb in CREATIONS {
        tally.tries();
        assert_eq!(c.created_by(verb).ok().lines(), [ns(one.pid(), "user"), ns(other.pid(), "net")], "{verb}");
        assert_eq!(ttl(), before, "{verb}");
        tally.survives();
    }
    c.finish();
    let c = joined(&["true"]).set("linux/sysctl", json!({ "net.ipv4.ip_default_ttl": "77" }));
    for verb in CREATIONS {
        tally.tries();
        c.created_by(verb).fails("net.ipv4.ip_default_ttl");
        assert_eq!(ttl(), before, "{verb}");
        c.left_nothing();
        tally.survives();
    }
    c.finish();
}

/// A pin whose mount is gone, or has become another's.
#[test]
fn stale_pins_are_refused_or_are_the_namespace_that_is_there_now() {
    let tally = attacks("stale pins of namespaces");
    let c = Container::sleeper();
    // Not among the container's own things, where a mount would be left behind.
    let dir = tempfile::Builder::new().prefix("hilum-pin-").tempdir().unwrap();
    let pin = dir.path().join("pin").display().to_string();
    fs::write(&pin, "").unwrap();
    let first = Helper::start(&["unshare", "-n", "sleep", "1000"], "sleep");
    let second = Helper::start(&["unshare", "-u", "sleep", "1000"], "sleep");
    let c = c.join("network", &pin);
    // An empty file; a namespace of another kind; a dangling link; a directory.
    let refused = |what: &str| {
        for verb in CREATIONS {
            tally.tries();
            let out = c.created_by(verb);
            assert_eq!(out.code, 1, "{verb}, {what}: exit code {}", out.code);
            c.left_nothing();
            tally.survives();
        }
    };
    refused("unmounted");
    let other = HostMount::new(&["--bind", &proc(second.pid(), "ns/uts").display().to_string(), &pin]);
    refused("another kind");
    drop(other);
    fs::remove_file(&pin).unwrap();
    symlink("/proc/4194304/ns/net", &pin).unwrap();
    refused("dangling");
    fs::remove_file(&pin).unwrap();
    fs::create_dir(&pin).unwrap();
    refused("a directory");
    fs::remove_dir(&pin).unwrap();

    // Its process is gone, and it is not.
    fs::write(&pin, "").unwrap();
    let mount = HostMount::new(&["--bind", &proc(first.pid(), "ns/net").display().to_string(), &pin]);
    let expected = ns(first.pid(), "net");
    drop(first);
    tally.tries();
    c.create();
    assert_eq!(ns(c.pid(), "net"), expected);
    tally.survives();
    c.gone();
    drop(mount);
    c.finish();
}
