//! Hooks: when they run, where, with which state on stdin, and what their failure means.

use crate::common::*;
use std::fs;
use std::time::Instant;

/// A hook that runs a script of the host's shell. `$OUT` is a file beside the bundle.
fn hook(c: &Container, script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": [format!("OUT={}", c.path("out")), "PATH=/usr/sbin:/usr/bin:/sbin:/bin"] })
}

fn out(c: &Container) -> String {
    read(&c.dir().join("out"))
}

/// The container with one hook of each of these kinds, which appends its kind and the state from stdin to `out`.
fn reporting(mut c: Container, kinds: &[&str]) -> Container {
    for kind in kinds {
        let report = hook(&c, &format!("{{ printf '{kind} '; tr -d '\\n'; echo; }} >> $OUT"));
        if c.config.get("hooks").is_none() {
            c = c.set("hooks", json!({}));
        }
        c = c.push(&format!("hooks/{kind}"), report);
    }
    c
}

/// What the hooks reported: kind and state.
fn reports(c: &Container) -> Vec<(String, Value)> {
    let parse = |line: &str| {
        let (kind, state) = line.split_once(' ').unwrap();
        (kind.to_owned(), serde_json::from_str(state).unwrap_or_else(|e| panic!("{e}: {state}")))
    };
    out(c).lines().map(parse).collect()
}

/// A root file system with the host's, so that hooks inside the container can report to the same file.
fn with_report_file(c: Container) -> Container {
    fs::write(c.path("out"), "").unwrap();
    let mount =
        json!({ "destination": c.path("out"), "type": "bind", "source": c.path("out"), "options": ["bind", "rw"] });
    c.push("mounts", mount).set("root/readonly", json!(false))
}

#[test]
fn the_kinds_run_in_their_order_and_at_their_time() {
    let kinds = ["poststop", "poststart", "createContainer", "startContainer", "createRuntime", "prestart"];
    let c = with_report_file(reporting(Container::sleeper(), &kinds));
    // The oracle runs poststart at create, so only its presence is compared.
    let names = |c: &Container| {
        let all = reports(c).into_iter().map(|(kind, _)| kind);
        all.filter(|kind| is_hilum() || kind != "poststart").collect::<Vec<_>>()
    };
    c.create();
    assert_eq!(names(&c), ["prestart", "createRuntime", "createContainer"]);
    c.start();
    eventually("poststart", || reports(&c).len() == 5);
    let started = if is_hilum() { &["startContainer", "poststart"][..] } else { &["startContainer"] };
    assert_eq!(names(&c)[3..], *started);
    c.call(&["delete", "-f", &c.id]).ok();
    assert_eq!(names(&c).last().unwrap(), "poststop");
    c.finish();
}

#[test]
fn the_state_on_stdin_has_id_status_pid_bundle_and_annotations() {
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let c = with_report_file(reporting(Container::sleeper().set("annotations", json!({ "a": "b" })), &kinds));
    c.create();
    let pid = c.pid();
    c.start();
    eventually("poststart", || reports(&c).len() == 5);
    c.call(&["delete", "-f", &c.id]).ok();
    for (kind, state) in reports(&c) {
        assert_eq!((&state["id"], &state["bundle"]), (&json!(c.id), &json!(c.bundle())), "{kind}");
        assert_eq!(state["annotations"]["a"], "b", "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}");
        if kind == "poststart" && !is_hilum() {
            continue;
        }
        let (status, expected_pid) = match kind.as_str() {
            "prestart" | "createRuntime" => ("creating", Some(pid)),
            // In the container, as it sees itself.
            "createContainer" => ("creating", None),
            "startContainer" => ("created", None),
            "poststart" => ("running", Some(pid)),
            _ => ("stopped", Some(0)),
        };
        assert_eq!(state["status"], status, "{kind}");
        if let Some(pid) = expected_pid {
            assert_eq!(state["pid"].as_u64().unwrap_or(0), u64::from(pid), "{kind}");
        }
    }
    c.finish();
}

#[test]
fn hooks_run_in_the_namespaces_of_their_kind() {
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let mut c = Container::sleeper().set("hooks", json!({}));
    for kind in kinds {
        // Within the container, only busybox is there.
        let script = format!("echo {kind} $(for n in mnt net pid; do readlink /proc/self/ns/$n; done) >> $OUT");
        let report = hook(&c, &script);
        c = c.push(&format!("hooks/{kind}"), report);
    }
    let c = with_report_file(c);
    c.create();
    let pid = c.pid();
    let inside = [ns(pid, "mnt"), ns(pid, "net"), ns(pid, "pid")];
    let host = [own_ns("mnt"), own_ns("net"), own_ns("pid")];
    c.start();
    eventually("poststart", || out(&c).contains("poststart"));
    c.call(&["delete", "-f", &c.id]).ok();
    for line in out(&c).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "startContainer" => assert_eq!(words[1..], inside, "{line}"),
            // In the container's namespaces, but before pivot_root: the host's files are there.
            "createContainer" => assert_eq!(words[1..3], inside[..2], "{line}"),
            _ => assert_eq!(words[1..], host, "{line}"),
        }
    }
    c.finish();
}

