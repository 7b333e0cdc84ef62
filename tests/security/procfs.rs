//! What hilum writes to /proc, and the ways to have it written elsewhere. (Rows 4, 14 and 17.)

use super::*;
use crate::apparmor;
use std::process::Command;

/// A sysctl of the network namespace, as the kernel has it.
const TTL: &str = "net.ipv4.ip_default_ttl";
const TTL_FILE: &str = "/proc/sys/net/ipv4/ip_default_ttl";

fn ttl_of(pid: u32) -> String {
    let out = Command::new("nsenter").args(["-n", "-t", &pid.to_string(), "cat", TTL_FILE]).output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().into()
}

/// Files with the names of those that are written.
fn fake_proc(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for process in ["self", "thread-self", "1"] {
        for file in
            ["oom_score_adj", "setgroups", "uid_map", "gid_map", "attr/current", "attr/exec", "attr/apparmor/exec"]
        {
            files.push(dir.join(process).join(file));
        }
    }
    files.push(dir.join(TTL_FILE.trim_start_matches("/proc/")));
    files.push(dir.join("sysrq-trigger"));
    for file in &files {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "fake").unwrap();
    }
    files
}

#[track_caller]
fn are_fake(what: &str, files: &[PathBuf]) {
    for file in files {
        assert_eq!(read(file), "fake", "{what}: {} was written instead of the kernel's", file.display());
    }
}

/// CVE-2019-16884. Without `check_proc`: "create, tmpfs on /proc: exit code 0".
#[test]
fn row_04_cve_2019_16884_a_volume_over_proc_or_in_it_is_refused() {
    let tally = attacks("row 4: a volume on /proc");
    let places = [
        "/proc",
        "/proc/",
        "/x/../proc",
        "//proc/./",
        "/proc/self",
        "/proc/self/attr",
        "/proc/self/attr/exec",
        "/proc/thread-self/attr",
        "/proc/1/attr",
        "/proc/sys",
        "/proc/sys/net",
        "/proc/sysrq-trigger",
        "/proc/meminfo/../self",
    ];
    for place in places {
        for kind in ["tmpfs", "bind"] {
            // The oracle takes a tmpfs on a path that it has not cleaned for something else.
            if place.contains("..") && !is_hilum() {
                continue;
            }
            let c = Container::new(&["true"]);
            let files = fake_proc(&c.volume());
            let mount = match kind {
                "tmpfs" => json!({ "destination": place, "type": "tmpfs", "source": "tmpfs" }),
                _ => json!({ "destination": place, "type": "bind", "source": c.volume(), "options": ["rbind"] }),
            };
            // In place of the proc of its own, and over it.
            let configs = [c.config.clone(), c.config.clone()];
            let mut c = c;
            for (index, mut config) in configs.into_iter().enumerate() {
                match index {
                    0 => config["mounts"][0] = mount.clone(),
                    _ => config["mounts"].as_array_mut().unwrap().push(mount.clone()),
                }
                c.config = config;
                for verb in CREATIONS {
                    tally.tries();
                    let out = c.created_by(verb);
                    assert_eq!(out.code, 1, "{verb}, {kind} on {place}: exit code {}: {}", out.code, out.stderr);
                    are_fake(verb, &files);
                    tally.survives();
                }
            }
            c.finish();
        }
    }
}

