//! podman of root, and buildah: no daemon, conmon calls the runtime.

use crate::common::counter::*;
use crate::common::*;
use crate::engine::limits::parent;
use crate::engine::{Engine, Kind, Running, tests};
use crate::{Group, Test};
use std::fs;
use std::path::Path;

static PODMAN: Lazy<Engine> = Lazy::new();

pub fn group() -> Group {
    let common = tests![
        basics: foreground_with_input, rm_leaves_no_container, detached_has_namespaces_of_its_own, terminal,
            interactive_terminal, user_and_groups, environment_directory_and_hostname, exit_codes, logs, attach,
            attach_to_a_terminal, copies_in_and_out, commit;
        confine: capabilities, read_only_root, volumes, devices, ulimits, seccomp, no_new_privileges, init_process,
            privileged, sysctl_and_shm_size;
        limits: limits, pids_limit_holds, update, pause_and_resume, stats, top, cgroup_parent, systemd_has_the_unit;
        exec: joins_the_container, input_output_and_exit_code, user_directory_and_environment, privileged, terminal, failures;
        life: kill_sends_the_signal, stop_asks_first, stop_kills_in_the_end, stopped_starts_again,
            restarts_after_a_crash, health;
        share: network_none, network_host, network_bridge, network_of_another, ipc, pid, pid_of_another_dies_whole,
            uts_host, pod_by_annotation, uts_of_another_by_annotation
    ];
    let own: [Test<Engine>; 6] = [
        ("the_runtime_has_the_container", the_runtime_has_the_container),
        ("pod", pod),
        ("pod_with_shared_pids", pod_with_shared_pids),
        ("play_kube", play_kube),
        ("build", build),
        ("checkpoint_and_restore", checkpoint_and_restore),
    ];
    let mut group = Group { name: "podman", tests: Vec::new(), stop: || () };
    for (name, test) in common.into_iter().chain(own.map(|(name, test)| (name, test))) {
        group.add(name, move || {
            if installed("podman") {
                test(PODMAN.get(start));
            }
        });
    }
    group.add("buildah", buildah);
    group
}

/// systemd would run health checks outside of this suite's namespaces, in the host's own podman. And podman 5 says at each
/// call on cgroup v1 that it will do without some day, between what is compared.
pub const QUIETLY: [(&str, &str); 2] = [("DISABLE_HC_SYSTEMD", "true"), ("PODMAN_IGNORE_CGROUPSV1_WARNING", "true")];

/// What podman and buildah have in common: where their things are.
pub fn storage(top: &str) -> [String; 6] {
    ["--root", &format!("{top}/root"), "--runroot", &format!("{top}/run"), "--storage-driver", "overlay"]
        .map(str::to_owned)
}

/// A containers.conf, for a directory of things: that of README.md, and what the suite needs besides.
pub fn configuration(top: &str) -> String {
    let netavark = ["/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"].iter().any(|p| Path::new(p).exists());
    let init =
        ["/usr/bin/catatonit", "/usr/bin/docker-init", "/usr/bin/tini"].into_iter().find(|p| Path::new(p).exists());
    let own = format!(
        r#"[containers]
# Limits that a host without CAP_SYS_RESOURCE can give.
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
init_path = "{}"
[network]
network_backend = "{}"
cni_plugin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
[engine]
events_logger = "file"
infra_image = "{}"
infra_command = "/bin/sleep 1000"
tmp_dir = "{top}/tmp"
static_dir = "{top}/static"
volume_path = "{top}/volumes"
"#,
        init.unwrap_or("/usr/bin/catatonit"),
        if netavark { "netavark" } else { "cni" },
        image::NAME,
    );
    // There can be one table of a name.
    own + readme::configuration("podman").strip_prefix("[engine]\n").unwrap()
}

fn start() -> Engine {
    let top = dir().join("podman");
    let top = top.to_str().unwrap();
    fs::create_dir_all(format!("{top}/networks")).unwrap();
    let conf = format!("{top}/containers.conf");
    fs::write(&conf, configuration(top)).unwrap();
    // The runtime is the configuration's: by name.
    let mut client = Client::new(&["podman", "--network-config-dir", &format!("{top}/networks")]);
    client.words.extend(storage(top));
    client.words.extend(["--cgroup-manager", if systemd() { "systemd" } else { "cgroupfs" }].map(str::to_owned));
    client.env.push(("CONTAINERS_CONF".to_owned(), conf));
    client.env.extend(QUIETLY.map(|(name, value)| (name.to_owned(), value.to_owned())));
    println!("podman {}", client.ok(&["version", "--format", "{{.Client.Version}}"]));
    client.ok(&["load", "--input", image::archive().to_str().unwrap()]);
    Engine { kind: Kind::Podman, client, flags: format!("--pull never --cgroup-parent {}", parent("podman")).leak() }
}

/// podman leaves the runtime's state directory to the runtime.
fn the_runtime_has_the_container(e: &'static Engine) {
    let c = e.sleeper("");
    let out = run(std::process::Command::new(program()).args(["state", &c.id])).ok();
    let state: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!((state["pid"].as_u64(), state["status"].as_str()), (Some(c.pid().into()), Some("running")));
    let id = c.id.clone();
    drop(c);
    assert_eq!(run(std::process::Command::new(program()).args(["state", &id])).code, 1);
}

