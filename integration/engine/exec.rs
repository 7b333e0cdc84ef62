//! Second processes in running containers.

use super::Engine;
use crate::common::*;

pub fn joins_the_container(e: &'static Engine) {
    let c = e.sleeper("--cap-drop KILL");
    let pid = c.pid();
    c.exec("--detach", &["sleep", "999"]).ok();
    let other = process_like(pid, "sleep\0999");
    let all = ["ipc", "mnt", "net", "pid", "user", "uts"];
    let common = shared(pid, other);
    assert!(all.iter().all(|kind| common.contains(kind)), "{common:?}");
    for controller in if Host::plain() == Host::V2 { &[""][..] } else { &["pids", "memory", "devices"] } {
        assert_eq!(cgroup_of(pid, controller), cgroup_of(other, controller), "{controller:?}");
    }
    for field in ["CapEff", "CapBnd", "Seccomp", "NoNewPrivs"] {
        assert_eq!(status_of(pid, field), status_of(other, field), "{field}");
    }
}

pub fn input_output_and_exit_code(e: &'static Engine) {
    let c = e.sleeper("");
    let words = ["exec", "-i", &c.id, "sh", "-c", "cat; echo to stderr >&2; exit 9"];
    let out = e.client.call_with(&words, "typed\n");
    assert_eq!((out.code, out.stdout.as_str()), (9, "typed\n"), "{}", out.stderr);
    assert!(out.stderr.contains("to stderr"), "{}", out.stderr);
}

pub fn user_directory_and_environment(e: &'static Engine) {
    let c = e.sleeper("--env A=container");
    let out = c.exec("--user user --workdir /tmp --env B=exec", &["sh", "-c", "id -u; id -G; pwd; echo $A $B"]).ok();
    assert_eq!(out.lines(), ["1234", "5678 77", "/tmp", "container exec"]);
}

pub fn privileged(e: &'static Engine) {
    if super::confine::can_be_privileged(e) {
        let c = e.sleeper("--cap-drop KILL");
        let out = c.exec("--privileged", &["grep", "CapEff", "/proc/self/status"]).ok();
        assert_eq!(out.stdout.split_whitespace().last(), Some(status_of(std::process::id(), "CapBnd").as_str()));
    }
}

pub fn terminal(e: &'static Engine) {
    let c = e.sleeper("");
    let out = e.client.on_terminal(&["exec", "-it", &c.id, "sh"], "echo $((40+2)) $(tty)\nexit 8\n");
    assert!(out.stdout.contains("42 /dev/pts/"), "{}", out.stdout);
    assert_eq!(out.code, 8, "{}", out.stdout);
}

pub fn failures(e: &'static Engine) {
    let c = e.sleeper("");
    let out = c.exec("", &["nosuchprogram"]);
    // Docker 20.10 says 126 for every exec that does not start.
    assert!(matches!(out.code, 126 | 127) && (out.stderr.clone() + &out.stdout).contains("executable file"), "{out:?}");
    let out = c.exec("", &["/etc/passwd"]);
    assert_eq!(out.code, 126, "{out:?}");
    let out = c.exec("", &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]);
    assert_eq!(out.code, 137, "{out:?}");
    assert_eq!(c.status(), "running");
}
