//! Images whose directories are symbolic links, and working directories that are descriptors. (Rows 5, 10, 12 and 16.)

use super::*;

fn replace_by_link(path: &Path, to: &str) {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir_all(path).unwrap();
    }
    _ = fs::remove_file(path);
    symlink(to, path).unwrap();
}

/// CVE-2019-19921 and its kin. With `no_symlinks: false` for every mount in src/plan/mount.rs: "create /proc -> /tmp: exit code
/// 0".
#[test]
fn row_05_cve_2019_19921_proc_or_sys_as_a_symlink_in_the_image_is_refused() {
    let tally = attacks("row 5: /proc or /sys is a symlink in the image");
    for name in ["proc", "sys"] {
        let c = Container::new(&["true"]);
        let outside = Outside::of(&c);
        for target in ["/tmp", "../outside", "tmp", "/", &outside.path(), &outside.climbing()] {
            replace_by_link(&c.rootfs().join(name), target);
            for verb in CREATIONS {
                tally.tries();
                let out = c.created_by(verb);
                assert_eq!(out.code, 1, "{verb} /{name} -> {target}: exit code {}: {}", out.code, out.stderr);
                outside.is_untouched();
                c.left_nothing();
                tally.survives();
            }
        }
        c.finish();
    }
}

/// CVE-2019-19921: the link comes between the look for it and its making. With links followed in `Root::make`: "/proc ->
/// /elsewhere: exit code 0".
#[test]
fn row_05_cve_2019_19921_a_link_that_comes_while_proc_is_made_is_refused() {
    if !hilum_only("it is about hilum's system calls") || !has_strace() {
        return;
    }
    let tally = attacks("row 5: /proc becomes a symlink while it is made");
    for target in ["/elsewhere", "/tmp"] {
        let c = Container::new(&["true"]).set("root/readonly", json!(false));
        replace_by_link(&c.rootfs().join("proc"), target);
        c.write_config();
        let mut command = strace(c.host, "openat2:error=ENOENT:when=1", true);
        command.arg(program()).arg("--root").arg(c.root()).args(["run", &c.id]).current_dir(c.bundle());
        tally.tries();
        let out = c.finish_call(command, Stdio::null());
        assert_eq!(out.code, 1, "/proc -> {target}: exit code {}: {}", out.code, out.stderr);
        assert!(!c.rootfs().join("elsewhere").exists(), "the target of the link was made");
        tally.survives();
        c.finish();
    }
}

/// CVE-2019-19921: a directory above it. With `no_symlinks: false` for every mount in src/plan/mount.rs: "create: exit code 0".
#[test]
fn row_05_cve_2023_27561_proc_or_sys_below_a_symlink_in_the_image_is_refused() {
    if !hilum_only("the oracle makes the directory on the host") {
        return;
    }
    let tally = attacks("row 5: a parent of proc or sysfs is a symlink");
    for index in [0, 5] {
        let c = Container::new(&["true"])
            .set(&format!("mounts/{index}/destination"), json!("/link/below"))
            .set("root/readonly", json!(false));
        let outside = Outside::of(&c);
        for target in [outside.path(), outside.climbing(), "/tmp".into()] {
            replace_by_link(&c.rootfs().join("link"), &target);
            for verb in CREATIONS {
                tally.tries();
                let out = c.created_by(verb);
                assert_eq!(out.code, 1, "{verb}: exit code {}: {}", out.code, out.stderr);
                outside.is_untouched();
                tally.survives();
            }
        }
        c.finish();
    }
}

/// CVE-2025-54867: what is bound there from the host, as with the host's pid namespace, is no other case. With `no_symlinks:
/// false` in `bind_mount`, as it was: "create /proc: exit code 0".
#[test]
fn row_05_cve_2025_54867_the_hosts_proc_or_sys_is_not_bound_on_a_symlink() {
    if !hilum_only("the oracle follows it") {
        return;
    }
    let tally = attacks("row 5: the host's proc or sysfs is bound on a symlink");
    for (index, name) in [(0, "proc"), (5, "sys")] {
        let path = format!("/{name}");
        let bind = json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"] });
        let c = Container::new(&["true"]).set(&format!("mounts/{index}"), bind).without_namespace("pid");
        let outside = Outside::of(&c);
        for target in ["/tmp", &outside.path(), &outside.climbing()] {
            replace_by_link(&c.rootfs().join(name), target);
            for verb in CREATIONS {
                tally.tries();
                let out = c.created_by(verb);
                assert_eq!(out.code, 1, "{verb} {path}: exit code {}: {}", out.code, out.stderr);
                outside.is_untouched();
                tally.survives();
            }
        }
        c.finish();
    }
}

/// Whatever directory it is in: what is at its root.
const AT_THE_ROOT: &str = "ls ../../../../../../../../..";

/// CVE-2024-21626. Without `cwd_is_below_root`: "exec, cwd /proc/self/fd/17: is outside of the root: bin boot …", the host's
/// root.
#[test]
fn row_10_cve_2024_21626_a_cwd_through_a_descriptor_does_not_lead_out() {
    let tally = attacks("row 10: a cwd in /proc/self/fd");
    let mut c = Container::sh(AT_THE_ROOT);
    let running = Container::sleeper();
    for c in [&c, &running] {
        replace_by_link(&c.rootfs().join("link"), "/proc/self/fd");
    }
    let root = c.run().ok().stdout;
    running.up();
    for n in 0..rounds(48, 1024) {
        for prefix in ["/proc/self/fd", "/proc/1/fd", "/proc/thread-self/fd", "/link"] {
            if prefix != "/proc/self/fd" && n > 30 {
                continue;
            }
            let cwd = format!("{prefix}/{n}");
            c = c.set("process/cwd", json!(cwd));
            for verb in ["create", "run", "exec"] {
                tally.tries();
                let out = match verb {
                    "exec" => running.call(&["exec", "--cwd", &cwd, &running.id, "sh", "-c", AT_THE_ROOT]),
                    _ => c.created_by(verb),
                };
                // A descriptor of the container's own root may be entered.
                assert!(
                    out.code != 0 || out.stdout == root,
                    "{verb}, cwd {cwd}: is outside of the root: {}",
                    out.stdout
                );
                tally.survives();
            }
        }
    }
    running.finish();
    c.finish();
}

