//! `exec`: a process that joins a container is in all its namespaces and cgroups, and confined as its first one is.

use crate::common::*;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

impl Container {
    pub fn exec_with(&self, flags: &[&str], args: &[&str]) -> Out {
        self.call(&[&["exec"], flags, &[&self.id], args].concat())
    }

    fn exec(&self, args: &[&str]) -> Out {
        self.exec_with(&[], args)
    }
}

const KINDS: [&str; 7] = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"];

/// Starts a process that stays, and returns its pid on the host.
fn stay(c: &Container, flags: &[&str]) -> u32 {
    let file = c.path("exec.pid");
    c.exec_with(&[&["-d", "--pid-file", &file], flags].concat(), &["sleep", "1001"]).ok();
    let pid = read(file.as_ref()).parse().expect("the pid file holds a number and nothing else");
    let exe = proc(pid, "exe");
    eventually("the process runs", || fs::read_link(&exe).is_ok_and(|path| path.ends_with("bin/busybox")));
    pid
}

#[track_caller]
fn same_namespaces(c: &Container, pid: u32) {
    for kind in KINDS {
        let link = |pid| fs::read_link(proc(pid, "ns").join(kind)).unwrap();
        assert_eq!(link(c.pid()), link(pid), "{kind}");
    }
}

#[test]
fn exec_joins_every_namespace_and_cgroup() {
    for host in Host::all() {
        let c = Container::sleeper().on(host);
        c.up();
        let pid = stay(&c, &[]);
        same_namespaces(&c, pid);
        assert_eq!(lasting(&read(&proc(pid, "cgroup"))), lasting(&read(&proc(c.pid(), "cgroup"))), "{host:?}");
        assert_eq!(fs::read_link(proc(pid, "root")).unwrap(), fs::read_link(proc(c.pid(), "root")).unwrap());
        c.finish();
    }
}

#[test]
fn exec_joins_a_user_namespace_and_is_its_root() {
    let c = Container::sleeper().in_user_namespace();
    c.up();
    let pid = stay(&c, &[]);
    same_namespaces(&c, pid);
    assert!(read(&proc(pid, "status")).contains("\nUid:\t100000\t100000\t100000\t100000\n"));
    assert_eq!(c.exec(&["id", "-u"]).ok().stdout, "0\n");
    c.finish();
}

#[test]
fn exec_joins_a_time_namespace() {
    let c = Container::sleeper()
        .namespace(json!({ "type": "time" }))
        .set("linux/timeOffsets", json!({ "boottime": { "secs": 1_000_000 } }));
    c.up();
    let pid = stay(&c, &[]);
    let link = |pid| fs::read_link(proc(pid, "ns/time")).unwrap();
    assert_eq!(link(pid), link(c.pid()));
    let uptime: f64 = c.exec(&["cat", "/proc/uptime"]).ok().stdout.split('.').next().unwrap().parse().unwrap();
    assert!(uptime >= 1_000_000.0, "{uptime}");
    c.finish();
}

#[test]
fn exec_without_a_pid_or_mount_namespace_sees_what_the_container_sees() {
    let c = Container::sleeper().without_namespace("pid").with(|config| {
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
    });
    c.up();
    same_namespaces(&c, stay(&c, &[]));
    c.finish();
    if !hilum_only("the oracle leaves the process in the host's root") {
        return;
    }
    let c = Container::sleeper().without_namespace("mount").with(|config| {
        config["mounts"] = json!([]);
        config["root"]["readonly"] = json!(false);
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
    });
    c.up();
    let pid = stay(&c, &[]);
    assert_eq!(fs::read_link(proc(pid, "root")).unwrap(), c.rootfs());
    c.finish();
}

