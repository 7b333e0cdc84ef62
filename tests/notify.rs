//! Seccomp's user notification: who listens at listenerPath gets the descriptor, and decides the calls.

use crate::common::*;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

/// A container some of whose system calls are for the agent to decide.
fn asking(script: &str, calls: &[&str]) -> (Container, UnixListener) {
    let c = Container::sh(script).set("root/readonly", json!(false));
    let listener = UnixListener::bind(c.path("agent")).unwrap();
    let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": c.path("agent"), "listenerMetadata": "a b",
        "syscalls": [{ "names": calls, "action": "SCMP_ACT_NOTIFY" }] });
    (c.set("linux/seccomp", seccomp), listener)
}

/// Lets every call go on, and counts them. Ends with the last process that the filter is for.
fn agree(notify: OwnedFd) -> (std::thread::JoinHandle<()>, Arc<Mutex<Vec<i32>>>) {
    // linux/seccomp.h: SECCOMP_IOCTL_NOTIF_RECV and _SEND, and their structures.
    const RECV: usize = 0xc050_2100;
    const SEND: usize = 0xc018_2101;
    const CONTINUE: u64 = 1;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    let thread = std::thread::spawn(move || {
        let ioctl = |request: usize, data: usize| {
            let call = if cfg!(target_arch = "x86_64") { 16 } else { 29 }; // __NR_ioctl
            // SAFETY: both requests get a structure of their size, 80 and 24 bytes.
            unsafe { hilum_sys::raw::syscall(call, [notify.as_raw_fd() as usize, request, data, 0, 0, 0]) }
        };
        loop {
            let mut poll = [rustix::event::PollFd::new(&notify, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut poll, None).unwrap();
            if poll[0].revents().contains(rustix::event::PollFlags::HUP) {
                return;
            }
            let mut request = [0u64; 10];
            if ioctl(RECV, request.as_mut_ptr() as usize).is_ok() {
                seen.lock().unwrap().push(request[2] as u32 as i32);
                let mut answer = [request[0], 0, CONTINUE << 32];
                _ = ioctl(SEND, answer.as_mut_ptr() as usize);
            }
        }
    });
    (thread, calls)
}

#[test]
fn the_agent_gets_the_listener_and_is_told_for_whom() {
    for no_new_privileges in [true, false] {
        let (c, agent) = asking("echo asking; mkdir /x; echo $?; sleep 1000", &["mkdir", "mkdirat"]);
        let c = c.set("process/noNewPrivileges", json!(no_new_privileges)).set("annotations", json!({ "k": "v" }));
        c.create();
        let (text, fd) = receive_fd(&agent);
        assert_eq!(
            fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().to_str(),
            Some("anon_inode:seccomp notify")
        );
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&told["fds"], &told["metadata"]), (&json!(["seccompFd"]), &json!("a b")));
        assert_eq!(told["pid"], c.pid());
        let state = &told["state"];
        assert_eq!((&state["id"], &state["status"], &state["pid"]), (&json!(c.id), &json!("creating"), &told["pid"]));
        assert_eq!(state["annotations"], json!({ "k": "v" }));
        let ready = |timeout: i64| {
            let timeout = rustix::event::Timespec { tv_sec: timeout, tv_nsec: 0 };
            let mut poll = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut poll, Some(&timeout)).unwrap() > 0
        };
        assert!(!ready(0), "nobody has called yet");
        c.start();
        assert!(ready(20), "the call does not arrive");
        assert_eq!(c.output().trim_end(), "asking");
        // Without an agent the call does not exist.
        drop(fd);
        c.says("1");
        c.finish();
    }
}

/// The runtime's own calls behind the filter are for the agent, too; that must not make anybody wait for ever.
#[test]
fn every_call_of_the_runtime_may_be_the_agents_to_decide() {
    let calls = [
        "sendto",
        "sendmsg",
        "recvfrom",
        "close",
        "close_range",
        "execve",
        "mmap",
        "munmap",
        "wait4",
        "mkdir",
        "connect",
    ];
    for verb in ["run", "create"] {
        let (c, agent) = asking("mkdir /x && echo made", &calls);
        c.write_config();
        let mut command = c.command(&[verb, &c.id]);
        let out = fs::File::create(c.path("out")).unwrap();
        let child = Helper(command.stdin(std::process::Stdio::null()).stdout(out).spawn().unwrap());
        let (thread, seen) = agree(receive_fd(&agent).1);
        assert_eq!(child.exit_code(), 0, "{verb}");
        if verb == "create" {
            c.start();
        }
        eventually("the container's output", || read(c.path("out").as_ref()).contains("made"));
        if verb == "create" {
            c.wait("stopped");
        }
        thread.join().unwrap();
        // execve and mkdir of x86_64.
        assert!(
            !cfg!(target_arch = "x86_64") || [59, 83].iter().all(|call| seen.lock().unwrap().contains(call)),
            "{seen:?}"
        );
        c.finish();
    }
}

#[test]
fn exec_has_a_listener_of_its_own() {
    let (c, agent) = asking("sleep 1000", &["mkdir", "mkdirat"]);
    c.create();
    let (first, _) = agree(receive_fd(&agent).1);
    c.start();
    let mut command = c.command(&["exec", &c.id, "mkdir", "/y"]);
    let child = Helper(command.stdin(std::process::Stdio::null()).spawn().unwrap());
    let (text, fd) = receive_fd(&agent);
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&told["state"]["pid"], &told["state"]["status"]), (&json!(c.pid()), &json!("running")));
    assert_ne!(told["pid"], told["state"]["pid"]);
    let (second, _) = agree(fd);
    assert_eq!(child.exit_code(), 0);
    second.join().unwrap();
    assert!(c.rootfs().join("y").exists());
    c.call(&["kill", &c.id, "KILL"]).ok();
    first.join().unwrap();
    c.finish();
}

#[test]
fn an_agent_that_does_not_listen_is_told_before_anything_is_made() {
    let (c, agent) = asking("true", &["mkdir"]);
    drop(agent);
    let out = c.create_with(&[]);
    assert_eq!(out.code, 1, "{out:?}");
    assert!(!is_hilum() || out.stderr.contains("linux.seccomp.listenerPath"), "{out:?}");
    c.left_nothing();
}
