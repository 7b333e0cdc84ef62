//! Taking part in namespaces by name: --pod and --join, and the annotations for clients that have neither.

use crate::common::*;
use std::fs;

fn annotated(c: Container, name: &str, value: &str) -> Container {
    let mut annotations = c.config["annotations"].clone();
    if annotations.is_null() {
        annotations = json!({});
    }
    annotations[name] = json!(value);
    c.set("annotations", annotations)
}

fn ls(pod: &Pod) -> Value {
    let rows: Value = serde_json::from_str(&pod.call(&["pod", "ls", "-f", "json"]).ok().stdout).unwrap();
    rows[0].clone()
}

/// Containers find each other under one `--root`.
fn beside(c: &Container) -> Container {
    Container::sleeper().under(c)
}

#[test]
fn an_annotation_joins_a_pod() {
    let pod = Pod::with(&["--hostname", "shop"]);
    // What Docker writes: namespaces without a path, a hostname, a /dev/shm of its own, a cgroup of its own.
    let shm = json!({ "destination": "/dev/shm", "type": "bind", "source": "/tmp", "options": ["rbind"] });
    let c = annotated(Container::sleeper(), "org.hilum.pod", &pod.name).knows(&pod);
    let c = c.set("hostname", json!("0123456789ab")).with(|config| {
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev/shm");
    });
    // And what containerd writes: the same twice.
    let c = c.push("mounts", shm.clone()).push("mounts", shm).set("linux/cgroupsPath", json!("/docker/0123456789ab"));
    c.up();
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(ns(c.pid(), kind), pod.ns(kind), "{kind}");
    }
    assert_eq!(c.call(&["exec", &c.id, "hostname"]).ok().stdout, "shop\n");
    assert!(fs::read_to_string(proc(c.pid(), "cgroup")).unwrap().contains(&format!("/{}/0123456789ab", pod.name)));
    c.call(&["exec", &c.id, "touch", "/dev/shm/x"]).ok();
    assert!(pod.path().join("private/shm/x").exists());
    assert_eq!(c.state()["annotations"]["org.hilum.pod"], pod.name);
    assert_eq!(ls(&pod)["running"], 1);
    c.finish();
    pod.finish();
}

#[test]
fn an_annotation_cannot_name_a_pod_that_is_elsewhere() {
    let pod = Pod::with(&["--share", "uts"]);
    let path = pod.path();
    let parent = path.parent().and_then(|pods| pods.file_name()).unwrap().to_string_lossy().into_owned();
    for name in [format!("../{parent}/{}", pod.name), format!("./{}", pod.name), path.display().to_string()] {
        let c = annotated(Container::sleeper(), "org.hilum.pod", &name).knows(&pod);
        c.create_with(&[]).fails("org.hilum.pod: invalid name of a pod");
        c.left_nothing();
    }
    pod.finish();
}

#[test]
fn an_option_and_an_annotation_must_say_the_same() {
    let pod = Pod::with(&["--share", "uts"]);
    let c = annotated(Container::sleeper().in_pod(&pod), "org.hilum.pod", "another");
    c.create_with(&[]).fails("and the annotation org.hilum.pod says");
    c.left_nothing();
    let c = annotated(Container::sleeper().in_pod(&pod), "org.hilum.pod", &pod.name);
    c.up();
    c.finish();
    pod.finish();
}

#[test]
fn a_path_and_a_pod_must_be_the_same() {
    let pod = Pod::with(&["--share", "uts,net"]);
    let other = Container::sleeper();
    other.up();
    let c = Container::sleeper().join("network", proc(other.pid(), "ns/net")).in_pod(&pod);
    let expected = format!("/proc/{}/ns/net is not the network namespace of pod {}, which", other.pid(), pod.name);
    c.create_with(&[]).fails(&expected);
    c.left_nothing();
    let c = Container::sleeper().join("network", pod.path().join("ns/net")).in_pod(&pod);
    c.up();
    assert_eq!(ns(c.pid(), "net"), pod.ns("net"));
    c.finish();
    other.finish();
    pod.finish();
}

