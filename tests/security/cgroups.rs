//! Cgroups that are not the container's. (Rows 9 and 18.)

use super::*;
use crate::rootless::{self, Rootless, USER};
use std::process::Command;

/// A cgroup of the user's own in every hierarchy, beside the container. Removed on drop.
struct Owned(Vec<PathBuf>);

impl Owned {
    fn by(user: u32, name: &str) -> Owned {
        let mut hierarchies: Vec<PathBuf> = vec![Host::plain().hierarchy("")];
        if Host::plain() == Host::V1Hybrid {
            hierarchies.extend(["pids", "cpu"].map(|controller| Host::V1Hybrid.hierarchy(controller)));
        }
        let dirs: Vec<PathBuf> = hierarchies.iter().filter(|dir| dir.exists()).map(|dir| dir.join(name)).collect();
        let owned = Owned(dirs);
        for dir in &owned.0 {
            fs::create_dir(dir).unwrap();
            let out = Command::new("chown").args(["-R", &format!("{user}:{user}")]).arg(dir).status().unwrap();
            assert!(out.success());
        }
        owned
    }

    #[track_caller]
    fn is_as_it_was(&self, what: &str) {
        for dir in &self.0 {
            assert!(!dir.join("escape").exists(), "{what}: made {}", dir.join("escape").display());
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        for dir in &self.0 {
            _ = fs::remove_dir(dir.join("escape"));
            _ = fs::remove_dir(dir);
        }
    }
}

/// Makes a cgroup wherever it can find the user's.
fn escape(name: &str) -> String {
    format!(
        "find / -type d -name {name} 2>/dev/null | while read d; do echo found; mkdir $d/escape && echo made $d; done; true"
    )
}

/// In the host's cgroup namespace, with the mount of config.json, without it, and with the host's /sys.
fn variants(c: &mut Value) -> Vec<(&'static str, Value)> {
    let namespaces = c["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    let at = |config: &Value, what: &str| {
        config["mounts"].as_array().unwrap().iter().position(|mount| mount["destination"] == what).unwrap()
    };
    let writable = |config: &mut Value| {
        let cgroup = at(config, "/sys/fs/cgroup");
        config["mounts"][cgroup]["options"] = json!(["nosuid", "noexec", "nodev"]);
    };
    let mut mounted = c.clone();
    writable(&mut mounted);
    let on_host = |config: &mut Value| {
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "network");
    };
    let mut host_network = mounted.clone();
    on_host(&mut host_network);
    let mut no_mount = host_network.clone();
    let cgroup = at(&no_mount, "/sys/fs/cgroup");
    no_mount["mounts"].as_array_mut().unwrap().remove(cgroup);
    let mut bound = host_network.clone();
    let sys = at(&bound, "/sys");
    bound["mounts"][sys] = json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"] });
    vec![
        ("a cgroup mount", mounted),
        ("a cgroup mount and the host's network", host_network),
        ("the host's network and no cgroup mount", no_mount),
        ("a cgroup mount over the host's /sys", bound),
    ]
}

/// CVE-2023-25809, as a user. Without the `Mask` behind the host's /sys: "run, the host's network and no cgroup mount: made
/// /sys/fs/cgroup/unified/…/escape".
#[test]
fn row_09_cve_2023_25809_cgroups_of_the_user_are_not_writable_in_a_rootless_container() {
    if !rootless::can_be_tested() {
        return;
    }
    let tally = attacks("row 9: rootless in the host's cgroup namespace");
    let mut r = rootless::single_id(Container::new(&["true"]));
    let name = format!("{}-owned", r.c.id);
    let owned = Owned::by(USER, &name);
    let script = escape(&name);
    let mut config = r.c.config.clone();
    for (what, mut config) in variants(&mut config) {
        config["process"]["args"] = json!(["sh", "-c", script]);
        r.c.config = config.clone();
        tally.tries();
        r.run().ok();
        owned.is_as_it_was(&format!("run, {what}"));
        tally.survives();

        config["process"]["args"] = json!(["sh", "-c", format!("{script}; exec sleep 1000")]);
        r.c.config = config;
        tally.tries();
        r.call(&["create", &r.c.id]).ok();
        r.call(&["start", &r.c.id]).ok();
        eventually("it sleeps", || read(&proc(r.pid(), "comm")).trim() == "sleep");
        owned.is_as_it_was(&format!("create, {what}"));
        tally.survives();
        tally.tries();
        r.call(&["exec", &r.c.id, "sh", "-c", &script]).ok();
        owned.is_as_it_was(&format!("exec, {what}"));
        tally.survives();
        r.call(&["delete", "--force", &r.c.id]).ok();
    }
    drop(owned);
    finish(r);
}

fn finish(r: Rootless) {
    r.finish();
}

