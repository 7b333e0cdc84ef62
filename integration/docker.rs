//! Docker: a daemon of the suite's own, with the runtime under test as its runtime `hilum`.

use crate::common::counter::*;
use crate::common::*;
use crate::engine::limits::parent;
use crate::engine::{Engine, Kind, Running, tests};
use crate::{Group, Test};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

struct Docker {
    engine: Engine,
    /// Docker's, and below it containerd.
    daemons: Mutex<[Daemon; 2]>,
    exec_root: PathBuf,
}

static DOCKER: Lazy<Docker> = Lazy::new();

pub fn group() -> Group {
    let common = tests![
        basics: foreground_with_input, rm_leaves_no_container, detached_has_namespaces_of_its_own, terminal,
            interactive_terminal, user_and_groups, environment_directory_and_hostname, exit_codes, logs, attach,
            attach_to_a_terminal, copies_in_and_out, commit;
        confine: capabilities, read_only_root, volumes, devices, devices_are_refused, ulimits, seccomp,
            no_new_privileges, init_process, privileged, sysctl_and_shm_size;
        limits: limits, pids_limit_holds, out_of_memory, update, pause_and_resume, stats, top, cgroup_parent,
            systemd_has_the_unit;
        exec: joins_the_container, input_output_and_exit_code, user_directory_and_environment, privileged, terminal, failures;
        life: kill_sends_the_signal, kill_ends_it, stop_asks_first, stop_kills_in_the_end, stopped_starts_again,
            restarts_after_a_crash, health;
        share: network_none, network_host, network_bridge, network_of_another, ipc, pid, pid_of_another_dies_whole,
            uts_host, pod_by_hand, pod_by_annotation, uts_of_another_by_annotation
    ];
    let own: [Test<Docker>; 8] = [
        ("has_the_runtime", has_the_runtime),
        ("annotations", annotations),
        ("checkpoint_and_restore", checkpoint_and_restore),
        ("the_runtime_has_the_container", the_runtime_has_the_container),
        ("default_runtime", default_runtime),
        ("namespaces_are_shown", namespaces_are_shown),
        ("the_page_on_pods", the_page_on_pods),
        ("nothing_is_left", nothing_is_left),
    ];
    let mut group = Group { name: "docker", tests: Vec::new(), stop };
    for (name, test) in common {
        group.add(name, move || with(|docker| test(&docker.engine)));
    }
    for (name, test) in own {
        group.add(name, move || with(test));
    }
    group
}

