//! Namespaces joined by a path that no longer means what it did: each is refused with nothing made, and its legitimate
//! neighbour is joined.

use crate::common::*;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// Creates, which must fail with this text and leave nothing, not even the directory for states.
#[track_caller]
fn refused(c: &Container, text: &str) -> Out {
    let out = c.call(&["create", &c.id]).fails(text);
    assert!(!c.root().exists(), "the state directory was made");
    c.left_nothing();
    out
}

fn net_of(helper: &Helper) -> String {
    proc(helper.pid(), "ns/net").display().to_string()
}

fn sandbox() -> Helper {
    Helper::start(&["unshare", "-n", "-i", "-u", "sleep", "1000"], "sleep")
}

/// Field 22 of proc_pid_stat(5).
fn start_time(pid: u32) -> u64 {
    let stat = read(&proc(pid, "stat"));
    stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap()
}

fn inode(path: &str) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

/// `sh -c script` in a pid namespace of its own, where pids can be chosen. The script has `$1` the runtime, `$2` its
/// root, `$3` the id; `take COMMAND` starts it as pid 4966, and `gone` ends it.
fn with_chosen_pids(c: &Container, script: &str) -> Option<Out> {
    let last = "/proc/sys/kernel/ns_last_pid";
    if !fs::exists(last).unwrap() && !skip("this kernel has no ns_last_pid") {
        return None;
    }
    let functions = format!(
        "take() {{ echo 4965 >{last}; \"$@\" & [ $! = 4966 ]; \
                   until [ \"$(cat /proc/4966/comm)\" = sleep ]; do sleep 0.01; done; }}
         gone() {{ kill -9 4966; wait 4966 || :; sleep 0.3; }}
         started() {{ cut -d' ' -f22 /proc/4966/stat; }}
         hilum=$1 root=$2 id=$3
         {script}"
    );
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "--kill-child", "sh", "-ec", &functions, "sh"]);
    command.arg(program()).arg(c.root()).arg(&c.id).current_dir(c.bundle());
    Some(c.finish_call(command, Stdio::null()))
}

#[test]
fn a_path_of_a_pid_that_is_another_process_now_is_refused() {
    if !hilum_only("verified joins") {
        return;
    }
    // Another sandbox, or any process of the host.
    for other in ["unshare -n sleep 1001", "sleep 1001"] {
        let c = Container::new(&["true"]).join("network", "/proc/4966/ns/net");
        fs::write(c.path("new.json"), c.config.to_string()).unwrap();
        let script = format!(
            "take unshare -n sleep 1000
             cat ../new.json >config.json
             $hilum --root $root run $id
             rmdir $root
             gone
             take {other}
             exec $hilum --root $root create $id"
        );
        let Some(out) = with_chosen_pids(&c, &script) else { return };
        let out = out.fails("sandbox gone: /proc/4966/ns/net now belongs to pid 4966 started at 20");
        assert!(out.stderr.contains(", expected one from before 20"), "{out:?}");
        assert!(!c.root().exists());
        c.left_nothing();
    }
}

#[test]
fn a_pid_that_has_become_a_process_of_the_host_is_refused() {
    if !hilum_only("verified joins") {
        return;
    }
    let c = Container::new(&["true"]).join("network", "/proc/4966/ns/net");
    fs::write(c.path("new.json"), c.config.to_string()).unwrap();
    let script = "take sleep 1000
                  sleep 0.3
                  cat ../new.json >config.json
                  exec $hilum --root $root create $id";
    let Some(out) = with_chosen_pids(&c, script) else { return };
    out.fails("sandbox gone: /proc/4966/ns/net is the host's network namespace: pid 4966 is now sleep, started at 20");
    assert!(!c.root().exists());
    c.left_nothing();
}

