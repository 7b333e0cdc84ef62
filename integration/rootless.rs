//! podman of a user who is not root. In the machine of `make vm-test`, that is its user `u`, with a systemd of its own;
//! elsewhere a user of the suite's own, whom only its mount namespace knows.

use crate::common::*;
use crate::engine::{Engine, Kind, Running, tests};
use crate::podman::{QUIETLY, configuration, storage};
use crate::{Group, Test};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

/// Whether there is the user `u`, to be used for tests, and with a systemd of its own.
fn with_systemd() -> bool {
    systemd() && Path::new("/usr/local/bin/as-user").exists()
}

fn user() -> u32 {
    if with_systemd() { 1000 } else { 61_420 }
}

/// The first of the user's 65536 other ids.
fn range() -> u32 {
    if with_systemd() { 100_000 } else { 700_000 }
}

fn runtime_dir() -> String {
    format!("/run/user/{}", user())
}

static ROOTLESS: Lazy<Engine> = Lazy::new();

pub fn group() -> Group {
    let mut common = tests![
        basics: foreground_with_input, rm_leaves_no_container, detached_has_namespaces_of_its_own, terminal,
            interactive_terminal, user_and_groups, exit_codes, logs, attach, copies_in_and_out;
        confine: capabilities, read_only_root, volumes, seccomp, no_new_privileges, init_process;
        exec: joins_the_container, input_output_and_exit_code, user_directory_and_environment, terminal, failures;
        life: kill_sends_the_signal, stop_asks_first, stop_kills_in_the_end, health;
        share: network_none, network_host, network_of_another, ipc, pid
    ];
    // On version 1 a user has no cgroups.
    if Host::plain() == Host::V2 {
        common.extend(tests![limits: limits, pids_limit_holds, update, pause_and_resume, stats]);
    }
    let own: [Test<Engine>; 4] = [
        ("ids_are_the_users", ids_are_the_users),
        ("cgroup_is_of_the_users_systemd", cgroup_is_of_the_users_systemd),
        ("network_of_slirp4netns", network_of_slirp4netns),
        ("pod", pod),
    ];
    let mut group = Group { name: "rootless", tests: Vec::new(), stop: || () };
    for (name, test) in common.into_iter().chain(own.map(|(name, test)| (name, test))) {
        group.add(name, move || {
            if installed("podman") && installed("newuidmap") && allowed() {
                test(ROOTLESS.get(start));
            }
        });
    }
    group
}

fn allowed() -> bool {
    let switched_off = |path: &str| read(Path::new(path)).trim() == "0";
    let off = switched_off("/proc/sys/user/max_user_namespaces")
        || switched_off("/proc/sys/kernel/unprivileged_userns_clone");
    !off || skip("the host lets no user make user namespaces")
}

fn start() -> Engine {
    let top = dir().join("rootless");
    let top = top.to_str().unwrap();
    fs::create_dir_all(format!("{top}/networks")).unwrap();
    let (user, runtime_dir) = (user(), runtime_dir());
    if with_systemd() {
        run(Command::new("loginctl").args(["enable-linger", &user.to_string()])).ok();
        run(Command::new("systemctl").args(["start", &format!("user@{user}.service")])).ok();
    } else {
        make_user(top);
        fs::create_dir_all(&runtime_dir).unwrap();
    }
    // As udev would have it: devices for everybody.
    for (device, minor) in [("/dev/net/tun", "200"), ("/dev/fuse", "229")] {
        if fs::metadata(device).is_ok_and(|meta| meta.mode() & 0o006 != 0o006) {
            let own = format!("/run/{}", device.replace('/', "-"));
            run(Command::new("mknod").args(["--mode=666", &own, "c", "10", minor])).ok();
            run(Command::new("mount").args(["--bind", &own, device])).ok();
        }
    }
    let conf = format!("{top}/containers.conf");
    let mut configuration = configuration(top);
    if !with_systemd() && Path::new("/usr/bin/pasta").exists() {
        // podman 5's default, pasta, copies the routes of its host, and fails on those that this suite's other clients make
        // meanwhile in the network namespace that they share. In the machine it is left as it is.
        configuration =
            configuration.replace("[network]\n", "[network]\ndefault_rootless_network_cmd = \"slirp4netns\"\n");
    }
    fs::write(&conf, configuration).unwrap();
    let script = format!("chown -R {user}:{user} {top}; chown {user}:{user} {runtime_dir}; chmod 700 {runtime_dir}");
    run(Command::new("sh").args(["-ec", &script])).ok();

    let id = user.to_string();
    let drop_root = ["setpriv", "--reuid", &id, "--regid", &id, "--init-groups"];
    let mut client = Client::new(&delegated());
    client.words.extend(drop_root.map(str::to_owned));
    let manager = if with_systemd() { "systemd" } else { "cgroupfs" };
    client.words.extend(["podman", "--runtime", program(), "--cgroup-manager", manager].map(str::to_owned));
    client.words.extend(storage(top));
    let bus = format!("unix:path={runtime_dir}/bus");
    for (name, value) in [
        ("HOME", top),
        // As a login would: with root's name, runtimes use root's directories (runc, and hilum after it).
        ("USER", if with_systemd() { "u" } else { "hilumtest" }),
        ("XDG_RUNTIME_DIR", &runtime_dir),
        ("DBUS_SESSION_BUS_ADDRESS", &bus),
        ("CONTAINERS_CONF", &conf),
    ]
    .into_iter()
    .chain(QUIETLY)
    {
        client.env.push((name.to_owned(), value.to_owned()));
    }
    println!("podman {} of uid {user}", client.ok(&["version", "--format", "{{.Client.Version}}"]));
    client.ok(&["load", "--input", image::archive().to_str().unwrap()]);
    Engine { kind: Kind::Rootless, client, flags: "--pull never" }
}

