//! Checkpoint and restore, where there is a CRIU that works with this kernel.

use crate::common::*;
use crate::systemd;
use rustix::fd::OwnedFd;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Counts, in memory alone: who goes on has been restored, and who starts anew has not.
const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done";

/// Whether CRIU works here; the reason, if it does not, is printed.
fn criu() -> bool {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    let answer = ANSWER.get_or_init(|| {
        let out = Command::new("timeout").args(["30", "criu", "check"]).output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        match out.status.code() {
            Some(0) => Ok(()),
            Some(126 | 127) => Err("criu is not installed".into()),
            _ => Err(format!("criu check fails here: {}", text.lines().last().unwrap_or_default())),
        }
    });
    match answer {
        _ if !hilum_only("its own checkpoints") => false,
        Ok(()) => true,
        Err(why) => skip(why),
    }
}

/// CRIU's own word on a feature of this kernel.
fn has(feature: &str) -> bool {
    let check = Command::new("timeout").args(["30", "criu", "check", "--feature", feature]).output();
    check.is_ok_and(|out| out.status.success()) || skip(&format!("CRIU or this kernel lacks {feature}"))
}

/// The container's own streams are files beside the bundle, which a restore continues.
fn call_with(c: &Container, args: &[&str], path: Option<&Path>) -> Out {
    let append = |name: &str| OpenOptions::new().create(true).append(true).open(c.path(name)).unwrap();
    let before = read(Path::new(&c.path("err"))).len();
    let mut command = c.command(args);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(append("out")).stderr(append("err"));
    let code = wait_within(&mut command.spawn().unwrap(), LIMIT, &format!("{command:?}"));
    Out { code, stdout: String::new(), stderr: read(Path::new(&c.path("err")))[before..].to_owned() }
}

fn call(c: &Container, args: &[&str]) -> Out {
    call_with(c, args, None)
}

fn run(c: &Container) {
    c.write_config();
    call(c, &["run", "-d", &c.id]).ok();
}

fn checkpoint(c: &Container, flags: &[&str]) -> Out {
    // Not among the container's streams: those must be the same at the restore.
    c.call(&[&["checkpoint", "--image-path", &c.path("image")], flags, &[&c.id]].concat())
}

fn restore(c: &Container, flags: &[&str]) -> Out {
    c.write_config();
    call(c, &[&["restore", "--image-path", &c.path("image")], flags, &[&c.id]].concat())
}

fn said(c: &Container) -> String {
    read(Path::new(&c.path("out")))
}

fn counted(c: &Container) -> u64 {
    said(c).lines().last().and_then(|line| line.parse().ok()).unwrap_or(0)
}

#[track_caller]
fn counts_beyond(c: &Container, number: u64) {
    eventually(&format!("it counts beyond {number}"), || counted(c) > number);
}

