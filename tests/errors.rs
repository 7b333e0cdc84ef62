//! Bad input: a clear error, exit code 1, nothing left behind.

use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Creates with this text as config.json: it must fail and leave nothing. Returns what it said.
#[track_caller]
fn refused_text(text: &[u8]) -> String {
    let c = Container::new(&["true"]);
    fs::write(c.bundle().join("config.json"), text).unwrap();
    let out = c.call(&["create", &c.id]).fails("");
    c.left_nothing();
    out.stderr
}

/// The same with one property of the default config replaced.
#[track_caller]
fn refused(pointer: &str, value: Value) -> String {
    let c = Container::new(&["true"]).set(pointer, value);
    let out = c.create_with(&[]).fails("");
    c.left_nothing();
    out.stderr
}

fn default_text() -> Vec<u8> {
    serde_json::to_vec_pretty(&Container::new(&["true"]).config).unwrap()
}

#[test]
fn a_config_that_is_cut_off_anywhere_is_refused() {
    let text = default_text();
    for n in 0..rounds(12, 200) as usize {
        refused_text(&text[..text.len() * n / rounds(12, 200) as usize]);
    }
}

#[test]
fn a_config_that_is_no_object_is_refused() {
    if hilum_only("the oracle panics") {
        refused_text(b"{\"ociVersion\":\"1.0.2\"}");
        refused_text(b"{}");
        refused_text(b"null");
    }
    for text in ["[]", "1", "\"x\"", "\u{0}", "not json", "{\"a\":1}}"] {
        refused_text(text.as_bytes());
    }
    refused_text(&[0xff, 0xfe, 0x00]);
    refused_text(&vec![b'['; 1 << 20]);
    refused_text(&vec![b' '; 1 << 20]);
}

#[test]
fn a_property_of_the_wrong_type_is_refused_with_its_path() {
    for (pointer, value, path) in [
        ("process/args", json!("true"), "process.args"),
        ("process/args/0", json!(1), "process.args[0]"),
        ("process/env", json!({}), "process.env"),
        ("process/terminal", json!("yes"), "process.terminal"),
        ("process/user/uid", json!(-1), "process.user.uid"),
        ("process/user/uid", json!("root"), "process.user.uid"),
        ("process/user/gid", json!(4294967296u64), "process.user.gid"),
        ("process/user/additionalGids", json!([1, "x"]), "process.user.additionalGids[1]"),
        ("process/rlimits/0/hard", json!(-1), "process.rlimits[0].hard"),
        ("process/capabilities", json!([]), "process.capabilities"),
        ("root", json!("rootfs"), "root"),
        ("root/readonly", json!(1), "root.readonly"),
        ("hostname", json!(["x"]), "hostname"),
        ("mounts", json!({}), "mounts"),
        ("mounts/1/options", json!("ro"), "mounts[1].options"),
        ("mounts/0/destination", json!(7), "mounts[0].destination"),
        ("linux/namespaces/2", json!("ipc"), "linux.namespaces[2]"),
        ("linux/namespaces/2/type", json!(5), "linux.namespaces[2].type"),
        ("linux/resources/devices/0/allow", json!("no"), "linux.resources.devices[0].allow"),
        ("linux/resources/memory", json!({ "limit": "1G" }), "linux.resources.memory.limit"),
        ("linux/resources/cpu", json!({ "shares": -5 }), "linux.resources.cpu.shares"),
        ("linux/maskedPaths/0", json!(null), "linux.maskedPaths[0]"),
        ("linux/sysctl", json!({ "net.ipv4.ip_forward": 1 }), "linux.sysctl"),
        ("linux/seccomp", json!({ "defaultAction": 3 }), "linux.seccomp.defaultAction"),
        ("annotations", json!({ "a": 1 }), "annotations"),
        ("hooks", json!({ "prestart": [{ "path": 1 }] }), "hooks.prestart[0].path"),
    ] {
        // Go takes null for an empty string.
        if value.is_null() && !is_hilum() {
            continue;
        }
        let said = refused(pointer, value);
        if is_hilum() {
            assert!(said.contains(path), "{said:?} does not name {path}");
        }
    }
    hilum_only("the property's path in the text");
}

#[test]
fn a_config_without_what_it_must_have_is_refused() {
    for pointer in ["process", "root", "process/args", "process/cwd", "linux"] {
        let mut c = Container::new(&["true"]);
        let (parent, key) = pointer.rsplit_once('/').map_or(("", pointer), |(p, k)| (p, k));
        let parent = if parent.is_empty() { String::new() } else { format!("/{parent}") };
        c.config.pointer_mut(&parent).and_then(Value::as_object_mut).unwrap().remove(key);
        if pointer == "linux" && !hilum_only("the oracle panics without it") {
            continue;
        }
        c.create_with(&[]).fails("");
        c.left_nothing();
    }
    refused("process/args", json!([]));
    refused("process/args", json!([""]));
    refused("process/cwd", json!(""));
}

