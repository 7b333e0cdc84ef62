//! Idmapped mounts: whose the files are inside and on the host, and what cannot be mapped.

use crate::common::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;

/// Whether this kernel can, and the file system that the tests' files are on.
fn can_idmap() -> bool {
    let c = Container::new(&["true"]);
    let features: Value = serde_json::from_str(&c.call(&["features"]).ok().stdout).unwrap();
    if !hilum_only("since runc 1.2") {
        return false;
    }
    if features["linux"]["mountExtensions"]["idmap"]["enabled"] != true {
        return skip("this kernel has no idmapped mounts");
    }
    let source = Command::new("stat").args(["-f", "-c", "%T"]).arg(c.dir()).output().unwrap();
    match String::from_utf8_lossy(&source.stdout).trim() {
        "ext2/ext3" | "xfs" | "btrfs" | "f2fs" => true,
        "tmpfs" if is_linux(6, 3) => true,
        other => skip(&format!("the tests' files are on {other}")),
    }
}

fn is_linux(major: u32, minor: u32) -> bool {
    let release = read("/proc/sys/kernel/osrelease".as_ref());
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

fn map(container: u32, host: u32, size: u32) -> Value {
    json!([{ "containerID": container, "hostID": host, "size": size }])
}

/// A directory of the host, with files of 0:0, 5:6 and 100000:100000.
fn source(c: &Container, name: &str) -> String {
    let path = c.path(name);
    fs::create_dir(&path).unwrap();
    for (file, uid, gid) in [("root", 0, 0), ("five", 5, 6), ("high", 100_000, 100_000)] {
        fs::write(format!("{path}/{file}"), "").unwrap();
        chown(format!("{path}/{file}"), Some(uid), Some(gid)).unwrap();
    }
    path
}

fn bind(source: &str, options: &[&str]) -> Value {
    json!({ "destination": "/mnt", "type": "bind", "source": source, "options": options })
}

fn with_maps(mut mount: Value, uid: Value, gid: Value) -> Value {
    mount["uidMappings"] = uid;
    mount["gidMappings"] = gid;
    mount
}

const OWNERS: &str = "cd /mnt && stat -c '%n %u:%g' root five high";

/// Its mounts can be looked at while it runs, and a file of its own is in /mnt.
fn shows(script: &str) -> Container {
    Container::sh(&format!("{script}; touch /mnt/new; exec sleep 1000")).set("root/readonly", json!(false))
}

/// Runs it, and returns what `OWNERS` says and the owner of what the container has written.
#[track_caller]
fn owners(c: &Container, source: &str) -> (Vec<String>, (u32, u32)) {
    c.up();
    let new = format!("{source}/new");
    eventually("the file is there", || fs::metadata(&new).is_ok());
    let seen = c.output().lines().map(str::to_owned).collect();
    let meta = fs::metadata(&new).unwrap();
    fs::remove_file(new).unwrap();
    (seen, (meta.uid(), meta.gid()))
}

fn is_idmapped(c: &Container, point: &str) -> bool {
    mount_at(&mounts_of(c.pid()), point).has("idmapped")
}

#[test]
fn a_mounts_own_maps_need_no_user_namespace() {
    if !can_idmap() {
        return;
    }
    // Without the option, and with each of the two.
    for options in [&["bind"][..], &["rbind", "idmap"], &["rbind", "ridmap", "ro"]] {
        let c = shows(OWNERS).set("process/user", json!({ "uid": 10_005, "gid": 20_006 }));
        let source = source(&c, "source");
        assert!(Command::new("chmod").args(["777", &source]).status().unwrap().success());
        let c = c.push("mounts", with_maps(bind(&source, options), map(0, 10_000, 100), map(0, 20_000, 100)));
        let planned = c.plan_with(&["--format", "json"]);
        assert_eq!(planned.code, 0, "{planned:?}");
        let planned = planned.stdout;
        assert!(planned.contains(if options.contains(&"ridmap") { "ridmap" } else { ",idmap" }), "{planned}");
        assert!(planned.contains("without the host's mounts"), "{planned}");
        let expected = ["root 10000:20000", "five 10005:20006", "high 65534:65534"];
        if options.contains(&"ro") {
            c.up();
            eventually("its output", || c.output().lines().count() == 3);
            assert_eq!(c.output().lines().collect::<Vec<_>>(), expected);
            assert!(mount_at(&mounts_of(c.pid()), "/mnt").has("ro"));
        } else {
            // What it writes is the file system's, the other way round.
            assert_eq!(owners(&c, &source), (expected.map(String::from).to_vec(), (5, 6)));
        }
        assert!(is_idmapped(&c, "/mnt"));
        assert!(!is_idmapped(&c, "/"));
        c.finish();
    }
}

/// With hooks, which see the host's mounts, the container's are a copy of them.
#[test]
fn beside_the_hosts_mounts_it_is_the_same() {
    if !can_idmap() {
        return;
    }
    let c = shows(OWNERS).set("hooks", json!({ "createRuntime": [{ "path": "/bin/true" }] }));
    let source = source(&c, "source");
    let c = c.push("mounts", with_maps(bind(&source, &["bind", "idmap"]), map(0, 0, 100), map(0, 7, 100)));
    assert!(!c.plan_with(&[]).ok().stdout.contains("without the host's mounts"));
    // gid 0 of the container is none of the file system.
    c.up();
    eventually("its output", || c.output().lines().count() >= 3);
    assert_eq!(c.output().lines().take(3).collect::<Vec<_>>(), ["root 0:7", "five 5:13", "high 65534:65534"]);
    assert!(is_idmapped(&c, "/mnt"));
    assert!(!fs::exists(format!("{source}/new")).unwrap());
    c.call(&["delete", "--force", &c.id]).ok();
    c.left_nothing();
}

/// As containerd 2 does it for a pod: the files keep their owners on the host, and are the container's inside.
#[test]
fn in_a_new_user_namespace_files_are_the_hosts_and_the_containers() {
    if !can_idmap() {
        return;
    }
    for (option, listed) in [("idmap", true), ("idmap", false), ("ridmap", false)] {
        let c = shows(OWNERS).in_user_namespace();
        let source = source(&c, "source");
        let mut mount = bind(&source, &["rbind", option]);
        if listed {
            mount = with_maps(mount, map(0, 100_000, 65_536), map(0, 100_000, 65_536));
        }
        let c = c.push("mounts", mount);
        let (seen, new) = owners(&c, &source);
        assert_eq!(seen, ["root 0:0", "five 5:6", "high 65534:65534"], "{option} {listed}");
        assert_eq!(new, (0, 0), "on the host");
        assert!(is_idmapped(&c, "/mnt"));
        c.finish();
    }
}

#[test]
fn in_a_joined_user_namespace_its_maps_are_taken() {
    if !can_idmap() {
        return;
    }
    let owner = Container::sleeper().in_user_namespace();
    owner.up();
    let mut c = shows(OWNERS).in_user_namespace();
    for kind in ["user", "pid", "network", "ipc", "uts", "cgroup"] {
        let path = proc(owner.pid(), "ns").join(if kind == "network" { "net" } else { kind });
        c = c.join(kind, path);
    }
    c.config.as_object_mut().unwrap().remove("hostname");
    for maps in ["uidMappings", "gidMappings"] {
        c.config["linux"].as_object_mut().unwrap().remove(maps);
    }
    let source = source(&c, "source");
    let c = c.push("mounts", bind(&source, &["bind", "idmap"]));
    let (seen, new) = owners(&c, &source);
    assert_eq!(seen, ["root 0:0", "five 5:6", "high 65534:65534"]);
    assert_eq!(new, (0, 0));
    assert!(is_idmapped(&c, "/mnt"));
    c.finish();
    owner.finish();
}

/// Two mounts, one in the other: `idmap` is for the topmost, `ridmap` for both.
#[test]
fn ridmap_maps_the_mounts_below_and_idmap_does_not() {
    if !can_idmap() {
        return;
    }
    for (option, below) in [("idmap", "0:0"), ("ridmap", "300:300")] {
        let c = Container::sh("stat -c '%u:%g' /mnt/root /mnt/below/root; exec sleep 1000");
        let (outer, inner) = (source(&c, "outer"), source(&c, "inner"));
        fs::create_dir(format!("{outer}/below")).unwrap();
        let c = c.push("mounts", with_maps(bind(&outer, &["rbind", option]), map(0, 300, 10), map(0, 300, 10)));
        let mounted = HostMount::new(&["--bind", &inner, &format!("{outer}/below")]);
        c.create().start();
        eventually("its output", || c.output().lines().count() == 2);
        assert_eq!(c.output().lines().collect::<Vec<_>>(), ["300:300", below], "{option}");
        assert_eq!((is_idmapped(&c, "/mnt"), is_idmapped(&c, "/mnt/below")), (true, option == "ridmap"));
        // Where the host's mounts are shared, it goes from the container, too.
        drop(mounted);
        c.finish();
    }
}

#[test]
fn each_mount_has_its_own_map_and_equal_ones_share_a_user_namespace() {
    if !can_idmap() || !has_strace() {
        return;
    }
    let mut c = Container::sh("stat -c '%u:%g' /a/root /b/root /c/root");
    let source = source(&c, "source");
    for (destination, host) in [("/a", 100), ("/b", 200), ("/c", 100)] {
        let mut mount = with_maps(bind(&source, &["bind"]), map(0, host, 10), map(0, host, 10));
        mount["destination"] = json!(destination);
        c = c.push("mounts", mount);
    }
    let c = c.set("root/readonly", json!(false));
    assert_eq!(c.run().ok().lines(), ["100:100", "200:200", "100:100"]);
    c.write_config();
    let trace = c.path("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=unshare", "-o", &trace]).arg(program()).args(["plan", "-b"]);
    c.finish_call(
        {
            command.arg(c.bundle());
            command
        },
        std::process::Stdio::null(),
    )
    .ok();
    assert_eq!(read(trace.as_ref()).matches("unshare(CLONE_NEWUSER)").count(), 2);
    c.left_nothing();
}

