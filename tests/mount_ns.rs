//! The mount namespace that is absent (the host's) or joined by path, and what of a container's mounts the host may see.

use crate::common::*;
use std::fs;
use std::process::{Command, Stdio};

/// No mount namespace, and nothing that would need one.
fn without_mounts(c: Container) -> Container {
    c.without_namespace("mount")
        .set("mounts", json!([]))
        .set("root/readonly", json!(false))
        .set("linux/maskedPaths", json!([]))
        .set("linux/readonlyPaths", json!([]))
}

/// Mount points and what is on them; not the numbers, which change with every mount and umount.
fn mount_table() -> Vec<String> {
    let table = mounts_of(std::process::id());
    // Other tests run beside this one, with mounts of their own.
    let lines = table.iter().filter(|m| !m.point.contains("/hilum-test-"));
    lines.map(|m| format!("{m:?}")).collect()
}

/// Mounts whose root or mount point is below the test's directory.
fn own_mounts(c: &Container) -> Vec<String> {
    let dir = c.dir().display().to_string();
    let table = mounts_of(std::process::id());
    let own = table.iter().filter(|m| m.point.contains(&dir) || m.root.contains(&dir));
    own.map(|m| format!("{m:?}")).collect()
}

/// A host of its own for the call: a private copy of the mount namespace, whose mounts are all shared, as systemd has
/// them; `prepare` is a shell script that mounts more there. Prints what the call has changed in its mount table.
fn on_a_shared_host(c: &Container, prepare: &str, flags: &[&str]) -> Out {
    c.write_config();
    // Without what other tests mount meanwhile: the copies here go with the files that they are on. And without the bare
    // mount namespace, which the host keeps.
    let script = "mounts() { cut -d' ' -f4- /proc/self/mountinfo | grep -v ' /run/hilum.bare ' | awk -v own=\"$shown\" '!/hilum-test-/ || index($0, own)'; }; \
                  shown=$1; mount --make-rshared / && cd \"$1\" && eval \"$2\" && mounts >before || exit 99; \
                  shift 2; cd bundle && \"$@\" >\"$shown/said\" 2>&1; code=$?; cat \"$shown/said\" >&2; \
                  mounts >\"$shown/after\"; diff \"$shown/before\" \"$shown/after\"; exit $code";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(c.dir())
        .arg(prepare)
        .arg(program())
        .arg("--root")
        .arg(c.root())
        .arg("run")
        .args(flags)
        .arg(&c.id)
        .current_dir(c.bundle());
    c.finish_call(command, Stdio::null())
}

#[test]
fn without_a_mount_namespace_the_container_is_in_the_hosts_and_changes_nothing_there() {
    let c = without_mounts(Container::sleeper());
    c.up();
    assert_eq!(ns(c.pid(), "mnt"), own_ns("mnt"));
    let root = fs::read_link(proc(c.pid(), "root")).unwrap();
    assert_eq!(root, fs::canonicalize(c.rootfs()).unwrap());
    assert_eq!(own_mounts(&c), Vec::<String>::new());
    c.finish();
}