#[test]
fn unknown_properties_are_ignored() {
    let c = Container::new(&["true"]).set("future", json!({ "x": [1] })).set("process/future", json!(1));
    c.run().ok();
    c.finish();
}

#[test]
fn a_missing_bundle_or_config_is_an_error_that_names_it() {
    let c = Container::new(&["true"]);
    c.call(&["create", "--bundle", "/nonexistent/bundle", &c.id]).fails("/nonexistent/bundle");
    c.call(&["create", &c.id]).fails("config.json");
    c.call(&["run", "-b", c.dir().to_str().unwrap(), &c.id]).fails("config.json");
    fs::create_dir(c.bundle().join("config.json")).unwrap();
    c.call(&["create", &c.id]).fails("");
    c.left_nothing();
}

#[test]
fn a_program_that_is_not_there_says_so() {
    for program in ["no-such-program", "/no/such/program", "./nothing"] {
        for verb in ["run", "create"] {
            let c = Container::new(&[program]);
            c.write_config();
            let out = c.call(&[verb, &c.id]).fails(program);
            let texts = ["executable file not found", "no such file or directory"];
            assert!(texts.iter().any(|text| out.stderr.contains(text)), "{out:?}");
            c.left_nothing();
        }
    }
}

#[test]
fn a_name_that_no_path_has_is_an_executable_file_not_found() {
    for path in ["/bin", "/bin/busybox/x:/bin", "/bin:/bin/busybox/x"] {
        let c = Container::new(&["no-such-program"]).set("process/env", json!([format!("PATH={path}")]));
        c.run().fails("executable file not found in $PATH");
        c.left_nothing();
    }
}

#[test]
fn a_program_that_cannot_be_executed_says_permission_denied() {
    let c = Container::new(&["/plain"]);
    fs::write(c.rootfs().join("plain"), "#!/bin/sh\n").unwrap();
    c.run().fails("permission denied");
    c.left_nothing();
    let c = Container::new(&["/etc"]);
    let out = c.run().fails("");
    // A newer runc says the one, of which an older Docker makes exit code 125; hilum says both.
    let texts = ["is a directory", "permission denied"].map(|text| out.stderr.contains(text));
    assert!(if is_hilum() { texts == [true, true] } else { texts.contains(&true) }, "{out:?}");
    c.left_nothing();
}

/// Docker makes a hint of these words.
#[test]
fn a_bind_of_a_file_on_a_directory_or_the_reverse_says_not_a_directory() {
    for (source, target) in [("/dev/null", "/etc"), ("/proc", "/file")] {
        let c = Container::new(&["true"]);
        fs::write(c.rootfs().join("file"), "").unwrap();
        let bind = json!({ "destination": target, "type": "bind", "source": source, "options": ["rbind"] });
        let c = c.push("mounts", bind);
        let out = c.run().fails(target);
        assert!(out.stderr.to_lowercase().contains("not a directory"), "{out:?}");
        c.left_nothing();
    }
}

#[test]
fn a_program_with_a_broken_interpreter_or_format_fails() {
    let c = Container::new(&["/script"]);
    for text in ["#!/no/such/interpreter\n", "garbage that is no program"] {
        fs::write(c.rootfs().join("script"), text).unwrap();
        fs::set_permissions(c.rootfs().join("script"), fs::Permissions::from_mode(0o755)).unwrap();
        let out = c.run();
        // Newer ones say it from inside the container, where it is 255.
        assert!(out.code == 1 || out.code == 255 && !is_hilum(), "{out:?}");
        let texts = ["no such file or directory", "exec format error"];
        assert!(texts.iter().any(|text| out.stderr.to_lowercase().contains(text)), "{out:?}");
    }
    c.finish();
}

#[test]
fn a_failed_start_says_why_and_leaves_a_container_that_can_be_deleted() {
    // The program goes between create and start.
    let c = Container::new(&["/tool"]).set("root/readonly", json!(false));
    fs::copy(c.rootfs().join("bin/busybox"), c.rootfs().join("tool")).unwrap();
    c.create();
    fs::remove_file(c.rootfs().join("tool")).unwrap();
    let out = c.call(&["start", &c.id]);
    if hilum_only("the oracle's start does not learn of it") {
        out.fails("no such file or directory");
    }
    c.wait("stopped");
    c.call(&["delete", &c.id]).ok();
    c.left_nothing();
}