#[test]
fn a_hook_sees_its_args_and_its_env_and_no_other() {
    let c = Container::new(&["true"]);
    let script = "echo $0 $1 $2; tr '\\0' '\\n' < /proc/self/environ";
    let report = json!({ "path": "/bin/sh", "args": ["name", "-c", format!("{{ {script}; }} > {}", c.path("out")), "zero", "one", "two"],
        "env": ["X=1 2", "Y="] });
    let c = c.set("hooks", json!({ "createRuntime": [report] }));
    c.run().ok();
    let text = out(&c);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "zero one two");
    assert!(lines.contains(&"X=1 2") && lines.contains(&"Y="), "{text}");
    assert!(!lines.iter().any(|l| l.starts_with("HOME=") || l.starts_with("CARGO")), "{text}");
    c.finish();
}

/// The runtime in the foreground blocks and ignores some; a shell would begin with taking that back.
#[test]
fn a_hook_starts_with_default_signals() {
    let c = Container::new(&["true"]);
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let hook = |kind: &str| {
        let copy = json!({ "path": "/bin/cp", "args": ["cp", "/proc/self/status", c.path(kind)] });
        (kind.to_owned(), json!([copy]))
    };
    let hooks: serde_json::Map<String, Value> = kinds.into_iter().map(hook).collect();
    let c = c.set("hooks", json!(hooks));
    c.run().ok();
    for kind in kinds {
        let status = read(&c.dir().join(kind));
        for set in ["SigBlk", "SigIgn"] {
            let signals = u64::from_str_radix(field(&status, set), 16).unwrap();
            assert_eq!(signals & 0x7fff_ffff, 0, "{kind}: {set} in {status}");
        }
    }
    c.finish();
}

#[test]
fn the_hooks_of_a_kind_run_in_the_order_of_the_list() {
    let c = Container::new(&["true"]);
    let list: Vec<Value> =
        ["1", "2", "3"].iter().map(|n| hook(&c, &format!("sleep 0.0$((4-{n})); echo {n} >> $OUT"))).collect();
    let c = c.set("hooks", json!({ "createRuntime": list }));
    c.run().ok();
    assert_eq!(out(&c), "1\n2\n3\n");
    c.finish();
}

#[test]
fn a_failing_hook_before_start_aborts_create_and_leaves_nothing() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let c = Container::new(&["true"]);
        let (fail, next) = (hook(&c, "echo the reason >&2; exit 3"), hook(&c, "echo ran >> $OUT"));
        let c = c.set("hooks", json!({ kind: [fail, next] }));
        let failed = c.create_with(&[]).fails("hook");
        assert!(failed.stderr.contains("exit status 3"), "{failed:?}");
        if hilum_only("the text of the hook") {
            assert!(failed.stderr.contains("the reason") && failed.stderr.contains(kind), "{failed:?}");
        }
        assert_eq!(out(&c), "", "{kind}");
        c.left_nothing();
    }
}

#[test]
fn what_a_failed_creation_cannot_take_back_can_be_deleted() {
    if !hilum_only("the oracle forgets it") {
        return;
    }
    if Host::plain() != Host::V1Hybrid || !Host::V1Hybrid.has("cpuset") {
        skip("a cgroup that cannot be removed is made with cpuset of version 1");
        return;
    }
    let c = Container::sleeper().on(Host::plain());
    // In a hierarchy where nobody looks for processes of the container, one that is not.
    let script = "pid=$(grep -o '\"pid\":[0-9]*' | tr -dc 0-9); dir=/sys/fs/cgroup/cpuset$(sed -n 's/.*:cpuset://p' /proc/$pid/cgroup)
        sleep 1000 > /dev/null 2>&1 & echo $! > $dir/cgroup.procs; echo $! > $OUT; exit 1";
    let hooks = json!({ "createRuntime": [hook(&c, script)] });
    let c = c.set("hooks", hooks);
    let failed = c.create_with(&[]).fails("createRuntime");
    assert!(failed.stderr.contains(&format!("hilum delete --force {}", c.id)), "{failed:?}");
    assert!(!cgroups_named(&c.id).is_empty());
    std::process::Command::new("kill").args(["-9", out(&c).trim()]).status().unwrap();
    assert!(c.root().join(&c.id).exists());
    c.finish();
}

