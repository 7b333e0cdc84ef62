//! Running, talking to, and copying out of containers.

use super::Engine;
use crate::common::*;
use std::fs;

pub fn foreground_with_input(e: &'static Engine) {
    let out = e.run_with("-i", &["sh", "-c", "cat; echo to stderr >&2; exit 3"], "typed\n");
    assert_eq!((out.code, out.stdout.as_str()), (3, "typed\n"), "{}", out.stderr);
    assert!(out.stderr.contains("to stderr"), "{}", out.stderr);
}

pub fn rm_leaves_no_container(e: &'static Engine) {
    e.run(&format!("--name {}-gone", unique()), &["true"]).ok();
    let name = format!("name={}-gone", unique());
    eventually("the container is gone", || e.client.ok(&["ps", "--all", "--quiet", "--filter", &name]).is_empty());
}

pub fn detached_has_namespaces_of_its_own(e: &'static Engine) {
    let c = e.sleeper("");
    let pid = c.pid();
    for kind in ["ipc", "mnt", "net", "pid", "uts"] {
        assert_ne!(ns(pid, kind), own_ns(kind), "{kind}");
    }
    assert_eq!(comm(pid), "sleep");
    assert_eq!(status_of(pid, "NSpid").split_whitespace().last(), Some("1"));
    assert_eq!(c.status(), "running");
    assert_eq!(mount_at(&mounts_of(pid), "/proc").fstype, "proc");
    // Masked by default.
    let mounts = mounts_of(pid);
    let masked = mounts.iter().any(|m| m.point == "/proc/kcore" || m.point == "/proc/keys");
    assert!(masked, "{mounts:#?}");
}

pub fn terminal(e: &'static Engine) {
    let out = e.run_on_terminal("-t", &["sh", "-c", "tty; test -t 0 && test -t 1 && echo both; exit 5"], "");
    assert!(out.stdout.contains("/dev/pts/0") || out.stdout.contains("/dev/console"), "{}", out.stdout);
    assert!(out.stdout.contains("both"), "{}", out.stdout);
    assert_eq!(out.code, 5, "{}", out.stdout);
}

pub fn interactive_terminal(e: &'static Engine) {
    // What is typed is echoed by the terminal; the sum is not.
    let out = e.run_on_terminal("-it", &["sh"], "echo $((40+2))-$(tty)\nexit 7\n");
    assert!(out.stdout.contains("42-/dev/"), "{}", out.stdout);
    assert_eq!(out.code, 7, "{}", out.stdout);
}

pub fn user_and_groups(e: &'static Engine) {
    assert_eq!(e.sh("--user 1234:5678", "id -u; id -g"), "1234\n5678");
    assert_eq!(e.sh("--user user --group-add 99", "id -un; id -G | tr ' ' '\n' | sort -n"), "user\n77\n99\n5678");
    let c = e.sleeper("--user nobody");
    let uid = status_of(c.pid(), "Uid");
    if e.kind != super::Kind::Rootless {
        assert_eq!(uid, "65534\t65534\t65534\t65534");
    }
    assert_eq!(status_of(c.pid(), "CapEff"), "0000000000000000");
}

pub fn environment_directory_and_hostname(e: &'static Engine) {
    // Docker makes a directory that is not there.
    let directory = if e.is_docker() { "/var/new" } else { "/var" };
    let flags = format!("--env A=b --workdir {directory} --hostname called");
    let said = e.sh(&flags, "echo $A $FROM_IMAGE; pwd; hostname; cat /etc/hostname");
    assert_eq!(said, format!("b yes\n{directory}\ncalled\ncalled"));
}

