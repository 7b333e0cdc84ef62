//! User namespaces: new and joined, and who owns the others.

use crate::common::*;
use std::fs;

#[test]
fn a_user_namespace_maps_ids_and_files() {
    let c = Container::sh("touch /tmp/made; id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map; sleep 1000")
        .in_user_namespace()
        .set("root/readonly", json!(false));
    c.up();
    eventually("the maps", || c.output().matches("65536").count() == 2);
    let output = c.output();
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words[..2], ["0", "0"]);
    assert_eq!(words[2..], ["0", "100000", "65536", "0", "100000", "65536"]);
    assert!(status_of(c.pid(), "Uid").starts_with("100000\t") && status_of(c.pid(), "Gid").starts_with("100000\t"));
    use std::os::unix::fs::MetadataExt;
    let made = fs::metadata(c.rootfs().join("tmp/made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (100_000, 100_000));
    c.finish();
}

/// The kernel refuses devices there, and a FIFO is none.
#[test]
fn a_fifo_is_made_in_a_user_namespace_too() {
    let c = Container::new(&["stat", "-c", "%F %a", "/dev/pipe"])
        .in_user_namespace()
        .set("linux/devices", json!([{ "path": "/dev/pipe", "type": "p", "fileMode": 0o620 }]));
    let out = c.run();
    // An older oracle looks for it on the host.
    assert!(out.stdout == "fifo 620\n" || !is_hilum(), "{out:?}");
    c.finish();
}

#[test]
fn a_new_user_namespace_owns_the_other_new_namespaces() {
    // It may do in them what only their owner may.
    let caps = json!(["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]);
    let c = Container::sh("hostname renamed && hostname && ip link set lo down && echo down")
        .in_user_namespace()
        .set("process/capabilities", json!({ "bounding": caps, "effective": caps, "permitted": caps }));
    assert_eq!(c.run().ok().stdout, "renamed\ndown\n");
    c.finish();
}

#[test]
fn a_new_user_namespace_joins_a_network_namespace_of_the_host() {
    let net = Helper::start(&["unshare", "-n", "sleep", "1000"], "sleep");
    let c = Container::sleeper().in_user_namespace().join("network", proc(net.pid(), "ns/net")).with(|config| {
        // sysfs shows the devices of the network namespace: only its owner can mount it.
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|m| m["type"] != "cgroup");
        let sys = mounts.iter_mut().find(|m| m["type"] == "sysfs").unwrap();
        *sys = json!({ "destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"] });
    });
    c.up();
    assert_eq!(ns(c.pid(), "net"), ns(net.pid(), "net"));
    assert_ne!(ns(c.pid(), "user"), own_ns("user"));
    c.finish();
}

#[test]
fn sysfs_with_a_network_namespace_of_the_host_falls_back_to_the_hosts_sys() {
    if !hilum_only("the oracle fails with EPERM") {
        return;
    }
    let net = Helper::start(&["unshare", "-n", "sleep", "1000"], "sleep");
    let c = Container::sleeper().in_user_namespace().join("network", proc(net.pid(), "ns/net"));
    c.up();
    let mounts = mounts_of(c.pid());
    assert!(mount_at(&mounts, "/sys").has("ro"), "{mounts:#?}");
    c.finish();
}

/// A user namespace and a network namespace that it owns.
fn owner_of_both() -> Helper {
    let helper = Helper::start(&["unshare", "-U", "-n", "sleep", "1000"], "sleep");
    for map in ["uid_map", "gid_map"] {
        fs::write(proc(helper.pid(), map), "0 100000 65536").unwrap();
    }
    helper
}

#[test]
fn a_joined_user_namespace_and_the_network_namespace_that_it_owns() {
    let owner = owner_of_both();
    let c = Container::sleeper()
        .in_user_namespace()
        .join("user", proc(owner.pid(), "ns/user"))
        .join("network", proc(owner.pid(), "ns/net"));
    c.up();
    for kind in ["user", "net"] {
        assert_eq!(ns(c.pid(), kind), ns(owner.pid(), kind), "{kind}");
    }
    assert!(status_of(c.pid(), "Uid").starts_with("100000\t"));
    c.finish();
}

#[test]
fn a_joined_user_namespace_needs_no_mappings() {
    if !hilum_only("since runc 1.2") {
        return;
    }
    let owner = owner_of_both();
    let mut c = Container::sleeper().in_user_namespace().join("user", proc(owner.pid(), "ns/user"));
    for map in ["uidMappings", "gidMappings"] {
        c.config["linux"].as_object_mut().unwrap().remove(map);
    }
    c.up();
    assert_eq!(ns(c.pid(), "user"), ns(owner.pid(), "user"));
    c.finish();
}

#[test]
fn a_joined_user_namespace_and_a_network_namespace_of_the_host() {
    if !hilum_only("the oracle joins the user namespace first, and may then not join the other") {
        return;
    }
    let owner = owner_of_both();
    let net = Helper::start(&["unshare", "-n", "sleep", "1000"], "sleep");
    let c = Container::sleeper()
        .in_user_namespace()
        .join("user", proc(owner.pid(), "ns/user"))
        .join("network", proc(net.pid(), "ns/net"))
        .with(|config| {
            config["mounts"]
                .as_array_mut()
                .unwrap()
                .retain(|m| !["sysfs", "cgroup"].contains(&m["type"].as_str().unwrap()))
        })
        .set("linux/maskedPaths", json!([]));
    c.up();
    assert_eq!(ns(c.pid(), "user"), ns(owner.pid(), "user"));
    assert_eq!(ns(c.pid(), "net"), ns(net.pid(), "net"));
    c.finish();
}