/// CVE-2019-16884: where the image's own /proc is there instead. With `proc_open` on /proc instead of the descriptor: "create:
/// …/proc/sys/net/ipv4/ip_default_ttl was written instead of the kernel's".
#[test]
fn row_04_cve_2019_16884_files_of_the_image_in_proc_are_not_written() {
    if !hilum_only("the oracle wants a proc") {
        return;
    }
    let tally = attacks("row 4: an image with a /proc of files");
    let c = Container::sleeper()
        .without_mounts_on("/proc")
        .set("root/readonly", json!(false))
        .set("linux/maskedPaths", json!([]))
        .set("linux/readonlyPaths", json!([]))
        .set("linux/sysctl", json!({ TTL: "77" }))
        .set("process/oomScoreAdj", json!(321));
    let files = fake_proc(&c.rootfs().join("proc"));
    for create in [&["create"][..], &["run", "--detach"]] {
        tally.tries();
        c.write_config();
        c.call(&[create, &[&c.id]].concat()).ok();
        are_fake(create[0], &files);
        assert_eq!((ttl_of(c.pid()).as_str(), read(&proc(c.pid(), "oom_score_adj")).trim()), ("77", "321"));
        tally.survives();
        if create[0] == "create" {
            c.gone();
        }
    }
    tally.tries();
    let pid_file = c.path("pid");
    c.call(&["exec", "-d", "--pid-file", &pid_file, &c.id, "sleep", "1001"]).ok();
    are_fake("exec", &files);
    let pid: u32 = read(Path::new(&pid_file)).parse().unwrap();
    assert_eq!(read(&proc(pid, "oom_score_adj")).trim(), "321");
    tally.survives();
    c.finish();
}

/// Fake files over /proc, by the container itself.
const COVER: &str = "for d in self thread-self; do mkdir -p /fake/$d/attr/apparmor; \
                     for f in oom_score_adj attr/exec attr/current attr/apparmor/exec; do echo fake >/fake/$d/$f; done; done; \
                     mount --bind /fake /proc && echo covered; sleep 1000";

#[track_caller]
fn cover_is_as_it_was(c: &Container) {
    for file in ["self/oom_score_adj", "self/attr/exec", "self/attr/apparmor/exec", "thread-self/attr/exec"] {
        assert_eq!(read(&c.rootfs().join("fake").join(file)), "fake\n", "{file} was written instead of the kernel's");
    }
}

/// CVE-2019-16884, after the creation: the container mounts something over its own /proc. With the score written behind the
/// `Fork`, and `proc_open` on /proc instead of the descriptor: "left: 0, right: 123", as the score went elsewhere.
#[test]
fn row_04_cve_2019_16884_a_proc_that_the_container_has_covered_is_not_written_by_exec() {
    let tally = attacks("row 4: exec where the container has covered its /proc");
    let c = Container::sh(COVER).privileged();
    c.up().says("covered");
    let document = json!({ "args": ["sleep", "1001"], "cwd": "/", "oomScoreAdj": 123,
        "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"] });
    fs::write(c.path("process.json"), document.to_string()).unwrap();
    tally.tries();
    let pid_file = c.path("pid");
    let out = c.call(&["exec", "-d", "--pid-file", &pid_file, "-p", &c.path("process.json"), &c.id]);
    // The oracle refuses it, which is no less safe.
    if out.code == 0 || is_hilum() {
        out.ok();
        let pid: u32 = read(Path::new(&pid_file)).parse().unwrap();
        assert_eq!(read(&proc(pid, "oom_score_adj")).trim(), "123");
    }
    cover_is_as_it_was(&c);
    tally.survives();
    c.finish();
}

/// CVE-2019-16884, as it was found: a profile that is only said to be applied. It needs AppArmor, and was not seen to fail: the
/// kernel on which the others were tried has none.
#[test]
fn row_04_cve_2019_16884_a_profile_is_the_kernels_whatever_proc_is() {
    if !apparmor::can_be_tested() || !hilum_only("the oracle wants a proc") {
        return;
    }
    let tally = attacks("row 4: AppArmor where /proc is another");
    let c = Container::sh(COVER).privileged();
    let rules = "file,\nnetwork,\ncapability,\nsignal,\nptrace,\nmount,\nunix,\n";
    let profile = apparmor::Profile::load(&c, "covered", rules);
    let enforced = format!("{} (enforce)", profile.name);
    c.up().says("covered");
    tally.tries();
    let pid_file = c.path("pid");
    let exec = ["exec", "-d", "--pid-file", &pid_file, "--apparmor", &profile.name, &c.id, "sleep", "1001"];
    c.call(&exec).ok();
    assert_eq!(apparmor::current(read(Path::new(&pid_file)).parse().unwrap()), enforced, "exec");
    cover_is_as_it_was(&c);
    tally.survives();
    c.gone();

    let c = c
        .without_mounts_on("/proc")
        .set("process/args", json!(["sleep", "1000"]))
        .set("process/apparmorProfile", json!(profile.name));
    let files = fake_proc(&c.rootfs().join("proc"));
    for create in [&["create"][..], &["run", "--detach"]] {
        tally.tries();
        c.write_config();
        c.call(&[create, &[&c.id]].concat()).ok();
        if create[0] == "create" {
            c.start();
        }
        eventually("the profile is the process's", || apparmor::current(c.pid()) == enforced);
        are_fake(create[0], &files);
        c.gone();
        tally.survives();
    }
    drop(profile);
    c.finish();
}