#[test]
fn an_expected_start_time_or_inode_knows_the_sandbox_from_another_with_its_pid() {
    if !hilum_only("expect is hilum's own") {
        return;
    }
    for (expect, value, text) in [
        ("startTime", "started", "sandbox gone: /proc/4966/ns/net now belongs to pid 4966 started at 20"),
        ("inode", "stat -Lc %i /proc/4966/ns/net", "sandbox gone: /proc/4966/ns/net is namespace 402"),
    ] {
        let c = Container::new(&["true"])
            .namespace(json!({ "type": "network", "path": "/proc/4966/ns/net", "expect": { expect: 777_777_777 } }));
        fs::write(c.path("new.json"), c.config.to_string()).unwrap();
        // A number of the old namespace's stays taken, so that the other gets one of its own.
        let script = format!(
            "take unshare -n sleep 1000
             exec 9</proc/4966/ns/net
             value=$({value})
             sed s/777777777/$value/ ../new.json >config.json
             $hilum --root $root run $id
             rmdir $root
             gone
             take unshare -n sleep 1001
             sleep 0.3
             touch config.json
             echo $value
             exec $hilum --root $root create $id"
        );
        let Some(out) = with_chosen_pids(&c, &script) else { return };
        let out = out.fails(text);
        let expected = out.stdout.trim();
        assert!(out.stderr.contains(", expected ") && out.stderr.contains(expected), "{out:?}");
        assert!(!c.root().exists());
        c.left_nothing();
    }
}

#[test]
fn what_is_expected_of_a_path_is_joined_or_refused() {
    if !hilum_only("expect is hilum's own") {
        return;
    }
    let sandbox = sandbox();
    let (path, started) = (net_of(&sandbox), start_time(sandbox.pid()));
    let inode = inode(&path);
    let c = Container::sleeper()
        .namespace(json!({ "type": "network", "path": path, "expect": { "inode": inode, "startTime": started } }));
    c.up();
    assert_eq!(ns(c.pid(), "net"), ns(sandbox.pid(), "net"));
    c.finish();

    let own = "/proc/self/ns/net";
    for (entry, text) in [
        (
            json!({ "path": path, "expect": { "inode": inode + 1 } }),
            format!("is namespace {inode}, expected {}", inode + 1),
        ),
        (json!({ "path": path, "expect": { "startTime": started - 1 } }), format!("({} ticks)", started - 1)),
        (
            json!({ "path": own, "expect": { "startTime": 5 } }),
            format!("expect.startTime: {own} does not name a process"),
        ),
        (json!({ "path": path, "expect": { "starttime": 5 } }), "expect: has neither inode nor startTime".into()),
        (json!({ "expect": { "inode": 5 } }), "expect: the namespace is a new one".into()),
        (json!({ "path": path, "expect": { "inode": "5" } }), "expect.inode: invalid type".into()),
    ] {
        let mut entry = entry;
        entry["type"] = json!("network");
        let c = Container::new(&["true"]).namespace(entry);
        c.write_config();
        let out = refused(&c, &text);
        assert!(out.stderr.contains("linux.namespaces["), "{out:?}");
    }
}

/// The time of config.json, as somebody else may have set it.
fn written(c: &Container, at: SystemTime) {
    c.write_config();
    File::options().append(true).open(c.bundle().join("config.json")).unwrap().set_modified(at).unwrap();
}

