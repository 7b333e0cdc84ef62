//! Hosts and root file systems that lack what hilum and containers look at: /proc, /sys, /dev.

use super::Limit;
use crate::common::*;

#[test]
fn a_host_without_procfs_is_an_error_that_says_so() {
    if !hilum_only("text") {
        return;
    }
    let tally = super::tally("/proc is not mounted");
    let says = ["/proc on this host is not a procfs; mount -t proc proc /proc"];
    for script in ["umount -l /proc", "mount -t tmpfs none /proc"] {
        let limit = Limit::view(&tally, script, script, &says);
        limit_is_met(&limit);
    }
}

/// Nothing works under it, and nothing happens.
fn limit_is_met(limit: &Limit<'_>) {
    assert!(!limit.life(Container::sleeper), "it works");
    limit.pod();
}

#[test]
fn a_procfs_that_hides_processes_or_is_read_only_is_enough() {
    if !hilum_only("the oracle's commands differ") {
        return;
    }
    let tally = super::tally("/proc read-only, hidepid");
    for script in ["mount -o remount,bind,ro /proc", "mount -t proc -o hidepid=2 proc /proc"] {
        let limit = Limit::view(&tally, script, script, &[]);
        assert!(limit.life(Container::sleeper), "{script}");
        limit.pod();
    }
}

#[test]
fn a_host_without_sys_has_no_cgroups() {
    if !hilum_only("text") {
        return;
    }
    let tally = super::tally("/sys is not mounted");
    let says = [
        "no devices cgroup is mounted; mount -t cgroup2",
        "no cgroup file system is mounted",
        "its hierarchy is not mounted on",
        "is not available",
        "cgroups not configured",
    ];
    let limit = Limit::view(&tally, "no /sys", "umount -R -l /sys", &says);
    limit.life(Container::sleeper);
    limit.pod();
}

#[test]
fn a_host_without_dev_says_which_device_is_missing() {
    if !hilum_only("text") {
        return;
    }
    let tally = super::tally("/dev/null, /dev/pts are not there");
    let limit = Limit::view(
        &tally,
        "no /dev",
        "mount -t tmpfs none /dev",
        &["open the host's /dev/null: No such file", "run ps: No such file"],
    );
    limit.life(Container::sleeper);
    limit.pod();
    // Terminals are the container's own.
    let limit = Limit::view(&tally, "no /dev/pts", "umount -l /dev/pts", &[]);
    assert!(limit.life(Container::sleeper));
    let c = Container::sh("tty").set("process/terminal", json!(true));
    c.write_config();
    let mut command = std::process::Command::new("unshare");
    let script = "umount -l /dev/pts; exec setsid \"$@\"";
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
    let inner = c.command(&["run", &c.id]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(c.bundle());
    tally.tries();
    let out = c.finish_call(command, std::process::Stdio::null());
    assert!(
        out.code == 0 && out.stdout.contains("/dev/pts/0") || out.code == 1 && out.stderr.contains("terminal"),
        "{out:?}"
    );
    tally.survives();
    c.finish();
}

/// An image may be empty but for the program: mount points are made.
#[test]
fn a_root_file_system_without_proc_gets_one_or_does_without() {
    let tally = super::tally("root file system without /proc");
    for (mounted, readonly) in [(true, false), (true, true), (false, false)] {
        let c = Container::new(&["true"]).set("root/readonly", json!(readonly)).with(|config| {
            if !mounted {
                config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/proc");
            }
        });
        std::fs::remove_dir(c.rootfs().join("proc")).unwrap();
        tally.tries();
        c.run().ok();
        let c = c.set("process/args", json!(["sleep", "1000"]));
        c.create().start();
        c.call(&["exec", &c.id, "true"]).ok();
        tally.survives();
        c.finish();
    }
}

/// The disk of an image that may not be written, and lacks a mount point: which one, and why.
#[test]
fn a_mount_point_that_cannot_be_made_is_named() {
    if !hilum_only("text") {
        return;
    }
    let tally = super::tally("mount point on a read-only disk");
    let c = Container::new(&["true"]);
    std::fs::remove_dir(c.rootfs().join("proc")).unwrap();
    let script = format!("mount --bind {0} {0} && mount -o remount,bind,ro {0}", c.rootfs().display());
    let limit = Limit::view(
        &tally,
        "read-only rootfs",
        &script,
        &["mount proc on /proc: create the target: Read-only file system; its file system is mounted read-only"],
    );
    assert_eq!(limit.call(&c, &["run", &c.id]).code, 1);
    c.left_nothing();
    c.run().ok();
    c.finish();
}