pub fn exit_codes(e: &'static Engine) {
    let code = |flags: &str, cmd: &[&str]| {
        let out = e.run(flags, cmd);
        (out.code, out.stderr)
    };
    let (not_found, said) = code("", &["/no/such/program"]);
    assert_eq!(not_found, 127, "{said}");
    assert!(said.contains("no such file or directory") || said.contains("not found"), "{said}");
    let (not_in_path, said) = code("", &["nosuchprogram"]);
    assert_eq!(not_in_path, 127, "{said}");
    assert!(said.contains("executable file") && said.contains("not found"), "{said}");
    let (not_executable, said) = code("", &["/etc/passwd"]);
    assert_eq!(not_executable, 126, "{said}");
    assert!(said.to_lowercase().contains("permission denied"), "{said}");
    let (directory, said) = code("", &["/etc"]);
    assert_eq!(directory, 126, "{said}");
    let (its_own, said) = code("", &["sh", "-c", "exit 42"]);
    assert_eq!(its_own, 42, "{said}");
    let (killed, said) = code("", &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]);
    assert_eq!(killed, 137, "{said}");
    let (signalled, said) = code("--init", &["sh", "-c", "kill -SEGV $$"]);
    assert_eq!(signalled, 139, "{said}");
    let (engine, said) = code("--no-such-flag", &["true"]);
    assert_eq!(engine, 125, "{said}");
    // Something that only the runtime can find out.
    let (runtime, said) = code("--volume /dev/null:/etc", &["true"]);
    assert!(runtime == 125 || runtime == 126 || runtime == 127, "{runtime} {said}");
    assert!(said.to_lowercase().contains("not a directory"), "{said}");
}

pub fn logs(e: &'static Engine) {
    let c = e.sh_detached("", "echo to stdout; echo to stderr >&2; exit 4");
    assert_eq!(c.wait(), 4);
    let out = e.client.call(&["logs", &c.id]).ok();
    assert_eq!((out.stdout.trim(), out.stderr.trim()), ("to stdout", "to stderr"));
}

pub fn attach(e: &'static Engine) {
    // Until it is told to, the container says nothing: an attach that came too late would miss it. And Docker 20.10
    // drops what is said after the end of the input.
    let c = e.start("-i", &["sh", "-c", &format!("read line; {}; echo got $line; exit 6", a_moment())]);
    let out = e.client.type_into(&["attach", &c.id], "this\n");
    assert_eq!((c.wait(), out.stdout.trim()), (6, "got this"), "{}", out.stderr);
}

pub fn attach_to_a_terminal(e: &'static Engine) {
    let c = e.start("-it", &["sh"]);
    let out = e.client.on_terminal(&["attach", &c.id], "echo $((40+2)) $(tty)\nexit 7\n");
    assert!(out.stdout.contains("42 /dev/"), "{}", out.stdout);
    assert_eq!(c.wait(), 7, "{}", out.stdout);
}

pub fn copies_in_and_out(e: &'static Engine) {
    let c = e.sh_detached("", "echo made inside >/tmp/inside; sleep 1000");
    c.exec("", &["sh", "-c", "until test -s /tmp/inside; do sleep 0.1; done"]).ok();
    let there = dir().join("copied");
    let there = there.to_str().unwrap();
    // In a directory that the user of a rootless engine may write to, and by its own hand.
    e.client.ok(&["cp", &format!("{}:/tmp/inside", c.id), &format!("{}/inside", e.scratch())]);
    assert_eq!(fs::read_to_string(format!("{}/inside", e.scratch())).unwrap(), "made inside\n");
    fs::write(there, "made outside\n").unwrap();
    e.client.ok(&["cp", there, &format!("{}:/tmp/outside", c.id)]);
    assert_eq!(c.exec("", &["cat", "/tmp/outside"]).ok().stdout, "made outside\n");
}

pub fn commit(e: &'static Engine) {
    let c = e.sh_detached("", "echo kept >/kept");
    assert_eq!(c.wait(), 0);
    let name = "localhost/hilum-committed:latest";
    c.engine.client.ok(&["commit", &c.id, name]);
    let words: Vec<&str> = ["run", "--rm"].into_iter().chain(e.flags.split_whitespace()).collect();
    assert_eq!(e.client.ok(&[&words[..], &[name, "cat", "/kept"]].concat()), "kept");
    e.client.ok(&["rmi", "--force", name]);
}