/// Every number came once, in its turn.
#[track_caller]
fn assert_counted_without_a_gap(c: &Container) {
    let text = said(c);
    let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

fn break_images(c: &Container) {
    let core = Path::new(&c.path("image")).join("core-1.img");
    let whole = fs::read(&core).unwrap();
    fs::write(&core, &whole[..whole.len() / 2]).unwrap();
}

fn assert_gone(c: &Container) {
    c.call(&["state", &c.id]).fails("container does not exist");
    c.left_nothing();
}

#[test]
fn a_detached_container_goes_on_where_it_was() {
    if !criu() {
        return;
    }
    for host in Host::all() {
        let c = Container::sh(COUNTER).on(host);
        run(&c);
        counts_beyond(&c, 3);
        // In the view of pure v2 on a hybrid host, a container is in the root of the others, and CRIU would save all of the
        // host's cgroups, those of other tests among them.
        let mode = ["--manage-cgroups-mode", if host == Host::plain() { "soft" } else { "ignore" }];
        for _ in 0..2 {
            checkpoint(&c, &mode).ok();
            assert_gone(&c);
            let before = counted(&c);
            restore(&c, &[&["-d", "--pid-file", &c.path("pid")], &mode[..]].concat()).ok();
            counts_beyond(&c, before + 2);
        }
        let (state, pid) = (c.state(), c.pid());
        assert_eq!(state["status"], "running");
        assert_eq!(read(Path::new(&c.path("pid"))), pid.to_string());
        assert_eq!(state["bundle"].as_str().unwrap(), fs::canonicalize(c.bundle()).unwrap().to_str().unwrap());
        assert!(cgroup_of(pid, "").contains(&c.id) || cgroup_of(pid, "pids").contains(&c.id), "{host:?}");
        assert_counted_without_a_gap(&c);
        c.finish();
    }
}

#[test]
fn all_commands_work_on_a_restored_container() {
    if !criu() {
        return;
    }
    let c = Container::sh(COUNTER);
    run(&c);
    checkpoint(&c, &[]).ok();
    restore(&c, &["-d"]).ok();
    let out = c.call(&["exec", &c.id, "sh", "-c", "hostname; cat /proc/1/cmdline"]).ok();
    assert!(out.stdout.starts_with("box\n") && out.stdout.contains("echo"), "{out:?}");
    assert!(c.call(&["ps", "--format", "json", &c.id]).ok().stdout.contains(&c.pid().to_string()));
    c.call(&["pause", &c.id]).ok();
    assert_eq!(c.status(), "paused");
    c.call(&["resume", &c.id]).ok();
    c.call(&["delete", &c.id]).fails("not stopped: running");
    c.call(&["update", "--pids-limit", "50", &c.id]).ok();
    c.kill("KILL").ok();
    c.wait("stopped");
    c.call(&["delete", &c.id]).ok();
    assert_gone(&c);
}

#[test]
fn it_keeps_its_confinement() {
    if !criu() {
        return;
    }
    let filter = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": [],
        "syscalls": [{ "names": ["chroot"], "action": "SCMP_ACT_ERRNO" }] });
    let c = Container::sh("while :; do sleep 0.1; done").set("linux/seccomp", filter);
    run(&c);
    let of = |name: &str| status_of(c.pid(), name);
    let names = ["CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters"];
    let before = names.map(of);
    let mounts = |pid| {
        let list = mounts_of(pid).into_iter().map(|m| format!("{} {} {}", m.point, m.fstype, m.has("ro")));
        let mut list: Vec<String> = list.collect();
        list.sort();
        list
    };
    let mounts_before = mounts(c.pid());
    let host_keyring = read(Path::new("/proc/keys")).lines().count();
    checkpoint(&c, &[]).ok();
    restore(&c, &["-d"]).ok();
    assert_eq!(names.map(of), before);
    assert_eq!(mounts(c.pid()), mounts_before);
    assert!(host_keyring == 0 || read(Path::new("/proc/keys")).lines().count() > 0);
    for kind in ["net", "ipc", "uts", "mnt", "pid"] {
        assert_ne!(ns(c.pid(), kind), own_ns(kind));
    }
    c.call(&["exec", &c.id, "sh", "-c", "! cat /proc/keys | grep . && ! echo > /proc/sysrq-trigger"]).ok();
    c.finish();
}

#[test]
fn the_network_namespace_of_its_own_has_its_loopback_again() {
    if !criu() {
        return;
    }
    let c = Container::sh("while :; do sleep 0.1; done");
    run(&c);
    checkpoint(&c, &[]).ok();
    restore(&c, &["-d", "--empty-ns", "network"]).ok();
    let link = c.call(&["exec", &c.id, "sh", "-c", "ip addr show lo"]).ok().stdout;
    assert!(link.contains(",UP") && link.contains("127.0.0.1"), "{link}");
    c.finish();
}