fn with(test: impl FnOnce(&'static Docker)) {
    if installed("dockerd") {
        test(DOCKER.get(start));
    }
}

pub fn with_engine(test: impl FnOnce(&'static Engine)) {
    with(|docker| test(&docker.engine));
}

fn start() -> Docker {
    let top = dir().join("docker");
    let exec_root = top.join("run");
    fs::create_dir(&top).unwrap();
    let path = |name: &str| top.join(name).to_str().unwrap().to_owned();
    let socket = format!("unix://{}", path("sock"));
    let (containerd, containerd_socket) = start_containerd(&path("containerd"));
    let driver = if systemd() { "systemd" } else { "cgroupfs" };
    let mut config: Value = serde_json::from_str(&readme::configuration("Docker")).unwrap();
    let own = json!({
        "data-root": path("data"),
        "exec-root": exec_root,
        "pidfile": path("pid"),
        "hosts": [socket],
        "containerd": containerd_socket,
        "exec-opts": [format!("native.cgroupdriver={driver}")],
        "cgroup-parent": parent("docker"),
        // For checkpoints.
        "experimental": true,
    });
    config.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    config["runtimes"].as_object_mut().unwrap().extend(crate::speed::others().as_object().unwrap().clone());
    let file = path("daemon.json");
    fs::write(&file, config.to_string()).unwrap();

    // The package's client, which fits its daemon, before one that is elsewhere on PATH.
    let client = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
    let mut client = Client::new(&[client, "--host", &socket]);
    client.env.push(("DOCKER_CONFIG".to_owned(), path("client")));
    let ready = || client.call(&["version"]).code == 0;
    let daemon = Daemon::start("dockerd", &["dockerd", "--config-file", &file], ready);
    println!("Docker {}", client.ok(&["version", "--format", "{{.Server.Version}}, client {{.Client.Version}}"]));
    client.ok(&["load", "--input", image::archive().to_str().unwrap()]);
    let engine = Engine { kind: Kind::Docker, client, flags: "--runtime hilum" };
    Docker { engine, daemons: Mutex::new([daemon, containerd]), exec_root }
}

/// dockerd would start one itself, but waits 15 s for it and no longer: too short for a slow machine.
fn start_containerd(top: &str) -> (Daemon, String) {
    fs::create_dir(top).unwrap();
    let socket = format!("{top}/sock");
    let config = format!(
        r#"version = 2
root = "{top}/root"
state = "{top}/state"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{top}/opt"
"#
    );
    let file = format!("{top}/config.toml");
    fs::write(&file, config).unwrap();
    let ctr = Client::new(&["ctr", "--address", &socket]);
    let ready = || ctr.call(&["version"]).code == 0;
    (Daemon::start("docker-containerd", &["containerd", "--config", &file], ready), socket)
}

fn stop() {
    if let Some(docker) = DOCKER.started() {
        docker.daemons.lock().unwrap().iter_mut().for_each(Daemon::stop);
    }
}

fn has_the_runtime(docker: &'static Docker) {
    let listed = docker.engine.client.ok(&["info", "--format", "{{json .Runtimes}}"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["hilum"]["path"], program(), "{listed:#}");
}

/// None of the other tests would be worth anything if another runtime had it.
fn the_runtime_has_the_container(docker: &'static Docker) {
    let c = docker.engine.sleeper("");
    let pid = c.pid();
    let root = state_root(docker, &c.id).expect("a state directory");
    let state = runtime_state(&root, &c.id);
    assert_eq!((state["pid"].as_u64(), state["status"].as_str()), (Some(pid.into()), Some("running")));
    let id = c.id.clone();
    drop(c);
    assert_eq!(state_root(docker, &id), None);
}

/// Without --runtime.
fn default_runtime(docker: &'static Docker) {
    let client = &docker.engine.client;
    assert_eq!(client.ok(&["info", "--format", "{{.DefaultRuntime}}"]), "hilum");
    let c = Running { engine: &docker.engine, id: client.ok(&["run", "--detach", image::NAME, "sleep", "1000"]) };
    assert_eq!(c.inspect("{{.HostConfig.Runtime}}"), "hilum");
    // A state that another runtime has written is none to the one under test.
    let root = state_root(docker, &c.id).expect("a state directory");
    assert_eq!(runtime_state(&root, &c.id)["pid"].as_u64(), Some(c.pid().into()));
}

fn namespaces_are_shown(docker: &'static Docker) {
    let owner = docker.engine.sleeper("--ipc shareable");
    let joined = format!("--network container:{0} --ipc container:{0} --pid container:{0}", owner.id);
    let all = [docker.engine.sleeper(&joined), docker.engine.sleeper("--network host --uts host"), owner];
    let root = state_root(docker, &all[0].id).expect("a state directory");
    let shown: Vec<_> = all.iter().map(|c| (c.id.as_str(), c.pid())).collect();
    shows_namespaces(&root, &shown);
}

/// docs/pods.md is typed as it stands, with this daemon's client.
fn the_page_on_pods(docker: &'static Docker) {
    let client = &docker.engine.client;
    let page = include_str!("../docs/pods.md");
    for (kind, runs) in [
        ("console docker", !systemd() || skip("the page names a cgroup, where systemd wants a slice")),
        (
            "console docker annotation",
            (host::is_hilum() || skip("another runtime does not know org.hilum.*"))
                && (docker.engine.major_version() >= 24 || skip("this Docker has no --annotation")),
        ),
    ] {
        let session = Session::of(page, kind);
        assert!(session.len() > 4, "{kind}");
        if !runs {
            continue;
        }
        client.ok(&["tag", image::NAME, "busybox"]);
        let out = dir().join("page");
        let driver = if systemd() { " --systemd-cgroup" } else { "" };
        let quoted = |words: &[String]| words.iter().map(|word| format!("'{word}' ")).collect::<String>();
        let script = format!(
            "export DOCKER_CONFIG='{}'\ndocker() {{ {} \"$@\"; }}\nhilum() {{ {}{driver} \"$@\"; }}\n\
             trap 'docker rm -f client web sandbox >/dev/null 2>&1' EXIT\n{}",
            client.env[0].1,
            quoted(&client.words),
            program(),
            session.script(&out)
        );
        let typed = run(std::process::Command::new("bash").args(["-c", &script]));
        client.ok(&["rmi", "busybox"]);
        assert_eq!(typed.code, 0, "{kind}: {typed:?}");
        session.check(&out, &typed.stderr);
    }
}

/// An annotation reaches the runtime, which tells it to whoever asks.
fn annotations(docker: &'static Docker) {
    let version = docker.engine.client.ok(&["version", "--format", "{{.Server.Version}}"]);
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    if major < 24 {
        skip(&format!("Docker {version} has no --annotation: 24 has"));
        return;
    }
    let c = docker.engine.sleeper("--annotation org.example.asked=yes");
    let root = state_root(docker, &c.id).expect("a state directory");
    let state = runtime_state(&root, &c.id);
    assert_eq!(state["annotations"]["org.example.asked"], "yes", "{state:#}");
}

fn checkpoint_and_restore(docker: &'static Docker) {
    if !criu() {
        return;
    }
    let client = &docker.engine.client;
    let c = docker.engine.sh_detached("", COUNTER);
    let pid = c.pid();
    counts_beyond(pid, 5);
    let reached = counted(pid);
    client.ok(&["checkpoint", "create", &c.id, "one"]);
    eventually("its end", || c.status() == "exited");
    assert!(fs::read_link(proc(pid, "exe")).is_err());
    client.ok(&["start", "--checkpoint", "one", &c.id]);
    counts_beyond(c.pid(), reached);
    c.exec("", &["tail", "-n", "1", "/tmp/count"]).ok();
    client.ok(&["checkpoint", "create", "--leave-running", &c.id, "two"]);
    assert_eq!(c.status(), "running");
    counts_beyond(c.pid(), counted(c.pid()));
    c.ok(&["kill"]);
    assert_eq!(c.wait(), 137);
}

/// The directory for which the shim says `--root`.
fn state_root(docker: &Docker, id: &str) -> Option<PathBuf> {
    let states = dirs_named(&docker.exec_root, id).into_iter().filter(|dir| dir.join("state.json").exists());
    states.map(|dir| dir.parent().unwrap().to_owned()).next()
}

/// After all the others: no container, no state and no cgroup.
fn nothing_is_left(docker: &'static Docker) {
    assert_eq!(docker.engine.client.ok(&["ps", "--all", "--quiet"]), "");
    let states = run(std::process::Command::new("find").arg(&docker.exec_root).args(["-name", "state.json"]));
    assert_eq!(states.stdout, "");
    // podman's and the CRI's may be there at the same time, elsewhere.
    let of_containers = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let others = ["cri_", "/podman/"].iter().any(|place| path.to_string_lossy().contains(place));
        let plain = name.len() == 64 && !others;
        plain || name.starts_with("docker-")
    };
    // One that podman's tests have made elsewhere goes in a moment.
    let left = || -> Vec<PathBuf> { kernel::cgroups_named(&unique()).into_iter().filter(of_containers).collect() };
    eventually(&format!("no cgroup of a container is left: {:#?}", left()), || left().is_empty());
}