#[test]
fn a_pod_that_is_not_there_or_not_whole_is_refused() {
    let pod = Pod::new();
    let c = Container::sleeper().in_pod(&pod);
    c.create_with(&[]).fails("does not exist");
    c.left_nothing();
    // As a killed `pod create` leaves it.
    fs::create_dir_all(pod.path()).unwrap();
    let c = Container::sleeper().in_pod(&pod);
    c.create_with(&[]).fails("is half-made: it is being created, or its creation was killed; hilum pod rm -f");
    c.left_nothing();
    pod.finish();
}

#[test]
fn a_pin_that_was_unmounted_is_noticed() {
    let pod = Pod::with(&["--share", "uts"]);
    let unmounted = std::process::Command::new("umount").arg(pod.path().join("ns/uts")).status().unwrap();
    assert!(unmounted.success());
    let c = Container::sleeper().in_pod(&pod);
    c.create_with(&[]).fails("sandbox gone: its uts namespace is mounted no more on");
    c.left_nothing();
    pod.finish();
}

#[test]
fn another_container_is_joined_by_id() {
    let first = Container::sleeper().set("hostname", json!("first"));
    first.up();
    for (text, kinds) in [
        (first.id.clone(), &["net", "ipc", "uts"][..]),
        (format!("{}:uts", first.id), &["uts"]),
        (format!("{}:pid,network", first.id), &["pid", "net"]),
        (first.id[..first.id.len() - 1].to_owned(), &["net", "ipc", "uts"]),
    ] {
        for by_annotation in [false, true] {
            let c = beside(&first).set("hostname", json!("second"));
            let c = match by_annotation {
                true => annotated(c, "org.hilum.join", &text),
                false => c.creating(&["--join", &text]),
            };
            c.up();
            for kind in ["net", "ipc", "uts", "pid"] {
                let joined = kinds.contains(&kind);
                assert_eq!(ns(c.pid(), kind) == ns(first.pid(), kind), joined, "{text}: {kind}");
            }
            // A container that joins names does not change them.
            let name = if kinds.contains(&"uts") { "first\n" } else { "second\n" };
            assert_eq!(c.call(&["exec", &c.id, "hostname"]).ok().stdout, name);
            assert_eq!(first.call(&["exec", &first.id, "hostname"]).ok().stdout, "first\n");
            c.call(&["delete", "--force", &c.id]).ok();
            c.left_nothing();
        }
    }
    first.finish();
}

#[test]
fn with_its_ipc_comes_its_shared_memory() {
    let first = Container::sleeper();
    first.up();
    first.call(&["exec", &first.id, "sh", "-c", "echo data >/dev/shm/x"]).ok();
    let second =
        Container::new(&["cat", "/dev/shm/x"]).under(&first).creating(&["--join", &format!("{}:ipc", first.id)]);
    assert_eq!(second.run().ok().stdout, "data\n");
    let third = Container::new(&["ls", "/dev/shm"]).under(&first).creating(&["--join", &format!("{}:net", first.id)]);
    assert_eq!(third.run().ok().stdout, "");
    first.finish();
}

#[test]
fn who_cannot_be_joined_is_named() {
    let first = Container::sleeper();
    first.up();
    let prefix = &first.id[..2];
    let other = beside(&first);
    other.up();
    let c = |text: &str| beside(&first).creating(&["--join", text]);
    let refused = |text: &str, why: &str| {
        let c = c(text);
        c.create_with(&[]).fails(why);
        assert!(!c.root().join(&c.id).exists());
    };
    refused("nobody", "join nobody: container does not exist");
    refused(prefix, "begin so; give more of the id");
    refused(&format!("{}:mount", first.id), "is not a kind of namespace that can be shared");
    refused(&format!("{}:", first.id), "is not a kind of namespace that can be shared");
    // A path of one and the id of another.
    let path = c(&first.id).join("network", proc(other.pid(), "ns/net"));
    path.create_with(&[]).fails("is not the network namespace of container");
    first.kill("KILL").ok();
    first.wait("stopped");
    refused(&first.id, "sandbox gone: the container has no process any more");
    other.call(&["delete", "--force", &other.id]).ok();
    first.finish();
}