#[test]
fn connections_are_kept_when_asked_for() {
    if !criu() {
        return;
    }
    let script = "nc -ll -p 80 -e sh -c 'while read x; do echo got $x; done' & sleep 0.5; \
        (while :; do echo tick; sleep 0.1; done) | nc 127.0.0.1 80";
    let c = Container::sh(script);
    run(&c);
    eventually("the connection is in use", || said(&c).contains("got tick"));
    let out = checkpoint(&c, &[]);
    if out.stderr.contains("1:34 opt") {
        // SO_PASSSEC, which Linux 6.16 and newer refuse for such a socket.
        skip("this CRIU is too old for the TCP sockets of this kernel");
        return c.finish();
    }
    let log = c.path("image/dump.log");
    assert_eq!(out.code, 1, "{out:?}");
    assert!(out.stderr.contains(&log) && out.stderr.to_lowercase().contains("tcp"), "{out:?}");
    // CRIU lets go of what it could not dump.
    assert_eq!(c.status(), "running");
    checkpoint(&c, &["--tcp-established", "--tcp-skip-in-flight"]).ok();
    let before = said(&c).len();
    restore(&c, &["-d", "--tcp-established"]).ok();
    eventually("the connection goes on", || said(&c)[before..].contains("got tick"));
    c.finish();
}

#[test]
fn joined_namespaces_are_joined_again() {
    if !criu() {
        return;
    }
    let helper = Helper::start(&["unshare", "-n", "-i", "-u", "sleep", "1000"], "sleep");
    let path = |kind: &str| proc(helper.pid(), "ns").join(kind);
    let mut c = Container::sh(COUNTER).join("network", path("net")).join("ipc", path("ipc")).join("uts", path("uts"));
    c.config.as_object_mut().unwrap().remove("hostname");
    run(&c);
    counts_beyond(&c, 1);
    checkpoint(&c, &[]).ok();
    let before = counted(&c);
    restore(&c, &["-d"]).ok();
    counts_beyond(&c, before);
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(ns(c.pid(), kind), ns(helper.pid(), kind));
    }
    c.finish();
}

#[test]
fn a_joined_pid_namespace_is_joined_again() {
    if !criu() {
        return;
    }
    // As the first process of the namespace, it waits for orphans.
    let sandbox = Container::sh("while :; do sleep 0.05; done");
    sandbox.up();
    let c = Container::sh(COUNTER).join("pid", proc(sandbox.pid(), "ns/pid"));
    run(&c);
    counts_beyond(&c, 1);
    let pids = status_of(c.pid(), "NSpid");
    let inner = pids.split_whitespace().last().unwrap();
    checkpoint(&c, &[]).ok();
    let exists = format!("test -e /proc/{inner}");
    eventually("its pid is free", || sandbox.call(&["exec", &sandbox.id, "sh", "-c", &exists]).code != 0);
    let before = counted(&c);
    restore(&c, &["-d"]).ok();
    counts_beyond(&c, before);
    assert_eq!(ns(c.pid(), "pid"), ns(sandbox.pid(), "pid"));
    assert_eq!(status_of(c.pid(), "NSpid").split_whitespace().last(), Some(inner));
    c.finish();
    sandbox.finish();
}

/// The master of the terminal that comes to the socket.
fn terminal(listener: &UnixListener) -> OwnedFd {
    let (_, fd) = receive_fd(listener);
    rustix::io::ioctl_fionbio(&fd, true).unwrap();
    fd
}