/// Where a link of the image's may lead a mount.
const IN_PROC: [&str; 6] =
    ["/proc/self/attr", "/proc/self", "/proc/thread-self/attr", "/proc/sys", "/proc/sys/net/ipv4", "/proc/1"];

/// CVE-2025-52881: a link in the image leads a mount into /proc. Without `refuse_proc`: "create, tmpfs on /data ->
/// /proc/self/attr: exit code 0".
#[test]
fn row_14_cve_2025_52881_a_link_in_the_image_leads_no_mount_into_proc() {
    if !hilum_only("the oracle follows it") {
        return;
    }
    let tally = attacks("row 14: a link leads a mount into /proc");
    let c = Container::new(&["true"]).set("root/readonly", json!(false)).set("linux/sysctl", json!({ TTL: "77" }));
    let files = fake_proc(&c.volume());
    let fake = c.volume().join("self/attr/exec");
    let directories = IN_PROC.map(|to| (to, json!({ "type": "tmpfs", "source": "tmpfs" })));
    let volumes = IN_PROC.map(|to| (to, json!({ "type": "bind", "source": c.volume(), "options": ["rbind"] })));
    let file = json!({ "type": "bind", "source": fake, "options": ["bind"] });
    let plain = ["/proc/sysrq-trigger", "/proc/self/attr/exec", "/proc/self/oom_score_adj", TTL_FILE];
    let mut c = c.push("mounts", json!({}));
    let last = c.config["mounts"].as_array().unwrap().len() - 1;
    for (to, mut mount) in directories.into_iter().chain(volumes).chain(plain.map(|to| (to, file.clone()))) {
        mount["destination"] = json!("/data");
        // A kernel without security modules has no /proc/PID/attr.
        if !Path::new(to).exists() {
            continue;
        }
        _ = fs::remove_file(c.rootfs().join("data"));
        symlink(to, c.rootfs().join("data")).unwrap();
        let what = mount["type"].clone();
        c = c.set(&format!("mounts/{last}"), mount);
        for verb in CREATIONS {
            tally.tries();
            let out = c.created_by(verb);
            assert_eq!(out.code, 1, "{verb}, {what} on /data -> {to}: exit code {}: {}", out.code, out.stderr);
            are_fake(verb, &files);
            tally.survives();
        }
    }
    c.finish();
}

