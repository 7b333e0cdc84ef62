//! hilum in a container: in one that was given the rights, three deep; and in one that was not.

use super::tally;
use crate::common::*;
use std::path::Path;
use std::process::Stdio;

/// A container that may do what its host may, and sees what these containers are made of at the same paths.
fn privileged(c: Container, inner: &[&Container]) -> Container {
    let all = c.with(|config| {
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
        config["linux"]["resources"] = json!({ "devices": [{ "allow": true, "access": "rwm" }] });
        config["process"]["noNewPrivileges"] = json!(false);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = held().into();
        }
        for mount in config["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "cgroup" {
                mount["options"] = json!(["nosuid", "noexec", "nodev"]);
            }
            if mount["type"] == "sysfs" {
                mount["options"] = json!(["nosuid", "noexec", "nodev"]);
            }
        }
    });
    with_bundles(all.set("root/readonly", json!(false)), inner)
}

/// The runtime and the bundles, where they are on the host; and a /run of its own.
fn with_bundles(c: Container, inner: &[&Container]) -> Container {
    let mut c = c.push("mounts", json!({ "destination": "/run", "type": "tmpfs", "source": "tmpfs" }));
    let paths = std::iter::once(program()).chain(inner.iter().map(|it| it.dir().to_path_buf()));
    for path in paths {
        let path = path.display().to_string();
        c = c.push("mounts", json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind"] }));
    }
    c
}

fn held() -> Vec<String> {
    const NAMES: [&str; 13] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "NET_ADMIN",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_ADMIN",
        "MKNOD",
        "AUDIT_WRITE",
    ];
    NAMES.iter().map(|name| format!("CAP_{name}")).collect()
}

/// A command of hilum about `inner`, in `outer`, and so on outwards.
fn nested(chain: &[&Container], inner: &Container, args: &[&str]) -> Out {
    inner.write_config();
    let mut words = words_of(inner, args);
    for c in chain.iter().rev().take(chain.len() - 1) {
        words = words_of(c, &exec(c, &words));
    }
    let outermost = chain[0];
    let args = exec(outermost, &words);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    outermost.finish_call(outermost.command(&args), Stdio::null())
}

fn words_of(c: &Container, args: &[impl AsRef<str>]) -> Vec<String> {
    let mut words = vec!["sh".into(), "-c".into(), "cd \"$0\" && exec \"$@\"".into(), c.bundle().display().to_string()];
    words.extend([program().display().to_string(), "--root".into(), "/run/hilum".into()]);
    words.extend(args.iter().map(|arg| arg.as_ref().to_string()));
    words
}

fn exec(c: &Container, words: &[String]) -> Vec<String> {
    ["exec", &c.id].into_iter().map(String::from).chain(words.iter().cloned()).collect()
}

#[test]
fn a_container_in_a_container_in_a_container() {
    if !hilum_only("the oracle is not static") {
        return;
    }
    let tally = tally("nested, three deep");
    for host in Host::all() {
        let third = Container::sleeper();
        let second = privileged(Container::sleeper(), &[&third]);
        let first = privileged(Container::sleeper(), &[&third, &second]).on(host);
        first.up();
        for (chain, inner) in [(&[&first][..], &second), (&[&first, &second][..], &third)] {
            for args in [
                &["create", &inner.id][..],
                &["start", &inner.id],
                &["exec", &inner.id, "true"],
                &["ps", &inner.id],
                &["pause", &inner.id],
                &["resume", &inner.id],
                &["state", &inner.id],
            ] {
                tally.tries();
                let out = nested(chain, inner, args);
                assert_eq!(out.code, 0, "{host:?}, {} deep: {args:?}: {out:?}", chain.len() + 1);
                tally.survives();
            }
        }
        for (chain, inner) in [(&[&first, &second][..], &third), (&[&first][..], &second)] {
            tally.tries();
            nested(chain, inner, &["kill", &inner.id, "KILL"]).ok();
            nested(chain, inner, &["delete", "--force", &inner.id]).ok();
            inner.left_nothing();
            tally.survives();
        }
        first.call(&["delete", "--force", &first.id]).ok();
        first.left_nothing();
    }
}