/// The directory of the pods, for one, is beside those of the containers.
#[test]
fn what_is_no_container_is_not_meant_by_the_beginning_of_an_id() {
    let mut first = Container::sleeper();
    first.id.insert(0, 'z');
    first.up();
    std::fs::create_dir(first.root().join("zpods")).unwrap();
    let c = beside(&first).creating(&["--join", "z"]);
    c.up();
    assert_eq!(ns(c.pid(), "net"), ns(first.pid(), "net"));
    c.finish();
    first.finish();
}

#[test]
fn a_pod_and_a_container_may_be_joined_for_different_kinds() {
    let pod = Pod::with(&["--share", "net"]);
    let first = Container::sleeper();
    first.up();
    let c = beside(&first).in_pod(&pod).creating(&["--join", &format!("{}:uts", first.id)]);
    c.up();
    assert_eq!(ns(c.pid(), "net"), pod.ns("net"));
    assert_eq!(ns(c.pid(), "uts"), ns(first.pid(), "uts"));
    c.call(&["delete", "--force", &c.id]).ok();
    let c = beside(&first).in_pod(&pod).creating(&["--join", &first.id]);
    c.create_with(&[]).fails(&format!("the network namespace is that of pod {}, and also that of container", pod.name));
    first.finish();
    pod.finish();
}

#[test]
fn a_container_is_known_to_its_pod_whatever_its_root() {
    let pod = Pod::with(&["--share", "uts"]);
    let (a, b) = (Container::sleeper().in_pod(&pod), Container::sleeper().in_pod(&pod));
    a.up();
    b.up();
    assert_ne!(a.root(), b.root());
    assert_eq!(ls(&pod)["running"], 2);
    // The same id under another root.
    let mut same = Container::sleeper().in_pod(&pod).set("linux/cgroupsPath", json!("/x/another-name"));
    same.id.clone_from(&a.id);
    same.create_with(&[]).fails(&format!("pod {} has a container {} already", pod.name, a.id));
    assert!(!same.root().join(&same.id).exists());
    same.id = "nobody".into();
    assert_eq!(a.status(), "running");
    assert_eq!(ls(&pod)["running"], 2);
    a.finish();
    assert_eq!(ls(&pod)["containers"], 1);
    pod.verb("rm", &["-f"]).ok();
    pod.left_nothing();
    b.left_nothing();
}

/// What they ask for is not in config.json, which is what CRIU is told by.
#[test]
fn a_member_is_not_checkpointed_and_not_restored() {
    if !hilum_only("its pods") {
        return;
    }
    let pod = Pod::with(&["--share", "uts"]);
    let first = Container::sleeper();
    first.up();
    let members = [
        (Container::sleeper().in_pod(&pod), format!("org.hilum.pod={}", pod.name)),
        (
            beside(&first).creating(&["--join", &format!("{}:net", first.id)]),
            format!("org.hilum.join={}:net", first.id),
        ),
    ];
    for (c, named) in members {
        c.up();
        let expected = format!("{named}: a container that takes part in the namespaces of others by name");
        c.call(&["checkpoint", &c.id]).fails(&format!("checkpoint: {expected}"));
        assert_eq!(c.status(), "running");
        c.call(&["delete", "--force", &c.id]).ok();
        let (name, value) = named.split_once('=').unwrap();
        let c = annotated(c, name, value);
        c.write_config();
        fs::create_dir(c.bundle().join("checkpoint")).unwrap();
        c.call(&["restore", &c.id]).fails(&format!("restore: {expected}"));
        assert!(!c.root().join(&c.id).exists());
    }
    first.finish();
    pod.finish();
}