#[test]
fn a_file_is_mapped_like_a_directory() {
    if !can_idmap() {
        return;
    }
    let c = Container::new(&["stat", "-c", "%u:%g", "/mnt"]).set("root/readonly", json!(false));
    let file = format!("{}/five", source(&c, "source"));
    let c = c.push("mounts", with_maps(bind(&file, &["bind", "idmap"]), map(5, 50, 1), map(6, 60, 1)));
    assert_eq!(c.run().ok().stdout.trim(), "50:60");
    c.left_nothing();
}

#[test]
fn a_file_system_that_cannot_is_named_before_anything_is_made() {
    if !can_idmap() {
        return;
    }
    let c = Container::new(&["true"]);
    let source = source(&c, "source");
    fs::create_dir(format!("{source}/below")).unwrap();
    let below = HostMount::new(&["-t", "devpts", "devpts", &format!("{source}/below")]);
    let maps = |mount| with_maps(mount, map(0, 100, 10), map(0, 100, 10));
    let c = c.push("mounts", maps(bind(&source, &["rbind", "ridmap"])));
    let expected = format!("{source}/below: mounts of devpts cannot be id-mapped; remove uidMappings");
    let index = c.config["mounts"].as_array().unwrap().len() - 1;
    c.create_with(&[]).fails(&format!("mounts[{index}].source: {expected}"));
    let planned = c.plan_with(&["--format", "json"]);
    assert!(planned.code == 1 && planned.stdout.contains("mounts of devpts cannot"), "{planned:?}");
    // The topmost can.
    let c = c.with(|config| config["mounts"][index]["options"] = json!(["rbind", "idmap"]));
    c.run().ok();
    drop(below);
    c.left_nothing();
}