/// CVE-2023-25809, by root, with a user namespace whose root owns cgroups of the host. Without the `Mask` behind the host's
/// /sys: "create, the host's network and no cgroup mount: made /sys/fs/cgroup/unified/…/escape".
#[test]
fn row_09_cve_2023_25809_cgroups_of_a_mapped_user_are_not_writable() {
    if !hilum_only("the oracle cannot mount some of these") {
        return;
    }
    let tally = attacks("row 9: a user namespace in the host's cgroup namespace");
    let mut c = Container::new(&["true"]).in_user_namespace();
    let name = format!("{}-owned", c.id);
    let owned = Owned::by(100_000, &name);
    let mut config = c.config.clone();
    for (what, mut config) in variants(&mut config) {
        config["process"]["args"] = json!(["sh", "-c", escape(&name)]);
        c.config = config.clone();
        for verb in CREATIONS {
            tally.tries();
            c.created_by(verb).ok();
            owned.is_as_it_was(&format!("{verb}, {what}"));
            tally.survives();
        }
        config["process"]["args"] = json!(["sleep", "1000"]);
        c.config = config;
        tally.tries();
        c.up();
        c.call(&["exec", &c.id, "sh", "-c", &escape(&name)]).ok();
        owned.is_as_it_was(&format!("exec, {what}"));
        c.gone();
        tally.survives();
    }
    drop(owned);
    c.finish();
}

const CLIMBING: [&str; 12] = [
    "..",
    "/..",
    "../x",
    "/../x",
    "x/..",
    "x/../..",
    "/x/../../x",
    "./../x",
    "x/./../../../../tmp",
    "//..//x",
    "../../../../../../../../etc",
    "x/../x/../../x",
];

/// With `Place::parse` leaving `..` out instead of refusing it: "create, \"../x\": exit code 0". (Taken for a name, it might
/// have cgroups of the host's killed and removed: that was not tried.)
#[test]
fn row_18_cgroup_paths_do_not_climb() {
    let tally = attacks("row 18: .. in cgroupsPath");
    let named_so = || cgroups_named("x").iter().filter(|path| path.ends_with("x")).count();
    let before = named_so();
    for path in CLIMBING {
        // The oracle cleans some of them, to what is below the root.
        if !hilum_only("the oracle cleans them") {
            return;
        }
        let c = Container::new(&["true"]).set("linux/cgroupsPath", json!(path));
        for verb in CREATIONS {
            tally.tries();
            let out = c.created_by(verb);
            assert_eq!(out.code, 1, "{verb}, {path:?}: exit code {}", out.code);
            assert!(out.stderr.contains("cgroupsPath"), "{verb}, {path:?}: {}", out.stderr);
            c.left_nothing();
            tally.survives();
        }
        c.finish();
    }
    assert_eq!(named_so(), before, "made one where such a path leads");
}

/// The cgroup below the container's. Without the check in `Cgroup::below`: "exec [\"--cgroup\", \"..\"]: exit code 0".
#[test]
fn row_18_the_cgroup_of_exec_does_not_climb() {
    let tally = attacks("row 18: .. in exec --cgroup");
    for host in Host::all() {
        let c = Container::sleeper().on(host);
        c.up();
        for path in CLIMBING {
            let controlled = format!("pids:{path}");
            for flags in [&["--cgroup", path][..], &["--cgroup", &controlled], &["--cgroup", "/", "--cgroup", path]] {
                tally.tries();
                let out = c.call(&[&["exec"], flags, &[&c.id, "true"]].concat());
                assert_ne!(out.code, 0, "exec {flags:?}: exit code 0");
                tally.survives();
            }
        }
        c.finish();
    }
}

/// A pod's cgroup, which is the parent of its containers', and what a container of a pod asks for. With `Place::parse` leaving
/// `..` out instead of refusing it: "pod create --cgroup ../x: exit code 0".
#[test]
fn row_18_the_cgroup_of_a_pod_does_not_climb() {
    if !hilum_only("pods") {
        return;
    }
    let tally = attacks("row 18: .. in the cgroup of a pod and of its containers");
    for path in CLIMBING {
        let pod = Pod::new();
        tally.tries();
        let out = pod.create(&["--share", "uts", "--cgroup", path]);
        assert_eq!(out.code, 1, "pod create --cgroup {path}: exit code {}: {}", out.code, out.stderr);
        assert!(!pod.path().exists(), "pod create --cgroup {path}: made it");
        tally.survives();
    }
    let pod = Pod::with(&["--share", "uts"]);
    for path in CLIMBING {
        let c = Container::sleeper().in_pod(&pod).set("linux/cgroupsPath", json!(path));
        let mut c = c;
        c.config.as_object_mut().unwrap().remove("hostname");
        tally.tries();
        // What a member keeps of it is its last part.
        if c.create_with(&[]).code == 0 {
            let cgroup = pod.cgroup("");
            let top = Host::plain().hierarchy("");
            let own = top.join(cgroup_of(c.pid(), "").trim_start_matches('/'));
            assert!(own.starts_with(&cgroup) && own != cgroup, "{path:?}: {} is not in the pod's", own.display());
        }
        c.finish();
        tally.survives();
    }
    pod.finish();
}
