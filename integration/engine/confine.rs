//! What a container sees and may do.

use super::{Engine, Kind};
use crate::common::*;
use std::fs;

/// A capability's bit in /proc/PID/status.
fn mask(bits: &[u32]) -> String {
    format!("{:016x}", bits.iter().fold(0u64, |mask, bit| mask | 1 << bit))
}

const NET_ADMIN: u32 = 12;
const CHOWN: u32 = 0;
const KILL: u32 = 5;

pub fn capabilities(e: &'static Engine) {
    let c = e.sleeper("--cap-drop ALL --cap-add NET_ADMIN --cap-add KILL");
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(status_of(c.pid(), set), mask(&[NET_ADMIN, KILL]), "{set}");
    }
    assert_eq!(status_of(c.pid(), "CapAmb"), mask(&[]));
    let c = e.sleeper("--cap-drop CHOWN");
    let bounding = u64::from_str_radix(&status_of(c.pid(), "CapBnd"), 16).unwrap();
    assert!(bounding != 0 && bounding & 1 << CHOWN == 0 && bounding & 1 << NET_ADMIN == 0, "{bounding:x}");
}

pub fn read_only_root(e: &'static Engine) {
    let c = e.sleeper("--read-only --tmpfs /scratch:size=64k,mode=1777,noexec");
    let mounts = mounts_of(c.pid());
    assert!(mount_at(&mounts, "/").has("ro"), "{mounts:#?}");
    let scratch = mount_at(&mounts, "/scratch");
    assert!(scratch.fstype == "tmpfs" && scratch.has("size=64k") && scratch.has("noexec"), "{scratch:?}");
    if !e.is_docker() {
        // podman's begin with what the image has there.
        assert!(e.sh("--tmpfs /etc", "touch /etc/new && cat /etc/group").contains("nogroup:"));
    }
    let out = c.exec("", &["sh", "-c", "touch /scratch/yes && touch /etc/no"]);
    assert!(out.code == 1 && out.stderr.contains("Read-only file system"), "{out:?}");
}

pub fn volumes(e: &'static Engine) {
    let host = format!("{}/volume", e.scratch());
    fs::create_dir_all(&host).unwrap();
    fs::write(format!("{host}/from-host"), "yes\n").unwrap();
    let flags = format!("-v {host}:/data:ro -v {host}:/data-rw -v /var/anonymous");
    assert_eq!(
        e.sh(&flags, "cat /data/from-host; touch /data/no 2>&1 || :; touch /var/anonymous/new && echo made"),
        "yes\ntouch: /data/no: Read-only file system\nmade"
    );
    if e.kind != Kind::Rootless {
        e.sh(&flags, "echo written >/data-rw/from-container");
        assert_eq!(fs::read_to_string(format!("{host}/from-container")).unwrap(), "written\n");
    }
    let c = e.sleeper(&flags);
    let mounts = mounts_of(c.pid());
    assert!(mount_at(&mounts, "/data").has("ro") && mount_at(&mounts, "/data-rw").has("rw"), "{mounts:#?}");
}

pub fn devices(e: &'static Engine) {
    let open = "head -c 0 /dev/given && echo opened";
    assert_eq!(e.sh("--device /dev/fuse:/dev/given:r", open), "opened");
    let c = e.sleeper("--device /dev/fuse:/dev/given:r");
    let numbers = c.exec("", &["stat", "-c", "%t:%T", "/dev/given"]).ok().stdout;
    assert_eq!(numbers.trim(), "a:e5", "the numbers of /dev/fuse");
}

/// The device filter of the cgroup, against a container that can make nodes.
pub fn devices_are_refused(e: &'static Engine) {
    let script = "mknod /tmp/fuse c 10 229 && head -c 0 /tmp/fuse";
    let out = e.run("--cap-add MKNOD", &["sh", "-c", script]);
    assert!(out.code != 0 && out.stderr.contains("Operation not permitted"), "{out:?}");
    // And with a rule, where the engine has the flag: the same node opens.
    let out = e.run("--cap-add MKNOD --device-cgroup-rule=c_10:229_rwm".replace('_', " ").as_str(), &["true"]);
    assert_ne!(out.code, 0, "a rule in three words");
    let words = ["run", "--rm", "--cap-add", "MKNOD", "--device-cgroup-rule", "c 10:229 rwm"];
    let flags: Vec<&str> = e.flags.split_whitespace().collect();
    e.client.ok(&[&words[..], &flags, &[image::NAME, "sh", "-c", script]].concat());
}