#[test]
fn the_exit_code_is_the_processes() {
    let c = Container::sleeper();
    c.up();
    assert_eq!(c.exec(&["true"]).code, 0);
    assert_eq!(c.exec(&["sh", "-c", "exit 7"]).code, 7);
    assert_eq!(c.exec(&["sh", "-c", "kill -9 $$"]).code, 137);
    let out = c.exec(&["sh", "-c", "cat; echo out; echo err >&2"]).ok();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", "err\n"));
    c.finish();
}

/// Docker and podman choose their own exit codes by these texts.
#[test]
fn a_failure_of_its_own_is_255_and_says_why() {
    let c = Container::sleeper();
    fs::write(c.rootfs().join("plain"), "").unwrap();
    c.up();
    for (args, text) in [
        (&["nosuch"][..], "exec: \"nosuch\": executable file not found in $PATH"),
        (&["/no/such"], "no such file or directory"),
        (&["/plain"], "permission denied"),
        (&["/bin"], "is a directory"),
    ] {
        let out = c.exec(args);
        assert_eq!(out.code, 255, "{out:?}");
        assert!(out.stderr.contains("exec failed: unable to start container process"), "{out:?}");
        assert!(out.stderr.replace('\\', "").contains(text), "{text}: {out:?}");
    }
    for flags in [&["--cwd", "/nowhere"][..], &["--user", "root"], &["--preserve-fds", "7"], &["-p", "/nowhere.json"]] {
        let out = c.exec_with(flags, &["true"]);
        assert_eq!(out.code, if is_hilum() { 255 } else { out.code }, "{flags:?} {out:?}");
        assert_ne!(out.code, 0, "{flags:?} {out:?}");
    }
    assert_ne!(c.exec(&[]).code, 0);
    assert_eq!(c.call(&["exec", "nobody", "true"]).code, 255);
    c.finish();
}

#[test]
fn only_a_container_that_runs_is_entered() {
    let c = Container::new(&["true"]);
    c.create().start().wait("stopped");
    let out = c.exec(&["true"]);
    assert_eq!(out.code, 255);
    assert!(out.stderr.contains("cannot exec in a stopped container"), "{out:?}");
    c.finish();

    let c = Container::sleeper();
    c.create();
    assert_eq!(c.exec(&["echo", "here"]).ok().stdout, "here\n", "a created one has everything but its program");
    c.start();
    c.call(&["pause", &c.id]).ok();
    let out = c.exec(&["true"]);
    assert_eq!(out.code, 255);
    assert!(out.stderr.contains("cannot exec in a paused container"), "{out:?}");
    c.call(&["resume", &c.id]).ok();
    assert_eq!(c.exec(&["true"]).code, 0);
    c.finish();
}

