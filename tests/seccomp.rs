//! Seccomp: the filter of the config, as system calls in the container meet it.

use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Allows everything but `rules`.
fn deny(rules: Value) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules
    })
}

fn with_seccomp(script: &str, rules: Value) -> Container {
    Container::sh(script).set("linux/seccomp", deny(rules)).set("root/readonly", json!(false))
}

const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

#[test]
fn a_filter_shows_in_the_status_of_the_process() {
    for no_new_privileges in [true, false] {
        let rules = json!([{ "names": MKDIR, "action": "SCMP_ACT_ERRNO" }]);
        let c = with_seccomp("cat /proc/self/status; mkdir /x", rules)
            .set("process/noNewPrivileges", json!(no_new_privileges));
        let out = c.run();
        assert_eq!((field(&out.stdout, "Seccomp"), field(&out.stdout, "Seccomp_filters")), ("2", "1"), "{out:?}");
        assert_eq!(field(&out.stdout, "NoNewPrivs"), if no_new_privileges { "1" } else { "0" });
        assert!(out.stderr.contains("Operation not permitted") && !c.rootfs().join("x").exists(), "{out:?}");
        c.finish();
    }
}

#[test]
fn without_a_filter_there_is_none() {
    let c = Container::new(&["cat", "/proc/self/status"]);
    assert_eq!(field(&c.run().ok().stdout, "Seccomp"), "0");
    c.finish();
}

#[test]
fn a_user_without_privileges_gets_the_filter_too() {
    for no_new_privileges in [true, false] {
        let c = with_seccomp("mkdir /tmp/x", json!([{ "names": MKDIR, "action": "SCMP_ACT_ERRNO" }]))
            .set("process/user", json!({ "uid": 1000, "gid": 1000 }))
            .set("process/noNewPrivileges", json!(no_new_privileges));
        std::os::unix::fs::chown(c.rootfs().join("tmp"), Some(1000), Some(1000)).unwrap();
        let out = c.run();
        assert!(out.stderr.contains("Operation not permitted"), "{out:?}");
        c.finish();
    }
}

#[test]
fn errno_ret_is_the_error_of_the_call() {
    // ENOSPC, EXDEV
    for (errno, text) in [(28, "No space left on device"), (18, "Invalid cross-device link")] {
        let c = with_seccomp("mkdir /x", json!([{ "names": MKDIR, "action": "SCMP_ACT_ERRNO", "errnoRet": errno }]));
        let out = c.run();
        assert!(out.stderr.to_lowercase().contains(&text.to_lowercase()), "{out:?}");
        c.finish();
    }
}

#[test]
fn the_default_action_has_an_errno_too() {
    if !hilum_only("the oracle's own last steps need more calls than are listed here") {
        return;
    }
    let calls = [
        // What the last steps before exec may need.
        "capset",
        "close_range",
        "execveat",
        "faccessat",
        "fstatfs",
        "pread64",
        "ppoll",
        "recvfrom",
        "recvmsg",
        "rt_sigreturn",
        "sched_getaffinity",
        "seccomp",
        "sendmsg",
        "sendto",
        "setgid",
        "setgroups",
        "setresgid",
        "setresuid",
        "setuid",
        "statx",
        // What busybox calls.
        "arch_prctl",
        "brk",
        "close",
        "dup",
        "dup2",
        "execve",
        "exit",
        "exit_group",
        "fcntl",
        "fstat",
        "getegid",
        "geteuid",
        "getgid",
        "getpid",
        "getppid",
        "getrandom",
        "getuid",
        "ioctl",
        "mmap",
        "mprotect",
        "munmap",
        "newfstatat",
        "openat",
        "open",
        "poll",
        "prctl",
        "prlimit64",
        "read",
        "readlink",
        "readlinkat",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "sendfile",
        "set_robust_list",
        "set_tid_address",
        "stat",
        "uname",
        "wait4",
        "write",
        "writev",
        "futex",
        "lstat",
        "clone",
        "vfork",
    ];
    let c = Container::sh("mkdir /x").set("root/readonly", json!(false)).set(
        "linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 28, "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "names": calls.as_slice(), "action": "SCMP_ACT_ALLOW" }]
        }),
    );
    let out = c.run();
    assert!(out.stderr.contains("No space left on device"), "{out:?}");
    c.finish();
}

#[test]
fn kill_kills_by_sigsys() {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"] {
        let c = with_seccomp("exec mkdir /x", json!([{ "names": MKDIR, "action": action }]));
        let out = c.run();
        assert_eq!(out.code, 128 + 31, "{action}: {out:?}");
        assert!(!c.rootfs().join("x").exists());
        c.finish();
    }
}

#[test]
fn trap_sends_sigsys_and_log_lets_through() {
    let c = with_seccomp("mkdir /x; echo $?", json!([{ "names": MKDIR, "action": "SCMP_ACT_TRAP" }]));
    assert_eq!(c.run().ok().stdout, "159\n");
    c.finish();
    let c = with_seccomp("mkdir /x && echo made", json!([{ "names": MKDIR, "action": "SCMP_ACT_LOG" }]));
    assert_eq!(c.run().ok().stdout, "made\n");
    c.finish();
}