pub fn ulimits(e: &'static Engine) {
    // podman would raise the limit of processes, for which root must have CAP_SYS_RESOURCE.
    let c = e.sleeper("--ulimit nofile=100:200 --ulimit core=0 --ulimit nproc=1000:1000");
    let limits = read(&proc(c.pid(), "limits"));
    let line = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line[name.len()..].split_whitespace().take(2).collect::<Vec<_>>().join(":")
    };
    assert_eq!(line("Max open files"), "100:200", "{limits}");
    assert_eq!(line("Max core file size"), "0:0", "{limits}");
}

pub fn seccomp(e: &'static Engine) {
    let c = e.sleeper("");
    assert_eq!(status_of(c.pid(), "Seccomp"), "2", "the engine's default filter");
    let c = e.sleeper("--security-opt seccomp=unconfined");
    assert_eq!(status_of(c.pid(), "Seccomp"), "0");
    let profile = format!("{}/seccomp.json", e.scratch());
    let rules = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }],
    });
    fs::write(&profile, rules.to_string()).unwrap();
    let out = e.run(&format!("--security-opt seccomp={profile}"), &["mkdir", "/tmp/new"]);
    assert!(out.code == 1 && out.stderr.contains("Function not implemented"), "{out:?}");
}

pub fn no_new_privileges(e: &'static Engine) {
    let c = e.sleeper("--security-opt no-new-privileges");
    assert_eq!(status_of(c.pid(), "NoNewPrivs"), "1");
    assert_eq!(status_of(e.sleeper("").pid(), "NoNewPrivs"), "0");
}

pub fn init_process(e: &'static Engine) {
    let c = e.sleeper("--init");
    let pid = c.pid();
    eventually("sleep below the init", || children(pid).iter().any(|&pid| comm(pid) == "sleep"));
    assert_ne!(comm(pid), "sleep");
}

/// Whether root has all that a privileged container is to have: podman gives what there is, Docker asks for the others
/// as well, which no runtime can give.
pub fn can_be_privileged(e: &'static Engine) -> bool {
    let last: u32 = read(std::path::Path::new("/proc/sys/kernel/cap_last_cap")).trim().parse().unwrap();
    let own = status_of(std::process::id(), "CapBnd");
    !e.is_docker()
        || own == mask(&(0..=last).collect::<Vec<_>>())
        || skip(&format!("root has not every capability here ({own}): Docker has no privileged container to give"))
}

pub fn privileged(e: &'static Engine) {
    if !can_be_privileged(e) {
        return;
    }
    let c = e.sleeper("--privileged");
    let pid = c.pid();
    // All that the engine itself may.
    assert_eq!(status_of(pid, "CapEff"), status_of(std::process::id(), "CapBnd"));
    assert_eq!(status_of(pid, "Seccomp"), "0");
    let mounts = mounts_of(pid);
    assert!(mount_at(&mounts, "/sys").has("rw"), "{mounts:#?}");
    assert!(!mounts.iter().any(|m| m.point == "/proc/kcore" || m.point == "/proc/sysrq-trigger"), "{mounts:#?}");
    assert_eq!(c.exec("", &["sh", "-c", "head -c 0 /dev/fuse && echo opened"]).ok().stdout, "opened\n");
}

pub fn sysctl_and_shm_size(e: &'static Engine) {
    let said = e.sh("--sysctl net.ipv4.ip_default_ttl=77 --sysctl kernel.shm_rmid_forced=1 --shm-size 1m",
        "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shm_rmid_forced; grep -c ' /dev/shm .*size=1024k' /proc/mounts");
    assert_eq!(said, "77\n1\n1");
}