/// CVE-2024-21626: the program as a path through a descriptor. With `close_all_but` doing nothing: "exec,
/// /proc/self/fd/17/../…/bin/busybox: was executed".
#[test]
fn row_10_cve_2024_21626_a_program_through_a_descriptor_is_not_the_hosts() {
    let tally = attacks("row 10: a program in /proc/self/fd");
    let running = Container::sleeper();
    running.up();
    let own = std::process::id();
    // By its path on the host; it is static, and needs nothing else.
    let host = running.rootfs().join("bin/busybox").display().to_string();
    for n in 3..rounds(30, 1024) {
        for below in [format!("{own}/root{host}"), format!("../../../../../../..{host}"), format!("..{host}")] {
            let program = format!("/proc/self/fd/{n}/{below}");
            tally.tries();
            let out = running.call(&["exec", &running.id, &program, "echo", "was executed"]);
            assert_ne!(out.code, 0, "exec, {program}: was executed: {}", out.stdout);
            tally.survives();
            if n < 12 {
                tally.tries();
                let c = Container::new(&[&program, "echo", "was executed"]);
                let out = c.run();
                assert_ne!(out.code, 0, "run, {program}: was executed: {}", out.stdout);
                c.finish();
                tally.survives();
            }
        }
    }
    running.finish();
}

/// CVE-2025-31133. The link is replaced by a device before there are masks. With `host_null` opening the root's dev/null, and
/// `device::node` leaving what is there: "create /dev/null -> /etc/target: of the image".
#[test]
fn row_12_cve_2025_31133_dev_null_as_a_symlink_in_the_image_is_never_a_mask() {
    let tally = attacks("row 12: /dev/null is a symlink in the image");
    let c = Container::sh("cat /secret; echo changed > /secret")
        .set("root/readonly", json!(false))
        .set("linux/maskedPaths", json!(["/secret"]))
        .without_mounts_on("/dev");
    let outside = Outside::of(&c);
    fs::write(c.rootfs().join("secret"), "password").unwrap();
    for target in ["/etc/target".to_string(), "/proc/sysrq-trigger".into(), format!("{}/file", outside.path())] {
        for verb in CREATIONS {
            fs::write(c.rootfs().join("etc/target"), "of the image").unwrap();
            replace_by_link(&c.rootfs().join("dev/null"), &target);
            tally.tries();
            let out = c.created_by(verb);
            assert!(!out.stdout.contains("password"), "{verb}: {out:?}");
            if hilum_only("the oracle binds whatever /dev/null is") {
                assert!(!out.stdout.contains("of the image"), "{verb} /dev/null -> {target}: {}", out.stdout);
                assert_eq!(read(&c.rootfs().join("etc/target")), "of the image");
            }
            assert_eq!(read(&c.rootfs().join("secret")), "password");
            outside.is_untouched();
            tally.survives();
        }
    }
    c.finish();
}

/// CVE-2026-41579. With `Root::find` following links, `resolve` without RESOLVE_IN_ROOT, and the host's mounts in sight
/// (`bare::suits` false), all three together: "made outside of the root: null, ptmx, fd, …".
#[test]
fn row_16_cve_2026_41579_dev_as_a_symlink_in_the_image_makes_nothing_on_the_host() {
    if !hilum_only("the oracle follows it") {
        return;
    }
    let tally = attacks("row 16: /dev is a symlink in the image");
    for mounted in [true, false] {
        let c = Container::new(&["true"]).set("root/readonly", json!(false));
        let c = if mounted { c } else { c.without_mounts_on("/dev") };
        let outside = Outside::of(&c);
        for target in [outside.path(), outside.climbing(), "../../outside".into(), "/tmp".into(), "../../..".into()] {
            for terminal in [false, true] {
                replace_by_link(&c.rootfs().join("dev"), &target);
                let c = Terminals::of(&c, terminal);
                for verb in CREATIONS {
                    tally.tries();
                    c.try_to(verb);
                    outside.is_untouched();
                    for name in ["ptmx", "null", "console", "fd"] {
                        assert!(!fs::exists(Path::new("/tmp").join(name)).unwrap(), "{verb}: made in the host's /tmp");
                        assert!(!c.0.dir().join(name).exists(), "{verb}: made in the bundle's parent");
                    }
                    tally.survives();
                }
            }
        }
        c.finish();
    }
}

/// The same container, with a terminal or without, whatever comes of it.
struct Terminals<'c>(&'c Container, Value);

impl Terminals<'_> {
    fn of(c: &Container, terminal: bool) -> Terminals<'_> {
        let mut config = c.config.clone();
        config["process"]["terminal"] = json!(terminal);
        Terminals(c, config)
    }

    fn try_to(&self, verb: &str) {
        fs::write(self.0.bundle().join("config.json"), self.1.to_string()).unwrap();
        let socket = self.0.path("terminal.sock");
        _ = fs::remove_file(&socket);
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let mut args = vec![verb];
        args.extend((verb == "run").then_some("--detach"));
        if self.1["process"]["terminal"] == true {
            args.extend(["--console-socket", &socket]);
        }
        _ = self.0.call(&[&args[..], &[&self.0.id]].concat());
        self.0.gone();
    }
}
