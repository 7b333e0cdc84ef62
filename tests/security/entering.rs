//! `exec` into a container that has changed what is around it, and images whose files are not what they should be.

use super::*;
use rustix::fs::{FileType, makedev, mknodat};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// With no more memory than this, in KiB, and at once.
fn frugal(c: &Container, args: &[&str]) -> Out {
    let inner = c.command(args);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 200000; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(c.bundle());
    let begun = Instant::now();
    let out = c.finish_call(command, Stdio::null());
    assert!(begun.elapsed() < Duration::from_secs(10) * patience(), "{args:?} took {:?}", begun.elapsed());
    out
}

type Make = Box<dyn Fn(&Path)>;

/// Files that a runtime may look into, each of which never ends, never begins, or is somebody else's.
fn hostile_files(c: &Container) -> Vec<(&'static str, Make)> {
    let outside = c.path("outside-passwd");
    fs::write(&outside, "root:x:0:0::/of-the-host:/bin/sh\n").unwrap();
    let climbing = format!("../../../../../../../../../..{outside}");
    let device = |major, minor| {
        move |path: &Path| mknodat(CWD, path, FileType::CharacterDevice, 0o666.into(), makedev(major, minor)).unwrap()
    };
    vec![
        ("a FIFO", Box::new(|path| mknodat(CWD, path, FileType::Fifo, 0o666.into(), 0).unwrap())),
        ("/dev/zero", Box::new(device(1, 5))),
        ("/dev/tty", Box::new(device(5, 0))),
        ("a link to /dev/zero", Box::new(|path| symlink("/dev/zero", path).unwrap())),
        ("a link to itself", Box::new(|path| symlink(path.file_name().unwrap(), path).unwrap())),
        ("a link outside", Box::new(move |path| symlink(&climbing, path).unwrap())),
        ("a link to a descriptor", Box::new(|path| symlink("/proc/self/fd/0", path).unwrap())),
        ("a directory", Box::new(|path| fs::create_dir(path).unwrap())),
        ("a gibibyte", Box::new(|path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap())),
        (
            "lines of a gibibyte",
            Box::new(|path| {
                fs::write(path, ":::\n".repeat(1 << 18)).unwrap();
                fs::File::options().write(true).open(path).unwrap().set_len(1 << 30).unwrap();
            }),
        ),
        ("no text", Box::new(|path| fs::write(path, [0xff; 5000]).unwrap())),
        (
            "long fields",
            Box::new(|path| fs::write(path, format!("root:x:0:0::{}:/bin/sh\n", "/x".repeat(1 << 18))).unwrap()),
        ),
    ]
}

/// HOME is of the container's own /etc/passwd, and nothing is taken from /etc/group.
#[test]
fn hostile_passwd_and_group_cost_neither_time_nor_memory() {
    let tally = attacks("/etc/passwd and /etc/group that never end");
    for (what, make) in hostile_files(&Container::new(&["true"])) {
        if !hilum_only("the oracle reads whatever is there") {
            return;
        }
        let running = Container::sleeper();
        let c = Container::sh("echo $HOME");
        for c in [&running, &c] {
            for file in ["etc/passwd", "etc/group"] {
                make(&c.rootfs().join(file));
            }
            c.write_config();
        }
        let is_own = |verb: &str, out: Out| {
            assert_eq!(out.ok().stdout, "/\n", "{verb}, {what}");
            tally.survives();
        };
        tally.tries();
        is_own("run", frugal(&c, &["run", &c.id]));
        c.gone();
        running.up();
        tally.tries();
        is_own("exec", frugal(&running, &["exec", &running.id, "sh", "-c", "echo $HOME"]));
        running.finish();
        c.finish();
    }
}

/// A file that is none is not even opened: it could be a device, which does something when it is, and which the container may not
/// open itself. A FIFO tells: who writes to it waits for somebody to open it. With `passwd::home` opening whatever there is, as it
/// did: "exec has opened it".
#[test]
fn hostile_passwd_that_is_no_file_is_not_opened() {
    if !hilum_only("the oracle opens it, and waits for who writes") {
        return;
    }
    let tally = attacks("an /etc/passwd that is no file");
    let c = Container::sh("(trap '' PIPE; echo x >/etc/passwd; echo opened) & while :; do sleep 1; done");
    mknodat(CWD, c.rootfs().join("etc/passwd"), FileType::Fifo, 0o666.into(), 0).unwrap();
    tally.tries();
    c.up();
    // The shell's child is at the FIFO.
    eventually("two shells", || c.call(&["ps", "-f", "json", &c.id]).ok().stdout.matches(',').count() >= 1);
    std::thread::sleep(Duration::from_millis(200) * patience());
    for _ in 0..10 {
        c.call(&["exec", &c.id, "true"]).ok();
    }
    assert!(!c.output().contains("opened"), "exec has opened it");
    tally.survives();
    c.finish();
}