/// CVE-2025-52881: a sibling swaps the target for a link into /proc. What is written is the kernel's, or the creation fails.
/// Without `refuse_proc`: "run: a mount in /proc: …/fake/sys /proc/sys".
#[test]
fn row_14_cve_2025_52881_a_swapped_target_leads_no_mount_into_proc() {
    if !hilum_only("the oracle follows it") {
        return;
    }
    let tally = attacks("row 14: a target is swapped for a link into /proc");
    let c = Container::sleeper().with_volume("/volume").set("linux/sysctl", json!({ TTL: "77" }));
    let c = c.set("linux/maskedPaths", json!([])).set("linux/readonlyPaths", json!([]));
    let fake = c.bundle().join("fake");
    fake_proc(&fake);
    let c = c.push(
        "mounts",
        json!({ "destination": "/volume/target", "type": "bind", "source": fake.join("sys"), "options": ["rbind"] }),
    );
    let target = c.volume().join("target");
    fs::create_dir(&target).unwrap();
    for to in ["../proc/sys", "/proc/self", "/proc/sys/net"] {
        let link = link_beside(&target, to);
        let mut created = 0;
        while_swapping(&[(&target, &link)], rounds(30, 400), |n| {
            tally.tries();
            let args = if n % 2 == 0 { &["create"][..] } else { &["run", "--detach"] };
            c.write_config();
            if c.call(&[args, &[&c.id]].concat()).code == 0 {
                created += 1;
                let mounts = mounts_of(c.pid());
                let inside = mounts.iter().find(|mount| mount.point.starts_with("/proc/"));
                assert!(inside.is_none(), "{}: a mount in /proc: {inside:?}", args[0]);
                assert_eq!(ttl_of(c.pid()), "77", "{}: written elsewhere", args[0]);
                // Nor by exec, whatever the target is by now.
                assert_eq!(c.call(&["exec", &c.id, "cat", "/proc/self/oom_score_adj"]).ok().stdout, "0\n");
            }
            c.gone();
            tally.survives();
        });
        fs::remove_file(&link).unwrap();
        assert!(created > 0, "never was it a directory for long enough");
    }
    assert_eq!(read(&fake.join("sys/net/ipv4/ip_default_ttl")), "fake", "written instead of the kernel's");
    c.finish();
}

/// Without the comparison with the runtime's own in `open_verified`: "create, /proc/self/ns/net, left: 77".
#[test]
fn row_17_sysctl_through_a_joined_namespace_is_not_written_to_the_host() {
    let tally = attacks("row 17: a sysctl by a path to the host's namespace");
    let by_pid = proc(std::process::id(), "ns");
    for (kind, link, key, value) in [("network", "net", TTL, "77"), ("ipc", "ipc", "kernel.msgmax", "4242")] {
        let file = PathBuf::from(format!("/proc/sys/{}", key.replace('.', "/")));
        let before = read(&file);
        for dir in ["/proc/self/ns".into(), "/proc/thread-self/ns".into(), "/proc/1/ns".into(), by_pid.clone()] {
            let path: PathBuf = dir.join(link);
            if dir != Path::new("/proc/self/ns") && !hilum_only("the oracle knows its own path only") {
                continue;
            }
            let c = Container::new(&["true"]).join(kind, &path).set("linux/sysctl", json!({ key: value }));
            for verb in CREATIONS {
                tally.tries();
                let out = c.created_by(verb);
                let after = read(&file);
                fs::write(&file, &before).unwrap();
                assert_eq!(after, before, "{verb}, {}", path.display());
                // PID 1 may be out of reach even for root, where it has more capabilities.
                out.fails(if dir == Path::new("/proc/1/ns") { "" } else { key });
                tally.survives();
            }
            c.finish();
        }
    }
}

/// The host's name, too. Without the comparison in `open_verified`: "create, /proc/self/ns/uts, left: box".
#[test]
fn row_17_hostname_through_a_joined_namespace_is_not_written_to_the_host() {
    if !hilum_only("the oracle sets it") {
        return;
    }
    let tally = attacks("row 17: a hostname by a path to the host's namespace");
    let name = Path::new("/proc/sys/kernel/hostname");
    let before = read(name);
    let by_pid = proc(std::process::id(), "ns/uts").display().to_string();
    for path in ["/proc/self/ns/uts", "/proc/thread-self/ns/uts", &by_pid] {
        let c = Container::new(&["true"]).join("uts", path);
        for verb in CREATIONS {
            tally.tries();
            let out = c.created_by(verb);
            let after = read(name);
            fs::write(name, &before).unwrap();
            assert_eq!(after, before, "{verb}, {path}");
            out.fails("hostname");
            tally.survives();
        }
        c.finish();
    }
}
