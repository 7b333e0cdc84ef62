//! The process: arguments, ids, capabilities, limits, and what it inherits.

use crate::common::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// /proc/self/status of a process in the container.
fn status(c: &Container) -> String {
    let c_args = &c.config["process"]["args"];
    assert_eq!(c_args, &json!(["cat", "/proc/self/status"]));
    c.run().ok().stdout
}

fn cat_status() -> Container {
    Container::new(&["cat", "/proc/self/status"])
}

#[test]
fn args_are_passed_as_they_are() {
    let args = ["sh", "-c", "for a in \"$@\"; do echo \"<$a>\"; done", "sh", "", "a b", "*", "ü", "$HOME", "-x", "--"];
    let c = Container::new(&args);
    assert_eq!(c.run().ok().stdout, "<>\n<a b>\n<*>\n<ü>\n<$HOME>\n<-x>\n<-->\n");
    c.finish();
}

#[test]
fn the_environment_is_the_configs_and_nothing_else() {
    let c =
        Container::new(&["cat", "/proc/self/environ"]).set("process/env", json!(["PATH=/bin", "A=1=2", "B=", "C=x y"]));
    let out = c.run().ok();
    let mut variables: Vec<&str> = out.stdout.split_terminator('\0').collect();
    // The oracle adds HOME when it is missing; so do its successors.
    variables.retain(|v| !v.starts_with("HOME="));
    assert_eq!(variables, ["PATH=/bin", "A=1=2", "B=", "C=x y"]);
    c.finish();
}