/// What `ls /` says in a process of exec's; of the host there is nothing.
#[track_caller]
fn root_of_exec(c: &Container) -> Vec<String> {
    let out = c.call(&["exec", &c.id, "ls", "/"]).ok();
    let names: Vec<String> = out.lines().into_iter().map(String::from).collect();
    assert!(!names.iter().any(|name| name == "usr" || name == "boot"), "the host's root: {names:?}");
    names
}

/// Programs for another root file system.
const COPY: &str = "mount -t tmpfs tmpfs /tmp; mkdir /tmp/bin /tmp/proc /tmp/old; cp /bin/busybox /tmp/bin; \
                    for a in ls sleep sh cat mount umount; do ln -s busybox /tmp/bin/$a; done;";

#[test]
fn exec_into_a_container_that_has_changed_its_root() {
    let tally = attacks("exec where the container has changed its root");
    // In the same mount namespace: the root that its first process has come to, or that of the namespace.
    for (what, script, in_new) in [
        ("pivot_root", "cd /tmp; pivot_root . old && mount -t proc proc /proc && echo ready; exec sleep 1000", true),
        (
            "pivot_root, the old root gone",
            "cd /tmp; pivot_root . old && umount -l /old && echo ready; exec sleep 1000",
            true,
        ),
        ("chroot", "echo ready; exec chroot /tmp /bin/sleep 1000", false),
        ("a mount over /", "mount --move /tmp / && echo ready; sleep 1000", true),
        ("no /proc", "umount -l /proc && echo ready; sleep 1000", false),
        ("nothing but /", "for d in /sys /dev /proc; do umount -l $d; done; echo ready; sleep 1000", false),
    ] {
        let c = Container::sh(&format!("{COPY} {script}")).privileged();
        c.create().start().says("ready");
        tally.tries();
        let names = root_of_exec(&c);
        assert_eq!(names.contains(&"old".into()), in_new, "{what}: {names:?}");
        for cwd in ["/", "/proc", "/nowhere"] {
            let out = c.call(&["exec", "--cwd", cwd, &c.id, "ls", "../../../../.."]);
            assert!(out.code != 0 || out.lines() == names, "{what}, cwd {cwd}: {out:?}");
        }
        tally.survives();
        c.call(&["delete", "--force", &c.id]).ok();
        c.finish();
    }
}

/// Its first process has made a mount namespace of its own, with another root: exec joins what it is in.
#[test]
fn exec_into_a_container_whose_init_has_left_its_mount_namespace() {
    let tally = attacks("exec where init has another mount namespace");
    let script = format!(
        "{COPY} exec unshare -m sh -c 'cd /tmp; pivot_root . old && umount -l /old && echo ready; exec sleep 1000'"
    );
    let c = Container::sh(&script).privileged();
    c.create().start().says("ready");
    tally.tries();
    let names = root_of_exec(&c);
    assert!(names.contains(&"old".into()), "{names:?}");
    tally.survives();
    c.finish();
}

/// What it is asked to execute is no program, and never answers.
#[test]
fn exec_of_what_is_no_program_does_not_wait() {
    let tally = attacks("programs that are none");
    let c = Container::sleeper();
    for (what, make) in hostile_files(&c) {
        let file = c.rootfs().join("bin/hostile");
        make(&file);
        if !c.root().join(&c.id).exists() {
            c.up();
        }
        tally.tries();
        let out = frugal(&c, &["exec", &c.id, "hostile"]);
        assert_ne!(out.code, 0, "{what}: {out:?}");
        tally.survives();
        let run = Container::new(&["hostile"]);
        make(&run.rootfs().join("bin/hostile"));
        run.write_config();
        tally.tries();
        assert_ne!(frugal(&run, &["run", &run.id]).code, 0, "{what}");
        tally.survives();
        run.finish();
        if file.is_dir() { fs::remove_dir(&file).unwrap() } else { fs::remove_file(&file).unwrap() }
    }
    c.finish();
}