#[test]
fn ignore_paused_waits_for_the_thaw() {
    let c = Container::sleeper();
    c.up();
    c.call(&["pause", &c.id]).ok();
    let mut command = c.command(&["exec", "--ignore-paused", &c.id, "sh", "-c", "exit 5"]);
    let child = Helper(command.stdin(std::process::Stdio::null()).spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(c.status(), "paused");
    c.call(&["resume", &c.id]).ok();
    assert_eq!(child.exit_code(), 5);
    c.finish();
}

#[test]
fn who_waits_for_the_thaw_can_give_up() {
    let c = Container::sleeper();
    c.up();
    c.call(&["pause", &c.id]).ok();
    let mut command = c.command(&["exec", "--ignore-paused", &c.id, "touch", "/dev/shm/executed"]);
    let child = Helper(command.stdin(std::process::Stdio::null()).spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(std::process::Command::new("kill").args(["-INT", &child.pid().to_string()]).status().unwrap().success());
    assert_ne!(child.exit_code(), 0);
    c.call(&["resume", &c.id]).ok();
    eventually("nothing of it is left", || {
        c.call(&["ps", "-f", "json", &c.id]).ok().stdout.trim() == format!("[{}]", c.pid())
    });
    assert!(!proc(c.pid(), "root/dev/shm/executed").exists());
    c.finish();
}

#[test]
fn options_say_who_and_where_it_is() {
    let c = Container::sleeper();
    fs::write(c.rootfs().join("etc/passwd"), "user:x:1234:1::/home/user:/bin/sh\n").unwrap();
    c.up();
    let flags = ["--user", "1234:56", "-g", "7", "-g", "8", "--cwd", "/tmp", "-e", "A=1=2", "--env", "B="];
    let out = c.exec_with(&flags, &["sh", "-c", "id -u; id -g; id -G; pwd; echo $A,$B,$HOME,$TERM"]).ok();
    assert_eq!(out.lines(), ["1234", "56", "56 7 8", "/tmp", "1=2,,/home/user,xterm"]);
    let out = c.exec_with(&["-e", "TERM=once", "-e", "TERM=twice"], &["env"]).ok();
    let terms: Vec<_> = out.lines().into_iter().filter(|line| line.starts_with("TERM=")).collect();
    assert_eq!(terms, ["TERM=twice"], "in the place of the container's");
    c.finish();
}

/// CVE-2026-30892: the uid of `-u N` without a group.
#[test]
fn user_without_a_group_is_that_user() {
    let c = Container::sleeper();
    c.up();
    let pid = stay(&c, &["-u", "1234"]);
    let status = read(&proc(pid, "status"));
    assert!(status.contains("\nUid:\t1234\t1234\t1234\t1234\n"), "{status}");
    assert!(status.contains("\nGid:\t0\t0\t0\t0\n"), "{status}");
    c.finish();
}

fn status_line(status: &str, key: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {key}")).to_owned()
}

/// Capabilities are the container's and what is added; nothing is inheritable (CVE-2022-29162).
#[test]
fn capabilities_are_the_containers_and_those_added() {
    let c = Container::sleeper();
    c.up();
    let init = read(&proc(c.pid(), "status"));
    let own = c.exec(&["cat", "/proc/self/status"]).ok().stdout;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"] {
        assert_eq!(status_line(&own, set), status_line(&init, set), "{set}");
    }
    let more = c.exec_with(&["--cap", "CAP_SYS_PTRACE"], &["cat", "/proc/self/status"]).ok().stdout;
    for (set, added) in [("CapInh", 0), ("CapPrm", 1 << 19), ("CapEff", 1 << 19), ("CapBnd", 1 << 19), ("CapAmb", 0)] {
        let number = |status: &str| u64::from_str_radix(&status_line(status, set), 16).unwrap();
        assert_eq!(number(&more), number(&init) | added, "{set}");
    }
    let free = c.exec_with(&["--no-new-privs=false"], &["cat", "/proc/self/status"]).ok().stdout;
    assert_eq!(status_line(&free, "NoNewPrivs"), "0");
    c.finish();
}

#[test]
fn limits_the_seccomp_filter_and_the_oom_score_are_the_containers() {
    let c = Container::sleeper().set("process/oomScoreAdj", json!(77)).set(
        "linux/seccomp",
        json!({ "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }] }),
    );
    c.up();
    let pid = stay(&c, &[]);
    assert!(read(&proc(pid, "limits")).contains("Max open files            1024                 1024"));
    assert_eq!(status_line(&read(&proc(pid, "status")), "Seccomp"), "2");
    assert_eq!(read(&proc(pid, "oom_score_adj")), "77\n");
    assert!(c.exec(&["mkdir", "/tmp/x"]).stderr.contains("not supported"));
    c.finish();
}

#[test]
fn what_was_configured_counts_and_not_what_the_bundle_says_now() {
    if !hilum_only("the oracle reads the bundle again") {
        return;
    }
    let c = Container::sleeper();
    c.up();
    fs::write(c.bundle().join("config.json"), "{").unwrap();
    assert_eq!(c.exec(&["echo", "yes"]).ok().stdout, "yes\n");
    c.finish();
}

#[test]
fn a_document_says_what_to_execute() {
    let c = Container::sleeper();
    c.up();
    let document = json!({ "args": ["sh", "-c", "id -u; pwd; echo $X; grep CapEff /proc/self/status"], "cwd": "/tmp",
        "user": { "uid": 9, "gid": 9 }, "env": ["PATH=/bin", "X=y"] });
    fs::write(c.path("process.json"), document.to_string()).unwrap();
    let out = c.exec_with(&["--process", &c.path("process.json")], &[]).ok();
    assert_eq!(out.lines()[..3], ["9", "/tmp", "y"]);
    for (bad, text) in [
        (json!({ "args": "sh" }), "args"),
        (json!({ "args": [], "cwd": "/" }), "args"),
        (json!({ "args": ["sh"], "cwd": "tmp" }), "not an absolute path"),
    ] {
        fs::write(c.path("process.json"), bad.to_string()).unwrap();
        let out = c.exec_with(&["-p", &c.path("process.json")], &[]);
        assert_ne!(out.code, 0);
        assert!(!is_hilum() || (out.code == 255 && out.stderr.contains(text)), "{out:?}");
    }
    c.finish();
}

#[test]
fn descriptors_are_kept_when_asked_for_and_no_others() {
    let c = Container::sleeper();
    c.up();
    let out = c.exec(&["sh", "-c", "ls /proc/self/fd"]).ok();
    // The last is the directory that is being listed.
    assert_eq!(out.lines(), ["0", "1", "2", "3"]);
    let file = fs::File::create(c.path("kept")).unwrap();
    let script = format!("exec \"$0\" \"$@\" 3>&{} ", file.as_raw_fd());
    let mut command = std::process::Command::new("sh");
    let inner = c.command(&["exec", "--preserve-fds", "1", &c.id, "sh", "-c", "echo kept >&3"]);
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    command.args(["-c", &script]).arg(inner.get_program()).args(inner.get_args()).current_dir(c.bundle());
    c.finish_call(command, std::process::Stdio::null()).ok();
    assert_eq!(read(c.path("kept").as_ref()), "kept\n");
    c.finish();
}

/// CVE-2024-21626: a working directory that a leaked descriptor would lead to.
#[test]
fn no_descriptor_leads_out_of_the_container() {
    let c = Container::sleeper();
    c.up();
    for fd in (0..64).chain([255, 1023]) {
        let out = c.exec_with(&["--cwd", &format!("/proc/self/fd/{fd}")], &["pwd"]);
        assert_ne!(out.code, 0, "fd {fd}: {out:?}");
    }
    c.finish();
}

/// CVE-2016-9962: while a process is on its way in, the container's processes cannot look into it.
#[test]
fn the_process_on_its_way_in_cannot_be_looked_into() {
    let script = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || [ $p = /proc/$$ ] || \
        for f in $p/fd/[3-9]*; do t=$(readlink $f) && case \"$(cat $p/comm 2>/dev/null)\" in hilum*) echo \"leak $f $t\";; esac; done; done; done 2>/dev/null";
    let c = Container::sh(&format!("echo ready; {script}"));
    c.up().says("ready");
    for _ in 0..rounds(30, 500) {
        c.exec(&["true"]).ok();
    }
    assert!(!c.output().contains("leak"), "{}", c.output());
    c.finish();
}

/// CVE-2019-5736: what the container can open as the process's program is not the host's.
#[test]
fn the_program_of_the_runtime_cannot_be_reached() {
    let c = Container::sleeper().set("root/readonly", json!(false));
    let tool = c.rootfs().join("bin/self");
    fs::write(&tool, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    c.up();
    let before = fs::read(program()).unwrap_or_default();
    // Executes the memfd without its plan, if anything; it must end, and change nothing.
    assert_ne!(c.exec(&["/bin/self"]).code, 0);
    assert!(fs::read(program()).unwrap_or_default() == before, "the runtime's binary has changed");
    c.finish();
}

#[test]
fn a_pidfd_goes_to_the_socket() {
    let c = Container::sleeper();
    c.up();
    let listener = UnixListener::bind(c.path("pidfd")).unwrap();
    let pid = stay(&c, &["--pidfd-socket", &c.path("pidfd")]);
    let (text, fd) = receive_fd(&listener);
    assert_eq!(text, "setns");
    assert_eq!(pid_of(&fd), pid);
    c.finish();

    let c = Container::sleeper();
    let listener = UnixListener::bind(c.path("pidfd")).unwrap();
    c.create_with(&["--pidfd-socket", &c.path("pidfd")]).ok();
    let (text, fd) = receive_fd(&listener);
    assert_eq!((text.as_str(), pid_of(&fd)), ("standard", c.pid()));
    c.finish();
}

/// proc_pid_fdinfo(5)
fn pid_of(pidfd: &OwnedFd) -> u32 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    info.lines().find_map(|line| line.strip_prefix("Pid:\t")).unwrap().parse().unwrap()
}

#[test]
fn a_cgroup_below_the_containers_own() {
    for host in Host::all() {
        let c = Container::sleeper().on(host);
        c.up();
        let own: Vec<_> = cgroups_named(&c.id);
        for dir in &own {
            fs::create_dir(dir.join("sub")).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|file| dir.join(file).exists()) {
                _ = fs::write(dir.join("sub").join(file), read(&dir.join(file)));
            }
        }
        let pid = stay(&c, &["--cgroup", "sub"]);
        for line in read(&proc(pid, "cgroup")).lines().filter(|line| line.contains(&c.id)) {
            assert!(line.ends_with("/sub"), "{line}");
        }
        assert_ne!(c.exec_with(&["--cgroup", "../x"], &["true"]).code, 0);
        assert_ne!(c.exec_with(&["--cgroup", "nosuch"], &["true"]).code, 0);
        if host == Host::V1Hybrid {
            let pid = stay(&c, &["--cgroup", "pids,memory:sub"]);
            let text = read(&proc(pid, "cgroup"));
            let place = |name: &str| text.lines().find(|l| l.contains(&format!(":{name}:"))).unwrap().to_owned();
            assert!(place("pids").ends_with("/sub") && !place("cpu").ends_with("/sub"), "{text}");
        }
        c.call(&["kill", "--all", &c.id, "KILL"]).ok();
        c.wait("stopped");
        c.finish();
    }
}

/// A container that manages cgroups itself has no process in its topmost one, and could not have.
#[test]
fn where_the_topmost_cgroup_takes_no_process_it_goes_to_inits() {
    let c = Container::sleeper().on(Host::V2);
    c.up();
    let Some(top) = cgroups_named(&c.id).into_iter().next() else { panic!("no cgroup") };
    let controllers = read(&top.join("cgroup.controllers"));
    let Some(controller) = controllers.split_whitespace().next() else {
        skip("no controller in the container's cgroup v2");
        return;
    };
    fs::create_dir(top.join("inner")).unwrap();
    fs::write(top.join("inner/cgroup.procs"), c.pid().to_string()).unwrap();
    fs::write(top.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
    let pid = stay(&c, &[]);
    assert_eq!(lasting(&read(&proc(pid, "cgroup"))), lasting(&read(&proc(c.pid(), "cgroup"))));
    c.finish();
}

/// The keyring of a container is its processes' own.
#[test]
fn the_session_keyring_is_the_containers() {
    let keys = || fs::read_to_string("/proc/keys").unwrap_or_default();
    let c = Container::sleeper();
    c.up();
    stay(&c, &[]);
    let name = format!("_ses.{}", c.id);
    let count = keys().lines().filter(|line| line.contains(&name)).count();
    if count == 0 {
        skip("/proc/keys does not show the container's keyring");
    } else {
        assert_eq!(count, 1, "a second keyring of that name");
    }
    c.finish();
}