/// A mount that is idmapped cannot be once more.
#[test]
fn what_is_idmapped_already_is_refused_with_the_reason() {
    if !can_idmap() {
        return;
    }
    let outer = Container::sleeper();
    let source = source(&outer, "source");
    let maps = |mount| with_maps(mount, map(0, 100, 10), map(0, 100, 10));
    let outer = outer.push("mounts", maps(bind(&source, &["bind"])));
    outer.up();
    let inner = Container::new(&["true"]);
    let within = format!("/proc/{}/root/mnt", outer.pid());
    let inner = inner.push("mounts", maps(bind(&within, &["bind"])));
    let out = inner.create_with(&[]);
    assert!(out.code == 1 && out.stderr.contains("mounts["), "{out:?}");
    inner.left_nothing();
    outer.finish();
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    if !can_idmap() {
        return;
    }
    let maps = |mount| with_maps(mount, map(0, 100, 10), map(0, 100, 10));
    let tmpfs = |options: &[&str]| json!({ "destination": "/mnt", "type": "tmpfs", "options": options });
    let only_uid = |mut mount: Value| {
        mount["uidMappings"] = map(0, 100, 10);
        mount
    };
    for (mount, said) in [
        (maps(tmpfs(&[])), "uidMappings: id-mapped mounts are only supported for bind-mounts"),
        (tmpfs(&["ridmap"]), "ridmap\\\": id-mapped mounts are only supported for bind-mounts"),
        (only_uid(bind("/usr", &["bind", "idmap"])), "must have both uid and gid mappings specified"),
        (bind("/usr", &["bind", "idmap"]), "takes the mappings of the container's user namespace, and it has none"),
        (with_maps(bind("/usr", &["bind"]), map(0, 0, 0), map(0, 0, 1)), "uidMappings[0]: 0 ids"),
    ] {
        let c = Container::new(&["true"]).push("mounts", mount);
        c.create_with(&[]).fails(said);
        c.left_nothing();
    }
    let mut c = Container::new(&["true"]).push("mounts", maps(bind("/usr", &["bind"])));
    c.write_config();
    let id = c.id.clone();
    c.call(&["--rootless", "true", "create", &id]).fails("id-mapped mounts are not supported for rootless containers");
    // Maps overlap: the kernel says no.
    let twice = json!([{ "containerID": 0, "hostID": 1, "size": 2 }, { "containerID": 1, "hostID": 9, "size": 2 }]);
    let last = c.config["mounts"].as_array().unwrap().len() - 1;
    c.config["mounts"][last]["uidMappings"] = twice;
    c.create_with(&[]).fails("uid_map: Invalid argument");
    c.left_nothing();
}
