//! Disks that are full, out of inodes or read-only: the state's, the bundle's, the log's, the pid file's.

use super::{Limit, tally};
use crate::common::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FULL: &str = "No space left on device; its file system is full, or has no inodes left (df, df -i)";
const READ_ONLY: &str = "Read-only file system; its file system is mounted read-only";
/// A small tmpfs, apart from the directories of containers.
struct Disk {
    _mount: HostMount,
    dir: tempfile::TempDir,
}

impl Disk {
    fn new(options: &str) -> Disk {
        let dir = tempfile::Builder::new().prefix("hilum-disk-").tempdir().unwrap();
        let _mount = HostMount::new(&["-t", "tmpfs", "-o", options, "none", &dir.path().display().to_string()]);
        Disk { _mount, dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn filling(&self, n: usize) -> PathBuf {
        self.path().join(format!("filling{n}"))
    }

    /// Leaves room for so many files of one page each.
    fn fill_but_for(&self, pages: usize) {
        let made = (0..).take_while(|&n| fs::write(self.filling(n), [0; 4096]).is_ok()).count();
        // The one that did not fit is there, and empty.
        _ = fs::remove_file(self.filling(made));
        for n in made.saturating_sub(pages)..made {
            fs::remove_file(self.filling(n)).unwrap();
        }
    }

    fn clear(&self) {
        for n in (0..).take_while(|&n| self.filling(n).exists()) {
            fs::remove_file(self.filling(n)).unwrap();
        }
    }
}

/// Both kinds of exhaustion are one error of the kernel's: a tmpfs of 32 pages, and one of 16 inodes.
#[test]
fn a_full_state_directory_fails_cleanly() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("state directory full");
    for options in ["size=128k", "size=1m,nr_inodes=16"] {
        let disk = Disk::new(options);
        let root = disk.path().join("state");
        for room in (0..=8).step_by(rounds(2, 1) as usize) {
            let name = format!("{options}, room for {room}");
            let limit = Limit::new(&tally, &name, &["env"], &[FULL]);
            let c = Container::sleeper().kept_in(&root);
            disk.fill_but_for(room);
            let works = limit.creations(&c);
            assert!(if room == 0 { !works } else { works || room < 6 }, "{name}: works {works}");
            disk.clear();
            c.up();
            disk.fill_but_for(room);
            limit.commands_on(&c);
            disk.clear();
            c.create();
            c.finish();
        }
    }
}

#[test]
fn a_read_only_state_directory_fails_cleanly() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("state directory read-only");
    let c = Container::sleeper();
    fs::create_dir(c.root()).unwrap();
    let script = format!("mount --bind {0} {0} && mount -o remount,bind,ro {0}", c.root().display());
    let limit = Limit::view(&tally, "read-only", &script, &[READ_ONLY]);
    assert!(!limit.creations(&c));
    c.up();
    limit.commands_on(&c);
    c.create();
    c.finish();
}

/// Beside the state, /run has the mount namespace that others are copied from: it can be done without.
#[test]
fn a_run_that_is_full_or_read_only_matters_only_to_the_state() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("/run full or read-only");
    for (options, says) in [("ro", READ_ONLY), ("size=4k,nr_inodes=1", FULL)] {
        let script = format!("mount -t tmpfs -o {options} none /run");
        let says = [says];
        let limit = Limit::view(&tally, options, &script, &says);
        assert!(limit.life(Container::sleeper), "{options}: with a state elsewhere");
        let c = Container::sleeper();
        c.write_config();
        let mut command = Command::new(program());
        command.args(["create", &c.id]).current_dir(c.bundle());
        tally.tries();
        let out = c.finish_call(limit.around(&command), std::process::Stdio::null());
        out.fails("create the state directory /run/hilum: ");
        tally.survives();
        c.left_nothing();
    }
}