#[track_caller]
fn until(terminal: &OwnedFd, text: &str) {
    let (mut said, mut buffer) = (String::new(), [0; 1024]);
    let deadline = deadline_in(20);
    while !said.contains(text) {
        assert!(Instant::now() < deadline, "waited in vain for {text:?} in {said:?}");
        match rustix::io::read(terminal, &mut buffer) {
            Ok(n) if n > 0 => said.push_str(&String::from_utf8_lossy(&buffer[..n])),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn the_terminal_comes_again_to_the_console_socket() {
    if !criu() {
        return;
    }
    let c = Container::sh("while read line; do echo \"got $line.\"; done").set("process/terminal", json!(true));
    let socket = c.path("console");
    let listen = || {
        _ = fs::remove_file(&socket);
        UnixListener::bind(&socket).unwrap()
    };
    let listener = listen();
    c.run_with(&["-d", "--console-socket", &socket]).ok();
    let master = terminal(&listener);
    rustix::io::write(&master, b"one\n").unwrap();
    until(&master, "got one.");
    checkpoint(&c, &[]).ok();
    drop((master, listener));
    let listener = listen();
    restore(&c, &["-d"]).fails("console socket");
    restore(&c, &["-d", "--console-socket", &socket]).ok();
    let master = terminal(&listener);
    rustix::io::write(&master, b"two\n").unwrap();
    until(&master, "got two.");
    assert_eq!(c.call(&["exec", &c.id, "sh", "-c", "readlink /proc/1/fd/0"]).ok().stdout, "/dev/pts/0\n");
    c.finish();
}

#[test]
fn a_restore_in_the_foreground_ends_with_the_code_of_the_process() {
    if !criu() {
        return;
    }
    let c = Container::sh("trap 'echo ended; exit 7' TERM; echo up; while :; do sleep 0.1; done");
    run(&c);
    eventually("it runs", || said(&c).contains("up"));
    checkpoint(&c, &[]).ok();
    let append = |name: &str| OpenOptions::new().append(true).open(c.path(name)).unwrap();
    let mut command = c.command(&["restore", "--image-path", &c.path("image"), &c.id]);
    command.stdin(Stdio::null()).stdout(append("out")).stderr(append("err"));
    let runtime = Helper(command.spawn().unwrap());
    eventually("it runs again", || c.call(&["state", &c.id]).stdout.contains("\"running\""));
    // It is the runtime's own child.
    assert_eq!(status_of(c.pid(), "PPid"), runtime.pid().to_string());
    let own = rustix::process::Pid::from_raw(runtime.pid() as i32).unwrap();
    rustix::process::kill_process(own, rustix::process::Signal::TERM).unwrap();
    assert_eq!(runtime.exit_code(), 7);
    assert!(said(&c).ends_with("ended\n"));
    assert_gone(&c);
}

#[test]
fn bind_mounts_come_from_where_config_json_says_now() {
    if !criu() {
        return;
    }
    let c = Container::sh("exec 3< /data/f; while :; do cat /data/f /etc/one; sleep 0.1; done");
    for (dir, text) in [("old", "from old"), ("new", "from new")] {
        fs::create_dir(c.path(dir)).unwrap();
        // CRIU compares the size of a file that is open.
        fs::write(Path::new(&c.path(dir)).join("f"), text).unwrap();
    }
    fs::write(c.path("one"), "a file\n").unwrap();
    let bind =
        |to: &str, from: String| json!({ "destination": to, "type": "bind", "source": from, "options": ["rbind"] });
    let tmpfs = json!({ "destination": "/data/tmp", "type": "tmpfs", "source": "tmpfs" });
    let c = c.push("mounts", json!({})).with(|config| drop(config["mounts"].as_array_mut().unwrap().pop()));
    let (old, one) = (c.path("old"), c.path("one"));
    let c = c.push("mounts", bind("/data", old)).push("mounts", bind("/etc/one", one)).push("mounts", tmpfs);
    run(&c);
    eventually("it reads", || said(&c).contains("from olda file"));
    c.call(&["exec", &c.id, "sh", "-c", "echo kept > /data/tmp/x"]).ok();
    checkpoint(&c, &[]).ok();

    let at = c.config["mounts"].as_array().unwrap().len() - 3;
    let new = c.path("new");
    let mut c = c.set(&format!("mounts/{at}/source"), json!(new));
    // As in a root file system from which no container has run.
    fs::remove_dir(c.rootfs().join("data")).unwrap();
    restore(&c, &["-d"]).ok();
    eventually("it reads the new one", || said(&c).contains("from newa file"));
    assert_eq!(c.call(&["exec", &c.id, "sh", "-c", "cat /data/tmp/x"]).ok().stdout, "kept\n");
    assert_eq!(mount_at(&mounts_of(c.pid()), "/data/tmp").fstype, "tmpfs");
    checkpoint(&c, &[]).ok();

    c.config["mounts"].as_array_mut().unwrap().remove(at);
    restore(&c, &["-d"]).fails("bind mount on /data, and config.json has none");
    assert_gone(&c);
}

#[test]
fn it_may_be_left_running() {
    if !criu() {
        return;
    }
    let c = Container::sh(COUNTER);
    run(&c);
    counts_beyond(&c, 1);
    let pid = c.pid();
    checkpoint(&c, &["--leave-running"]).ok();
    assert_eq!((c.status().as_str(), c.pid()), ("running", pid));
    counts_beyond(&c, counted(&c));
    // One that is paused stays so.
    c.call(&["pause", &c.id]).ok();
    checkpoint(&c, &["--leave-running", "--work-path", &c.path("work")]).ok();
    assert_eq!(c.status(), "paused");
    assert!(Path::new(&c.path("work/dump.log")).exists());
    c.call(&["resume", &c.id]).ok();
    counts_beyond(&c, counted(&c));
    assert_counted_without_a_gap(&c);
    c.finish();
}

#[test]
fn what_exec_has_started_is_not_saved_and_that_is_said() {
    if !criu() {
        return;
    }
    let c = Container::sh(COUNTER);
    run(&c);
    c.call(&["exec", "-d", "--pid-file", &c.path("pid"), &c.id, "sleep", "1000"]).ok();
    let pid = read(Path::new(&c.path("pid")));
    let out = checkpoint(&c, &[]).ok();
    assert!(out.stderr.contains(&format!("not saved: process {pid}")), "{out:?}");
    restore(&c, &["-d"]).ok();
    let list = c.call(&["exec", &c.id, "ps"]).ok().stdout;
    assert!(list.contains("echo") && !list.contains("sleep 1000"), "{list}");
    c.finish();
}

#[test]
fn memory_can_be_dumped_before_the_rest() {
    if !criu() {
        return;
    }
    let c = Container::sh(COUNTER);
    run(&c);
    counts_beyond(&c, 1);
    let pre_dump = ["checkpoint", "--pre-dump", "--image-path", &c.path("parent"), &c.id];
    if !has("mem_dirty_track") {
        c.call(&pre_dump).fails("--pre-dump, --parent-path: this kernel cannot track changes of memory");
        assert_eq!(c.status(), "running");
        return c.finish();
    }
    c.call(&pre_dump).ok();
    assert_eq!(c.status(), "running");
    checkpoint(&c, &["--parent-path", &c.path("parent")]).fails("--parent-path must be relative");
    checkpoint(&c, &["--parent-path", "../nothing"]).fails("invalid --parent-path");
    checkpoint(&c, &["--parent-path", "../parent", "--auto-dedup"]).ok();
    assert_eq!(fs::read_link(c.path("image/parent")).unwrap(), PathBuf::from("../parent"));
    let before = counted(&c);
    restore(&c, &["-d"]).ok();
    counts_beyond(&c, before);
    assert_counted_without_a_gap(&c);
    c.finish();
}

#[test]
fn cgroups_are_managed_as_asked() {
    if !criu() {
        return;
    }
    for mode in ["soft", "full", "ignore"] {
        let c = Container::sh(COUNTER);
        run(&c);
        counts_beyond(&c, 1);
        checkpoint(&c, &["--manage-cgroups-mode", mode]).ok();
        let before = counted(&c);
        restore(&c, &["-d", "--manage-cgroups-mode", mode]).ok();
        counts_beyond(&c, before);
        let controller = if Host::plain() == Host::V2 { "" } else { "freezer" };
        assert!(cgroup_of(c.pid(), controller).ends_with(&c.id), "{mode}");
        c.finish();
    }
    let c = Container::sh(COUNTER);
    run(&c);
    checkpoint(&c, &["--manage-cgroups-mode", "strict"]).ok();
    // hilum has made the container's cgroup, and strict is: there must be none.
    let out = restore(&c, &["-d", "--manage-cgroups-mode", "strict"]);
    assert_eq!(out.code, 1, "{out:?}");
    assert!(out.stderr.contains("restore.log"), "{out:?}");
    assert_gone(&c);
}

/// With `--systemd-cgroup` there is a unit around what CRIU makes, as around what a creation makes.
#[test]
fn it_is_restored_into_a_unit_of_its_own() {
    if !criu() || !systemd::can_be_tested() {
        return;
    }
    let c = Container::sh(&format!("tail -f /dev/null & {COUNTER}"))
        .by_systemd()
        .set("linux/resources/memory", json!({ "limit": 64 << 20 }))
        .set("linux/resources/pids", json!({ "limit": 33 }))
        .push("linux/resources/devices", json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "w" }))
        .with(|config| {
            let all = json!(["CAP_MKNOD"]);
            config["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
        });
    run(&c);
    let unit = c.unit();
    for _ in 0..2 {
        counts_beyond(&c, counted(&c) + 2);
        checkpoint(&c, &[]).ok();
        systemd::assert_unit_is_gone(&unit);
        assert_gone(&c);
        let before = counted(&c);
        restore(&c, &["-d"]).ok();
        counts_beyond(&c, before);
        let properties = systemd::show(&unit);
        assert_eq!((&*properties["ActiveState"], &*properties["Delegate"]), ("active", "yes"));
        assert_eq!((&*properties["MemoryMax"], &*properties["TasksMax"]), ("67108864", "33"));
        assert_eq!(properties["ControlGroup"], format!("/system.slice/{unit}"));
        assert_eq!(cgroup_of(c.pid(), ""), properties["ControlGroup"]);
        assert_eq!((&*c.file("memory.max"), &*c.file("pids.max")), ("67108864", "33"));
        // All of the container is in there, and CRIU, around which the unit was started, is not any more.
        let inside: Vec<String> =
            c.file("cgroup.procs").lines().map(|pid| read(&proc(pid.parse().unwrap(), "comm"))).collect();
        let count = |name: &str| inside.iter().filter(|comm| comm.trim() == name).count();
        assert!(count("sh") >= 1 && count("tail") == 1 && count("criu") == 0, "{inside:?}");
        // The device filter is config.json's: kmsg can be written, and not read.
        let open = |how: &str| {
            let script = format!("test -e /dev/k || mknod /dev/k c 1 11; exec 3{how}/dev/k");
            c.call(&["exec", &c.id, "sh", "-c", &script]).code
        };
        assert!(open(">") == 0 && open("<") != 0);
    }
    assert_counted_without_a_gap(&c);
    c.call(&["update", "--memory", "96M", &c.id]).ok();
    assert_eq!((systemd::show(&unit)["MemoryMax"].as_str(), &*c.file("memory.max")), ("100663296", "100663296"));
    c.call(&["delete", "--force", &c.id]).ok();
    assert_eq!(systemd::show(&unit)["LoadState"], "not-found");
    assert_gone(&c);
    break_images(&c);
    restore(&c, &["-d"]).fails("criu failed");
    systemd::assert_unit_is_gone(&unit);
    assert_gone(&c);
}

/// busybox may be without flock: then the host's, with the libraries that it needs.
#[test]
fn file_locks_are_kept_when_asked_for() {
    if !criu() {
        return;
    }
    // A sleep that a failed dump has stopped may end early (criu 4.1 on Linux 6.12): another follows.
    let c = Container::sh("flock /dev/shm/lock sh -c 'echo locked; while :; do sleep 1; done'");
    let flock = Command::new("sh").args(["-c", "command -v flock"]).output().unwrap();
    let flock = String::from_utf8(flock.stdout).unwrap().trim().to_owned();
    _ = fs::remove_file(c.rootfs().join("bin/flock"));
    fs::copy(&flock, c.rootfs().join("bin/flock")).unwrap();
    let libraries = Command::new("ldd").arg(&flock).output().unwrap();
    for library in String::from_utf8(libraries.stdout).unwrap().split_whitespace().filter(|word| word.starts_with('/'))
    {
        let to = c.rootfs().join(&library[1..]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(library, to).unwrap();
    }
    run(&c);
    eventually("it has the lock", || said(&c).contains("locked"));
    checkpoint(&c, &[]).fails("lock");
    checkpoint(&c, &["--file-locks"]).ok();
    restore(&c, &["-d", "--file-locks"]).ok();
    c.call(&["exec", &c.id, "sh", "-c", "! flock -n /dev/shm/lock true"]).ok();
    c.finish();
}

#[test]
fn hooks_see_the_restored_container() {
    if !criu() {
        return;
    }
    let c = Container::sh(COUNTER);
    let record = |name: &str| {
        let script = format!("cat > {}", c.path(name));
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }])
    };
    let hooks = ["prestart", "createRuntime", "poststart", "poststop"];
    let all: serde_json::Map<String, Value> = hooks.iter().map(|name| (name.to_string(), record(name))).collect();
    run(&c);
    checkpoint(&c, &[]).ok();
    let mut c = c.set("hooks", Value::Object(all));
    restore(&c, &["-d"]).ok();
    let pid = c.pid();
    for (name, status) in [("prestart", "creating"), ("createRuntime", "creating"), ("poststart", "running")] {
        let state: Value = serde_json::from_str(&read(Path::new(&c.path(name)))).unwrap();
        assert_eq!((state["status"].as_str(), state["pid"].as_u64()), (Some(status), Some(pid.into())), "{name}");
    }
    assert!(!Path::new(&c.path("poststop")).exists());
    checkpoint(&c, &[]).ok();
    assert!(read(Path::new(&c.path("poststop"))).contains("stopped"));

    c.config["hooks"]["createRuntime"][0]["args"] = json!(["sh", "-c", "echo no; exit 3"]);
    let out = restore(&c, &["-d"]).fails("createRuntime hook #0");
    assert!(out.stderr.contains("exit status 3, output: no"), "{out:?}");
    assert_gone(&c);
}