/// A pod, removed on drop.
struct Pod {
    engine: &'static Engine,
    name: String,
}

impl Pod {
    fn create(engine: &'static Engine, flags: &str) -> Pod {
        let name = format!("{}-pod", unique());
        let parent = engine.flags.split_whitespace().skip(2); // --cgroup-parent
        let words: Vec<&str> =
            ["pod", "create", "--name", &name].into_iter().chain(parent).chain(flags.split_whitespace()).collect();
        engine.client.ok(&words);
        Pod { engine, name }
    }

    fn container(&self, script: &str) -> Running {
        let words = ["run", "--detach", "--pull", "never", "--pod", &self.name, image::NAME, "sh", "-c", script];
        Running { engine: self.engine, id: self.engine.client.ok(&words) }
    }

    /// The container that holds the namespaces.
    fn infra(&self) -> u32 {
        let id = self.engine.client.ok(&["pod", "inspect", "--format", "{{.InfraContainerID}}", &self.name]);
        self.engine.client.ok(&["inspect", "--format", "{{.State.Pid}}", &id]).parse().unwrap()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.engine.client.call(&["pod", "rm", "--force", "--time", "0", &self.name]);
    }
}

fn pod(e: &'static Engine) {
    let pod = Pod::create(e, "--share net,ipc,uts --hostname the-pod");
    let web = pod
        .container("ipcmk --shmem 8192; mkdir /www; echo page >/www/index.html; exec httpd -f -p 127.0.0.1:80 -h /www");
    let client = pod.container("exec sleep 1000");
    let (infra, web_pid, client_pid) = (pod.infra(), web.pid(), client.pid());
    for pid in [web_pid, client_pid] {
        let same = shared(infra, pid);
        for kind in ["net", "ipc", "uts"] {
            assert!(same.contains(&kind), "{kind}: {same:?}");
        }
        assert!(!same.contains(&"pid") && !same.contains(&"mnt"), "{same:?}");
    }
    assert_eq!(client.exec("", &["hostname"]).ok().stdout, "the-pod\n");
    eventually("a page over localhost", || {
        client.exec("", &["wget", "-q", "-O", "-", "http://127.0.0.1/"]).stdout == "page\n"
    });
    let seen = client.exec("", &["ipcs", "-m"]).ok().stdout;
    assert!(seen.contains("8192"), "{seen}");
    e.client.ok(&["pod", "pause", &pod.name]);
    assert!(Limits(web_pid).frozen() && Limits(client_pid).frozen());
    e.client.ok(&["pod", "unpause", &pod.name]);
    assert!(!Limits(web_pid).frozen());
}

fn pod_with_shared_pids(e: &'static Engine) {
    let pod = Pod::create(e, "--share +pid --network none");
    let first = pod.container("exec sleep 996");
    let second = pod.container("sleep 994 & exec sleep 995");
    let (infra, one, two) = (pod.infra(), first.pid(), second.pid());
    assert_eq!((ns(infra, "pid"), ns(infra, "pid")), (ns(one, "pid"), ns(two, "pid")));
    let seen = first.exec("", &["ps"]).ok().stdout;
    assert!(seen.contains("sleep 994") && seen.contains("sleep 995") && seen.contains("sleep 1000"), "{seen}");
    // The end of a container ends all of its processes, and none of the pod's others.
    let child = process_like(one, "sleep\x00994");
    second.ok(&["kill"]);
    eventually("both are gone", || {
        fs::read_link(proc(two, "exe")).is_err() && fs::read_link(proc(child, "exe")).is_err()
    });
    assert_eq!((comm(infra), comm(one)), ("sleep".to_owned(), "sleep".to_owned()));
}

fn play_kube(e: &'static Engine) {
    let file = format!("{}/pod.yaml", e.scratch());
    let name = format!("{}-kube", unique());
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "hostname": "from-kube", "shareProcessNamespace": true, "restartPolicy": "Never",
            "containers": [
                { "name": "a", "image": image::NAME, "command": ["sleep", "993"], "imagePullPolicy": "Never",
                  "resources": { "limits": { "memory": "64Mi" } } },
                { "name": "b", "image": image::NAME, "command": ["sleep", "992"], "imagePullPolicy": "Never",
                  "securityContext": { "runAsUser": 1234, "capabilities": { "drop": ["ALL"] } } },
            ],
        },
    });
    // JSON is YAML.
    fs::write(&file, pod.to_string()).unwrap();
    let kube = Pod { engine: e, name: name.clone() };
    let network = if e.kind == Kind::Rootless { "none" } else { "podman" };
    e.client.ok(&["play", "kube", "--network", network, &file]);
    let container = |container: &str| Running { engine: e, id: format!("{name}-{container}") };
    let (first, second) = (container("a"), container("b"));
    let (infra, a, b) = (kube.infra(), first.pid(), second.pid());
    for kind in ["net", "ipc", "uts", "pid"] {
        assert_eq!((ns(infra, kind), ns(infra, kind)), (ns(a, kind), ns(b, kind)), "{kind}");
    }
    assert_eq!(Limits(a).memory(), "67108864");
    assert_eq!(status_of(b, "CapBnd"), "0000000000000000");
    assert_eq!(status_of(b, "Uid").split_whitespace().next(), Some("1234"));
    let hostname = first.exec("", &["hostname"]).ok().stdout;
    let hostname = hostname.trim();
    assert!(hostname == "from-kube" || hostname == name, "{hostname}");
    e.client.ok(&["play", "kube", "--down", &file]);
    eventually("all are gone", || [infra, a, b].iter().all(|&pid| fs::read_link(proc(pid, "exe")).is_err()));
}