#[test]
fn home_is_set_from_passwd_when_it_is_missing() {
    let c = Container::sh("echo $HOME").set("process/user", json!({ "uid": 1234, "gid": 1 }));
    fs::write(c.rootfs().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nuser:x:1234:1::/home/user:/bin/sh\n").unwrap();
    assert_eq!(c.run().ok().stdout, "/home/user\n");
    let c = c.set("process/env", json!(["PATH=/bin", "HOME=/mine"]));
    assert_eq!(c.run().ok().stdout, "/mine\n");
    c.finish();
}

#[test]
fn the_program_is_found_by_the_path_of_the_container() {
    let c = Container::new(&["tool"]).set("process/env", json!(["PATH=/nowhere:/opt/tools:/bin"]));
    fs::create_dir_all(c.rootfs().join("opt/tools")).unwrap();
    let tool = c.rootfs().join("opt/tools/tool");
    fs::write(&tool, "#!/bin/sh\necho found $0\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(c.run().ok().stdout, "found /opt/tools/tool\n");
    c.finish();
}

#[test]
fn a_relative_program_is_relative_to_cwd() {
    let c = Container::new(&["./busybox", "echo", "here"]).set("process/cwd", json!("/bin"));
    assert_eq!(c.run().ok().stdout, "here\n");
    c.finish();
}

#[test]
fn cwd_is_entered_and_made_when_it_is_missing() {
    let c = Container::new(&["pwd"]).set("process/cwd", json!("/etc"));
    assert_eq!(c.run().ok().stdout, "/etc\n");
    let c = c.set("process/cwd", json!("/made/for/it")).set("root/readonly", json!(false));
    assert_eq!(c.run().ok().stdout, "/made/for/it\n");
    assert!(c.rootfs().join("made/for/it").is_dir());
    c.finish();
}

#[test]
fn a_cwd_that_only_the_user_can_enter_is_entered() {
    let c = Container::new(&["pwd"])
        .set("process/cwd", json!("/own"))
        .set("process/user", json!({ "uid": 1000, "gid": 1000 }));
    fs::create_dir(c.rootfs().join("own")).unwrap();
    std::os::unix::fs::chown(c.rootfs().join("own"), Some(1000), Some(1000)).unwrap();
    fs::set_permissions(c.rootfs().join("own"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(c.run().ok().stdout, "/own\n");
    c.finish();
}

#[test]
fn a_relative_cwd_is_refused() {
    let c = Container::new(&["true"]).set("process/cwd", json!("etc"));
    c.create_with(&[]).fails("");
    c.left_nothing();
}

#[test]
fn ids_groups_and_umask_are_the_configs() {
    let user = json!({ "uid": 1000, "gid": 2000, "additionalGids": [3, 4, 5000], "umask": 0o27 });
    let c = cat_status().set("process/user", user);
    let status = status(&c);
    assert_eq!(field(&status, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(field(&status, "Gid"), "2000\t2000\t2000\t2000");
    let groups: Vec<&str> = field(&status, "Groups").split_whitespace().filter(|g| *g != "2000").collect();
    assert_eq!(groups, ["3", "4", "5000"]);
    assert_eq!(field(&status, "Umask"), "0027");
    c.finish();
}

#[test]
fn without_additional_gids_there_are_none() {
    let c = cat_status().set("process/user", json!({ "uid": 1000, "gid": 2000 }));
    let status = status(&c);
    assert!(field(&status, "Groups").split_whitespace().all(|g| g == "2000"), "{status}");
    assert_eq!(field(&status, "Umask"), "0022");
    c.finish();
}

const CHOWN_KILL_NET: &str = "0000000000000421";

#[test]
fn the_capability_sets_are_the_configs() {
    let (three, two) = (json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"]), json!(["CAP_CHOWN", "CAP_KILL"]));
    let c =
        cat_status().set("process/capabilities", json!({ "bounding": three, "permitted": three, "effective": two }));
    let status = status(&c);
    assert_eq!(field(&status, "CapBnd"), CHOWN_KILL_NET);
    // execve by root gains the whole bounding set, unless securebits forbid it.
    assert_eq!(field(&status, "CapPrm"), CHOWN_KILL_NET);
    assert_eq!(field(&status, "CapAmb"), "0000000000000000");
    assert_eq!(field(&status, "CapInh"), "0000000000000000");
    c.finish();
}

#[test]
fn without_capabilities_the_process_has_none() {
    let c = cat_status().with(|config| {
        config["process"]["capabilities"] = json!({});
    });
    let status = status(&c);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
    c.finish();
}

#[test]
fn a_user_other_than_root_keeps_ambient_capabilities_only() {
    let three = json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let c = cat_status().set("process/user", json!({ "uid": 1000, "gid": 1000 }));
    let c = c.set("process/capabilities", json!({ "bounding": three, "permitted": three, "effective": three }));
    let plain = status(&c);
    assert_eq!((field(&plain, "CapBnd"), field(&plain, "CapEff")), (CHOWN_KILL_NET, "0000000000000000"));

    let c = c.set("process/capabilities/inheritable", three.clone()).set("process/capabilities/ambient", three);
    let ambient = status(&c);
    for set in ["CapPrm", "CapEff", "CapAmb", "CapInh"] {
        assert_eq!(field(&ambient, set), CHOWN_KILL_NET, "{set}");
    }
    c.finish();
}

#[test]
fn an_unknown_capability_is_reported_and_does_not_stop_the_container() {
    let c = cat_status();
    let c = c.push("process/capabilities/bounding", json!("CAP_NONSENSE"));
    let log = c.path("log");
    c.write_config();
    c.call(&["--log", &log, "run", &c.id]).ok();
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("CAP_NONSENSE") && text.contains("level=warn"), "{text}");
    c.finish();
}

#[test]
fn rlimits_are_the_configs() {
    let c = Container::new(&["cat", "/proc/self/limits"]).set(
        "process/rlimits",
        json!([
            { "type": "RLIMIT_NOFILE", "hard": 100, "soft": 50 },
            { "type": "RLIMIT_CORE", "hard": 0, "soft": 0 },
            { "type": "RLIMIT_NPROC", "hard": 64, "soft": 32 },
            { "type": "RLIMIT_STACK", "hard": 16777216, "soft": 8388608 }
        ]),
    );
    let out = c.run().ok();
    for (name, soft, hard) in [
        ("Max open files", "50", "100"),
        ("Max core file size", "0", "0"),
        ("Max processes", "32", "64"),
        ("Max stack size", "8388608", "16777216"),
    ] {
        let line = out.lines().into_iter().find_map(|l| l.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [soft, hard], "{name}");
    }
    c.finish();
}

#[test]
fn an_unknown_rlimit_and_one_with_soft_above_hard_are_refused() {
    let c =
        Container::new(&["true"]).set("process/rlimits", json!([{ "type": "RLIMIT_NONSENSE", "hard": 1, "soft": 1 }]));
    c.create_with(&[]).fails("RLIMIT_NONSENSE");
    let c = c.set("process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "hard": 10, "soft": 20 }]));
    c.create_with(&[]).fails("");
    c.left_nothing();
}

#[test]
fn no_new_privileges_is_as_the_config_says() {
    for (value, expected) in [(true, "1"), (false, "0")] {
        let c = cat_status().set("process/noNewPrivileges", json!(value));
        assert_eq!(field(&status(&c), "NoNewPrivs"), expected);
        c.finish();
    }
}

#[test]
fn oom_score_adj_is_the_configs_or_the_runtimes() {
    let own = read(&proc(std::process::id(), "oom_score_adj"));
    let c = Container::new(&["cat", "/proc/self/oom_score_adj"]);
    assert_eq!(c.run().ok().stdout, own);
    let c = c.set("process/oomScoreAdj", json!(777));
    assert_eq!(c.run().ok().stdout, "777\n");
    c.finish();
}

#[test]
fn hostname_and_sysctls_are_set() {
    let c = Container::sh(
        "hostname; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/net/ipv4/tcp_fin_timeout",
    )
    .set("hostname", json!("the-name"))
    .set(
        "linux/sysctl",
        json!({ "net.ipv4.ip_forward": "1", "kernel.shmmni": "123", "net/ipv4/tcp_fin_timeout": "17" }),
    );
    assert_eq!(c.run().ok().stdout, "the-name\n1\n123\n17\n");
    c.finish();
}

#[test]
fn domainname_is_set() {
    if !hilum_only("since runc 1.2") {
        return;
    }
    let c = Container::new(&["cat", "/proc/sys/kernel/domainname"]).set("domainname", json!("example"));
    assert_eq!(c.run().ok().stdout, "example\n");
    c.finish();
}

#[test]
fn a_hostname_without_a_uts_namespace_is_refused() {
    let c = Container::new(&["true"]);
    let before = read(std::path::Path::new("/proc/sys/kernel/hostname"));
    let c = c.with(|config| config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "uts"));
    c.create_with(&[]).fails("");
    assert_eq!(read(std::path::Path::new("/proc/sys/kernel/hostname")), before);
    c.left_nothing();
}

#[test]
fn a_sysctl_outside_the_namespaces_is_refused() {
    for name in [
        "vm.swappiness",
        "kernel.sysrq",
        "fs.file-max",
        "kernel.core_pattern",
        "../../etc/x",
        "kernel/../vm/swappiness",
    ] {
        let c = Container::new(&["true"]).set("linux/sysctl", json!({ name: "1" }));
        c.create_with(&[]).fails(name.rsplit('/').next().unwrap());
        c.left_nothing();
    }
    let c = Container::new(&["true"]).set("linux/sysctl", json!({ "net.ipv4.ip_forward": "1" }));
    let c = c.with(|config| config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "network"));
    c.create_with(&[]).fails("net.ipv4.ip_forward");
    c.left_nothing();
}

#[test]
fn the_process_has_a_session_keyring_of_its_own() {
    let c = Container::sh("cat /proc/keys | wc -l").set("linux/maskedPaths", json!([]));
    c.run().ok();
    c.run_with(&["--no-new-keyring"]).ok();
    c.finish();
}

#[test]
fn the_process_starts_with_default_signals() {
    let c = cat_status();
    let status = status(&c);
    for set in ["SigBlk", "SigIgn"] {
        assert_eq!(u64::from_str_radix(field(&status, set), 16).unwrap() & 0x7fff_ffff, 0, "{set}: {status}");
    }
    c.finish();
}

#[test]
fn files_made_by_the_process_belong_to_its_user() {
    let c = Container::sh("touch /tmp/x").set("root/readonly", json!(false));
    let c = c.set("process/user", json!({ "uid": 1000, "gid": 2000, "umask": 0o77 }));
    fs::set_permissions(c.rootfs().join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    c.run().ok();
    let made = fs::metadata(c.rootfs().join("tmp/x")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (1000, 2000, 0o600));
    c.finish();
}
