//! The escapes of the past, by the rows of the security record: each must stay impossible.

use crate::common::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

fn all_capabilities(c: Container) -> Container {
    let names = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "KILL",
        "SETGID",
        "SETUID",
        "SYS_ADMIN",
        "SYS_PTRACE",
        "MKNOD",
        "NET_ADMIN",
        "SYS_CHROOT",
        "SETPCAP",
        "SYS_RAWIO",
    ];
    let names: Vec<String> = names.iter().map(|name| format!("CAP_{name}")).collect();
    c.set("process/capabilities", json!({ "bounding": names, "effective": names, "permitted": names }))
        .set("process/noNewPrivileges", json!(false))
        .set("root/readonly", json!(false))
        .set("linux/maskedPaths", json!([]))
        .set("linux/readonlyPaths", json!([]))
}

/// A directory on the host that a container must not touch, with a file in it.
fn forbidden(c: &Container) -> String {
    fs::create_dir(c.path("outside")).unwrap();
    fs::write(c.path("outside/file"), "untouched").unwrap();
    c.path("outside")
}

fn is_untouched(c: &Container) {
    let names: Vec<_> = fs::read_dir(c.path("outside")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    assert_eq!(read(&c.dir().join("outside/file")), "untouched");
}

/// Row 1: CVE-2016-9962. What is not yet the user's process cannot be looked into from the container.
#[test]
fn the_runtime_in_a_shared_pid_namespace_shows_no_descriptors() {
    // Reads the descriptors of every process in the namespace but its own, as fast as it can.
    let script = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue; for f in $p/fd/*; do l=$(readlink $f 2>/dev/null) \
                  && case $l in *busybox*|/proc/*|pipe:*|/dev/null) ;; *) echo \"leak $p $f $l\" ;; esac; done; done; done";
    let spy = Container::sh(script);
    spy.up();
    let path = proc(spy.pid(), "ns/pid");
    for _ in 0..rounds(5, 100) {
        let c = Container::new(&["sleep", "0"]).set("linux/namespaces/0/path", json!(path));
        c.run().ok();
        c.finish();
    }
    let said = spy.output();
    // The standard streams are the container's own, and what they lead to is the caller's choice.
    let is_standard = |line: &&str| ["/fd/0 ", "/fd/1 ", "/fd/2 "].iter().any(|fd| line.contains(fd));
    let leaks: Vec<&str> = said
        .lines()
        .filter(|line| !is_standard(line))
        .filter(|l| l.contains("/state/") || l.contains("cgroup") || l.contains(" /tmp"))
        .collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    spy.finish();
}

/// Row 1. Every descriptor of the host is closed when the user's process starts.
#[test]
fn no_descriptor_of_the_host_is_seen_in_the_container() {
    let c = all_capabilities(Container::sh("for f in /proc/self/fd/*; do readlink $f; done; ls -l /proc/1/fd | wc -l"));
    let out = c.run().ok();
    for line in out.lines() {
        assert!(!line.contains("cgroup") && !line.contains("/state"), "{out:?}");
    }
    c.finish();
}

fn runtime_file() -> std::path::PathBuf {
    let program = program();
    if program.is_absolute() {
        return program;
    }
    let out = Command::new("sh").args(["-c", "command -v \"$0\""]).arg(&program).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().into()
}

fn fingerprint(path: &Path) -> (u64, u64, i64, Vec<u8>) {
    let meta = fs::metadata(path).unwrap();
    (meta.ino(), meta.size(), meta.mtime_nsec(), fs::read(path).unwrap())
}

/// Row 2: CVE-2019-5736.
#[test]
fn an_entrypoint_that_is_the_runtime_itself_cannot_overwrite_it() {
    let before = fingerprint(&runtime_file());
    let c = all_capabilities(Container::new(&["/entry"]));
    fs::write(c.rootfs().join("entry"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(c.rootfs().join("entry"), fs::Permissions::from_mode(0o755)).unwrap();
    _ = c.run();
    c.finish();
    let c = all_capabilities(Container::new(&["/proc/self/exe", "--version"]));
    _ = c.run();
    c.finish();
    assert_eq!(fingerprint(&runtime_file()).0, before.0);
    assert!(fingerprint(&runtime_file()) == before, "the runtime's file was changed");
}

/// Row 2: from a container that shares the pid namespace, while another starts.
#[test]
fn the_runtimes_file_cannot_be_opened_for_writing_through_proc() {
    let script = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || (: >> $p/exe) 2>/dev/null && [ $p != /proc/1 ] \
                  && echo opened $(readlink $p/exe); done; done";
    let spy = all_capabilities(Container::sh(script));
    let before = fingerprint(&runtime_file());
    spy.up();
    let path = proc(spy.pid(), "ns/pid");
    for _ in 0..rounds(5, 100) {
        let c = all_capabilities(Container::new(&["true"])).set("linux/namespaces/0/path", json!(path));
        c.run().ok();
        c.finish();
    }
    let name = runtime_file().file_name().unwrap().to_string_lossy().into_owned();
    let said = spy.output();
    assert!(!said.lines().any(|l| l.ends_with(&format!("/{name}"))), "{said}");
    assert!(fingerprint(&runtime_file()) == before, "the runtime's file was changed");
    spy.finish();
}

/// Row 3: what waits for start in the container is not the file of the host.
#[test]
fn the_init_of_a_created_container_is_not_the_runtimes_file() {
    let c = Container::sleeper();
    c.create();
    let exe = fs::metadata(proc(c.pid(), "exe")).unwrap();
    let host = fs::metadata(runtime_file()).unwrap();
    // The oracle's read-only bind of its file has the same inode.
    if hilum_only("the oracle binds its own file read-only") {
        assert_ne!((exe.dev(), exe.ino()), (host.dev(), host.ino()));
        let link = fs::read_link(proc(c.pid(), "exe")).unwrap();
        assert!(link.to_string_lossy().contains("memfd:"), "{}", link.display());
    }
    c.finish();
}

/// Row 5: CVE-2019-19921 and its kin.
#[test]
fn proc_or_sys_as_a_symlink_in_the_image_is_refused() {
    for name in ["proc", "sys"] {
        for target in ["/tmp", "../outside", "tmp", "/"] {
            let c = Container::new(&["true"]);
            forbidden(&c);
            fs::remove_dir(c.rootfs().join(name)).unwrap();
            symlink(target, c.rootfs().join(name)).unwrap();
            c.create_with(&[]).fails("");
            is_untouched(&c);
            c.left_nothing();
        }
    }
}

#[test]
fn proc_below_a_symlink_in_the_image_does_not_leave_it() {
    if !hilum_only("the oracle makes the directory on the host") {
        return;
    }
    let c =
        Container::new(&["true"]).set("mounts/0/destination", json!("/link/proc")).set("root/readonly", json!(false));
    let outside = forbidden(&c);
    symlink(&outside, c.rootfs().join("link")).unwrap();
    _ = c.run();
    is_untouched(&c);
    c.finish();
}

/// Row 6: CVE-2021-30465, and row 11: CVE-2024-45310. A volume's owner swaps a mount target for a symlink.
#[test]
fn a_mount_target_that_is_swapped_while_mounting_does_not_lead_out() {
    if !hilum_only("the oracle lets it out within some twenty rounds") {
        return;
    }
    let c = Container::new(&["true"])
        .set("root/readonly", json!(false))
        .push("mounts", json!({ "destination": "/volume", "type": "bind", "source": "volume", "options": ["rbind"] }))
        .push("mounts", json!({ "destination": "/volume/target/made", "type": "tmpfs", "source": "escaped" }));
    let outside = forbidden(&c);
    fs::create_dir(c.rootfs().join("volume")).unwrap();
    fs::create_dir_all(c.bundle().join("volume/target")).unwrap();
    let (target, link) = (c.bundle().join("volume/target"), c.bundle().join("volume/link"));
    symlink(format!("../../../../../../../../../..{outside}"), &link).unwrap();
    let stop = AtomicBool::new(false);
    let swap = || {
        while !stop.load(Ordering::Relaxed) {
            _ = renameat_with(CWD, &target, CWD, &link, RenameFlags::EXCHANGE);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(swap);
        let escaped = || {
            // It may fail: then the target is not what it was when it was looked at.
            _ = c.run();
            read(Path::new("/proc/self/mountinfo")).contains("escaped") || fs::read_dir(&outside).unwrap().count() != 1
        };
        let escape = (0..rounds(40, 1000)).find(|_| escaped());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(escape, None, "led out of the root");
    });
    is_untouched(&c);
    c.finish();
}

/// Row 8: CVE-2022-29162 and its kin.
#[test]
fn inheritable_capabilities_are_empty_unless_ambient_asks() {
    let caps = json!(["CAP_CHOWN", "CAP_KILL"]);
    let sets = json!({ "bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps });
    let c = Container::new(&["cat", "/proc/self/status"]);
    assert_eq!(field(&c.run().ok().stdout, "CapInh"), "0000000000000000");
    let c = c.set("process/capabilities", sets);
    if hilum_only("the oracle sets them when config.json lists them") {
        assert_eq!(field(&c.run().ok().stdout, "CapInh"), "0000000000000000");
    }
    c.finish();
}

/// Row 10: CVE-2024-21626.
#[test]
fn a_cwd_through_a_descriptor_does_not_lead_out() {
    // Were it not for the check, this would show the host's files.
    let script = "ls -d ../../../../../../etc/hostname ../../../../../../*; pwd";
    let control = Container::sh(script).run().ok().stdout;
    assert!(control.contains("bin") && control.ends_with("/\n"), "{control}");
    for n in 0..rounds(64, 1024) {
        for prefix in ["/proc/self/fd", "/proc/1/fd", "/proc/thread-self/fd"] {
            if prefix != "/proc/self/fd" && n > 12 {
                continue;
            }
            let c = Container::sh(script);
            let c = c.set("process/cwd", json!(format!("{prefix}/{n}")));
            let out = c.run();
            assert!(out.code != 0 || !out.stdout.contains("usr"), "cwd {prefix}/{n}: {out:?}");
            assert!(!out.stdout.contains("/etc/hostname"), "cwd {prefix}/{n}: {out:?}");
            c.finish();
        }
    }
}

/// Row 12: CVE-2025-31133.
#[test]
fn dev_null_as_a_symlink_in_the_image_is_never_a_mask() {
    let c = Container::sh("cat /secret; echo changed > /secret; cat /proc/self/mountinfo")
        .set("root/readonly", json!(false))
        .set("linux/maskedPaths", json!(["/secret"]));
    let outside = forbidden(&c);
    fs::write(c.rootfs().join("secret"), "password").unwrap();
    let c = c.with(|config| {
        config["mounts"].as_array_mut().unwrap().retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"))
    });
    for target in ["/etc/target", &format!("{outside}/file")] {
        fs::write(c.rootfs().join("etc/target"), "of the image").unwrap();
        _ = fs::remove_file(c.rootfs().join("dev/null"));
        symlink(target, c.rootfs().join("dev/null")).unwrap();
        let out = c.run();
        assert!(!out.stdout.contains("password"), "{out:?}");
        if hilum_only("the oracle binds whatever /dev/null is") {
            assert!(!out.stdout.contains("of the image"), "{out:?}");
            assert_eq!(read(&c.rootfs().join("etc/target")), "of the image");
        }
        assert_eq!(read(&c.rootfs().join("secret")), "password");
        is_untouched(&c);
    }
    c.finish();
}

/// Row 16: CVE-2026-41579.
#[test]
fn dev_as_a_symlink_in_the_image_makes_nothing_on_the_host() {
    if !hilum_only("the oracle follows it") {
        return;
    }
    for mounted in [true, false] {
        let c = Container::new(&["true"]).set("root/readonly", json!(false));
        let outside = forbidden(&c);
        let c = c.with(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|m| mounted || !m["destination"].as_str().unwrap().starts_with("/dev"));
        });
        let targets =
            [outside.clone(), format!("../../../../../../../..{outside}"), "../../outside".into(), "/tmp".into()];
        for target in targets {
            let dev = c.rootfs().join("dev");
            _ = fs::remove_dir_all(&dev);
            _ = fs::remove_file(&dev);
            symlink(&target, &dev).unwrap();
            _ = c.run();
            is_untouched(&c);
            assert!(!fs::exists("/tmp/ptmx").unwrap() && !fs::exists("/tmp/null").unwrap(), "made in the host's /tmp");
        }
        c.finish();
    }
}

/// Row 17.
#[test]
fn a_network_sysctl_is_not_written_to_the_host_by_way_of_a_path() {
    let name = Path::new("/proc/sys/net/ipv4/ip_default_ttl");
    let before = read(name);
    let by_pid = proc(std::process::id(), "ns/net").display().to_string();
    for path in ["/proc/self/ns/net", "/proc/thread-self/ns/net", "/proc/1/ns/net", &by_pid] {
        if path != "/proc/self/ns/net" && !hilum_only("the oracle knows its own path only") {
            continue;
        }
        let c = Container::new(&["true"])
            .set("linux/namespaces/1/path", json!(path))
            .set("linux/sysctl", json!({ "net.ipv4.ip_default_ttl": "77" }));
        let out = c.create_with(&[]);
        let after = read(name);
        fs::write(name, &before).unwrap();
        assert_eq!(after, before, "{path}");
        // PID 1 may be out of reach even for root, where it has more capabilities.
        out.fails(if path == "/proc/1/ns/net" { "" } else { "net.ipv4.ip_default_ttl" });
        c.left_nothing();
    }
}

/// Row 17, for uts.
#[test]
fn a_hostname_is_not_written_to_the_host_by_way_of_a_path() {
    if !hilum_only("the oracle sets it") {
        return;
    }
    let name = Path::new("/proc/sys/kernel/hostname");
    let before = read(name);
    let by_pid = proc(std::process::id(), "ns/uts").display().to_string();
    for path in ["/proc/self/ns/uts", &by_pid] {
        let c = Container::new(&["true"]).set("linux/namespaces/3/path", json!(path));
        let out = c.create_with(&[]);
        let after = read(name);
        fs::write(name, &before).unwrap();
        assert_eq!(after, before, "{path}");
        out.fails("hostname");
        c.left_nothing();
    }
}