#[test]
fn a_config_that_is_older_than_the_process_it_names_is_refused_until_it_is_written_anew() {
    if !hilum_only("verified joins") {
        return;
    }
    let sandbox = sandbox();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    // Before any boot of this machine, too.
    for at in
        [hour_ago, SystemTime::UNIX_EPOCH + Duration::from_secs(1), SystemTime::UNIX_EPOCH - Duration::from_secs(1)]
    {
        let c = Container::new(&["true"]).join("network", net_of(&sandbox));
        written(&c, at);
        refused(&c, "when config.json was written");
    }

    let c = Container::sleeper().join("network", net_of(&sandbox));
    written(&c, SystemTime::now());
    c.call(&["create", &c.id]).ok();
    assert_eq!(ns(c.pid(), "net"), ns(sandbox.pid(), "net"));
    c.finish();

    // The start time says more than the clock.
    let expect = json!({ "startTime": start_time(sandbox.pid()) });
    let c = Container::sleeper().namespace(json!({ "type": "network", "path": net_of(&sandbox), "expect": expect }));
    written(&c, hour_ago);
    c.call(&["create", &c.id]).ok();
    assert_eq!(ns(c.pid(), "net"), ns(sandbox.pid(), "net"));
    c.finish();

    // What is no process's is what it was.
    let c = Container::sleeper();
    let pin = c.path("pin");
    fs::write(&pin, "").unwrap();
    let mount = HostMount::new(&["--bind", &net_of(&sandbox), &pin]);
    let c = c.join("network", &pin);
    written(&c, hour_ago);
    c.call(&["create", &c.id]).ok();
    assert_eq!(ns(c.pid(), "net"), ns(sandbox.pid(), "net"));
    c.call(&["delete", "--force", &c.id]).ok();
    drop(mount);
    c.finish();
}

#[test]
fn a_process_that_has_ended_is_refused_as_soon_as_it_has() {
    if !hilum_only("text") {
        return;
    }
    let mut sandbox = sandbox();
    let c = Container::new(&["true"]).join("network", net_of(&sandbox));
    c.write_config();
    let text = format!("sandbox gone: {}: no process {}", net_of(&sandbox), sandbox.pid());
    sandbox.0.kill().unwrap();
    let pid = sandbox.pid();
    eventually("a zombie", || read(&proc(pid, "stat")).contains(") Z "));
    refused(&c, &text);
    sandbox.0.wait().unwrap();
    refused(&c, &text);
}

#[test]
fn a_namespace_that_its_process_has_not_is_not_called_gone() {
    if !hilum_only("text") {
        return;
    }
    let sandbox = sandbox();
    let c = Container::new(&["true"]).join("network", proc(sandbox.pid(), "ns/nonsense"));
    c.write_config();
    let out = refused(&c, "ns/nonsense: No such file or directory");
    assert!(!out.stderr.contains("gone"), "{out:?}");
}

#[test]
fn the_hosts_own_namespace_is_shared_where_that_is_plainly_meant() {
    let host = Container::sleeper().without_namespace("network");
    host.up();
    let c = Container::sleeper();
    let pin = c.path("pin");
    fs::write(&pin, "").unwrap();
    let mount = HostMount::new(&["--bind", "/proc/self/ns/net", &pin]);
    let of_container = proc(host.pid(), "ns/net").display().to_string();
    let of_caller = proc(std::process::id(), "ns/net").display().to_string();
    let mut c = c;
    let init = fs::read_link("/proc/1/ns/net").is_ok() || skip("PID 1 is not for us to look at");
    let of_init = if init { "/proc/1/ns/net" } else { "/proc/self/ns/net" };
    for path in [of_init, "/proc/self/ns/net", "/proc/thread-self/ns/net", &pin, &of_container, &of_caller] {
        c = c.join("network", path);
        c.create();
        assert_eq!(ns(c.pid(), "net"), own_ns("net"), "{path}");
        c.call(&["delete", "--force", &c.id]).ok();
    }
    drop(mount);
    c.finish();
    host.finish();
}

#[test]
fn the_hosts_own_namespace_by_any_other_process_is_refused() {
    if !hilum_only("verified joins") {
        return;
    }
    let helper = Helper::start(&["sleep", "1000"], "sleep");
    let path = |kind: &str| proc(helper.pid(), "ns").join(kind).display().to_string();
    for (kind, link) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid"), ("cgroup", "cgroup")] {
        let c = Container::new(&["true"]).join(kind, path(link));
        c.write_config();
        let text = format!("{} is the host's {kind} namespace: pid {} is now sleep", path(link), helper.pid());
        refused(&c, &text);
    }
    // With its number known, it is meant.
    let net = path("net");
    let c =
        Container::sleeper().namespace(json!({ "type": "network", "path": net, "expect": { "inode": inode(&net) } }));
    c.create();
    assert_eq!(ns(c.pid(), "net"), own_ns("net"));
    c.finish();
}