#[test]
fn a_failing_start_container_hook_keeps_the_process_from_starting() {
    let c = Container::sh("echo started");
    let c = c.set("hooks", json!({ "startContainer": [{ "path": "/bin/false" }] }));
    c.create();
    let out = c.call(&["start", &c.id]);
    if hilum_only("the oracle's start does not learn of it") {
        out.fails("startContainer");
    }
    c.wait("stopped");
    assert!(!c.output().contains("started"));
    c.finish();
}

/// runtime-spec, lifecycle, step 9.
#[test]
fn a_failing_poststart_hook_stops_the_container() {
    if !hilum_only("the oracle runs it at create") {
        return;
    }
    let c = Container::sleeper().set("hooks", json!({ "poststart": [{ "path": "/bin/false" }] }));
    c.create();
    let pid = c.pid();
    c.call(&["start", &c.id]).fails("poststart");
    eventually("the process is gone", || !read(&proc(pid, "cmdline")).contains("sleep"));
    c.finish();
}

#[test]
fn a_failing_poststop_hook_stops_neither_delete_nor_the_next() {
    let c = Container::sleeper();
    let (fail, next) = (hook(&c, "exit 1"), hook(&c, "echo ran >> $OUT"));
    let c = c.set("hooks", json!({ "poststop": [fail, next] }));
    c.create();
    c.call(&["delete", "-f", &c.id]);
    c.left_nothing();
    if hilum_only("the oracle stops at the first") {
        assert_eq!(out(&c), "ran\n");
    }
}

#[test]
fn a_hook_that_takes_too_long_is_killed_and_fails() {
    let c = Container::new(&["true"]);
    let mut slow = hook(&c, "echo $$ > $OUT; exec sleep 100");
    slow["timeout"] = json!(1);
    let c = c.set("hooks", json!({ "createRuntime": [slow] }));
    let begin = Instant::now();
    c.create_with(&[]).fails("");
    assert!(begin.elapsed().as_secs() < 20);
    let pid: u32 = out(&c).trim().parse().unwrap();
    eventually("the hook is gone", || !read(&proc(pid, "cmdline")).contains("sleep"));
    c.left_nothing();
}

#[test]
fn a_hook_that_is_not_there_fails() {
    for kind in ["prestart", "createRuntime"] {
        let c = Container::new(&["true"]).set("hooks", json!({ kind: [{ "path": "/nonexistent/hook" }] }));
        c.create_with(&[]).fails("/nonexistent/hook");
        c.left_nothing();
    }
}

#[test]
fn a_hook_in_the_container_that_is_not_there_is_told_by_the_kernels_words() {
    for kind in ["createContainer", "startContainer"] {
        let c = Container::new(&["true"]).set("hooks", json!({ kind: [{ "path": "/nonexistent/hook" }] }));
        c.run().fails("o such file or directory");
        c.finish();
    }
}

#[test]
fn a_relative_hook_path_is_refused() {
    if !hilum_only("the oracle runs it") {
        return;
    }
    let c = Container::new(&["true"]).set("hooks", json!({ "createRuntime": [{ "path": "sh" }] }));
    c.create_with(&[]).fails("hooks.createRuntime[0].path");
    c.left_nothing();
}

#[test]
fn a_runtime_hook_can_set_up_the_network_namespace() {
    let c = Container::sh("cat /sys/class/net/*/address | wc -l; ls /sys/class/net");
    let script = "pid=$(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p'); nsenter -t $pid -n sysctl -qw net.ipv4.ip_forward=1; \
                  cat /proc/sys/net/ipv4/ip_forward > $OUT";
    let setup = hook(&c, script);
    let c = c
        .set("hooks", json!({ "createRuntime": [setup] }))
        .set("process/args", json!(["cat", "/proc/sys/net/ipv4/ip_forward"]));
    assert_eq!(c.run().ok().stdout, "1\n");
    c.finish();
}

#[test]
fn poststart_comes_after_the_start_of_the_process() {
    if !hilum_only("the oracle runs poststart too early") {
        return;
    }
    let c = Container::sleeper();
    let script = "pid=$(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p'); tr '\\0' ' ' < /proc/$pid/cmdline > $OUT";
    let look = hook(&c, script);
    let c = c.set("hooks", json!({ "poststart": [look] }));
    c.create().start();
    eventually("poststart", || !out(&c).is_empty());
    assert_eq!(out(&c), "sleep 1000 ");
    c.finish();
}
