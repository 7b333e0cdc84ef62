//! Containers made from Rust, in this process, which has other threads that do the same.

use crate::common::*;
use hilum::{Container as Made, Runtime, Status};
use std::path::Path;
use std::process::Command;

fn runtime(c: &Container) -> Runtime {
    c.write_config();
    Runtime::new(c.root()).unwrap()
}

fn wait_until(made: &Made, status: Status) {
    eventually(&format!("{} is {}", made.id(), status.name()), || made.status().unwrap() == status);
}

#[test]
fn a_life_from_rust() {
    if !hilum_only("its library") {
        return;
    }
    // The host of the test's process is the plain one.
    let c = Container::sh("exit 7").on(Host::plain());
    let runtime = runtime(&c);
    assert!(runtime.containers().unwrap().is_empty());
    let made = runtime.create(&c.id, c.bundle()).unwrap();
    assert_eq!(made.status().unwrap(), Status::Created);
    assert_eq!(c.status(), "created", "the command line sees it, too");
    assert_eq!(made.pid().unwrap(), Some(c.pid() as i32));
    made.start().unwrap();
    assert_eq!(made.wait().unwrap(), Some(7));
    assert_eq!(made.wait().unwrap(), None, "it has been waited for");
    assert_eq!((made.status().unwrap(), made.pid().unwrap()), (Status::Stopped, None));
    assert_eq!(runtime.containers().unwrap().iter().map(Made::id).collect::<Vec<_>>(), [c.id.as_str()]);
    made.delete(false).unwrap();
    assert!(runtime.container(&c.id).is_err());
    c.left_nothing();
}

#[test]
fn a_signal_is_told_as_shells_tell_it() {
    if !hilum_only("its library") {
        return;
    }
    let c = Container::sleeper().on(Host::plain());
    let runtime = runtime(&c);
    let made = runtime.create(&c.id, c.bundle()).unwrap();
    made.start().unwrap();
    wait_until(&made, Status::Running);
    let error = made.delete(false).unwrap_err().to_string();
    assert!(error.contains("that is not stopped: running"), "{error}");
    // By whichever handle.
    runtime.container(&c.id).unwrap().kill(9).unwrap();
    assert_eq!(made.wait().unwrap(), Some(128 + 9));
    made.delete(false).unwrap();
    c.left_nothing();
}

#[test]
fn an_error_names_the_property_and_leaves_nothing() {
    if !hilum_only("its library") {
        return;
    }
    let c = Container::new(&["true"]).on(Host::plain()).set("process/rlimits/0/type", json!("RLIMIT_NONE"));
    let runtime = runtime(&c);
    let error = runtime.create(&c.id, c.bundle()).unwrap_err();
    assert!(error.to_string().contains("process.rlimits"), "{error}");
    for (id, bundle, says) in [("../x", c.bundle(), "invalid container ID format"), ("x", "/none".into(), "bundle")] {
        let error = runtime.create(id, bundle).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(runtime.container("none").unwrap_err().to_string().contains("does not exist"));
    c.left_nothing();
}

#[test]
fn the_directory_of_the_pods_is_no_container() {
    if !hilum_only("its library") || rustix::process::geteuid().as_raw() != 0 {
        return;
    }
    let error = Runtime::new("/run/hilum").unwrap().create("pods", "/none").unwrap_err().to_string();
    assert!(error.contains("pods is the directory of the pods"), "{error}");
}

/// setns(2) into a mount namespace fails in a thread that shares its working directory with others.
#[test]
fn another_containers_shm_is_joined_in_a_program_with_threads() {
    if !hilum_only("its library") {
        return;
    }
    let first = Container::sh("echo shared > /dev/shm/x; sleep 1000").on(Host::plain());
    first.up();
    eventually("its file", || Path::new(&format!("/proc/{}/root/dev/shm/x", first.pid())).exists());
    let joining = json!({ "org.hilum.join": format!("{}:ipc", first.id) });
    let c = Container::sh("cat /dev/shm/x").on(Host::plain()).without_namespace("ipc").set("annotations", joining);
    let c = c.under(&first);
    let before = std::env::current_dir().unwrap();
    let made = runtime(&c).create(&c.id, c.bundle()).unwrap();
    assert_eq!(std::env::current_dir().unwrap(), before);
    made.start().unwrap();
    // Its output is the test's own.
    assert_eq!(made.wait().unwrap(), Some(0));
    made.delete(false).unwrap();
    c.left_nothing();
    first.finish();
}

/// The README says that it is short.
#[test]
fn the_example_runs_a_container() {
    if !hilum_only("its library") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = include_str!("../examples/run.rs");
    assert!(text.lines().count() < 30, "{} lines", text.lines().count());
    let mut build = Command::new(root.join("scripts/cargo"));
    build.args(["build", "--quiet", "--example", "run", "--message-format", "json"]).current_dir(root);
    let built = build.output().unwrap();
    assert!(built.status.success(), "{built:?}");
    let artifacts = String::from_utf8(built.stdout).unwrap();
    let program = artifacts.lines().find_map(|line| {
        let artifact: Value = serde_json::from_str(line).ok()?;
        let ours = artifact["target"]["kind"][0] == "example";
        ours.then(|| artifact["executable"].as_str().unwrap().to_owned())
    });
    let c = Container::sh("echo hello; exit 5");
    c.write_config();
    let out = Command::new("timeout").arg("60").arg(program.unwrap()).arg(c.bundle()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "hello\n", "{out:?}");
    assert_eq!(out.status.code(), Some(5), "{out:?}");
}