/// The lines of the log that are warnings.
fn warnings(log: &str) -> Vec<String> {
    fs::read_to_string(log)
        .unwrap_or_default()
        .lines()
        .filter(|l| l.contains("level=warning"))
        .map(Into::into)
        .collect()
}

#[test]
fn a_hostname_or_sysctl_that_changes_what_others_have_is_warned_of() {
    if !hilum_only("text") {
        return;
    }
    let sandbox = Container::sleeper()
        .set("hostname", json!("before"))
        .set("linux/sysctl", json!({ "kernel.msgmax": "4242", "net.ipv4.ping_group_range": "7 8" }));
    sandbox.up();
    let path = |kind: &str| proc(sandbox.pid(), "ns").join(kind);
    let joined = |c: Container| c.join("uts", path("uts")).join("ipc", path("ipc")).join("network", path("net"));
    let say = "hostname; cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ping_group_range";

    let c = joined(Container::sh(say))
        .set("hostname", json!("before"))
        .set("linux/sysctl", json!({ "kernel.msgmax": "4242", "net.ipv4.ping_group_range": "7 8" }));
    let log = c.path("log");
    c.write_config();
    let out = c.call(&["--log", &log, "run", &c.id]).ok();
    assert_eq!(out.stdout, "before\n4242\n7\t8\n");
    assert_eq!(warnings(&log), [""; 0]);
    c.finish();

    let c = joined(Container::sh(say))
        .set("hostname", json!("after"))
        .set("linux/sysctl", json!({ "kernel.msgmax": "4343", "net.ipv4.ping_group_range": "7 8" }));
    let log = c.path("log");
    c.write_config();
    let out = c.call(&["--log", &log, "run", &c.id]).ok();
    assert_eq!(out.stdout, "after\n4343\n7\t8\n");
    let said = warnings(&log);
    let uts = format!("for all in the joined uts namespace {}", path("uts").display());
    let ipc = format!("for all in the joined ipc namespace {}", path("ipc").display());
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("hostname: changes") && said[0].contains("before") && said[0].contains(&uts), "{said:?}");
    assert!(said[1].contains("kernel.msgmax") && said[1].contains("4242") && said[1].contains(&ipc), "{said:?}");
    c.finish();
    sandbox.finish();
}

#[test]
fn what_another_user_namespace_owns_is_not_changed_and_what_it_says_already_is_no_conflict() {
    if !hilum_only("the oracle fails while it creates") {
        return;
    }
    let sandbox = Container::sleeper()
        .set("hostname", json!("sandbox"))
        .set("linux/sysctl", json!({ "net.ipv4.ip_unprivileged_port_start": "80" }));
    sandbox.up();
    let path = |kind: &str| proc(sandbox.pid(), "ns").join(kind);
    let joined = |hostname: &str, port: &str| {
        Container::sh("hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
            .in_user_namespace()
            .join("uts", path("uts"))
            .join("network", path("net"))
            .set("hostname", json!(hostname))
            .set("linux/sysctl", json!({ "net.ipv4.ip_unprivileged_port_start": port }))
    };
    let c = joined("sandbox", "80");
    assert_eq!(c.run().ok().stdout, "sandbox\n80\n");
    c.finish();

    let c = joined("other", "80");
    c.write_config();
    refused(&c, "hostname: cannot change");
    let c = joined("sandbox", "90");
    c.write_config();
    let out = refused(&c, "net.ipv4.ip_unprivileged_port_start");
    assert!(out.stderr.contains("is owned by another user namespace; set it where that namespace was made"), "{out:?}");
    sandbox.finish();
}