/// A user whom only this mount namespace knows.
fn make_user(home: &str) {
    let (user, range) = (user(), range());
    for (file, line) in [
        ("passwd", format!("hilumtest:x:{user}:{user}::{home}:/bin/sh")),
        ("group", format!("hilumtest:x:{user}:")),
        ("subuid", format!("{user}:{range}:65536")),
        ("subgid", format!("{user}:{range}:65536")),
    ] {
        let there = format!("/etc/{file}");
        let text = fs::read_to_string(&there).unwrap_or_default();
        let own = dir().join(file);
        fs::write(&own, format!("{text}{line}\n")).unwrap();
        run(Command::new("mount").arg("--bind").arg(&own).arg(&there)).ok();
    }
}

/// On version 2, a cgroup that belongs to the user: below that of the user's systemd, or as systemd would give one. On
/// version 1 there is no such thing.
fn delegated() -> Vec<&'static str> {
    if Host::plain() != Host::V2 {
        return Vec::new();
    }
    let user = user();
    let top = if with_systemd() { format!("user.slice/user-{user}.slice/user@{user}.service/") } else { String::new() };
    let cgroup = format!("/sys/fs/cgroup/{top}{}-user", unique());
    let script = format!(
        "mkdir -p {cgroup}/session
        for c in $(cat {cgroup}/cgroup.controllers); do echo +$c >{cgroup}/cgroup.subtree_control; done
        chown {user} {cgroup} {cgroup}/cgroup.procs {cgroup}/cgroup.subtree_control {cgroup}/session {cgroup}/session/*"
    );
    run(Command::new("sh").args(["-c", &script])).ok();
    let enter = format!("echo $$ >{cgroup}/session/cgroup.procs; exec \"$@\"");
    vec!["sh", "-ec", enter.leak(), "sh"]
}

fn ids_are_the_users(e: &'static Engine) {
    let c = e.sleeper("");
    let pid = c.pid();
    let (user, range) = (user().to_string(), range());
    assert_eq!(status_of(pid, "Uid").split_whitespace().next(), Some(user.as_str()));
    assert_ne!(ns(pid, "user"), own_ns("user"));
    let map: Vec<String> = read(&proc(pid, "uid_map")).split_whitespace().map(str::to_owned).collect();
    assert_eq!(map, ["0", &user, "1", "1", &range.to_string(), "65536"]);
    let c = e.sleeper("--user 5");
    assert_eq!(status_of(c.pid(), "Uid").split_whitespace().next(), Some((range + 4).to_string().as_str()));
    // The engine's own process maps root to the user: there the state directory is the user's.
    let state = dirs_named(Path::new(&runtime_dir()), &c.id);
    assert!(state.iter().any(|dir| dir.join("state.json").exists()), "{state:?}");
}

fn cgroup_is_of_the_users_systemd(e: &'static Engine) {
    if !with_systemd() {
        skip("there is no user `u` with a systemd of its own");
        return;
    }
    let c = e.sleeper("--pids-limit 50");
    let (user, pid) = (user(), c.pid());
    let expected = format!("/user.slice/user-{user}.slice/user@{user}.service/user.slice/libpod-{}.scope", c.id);
    assert_eq!((cgroup_of(pid, ""), Limits(pid).pids()), (expected, "50".to_owned()));
    let dir = cgroup_dir(pid, "pids");
    drop(c);
    eventually("the scope's end", || !dir.exists());
}

fn network_of_slirp4netns(e: &'static Engine) {
    if !installed("slirp4netns") {
        return;
    }
    let c = e.sleeper("--network slirp4netns");
    assert_ne!(ns(c.pid(), "net"), own_ns("net"));
    eventually("an address", || c.exec("", &["ip", "addr"]).stdout.contains("tap0"));
}

fn pod(e: &'static Engine) {
    let name = format!("{}-pod", unique());
    e.client.ok(&[
        "pod",
        "create",
        "--name",
        &name,
        "--share",
        "net,ipc,uts",
        "--hostname",
        "the-pod",
        "--network",
        "none",
    ]);
    let container = |script: &str| {
        let words = ["run", "--detach", "--pull", "never", "--pod", &name, image::NAME, "sh", "-c", script];
        Running { engine: e, id: e.client.ok(&words) }
    };
    let one = container("exec sleep 1000");
    let two = container("exec sleep 1000");
    let same = shared(one.pid(), two.pid());
    assert!(["net", "ipc", "uts", "user"].iter().all(|kind| same.contains(kind)), "{same:?}");
    assert!(!same.contains(&"pid") && !same.contains(&"mnt"), "{same:?}");
    assert_eq!(two.exec("", &["hostname"]).ok().stdout, "the-pod\n");
    drop((one, two));
    e.client.ok(&["pod", "rm", "--force", "--time", "0", &name]);
}