#[test]
fn a_broken_checkpoint_is_an_error_that_quotes_criu_and_leaves_nothing() {
    if !criu() {
        return;
    }
    let c = Container::sh(COUNTER);
    run(&c);
    checkpoint(&c, &[]).ok();
    break_images(&c);
    let out = restore(&c, &["-d", "--work-path", &c.path("work")]);
    assert_eq!(out.code, 1, "{out:?}");
    assert!(out.stderr.contains("criu failed: ") && out.stderr.contains(&c.path("work/restore.log")), "{out:?}");
    assert_eq!(out.stderr.lines().count(), 1, "{out:?}");
    assert_gone(&c);
    c.call(&["restore", "-d", "--image-path", &c.path("nothing"), &c.id]).fails("--image-path");
    fs::create_dir(c.path("empty")).unwrap();
    c.call(&["restore", "-d", "--image-path", &c.path("empty"), &c.id]).fails("hilum.json");
    assert_gone(&c);
}

#[test]
fn what_cannot_be_checkpointed_or_restored_is_refused() {
    if !criu() {
        return;
    }
    let c = Container::sh(COUNTER);
    c.create();
    checkpoint(&c, &[]).fails("Container cannot be checkpointed in created state");
    c.start();
    checkpoint(&c, &["--empty-ns", "ipc"]).fails("--empty-ns");
    checkpoint(&c, &["--lazy-pages"]).fails("--lazy-pages: not supported");
    restore(&c, &["-d", "--lazy-pages"]).fails("--lazy-pages: not supported");
    checkpoint(&c, &["--page-server", "nowhere"]).fails("ADDRESS:PORT");
    checkpoint(&c, &["--status-fd", "77"]).fails("--status-fd: not supported");
    checkpoint(&c, &["--manage-cgroups-mode", "none"]).fails("none");
    assert_eq!(c.status(), "running");
    fs::create_dir(c.path("image")).unwrap();
    restore(&c, &["-d"]).fails("container with given ID already exists");
    restore(&c, &["-d", "--no-pivot"]).fails("--no-pivot");
    // As containerd says it.
    restore(&c, &["-d", "-no-subreaper"]).fails("container with given ID already exists");
    c.kill("KILL").ok();
    c.wait("stopped");
    checkpoint(&c, &[]).fails("Container cannot be checkpointed in stopped state");
    c.finish();

    let c = Container::sh(COUNTER).in_user_namespace();
    c.up();
    checkpoint(&c, &[]).fails("user namespace");
    assert_eq!(c.status(), "running");
    c.finish();
}