#[test]
fn arguments_choose_the_calls() {
    // kill(pid, sig): no signal 10, and no signal above 30 but 33.
    let rules = json!([
        { "names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 1, "value": 10, "op": "SCMP_CMP_EQ" }] },
        { "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28,
          "args": [{ "index": 1, "value": 40, "op": "SCMP_CMP_GE" }] }
    ]);
    let c = with_seccomp("sleep 100 & for s in 10 0 41; do kill -$s $! && echo sent $s; done; kill -9 $!", rules);
    let out = c.run().ok();
    assert_eq!(out.stdout, "sent 0\n");
    assert!(out.stderr.contains("Operation not permitted") && out.stderr.contains("No space left"), "{out:?}");
    c.finish();
}

#[test]
fn every_comparison_works() {
    // kill(1, sig): a signal that is refused, and one that is not. Init ignores what it sends to itself.
    for (op, value, two, refused, allowed) in [
        ("SCMP_CMP_EQ", 8, 0, 8, 7),
        ("SCMP_CMP_NE", 8, 0, 7, 8),
        ("SCMP_CMP_LT", 8, 0, 7, 8),
        ("SCMP_CMP_LE", 8, 0, 8, 10),
        ("SCMP_CMP_GT", 8, 0, 10, 8),
        ("SCMP_CMP_GE", 8, 0, 8, 7),
        ("SCMP_CMP_MASKED_EQ", 8, 8, 15, 7),
    ] {
        let rule = json!([{ "names": ["kill"], "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 1, "value": value, "valueTwo": two, "op": op }] }]);
        let c = with_seccomp(&format!("kill -{refused} 1; echo $?; kill -{allowed} 1; echo $?"), rule);
        assert_eq!(c.run().ok().stdout, "1\n0\n", "{op}");
        c.finish();
    }
}

#[test]
fn the_filter_comes_with_the_flags_of_the_config() {
    if !hilum_only("since runc 1.1.6") {
        return;
    }
    let c = with_seccomp("cat /proc/self/status", json!([{ "names": MKDIR, "action": "SCMP_ACT_ERRNO" }]))
        .set("linux/seccomp/flags", json!(["SECCOMP_FILTER_FLAG_LOG"]));
    assert_eq!(field(&c.run().ok().stdout, "Seccomp"), "2");
    c.finish();
}

#[test]
fn unknown_names_of_calls_are_ignored_and_unknown_actions_are_not() {
    let c = with_seccomp("echo fine", json!([{ "names": ["no_such_call", "mkdir"], "action": "SCMP_ACT_ERRNO" }]));
    assert_eq!(c.run().ok().stdout, "fine\n");
    c.finish();
    for (property, value) in [
        ("linux/seccomp/defaultAction", json!("SCMP_ACT_NONSENSE")),
        ("linux/seccomp/architectures", json!(["SCMP_ARCH_NONSENSE"])),
        ("linux/seccomp/flags", json!(["SECCOMP_FILTER_FLAG_NONSENSE"])),
        ("linux/seccomp/syscalls", json!([{ "names": ["mkdir"], "action": "SCMP_ACT_NONSENSE" }])),
        (
            "linux/seccomp/syscalls",
            json!([{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_NONSENSE" }] }]),
        ),
    ] {
        if property.ends_with("flags") && !hilum_only("checked since runc 1.1.6") {
            continue;
        }
        let c = with_seccomp("true", json!([])).set(property, value);
        c.create_with(&[]).fails("NONSENSE");
        c.left_nothing();
    }
}

#[test]
fn an_argument_index_out_of_range_is_refused() {
    let rule = json!([{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
        "args": [{ "index": 7, "value": 1, "op": "SCMP_CMP_EQ" }] }]);
    let c = with_seccomp("true", rule);
    c.create_with(&[]).fails("");
    c.left_nothing();
}

#[test]
fn a_filter_of_the_size_of_dockers_works() {
    let names: Vec<String> =
        ["acct", "bpf", "chroot", "mount", "ptrace", "reboot", "setns", "swapon", "umount2", "unshare"]
            .iter()
            .map(|s| s.to_string())
            .chain((0..400).map(|n| format!("unknown_call_{n}")))
            .collect();
    let mut rules = vec![json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 1 })];
    for value in 0..60 {
        rules.push(json!({ "names": ["personality"], "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 0, "value": value + 0x1000, "op": "SCMP_CMP_EQ" }] }));
    }
    let c = with_seccomp("cat /proc/self/status; unshare -u true", json!(rules));
    let out = c.run();
    assert_eq!(field(&out.stdout, "Seccomp"), "2");
    assert!(out.code != 0 && out.stderr.contains("Operation not permitted"), "{out:?}");
    c.finish();
}

/// A mount namespace with a /run of its own, where filters are kept.
struct Kept(Helper);

impl Kept {
    const DIR: &str = "run/hilum.seccomp";

    fn new() -> Kept {
        let script = "mount -t tmpfs tmpfs /run && exec sleep 1000";
        Kept(Helper::start(&["unshare", "--mount", "sh", "-c", script], "sleep"))
    }

    fn dir(&self) -> PathBuf {
        proc(self.0.pid(), "root").join(Self::DIR)
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir()).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    fn run(&self, c: &Container) -> Out {
        c.write_config();
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.0.pid())).arg("--").arg(program());
        command.arg("--root").arg(c.root()).args(["run", "-b"]).arg(c.bundle()).arg(&c.id);
        c.finish_call(command, Stdio::null())
    }

    /// Puts in the place of each program one that allows everything.
    fn allow_all(&self) {
        for path in self.files() {
            let mut text = fs::read(&path).unwrap();
            let end = text.windows(2).position(|two| two == b"}\n").unwrap() + 2;
            text.truncate(end);
            // BPF_RET | BPF_K, SECCOMP_RET_ALLOW
            text.extend([6, 0, 0, 0, 0, 0, 0xff, 0x7f]);
            fs::write(path, text).unwrap();
        }
    }
}

fn no_mkdir(errno: u32) -> Container {
    with_seccomp("mkdir /x", json!([{ "names": MKDIR, "action": "SCMP_ACT_ERRNO", "errnoRet": errno }]))
}

fn is_denied(out: &Out) -> bool {
    out.code != 0 && out.stderr.contains("can't create directory")
}

#[test]
fn a_filter_is_compiled_once() {
    if !hilum_only("the oracle compiles each time") {
        return;
    }
    let (kept, c) = (Kept::new(), no_mkdir(28));
    assert!(is_denied(&kept.run(&c)));
    assert_eq!(kept.files().len(), 1);
    assert!(is_denied(&kept.run(&c)));
    assert_eq!(kept.files().len(), 1);
    // Root may do so, and this shows that it is used.
    kept.allow_all();
    kept.run(&c).ok();
    c.finish();
}

#[test]
fn a_filter_of_another_profile_is_not_used() {
    if !hilum_only("the oracle compiles each time") {
        return;
    }
    let (kept, one, other) = (Kept::new(), no_mkdir(28), no_mkdir(18));
    assert!(is_denied(&kept.run(&one)));
    kept.allow_all();
    let first = fs::read(&kept.files()[0]).unwrap();
    for slot in 0..64 {
        fs::write(kept.dir().join(slot.to_string()), &first).unwrap();
    }
    assert!(is_denied(&kept.run(&other)), "by the number alone");
    let profile = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).contains("\"errnoRet\":18");
    assert_eq!(kept.files().iter().filter(|path| profile(path)).count(), 1, "it takes the place");
    one.finish();
    other.finish();
}

#[test]
fn what_others_could_have_written_is_not_used() {
    if !hilum_only("the oracle compiles each time") {
        return;
    }
    let (kept, c) = (Kept::new(), no_mkdir(28));
    assert!(is_denied(&kept.run(&c)));
    kept.allow_all();
    let dir = kept.dir();
    let mode = |mode| fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o770, 0o707, 0o755] {
        mode(open);
        assert!(is_denied(&kept.run(&c)), "{open:o}");
    }
    mode(0o700);
    std::os::unix::fs::chown(&dir, Some(1), Some(1)).unwrap();
    assert!(is_denied(&kept.run(&c)), "another's directory");
    std::os::unix::fs::chown(&dir, Some(0), Some(0)).unwrap();
    let file = kept.files().remove(0);
    std::os::unix::fs::chown(&file, Some(1), Some(1)).unwrap();
    assert!(is_denied(&kept.run(&c)), "another's file");
    // That was made anew, by its owner.
    kept.allow_all();
    kept.run(&c).ok();
    fs::remove_dir(c.rootfs().join("x")).unwrap();
    let moved = dir.with_file_name("moved");
    fs::rename(&dir, &moved).unwrap();
    std::os::unix::fs::symlink("moved", &dir).unwrap();
    assert!(is_denied(&kept.run(&c)), "through a link");
    c.finish();
}

#[test]
fn what_is_broken_is_compiled_anew() {
    if !hilum_only("the oracle compiles each time") {
        return;
    }
    let (kept, c) = (Kept::new(), no_mkdir(28));
    assert!(is_denied(&kept.run(&c)));
    let file = kept.files().remove(0);
    let whole = fs::read(&file).unwrap();
    for broken in [&whole[..0], &whole[..7], &whole[..whole.len() - 3], &[whole.as_slice(), &[0; 40_000]].concat()] {
        fs::write(&file, broken).unwrap();
        assert!(is_denied(&kept.run(&c)));
        assert_eq!(fs::read(&file).unwrap(), whole);
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(is_denied(&kept.run(&c)), "a directory in its place");
    c.finish();
}