#[test]
fn without_a_mount_namespace_what_would_mount_on_the_host_is_refused() {
    if !hilum_only("the oracle mounts on the host") {
        return;
    }
    for (pointer, value) in [
        ("mounts", json!([{ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs" }])),
        ("linux/maskedPaths", json!(["/etc"])),
        ("linux/readonlyPaths", json!(["/etc"])),
        ("root/readonly", json!(true)),
    ] {
        let c = without_mounts(Container::sleeper()).set(pointer, value);
        let property = pointer.replace('/', ".");
        c.run().fails(&format!("{property}: would be done in the host's mount namespace"));
        c.left_nothing();
    }
}

#[test]
fn the_hosts_own_mount_namespace_by_path_is_the_same_as_none() {
    if !hilum_only("the oracle mounts on the host") {
        return;
    }
    let own = format!("/proc/{}/ns/mnt", std::process::id());
    let c = without_mounts(Container::sleeper()).join("mount", &own).set("root/readonly", json!(true));
    c.run().fails("host's mount namespace");
    c.left_nothing();
    let c = without_mounts(Container::sleeper()).join("mount", &own);
    c.up();
    assert_eq!(ns(c.pid(), "mnt"), own_ns("mnt"));
    assert_eq!(own_mounts(&c), Vec::<String>::new());
    c.finish();
}

/// The notify socket's directory is bound into the container: that, too, would be a mount of the host's.
#[test]
fn without_a_mount_namespace_notify_socket_mounts_nothing_on_the_host() {
    if !hilum_only("the oracle mounts on the host") {
        return;
    }
    let c = without_mounts(Container::sh("true"));
    c.write_config();
    let script = "NOTIFY_SOCKET=\"$1\"; export NOTIFY_SOCKET; shift; dir=$1; shift; \"$@\" >&2; grep -F \"$dir\" /proc/self/mountinfo; true";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(c.path("nobody-listens"))
        .arg(c.dir())
        .arg(program())
        .arg("--root")
        .arg(c.root())
        .args(["run", &c.id])
        .current_dir(c.bundle());
    let out = c.finish_call(command, Stdio::null()).ok();
    assert_eq!(out.stdout, "", "left on the host; the runtime said {:?}", out.stderr);
    c.finish();
}

#[test]
fn a_mount_namespace_is_joined_by_path() {
    let helper = Helper::start(&["unshare", "-m", "--propagation", "private", "sleep", "1000"], "sleep");
    let before = mount_table();
    let c = Container::sleeper().join("mount", proc(helper.pid(), "ns/mnt"));
    c.up();
    assert_eq!(ns(c.pid(), "mnt"), ns(helper.pid(), "mnt"));
    assert_ne!(ns(c.pid(), "mnt"), own_ns("mnt"));
    assert!(proc(c.pid(), "root/bin/busybox").exists());
    assert!(!proc(c.pid(), "root").join(c.dir().strip_prefix("/").unwrap()).exists(), "the host is visible");
    c.finish();
    assert_eq!(mount_table(), before);
}

#[test]
fn a_rootfs_that_the_joined_mount_namespace_does_not_have_is_an_error_that_names_it() {
    if !hilum_only("the oracle's words differ") {
        return;
    }
    let sandbox = Container::sleeper();
    sandbox.up();
    let c = Container::sleeper().join("mount", proc(sandbox.pid(), "ns/mnt"));
    c.run().fails(&c.rootfs().display().to_string());
    c.left_nothing();
    // And the sandbox is none the worse for it.
    assert!(proc(sandbox.pid(), "root/bin/busybox").exists());
    assert_eq!(sandbox.status(), "running");
    sandbox.finish();
}

#[test]
fn a_mount_namespace_path_of_another_type_is_refused() {
    let c = Container::sleeper().join("mount", "/proc/self/ns/uts");
    let out = c.run();
    assert_eq!(out.code, 1, "{}", out.stderr);
    c.left_nothing();
}

/// The root file system as a directory of a shared mount, and as a shared mount of its own.
const ROOTS: [&str; 2] = ["true", "mount --bind bundle/rootfs bundle/rootfs"];

#[test]
fn no_propagation_leaks_a_mount_to_a_shared_host() {
    for prepare in ROOTS {
        for name in ["", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable"] {
            let c =
                Container::sh("mount -t tmpfs leak /tmp 2>/dev/null; true").set("linux/rootfsPropagation", json!(name));
            let out = on_a_shared_host(&c, prepare, &[]).ok();
            assert_eq!(out.stdout, "", "{prepare}, {name:?}: the host's mount table changed");
            c.finish();
        }
    }
}

#[test]
fn no_propagation_leaks_a_mount_without_pivot_root_either() {
    if !hilum_only("the oracle moves its root onto a shared one") {
        return;
    }
    for prepare in ROOTS {
        for name in ["", "private", "slave", "rslave", "shared", "rshared"] {
            let c = Container::sh("true").set("linux/rootfsPropagation", json!(name));
            let out = on_a_shared_host(&c, prepare, &["--no-pivot"]);
            assert_eq!(out.stdout, "", "{prepare}, {name:?}: the host's mount table changed");
            assert_eq!(out.code, 0, "{prepare}, {name:?}: {}", out.stderr);
            c.finish();
        }
    }
}

/// The one way on purpose: a volume with shared propagation below a shared mount, in both directions.
#[test]
fn a_shared_volume_passes_mounts_to_the_host_only_with_a_shared_root() {
    let all = json!(["CAP_SYS_ADMIN"]);
    let c = Container::sh("mount -t tmpfs leak /tmp/in && touch /tmp/in/seen && echo mounted")
        .set("process/capabilities", json!({ "bounding": all, "effective": all, "permitted": all }))
        .set("linux/rootfsPropagation", json!("rshared"));
    let volume = c.path("volume");
    fs::create_dir(&volume).unwrap();
    let c = c.push(
        "mounts",
        json!({ "destination": "/tmp", "type": "bind", "source": volume, "options": ["rbind", "rshared"] }),
    );
    let out = on_a_shared_host(&c, "mount -t tmpfs volume volume && mkdir volume/in", &[]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let added: Vec<&str> = out.stdout.lines().filter(|line| line.starts_with('>')).collect();
    assert_eq!(added.len(), 1, "{}", out.stdout);
    assert!(added[0].contains("volume/in"), "{added:?}");
    c.finish();
}

/// There is no mount to be made private then, and the way up from the root file system has no end.
#[test]
fn a_shared_root_in_a_chroot_that_is_no_mount_is_an_error_that_says_so() {
    if !hilum_only("the oracle's words differ") {
        return;
    }
    let c = Container::sh("true").set("linux/rootfsPropagation", json!("shared"));
    c.write_config();
    fs::copy(program(), c.path("hilum")).unwrap();
    let script = "cd \"$1\" && mkdir proc sys dev run && for dir in proc sys dev; do mount --rbind /$dir $dir; done && \
                  exec chroot . /hilum --root /state run --bundle /bundle \"$2\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).arg(c.dir()).arg(&c.id);
    c.finish_call(command, Stdio::null()).fails("root directory is not a mount");
    c.left_nothing();
}