#[test]
fn very_long_strings_are_refused_or_harmless() {
    let long = "x".repeat(1 << 20);
    for (pointer, value) in [
        ("hostname", json!(long)),
        ("process/args/0", json!(long)),
        ("process/cwd", json!(format!("/{long}"))),
        ("root/path", json!(long)),
        ("mounts/0/destination", json!(format!("/{long}"))),
        ("mounts/1/options", json!([format!("size={long}")])),
        ("linux/namespaces/1/path", json!(format!("/{long}"))),
        ("linux/cgroupsPath", json!(format!("/{long}"))),
        ("linux/sysctl", json!({ format!("net.{long}"): "1" })),
    ] {
        let said = refused(pointer, value);
        if hilum_only("the oracle repeats the string") {
            assert!(said.len() < 10_000, "{pointer}: an error of {} bytes", said.len());
        }
    }
    // The kernel's limit for one argument is 128 KiB.
    let c = Container::new(&["true", &long]);
    assert_eq!(c.run().code, 1);
    c.finish();
}

#[test]
fn many_entries_are_no_problem() {
    let env: Vec<String> = (0..2000).map(|n| format!("V{n}=value")).chain(["PATH=/bin".to_owned()]).collect();
    let c = Container::sh("env | wc -l").set("process/env", json!(env));
    let masked: Vec<String> = (0..500).map(|n| format!("/proc/nothing{n}")).collect();
    let c = c.set("linux/maskedPaths", json!(masked));
    let count: u32 = c.run().ok().stdout.trim().parse().unwrap();
    assert!(count >= 2001, "{count}");
    c.finish();
}

#[test]
fn nul_characters_are_refused() {
    for pointer in [
        "process/args/0",
        "process/env/0",
        "process/cwd",
        "hostname",
        "root/path",
        "mounts/0/destination",
        "mounts/1/source",
        "linux/maskedPaths/0",
        "linux/readonlyPaths/0",
        "linux/cgroupsPath",
        "linux/namespaces/1/path",
    ] {
        if !hilum_only("the oracle lets some pass") {
            return;
        }
        let said = refused(pointer, json!("/a\u{0}b"));
        assert!(!said.contains('\u{0}'), "{said:?}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (pointer, value) in [
        ("process/user/umask", json!(-1)),
        ("process/rlimits/0/soft", json!(1.5)),
        ("process/oomScoreAdj", json!(100_000)),
        ("linux/resources/pids", json!({ "limit": 1e30 })),
    ] {
        refused(pointer, value);
    }
}

#[test]
fn dots_in_paths_stay_inside() {
    let c = Container::sh("cat /proc/self/mountinfo; pwd")
        .set("root/readonly", json!(false))
        .set("process/cwd", json!("/etc/../../../../tmp"))
        .push("mounts", json!({ "destination": "/../../../../up", "type": "tmpfs", "source": "tmpfs" }));
    let out = c.run();
    if out.code == 0 {
        // Not refused: then cleaned.
        mount_at(&parse_mounts(&out.stdout), "/up");
        assert!(out.stdout.ends_with("/tmp\n"), "{out:?}");
    }
    assert!(!fs::exists("/up").unwrap() && !c.dir().join("up").exists());
    c.finish();
}

#[test]
fn a_failure_in_the_container_reports_step_and_errno_in_the_json_log() {
    if !hilum_only("extra keys") {
        return;
    }
    let c =
        Container::new(&["true"]).push("mounts", json!({ "destination": "/mnt", "type": "nonsensefs", "source": "x" }));
    let log = c.path("log");
    c.write_config();
    let out = c.call(&["--log", &log, "--log-format", "json", "create", &c.id]).fails("/mnt");
    let text = fs::read_to_string(&log).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(last["step"].is_string() && last["errno"] != Value::Null, "{last}");
    assert!(out.stderr.contains(last["msg"].as_str().unwrap()), "{out:?} {last}");
    c.left_nothing();
}

#[test]
fn a_create_that_fails_late_leaves_nothing_on_any_layout() {
    for host in Host::all() {
        for (pointer, value) in [
            ("process/args/0", json!("no-such-program")),
            ("process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "hard": 1u64 << 40, "soft": 1u64 << 40 }])),
            ("linux/sysctl", json!({ "net.ipv4.nonsense": "1" })),
            ("hooks", json!({ "createContainer": [{ "path": "/bin/false" }] })),
        ] {
            let c = Container::new(&["true"]).on(host).set(pointer, value);
            c.create_with(&["--pid-file", &c.path("pid")]).fails("");
            assert!(!fs::exists(c.path("pid")).unwrap() || !is_hilum(), "{pointer}: a pid file of nothing");
            c.left_nothing();
        }
    }
}