#[test]
fn a_log_or_a_pid_file_that_cannot_be_written_fails_cleanly() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("log, pid file, answer on a full disk");
    let c = Container::sleeper();
    let full = Disk::new("size=4k,nr_inodes=1");
    let script = "mount -t tmpfs -o ro none /mnt";
    let limit = Limit::view(&tally, "read-only", script, &[READ_ONLY, "open the log /mnt/log: Read-only file system"]);
    let in_full = full.path().join("pid").display().to_string();
    for (path, says) in [(in_full.as_str(), FULL), ("/mnt/pid", READ_ONLY)] {
        for args in [&["run", "-d", "--pid-file", path, &c.id][..], &["create", "--pid-file", path, &c.id]] {
            limit.call_fails_saying(&c, args, &[says]);
            c.left_nothing();
        }
        c.up();
        limit.call_fails_saying(&c, &["exec", "-d", "--pid-file", path, &c.id, "sleep", "1000"], &[says]);
        let processes = c.call(&["ps", "-f", "json", &c.id]).ok().stdout;
        assert_eq!(processes.matches(',').count(), 0, "a process of exec has stayed: {processes}");
        c.call(&["delete", "-f", &c.id]).ok();
    }
    // A log that is full is no reason to fail, and the error is told on stderr.
    let full_log = Limit::new(&tally, "/dev/full", &["env"], &["container does not exist"]);
    assert_eq!(full_log.call(&c, &["--log", "/dev/full", "run", "-d", &c.id]).code, 0);
    assert_eq!(full_log.call(&c, &["--log", "/dev/full", "delete", "-f", &c.id]).code, 0);
    full_log.call_fails(&c, &["--log", "/dev/full", "--log-format", "json", "kill", &c.id]);
    limit.call_fails(&c, &["--log", "/mnt/log", "run", "-d", &c.id]);
    c.left_nothing();
    c.up();
    let to_full = Limit::new(
        &tally,
        "stdout",
        &["sh", "-c", "exec \"$@\" >/dev/full", "sh"],
        &["write to stdout: No space left"],
    );
    for args in [&["state", &c.id][..], &["list"], &["ps", &c.id], &["events", "--stats", &c.id], &["features"]] {
        to_full.call_fails(&c, args);
    }
    c.finish();
}

/// A root file system whose disk has room for so many more mount points.
#[test]
fn a_full_root_file_system_says_which_mount_point_it_is_about() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("root file system full");
    let mut works = 0;
    for inodes in 3..10 {
        let c = Container::new(&["busybox", "true"]).set("root/readonly", json!(false));
        let script = format!(
            "cd {} && mount -t tmpfs -o nr_inodes={inodes} none rootfs && mkdir rootfs/bin && cp /proc/1/root/$0 rootfs/bin",
            c.bundle().display(),
        );
        let script = script.replace("/proc/1/root/$0", &c.path("busybox"));
        fs::copy(c.rootfs().join("bin/busybox"), c.path("busybox")).unwrap();
        let limit = Limit::view(&tally, "full", &script, &[FULL]);
        let out = limit.call(&c, &["run", &c.id]);
        assert!(out.code == 0 || out.stderr.contains("create the target: "), "{inodes} inodes: {out:?}");
        works += i32::from(out.code == 0);
        c.left_nothing();
        c.run().ok();
        c.finish();
    }
    assert!((1..7).contains(&works), "{works}");
}

#[test]
fn a_full_directory_of_pods_fails_cleanly() {
    if !hilum_only("pods") {
        return;
    }
    let tally = tally("directory of pods full");
    let mut works = 0;
    for inodes in 1..14 {
        let pod = Pod::new();
        fs::create_dir(pod.pods()).unwrap();
        // Made and removed in one mount namespace, where nothing is to be left of one that could not be made.
        let script = format!(
            "cd {0} && mount -t tmpfs -o nr_inodes={inodes} none . && cd . && cd {0} || exit 99\n\
             \"$@\"; code=$?; [ $code != 0 ] || {1} --pods {0} pod rm -f {2} || exit 98\n\
             [ -z \"$(ls -A {0})\" ] || {{ ls -AR {0} >&2; exit 97; }}; exit $code",
            pod.pods().display(),
            program().display(),
            pod.name,
        );
        let limit = Limit::new(
            &tally,
            &script,
            &["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"],
            &[FULL],
        );
        works += i32::from(limit.pod_call(&pod, &["pod", "create", &pod.name]).code == 0);
        pod.left_nothing();
    }
    assert!((1..13).contains(&works), "{works}");
}

#[test]
fn spec_leaves_no_half_of_a_file() {
    if !hilum_only("the oracle leaves it") {
        return;
    }
    let tally = tally("spec on a full disk");
    for (options, says) in [("size=4k", FULL), ("size=4k,nr_inodes=1", FULL), ("ro", READ_ONLY)] {
        let script = format!("mount -t tmpfs -o {options} none /mnt; cd /mnt; \"$@\"; code=$?; ls /mnt; exit $code");
        let says = [says];
        let limit = Limit::new(&tally, options, &["unshare", "-m", "sh", "-c", &script, "sh"], &says);
        let c = Container::new(&["true"]);
        // An example of 4 kB fits into one page or does not: a file that is there takes it.
        let out = limit.call(&c, &["spec"]);
        assert!(out.code == 0 || out.stdout.is_empty(), "{out:?}");
    }
}