/// What a build makes must come out of containers that the runtime under test has run.
const CONTAINERFILE: &str = "FROM localhost/hilum-test:latest
RUN echo built by $(id -u) >/built && cat /proc/1/comm >/first
USER user
RUN id -un >/tmp/user
";

fn build(e: &'static Engine) {
    let context = format!("{}/context", e.scratch());
    fs::create_dir_all(&context).unwrap();
    fs::write(format!("{context}/Containerfile"), CONTAINERFILE).unwrap();
    let name = "localhost/hilum-built:latest";
    e.client.ok(&["build", "--isolation", "oci", "--pull=never", "--network", "none", "--tag", name, &context]);
    let words: Vec<&str> = ["run", "--rm"].into_iter().chain(e.flags.split_whitespace()).collect();
    let said = e.client.ok(&[&words[..], &[name, "cat", "/built", "/tmp/user"]].concat());
    assert_eq!(said, "built by 0\nuser");
}

fn checkpoint_and_restore(e: &'static Engine) {
    if !criu() {
        return;
    }
    let c = e.sh_detached("", COUNTER);
    let pid = c.pid();
    counts_beyond(pid, 5);
    let reached = counted(pid);
    c.ok(&["container", "checkpoint"]);
    assert!(fs::read_link(proc(pid, "exe")).is_err());
    assert_eq!((c.status().as_str(), c.inspect("{{.State.Checkpointed}}").as_str()), ("exited", "true"));
    c.ok(&["container", "restore"]);
    counts_beyond(c.pid(), reached);
    assert_eq!((c.status().as_str(), c.inspect("{{.State.Restored}}").as_str()), ("running", "true"));
    assert_ne!(ns(c.pid(), "net"), own_ns("net"));
    c.exec("", &["tail", "-n", "1", "/tmp/count"]).ok();

    // Elsewhere, as another container.
    let archive = format!("{}/checkpoint.tar.gz", e.scratch());
    let reached = counted(c.pid());
    c.ok(&["container", "checkpoint", "--export", &archive]);
    drop(c);
    let name = format!("{}-moved", unique());
    let moved = e.client.ok(&["container", "restore", "--import", &archive, "--name", &name]);
    let moved = Running { engine: e, id: moved };
    counts_beyond(moved.pid(), reached);
    moved.ok(&["kill"]);
    assert_eq!(moved.wait(), 137);
}

fn buildah() {
    if !installed("buildah") {
        return;
    }
    let top = dir().join("buildah");
    let top = top.to_str().unwrap();
    fs::create_dir_all(format!("{top}/context")).unwrap();
    fs::write(format!("{top}/context/Containerfile"), CONTAINERFILE).unwrap();
    let conf = format!("{top}/containers.conf");
    fs::write(&conf, configuration(top)).unwrap();
    let mut client = Client::new(&["buildah"]);
    client.words.extend(storage(top));
    client.env.push(("CONTAINERS_CONF".to_owned(), conf));
    println!("{}", client.ok(&["--version"]));
    let archive = format!("docker-archive:{}", image::archive().display());
    let base = client.ok(&["from", "--pull-never", &client.ok(&["pull", "--quiet", &archive])]);
    let run = ["run", "--runtime", program(), "--isolation", "oci", "--network", "none"];
    let said = client.ok(&[
        &run[..],
        &[&base, "--", "sh", "-c", "id -u; readlink /proc/self/ns/net; readlink /proc/self/ns/pid"],
    ]
    .concat());
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert!(lines[0] == "0" && lines[1] != own_ns("net") && lines[2] != own_ns("pid"), "{said}");
    let name = "localhost/hilum-buildah:latest";
    let build =
        ["build", "--runtime", program(), "--isolation", "oci", "--pull=never", "--network", "none", "--tag", name];
    client.ok(&[&build[..], &[&format!("{top}/context")]].concat());
    let built = client.ok(&["from", "--pull-never", name]);
    assert_eq!(client.ok(&[&run[..], &[&built, "--", "cat", "/built", "/tmp/user"]].concat()), "built by 0\nuser");
    // A failure inside is the build's.
    let failed = client.call(&[&run[..], &[&built, "--", "sh", "-c", "exit 3"]].concat());
    assert_eq!(failed.code, 3, "{}", failed.stderr);
}