/// A directory with a `criu` of the test's own.
fn fake_criu(c: &Container, script: &str) -> PathBuf {
    let dir = PathBuf::from(c.path("fake"));
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("criu");
    fs::write(&file, format!("#!/bin/bash\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

#[test]
fn a_criu_that_is_missing_old_or_mute_is_named() {
    if !hilum_only("its own errors") {
        return;
    }
    let c = Container::sleeper();
    c.up();
    let args = ["checkpoint", "--image-path", &c.path("image"), &c.id];
    // criu_resp: success, version 3.15. (No byte of it is a newline, at which bash would cut the message in two.)
    let old = fake_criu(&c, r"printf '\x08\x00\x10\x01\x52\x04\x08\x03\x10\x0f' >&$2; sleep 0.2");
    call_with(&c, &args, Some(&old)).fails("criu 3.15.0 is too old; install criu 3.16 or newer");
    let mute = fake_criu(&c, "exit 1");
    call_with(&c, &args, Some(&mute)).fails("criu");
    let broken = fake_criu(&c, r"printf '\xff\xff' >&$2; sleep 0.2");
    call_with(&c, &args, Some(&broken)).fails("broken");
    // Old in what it is asked first, and then a failure: the complaint of `criu check` is part of the error.
    let script = r#"if [ "$1" = check ]; then echo "Error (criu/x.c:1): Kernel lacks something" >&2; exit 1; fi
        fd=$2
        one() { dd bs=65536 count=1 <&$fd 2>/dev/null | od -An -tx1 | tr -d ' \n'; }
        case $(one) in
        080a) printf '\x08\x00\x10\x01\x52\x04\x08\x04\x10\x01' >&$fd ;;
        0809*) printf '\x08\x09\x10\x01' >&$fd ;;
        *) printf '\x08\x01\x10\x00\x38\x16' >&$fd ;;
        esac
        sleep 0.2"#;
    let failing = fake_criu(&c, script);
    let path = PathBuf::from(format!("{}:/usr/bin:/bin", failing.display()));
    let out = call_with(&c, &args, Some(&path)).fails("Invalid argument; criu check: Kernel lacks something");
    assert!(out.stderr.contains(&c.path("image/dump.log")), "{out:?}");
    assert_eq!(c.status(), "running");

    let elsewhere = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    if elsewhere.iter().any(|dir| Path::new(dir).join("criu").exists()) {
        skip("criu is installed: it cannot be missing");
    } else {
        File::create(c.path("plain")).unwrap();
        call_with(&c, &args, Some(c.dir())).fails("criu is not installed");
    }
    c.finish();
}

#[test]
fn memory_can_go_to_a_page_server() {
    if !criu() {
        return;
    }
    let c = Container::sh(COUNTER);
    run(&c);
    counts_beyond(&c, 1);
    let image = c.path("image");
    fs::create_dir(&image).unwrap();
    let port = (20000 + std::process::id() % 20000).to_string();
    let server = ["page-server", "--images-dir", &image, "--address", "127.0.0.1", "--port", &port];
    let server = Helper(Command::new("criu").args(server).stdout(Stdio::null()).spawn().unwrap());
    let listening = format!("0100007F:{:04X}", port.parse::<u16>().unwrap());
    eventually("the page server listens", || read(Path::new("/proc/net/tcp")).contains(&listening));
    checkpoint(&c, &["--page-server", &format!("127.0.0.1:{port}")]).ok();
    assert_eq!(server.exit_code(), 0);
    let before = counted(&c);
    restore(&c, &["-d"]).ok();
    counts_beyond(&c, before);
    assert_counted_without_a_gap(&c);
    c.finish();
}