/// What is left inside when the outer one goes: nothing.
#[test]
fn a_deleted_outer_container_takes_the_inner_ones_with_it() {
    if !hilum_only("the oracle is not static") {
        return;
    }
    let tally = tally("nested, outer one deleted");
    for host in Host::all() {
        let inner = Container::sleeper();
        let outer = privileged(Container::sleeper(), &[&inner]).on(host);
        outer.up();
        nested(&[&outer], &inner, &["run", "-d", &inner.id]).ok();
        tally.tries();
        outer.call(&["delete", "--force", &outer.id]).ok();
        outer.left_nothing();
        inner.left_nothing();
        tally.survives();
        // The same ids.
        outer.up();
        nested(&[&outer], &inner, &["run", "-d", &inner.id]).ok();
        nested(&[&outer], &inner, &["delete", "--force", &inner.id]).ok();
        outer.finish();
        inner.finish();
    }
}

/// Each right that is withheld, and what is said then.
#[test]
fn in_a_container_without_the_rights_the_error_says_which() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("nested, without the rights");
    let read_only = |c: Container| {
        c.with(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
            cgroup["options"] = json!(["nosuid", "noexec", "nodev", "ro"]);
        })
    };
    let default_capabilities = |c: Container| {
        c.with(|config| {
            let names = [
                "CHOWN",
                "DAC_OVERRIDE",
                "FSETID",
                "FOWNER",
                "MKNOD",
                "NET_RAW",
                "SETGID",
                "SETUID",
                "SETFCAP",
                "SETPCAP",
                "NET_BIND_SERVICE",
                "SYS_CHROOT",
                "KILL",
                "AUDIT_WRITE",
            ]
            .map(|name| format!("CAP_{name}"));
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set] = json!(names);
            }
        })
    };
    // What profiles of clients do with calls that they know and withhold, and with those that they do not know.
    let filter = |errno: u32| {
        move |c: Container| {
            let calls = [
                "mount",
                "umount2",
                "unshare",
                "setns",
                "fsopen",
                "open_tree",
                "move_mount",
                "mount_setattr",
                "pivot_root",
                "bpf",
                "clone3",
            ];
            c.set(
                "linux/seccomp",
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": errno }] }),
            )
        }
    };
    type Case<'c> = (&'c str, &'c dyn Fn(Container) -> Container, &'c [&'c str]);
    let cases: [Case<'_>; 4] = [
        ("read-only cgroups", &read_only, &["the cgroup file system is mounted read-only"]),
        ("default capabilities", &default_capabilities, &["hilum lacks CAP_"]),
        ("EPERM", &filter(1), &["a seccomp filter, a security module or the owner of a namespace forbids it"]),
        ("ENOSYS", &filter(38), &["no seccomp filter around it that hides system calls"]),
    ];
    for host in Host::all() {
        for (name, withhold, says) in &cases {
            let inner = Container::sleeper();
            let outer = withhold(privileged(Container::sleeper(), &[&inner])).on(host);
            outer.up();
            for args in [&["run", "-d", &inner.id][..], &["create", &inner.id]] {
                tally.tries();
                let out = nested(&[&outer], &inner, args);
                assert_eq!(out.code, 1, "{host:?}, {name}: {out:?}");
                assert!(says.iter().any(|text| out.stderr.contains(text)), "{host:?}, {name}: {out:?}");
                assert_eq!(
                    out.stderr.lines().filter(|line| line.contains("level=error")).count(),
                    1,
                    "{name}: {out:?}"
                );
                inner.left_nothing();
                tally.survives();
            }
            assert!(!Path::new(&format!("/run/hilum/{}", inner.id)).exists());
            outer.finish();
        }
    }
}
