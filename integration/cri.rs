//! containerd's CRI plugin, as the kubelet drives it: pods with the runtime handler `hilum`.

mod streams;

use crate::common::*;
use crate::containerd::{self, Containerd, KUBERNETES};
use crate::{Group, Test};
use std::cell::RefCell;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

struct Cri {
    containerd: &'static Containerd,
    /// cri.py: what it reads, and what it writes. Started once, as Python is slow to start.
    client: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    python: Mutex<Child>,
}

static CRI: Lazy<Cri> = Lazy::new();

/// Debian's, which has Debian's modules.
const PYTHON: &str = "/usr/bin/python3";

pub fn group() -> Group {
    let tests: [Test<Cri>; 17] = [
        ("pod_of_two", pod_of_two),
        ("namespace_paths_are_the_sandboxs", namespace_paths_are_the_sandboxs),
        ("shared_pids", shared_pids),
        ("pids_of_a_target", pids_of_a_target),
        ("pods_by_annotation", pods_by_annotation),
        ("host_namespaces", host_namespaces),
        ("security_context", security_context),
        ("exec_sync", exec_sync),
        ("exec_has_three_streams_and_a_code", streams::exec_has_three_streams_and_a_code),
        ("exec_on_a_terminal", streams::exec_on_a_terminal),
        ("attach", streams::attach),
        ("attach_to_a_terminal", streams::attach_to_a_terminal),
        ("stats_and_update", stats_and_update),
        ("ends_and_logs", ends_and_logs),
        ("user_namespace", user_namespace),
        ("handler_must_exist", handler_must_exist),
        ("nothing_is_left", nothing_is_left),
    ];
    let mut group = Group { name: "cri", tests: Vec::new(), stop };
    for (name, test) in tests {
        group.add(name, move || {
            let modules = run(Command::new(PYTHON).args(["-c", "import grpc, google.protobuf"]));
            if modules.code != 0 {
                skip("python3-grpcio and python3-protobuf are not installed: scripts/packages integration");
            } else if installed("protoc") {
                containerd::with(|containerd| test(CRI.get(|| start(containerd))));
            }
        });
    }
    group
}

fn start(containerd: &'static Containerd) -> Cri {
    let top = dir().join("cri");
    fs::create_dir_all(top.join("logs")).unwrap();
    fs::write(top.join("cri.proto"), include_str!("cri.proto")).unwrap();
    fs::write(top.join("cri.py"), include_str!("cri.py")).unwrap();
    fs::write(top.join("stream.py"), include_str!("cri/stream.py")).unwrap();
    run(Command::new("protoc").args(["--python_out=.", "cri.proto"]).current_dir(&top)).ok();
    let limit = LIMIT * patience();
    let mut python = Command::new(PYTHON);
    python.arg(top.join("cri.py")).arg(&containerd.socket).arg(limit.as_secs().to_string());
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let client = (python.stdin.take().unwrap(), BufReader::new(python.stdout.take().unwrap()));
    Cri { containerd, client: Mutex::new(client), python: Mutex::new(python) }
}

fn stop() {
    if let Some(cri) = CRI.started() {
        let mut python = cri.python.lock().unwrap_or_else(PoisonError::into_inner);
        _ = python.kill();
        _ = python.wait();
    }
    containerd::stop();
}

impl Cri {
    fn call(&self, method: &str, request: &Value) -> Result<Value, String> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(client.0, "{}", json!([method, request])).unwrap();
        let mut line = String::new();
        client.1.read_line(&mut line).unwrap();
        let (answer, error): (Value, Option<String>) =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("cri.py says {line:?}: {e}"));
        error.map_or(Ok(answer), Err)
    }

    #[track_caller]
    fn ok(&self, method: &str, request: &Value) -> Value {
        self.call(method, request).unwrap_or_else(|e| panic!("{method} {request}: {e}"))
    }
}

/// A pod sandbox. Stopped and removed on drop, with its containers.
struct Pod {
    cri: &'static Cri,
    id: String,
    config: Value,
    serial: RefCell<u32>,
}

impl Pod {
    /// `options` are the sandbox's NamespaceOption.
    #[track_caller]
    fn run(cri: &'static Cri, name: &str, options: Value) -> Pod {
        Self::run_with(cri, name, options, json!({}))
    }

    /// `more` is what its configuration has besides.
    #[track_caller]
    fn run_with(cri: &'static Cri, name: &str, options: Value, more: Value) -> Pod {
        let logs = dir().join("cri/logs").join(name);
        let parent = crate::engine::limits::parent(&format!("cri_{name}"));
        let mut config = json!({
            "metadata": { "name": name, "uid": format!("uid-{name}"), "namespace": "default" },
            "log_directory": logs,
            "linux": { "cgroup_parent": parent, "security_context": { "namespace_options": options } },
        });
        if options["network"] != "NODE" {
            config["hostname"] = json!(name);
        }
        config.as_object_mut().unwrap().append(&mut serde_json::from_value(more).unwrap());
        let answer = cri.ok("RunPodSandbox", &json!({ "config": config, "runtime_handler": "hilum" }));
        let id = answer["pod_sandbox_id"].as_str().unwrap().to_owned();
        Pod { cri, id, config, serial: RefCell::new(0) }
    }

    #[track_caller]
    fn container(&self, script: &str, options: Value) -> Container {
        self.container_with(script, json!({ "namespace_options": options }), json!({}))
    }

    #[track_caller]
    fn container_with(&self, script: &str, security: Value, resources: Value) -> Container {
        self.start(script, json!({ "linux": { "security_context": security, "resources": resources } }))
    }

    /// `more` is what its configuration has besides.
    #[track_caller]
    fn start(&self, script: &str, more: Value) -> Container {
        let serial = self.serial.replace_with(|n| *n + 1);
        let mut config = json!({
            "metadata": { "name": format!("c{serial}") },
            "image": { "image": image::NAME },
            "command": ["sh", "-c", script],
            "log_path": format!("c{serial}.log"),
        });
        config.as_object_mut().unwrap().append(&mut serde_json::from_value(more).unwrap());
        let request = json!({ "pod_sandbox_id": self.id, "config": config, "sandbox_config": self.config });
        let answer = self.cri.ok("CreateContainer", &request);
        let id = answer["container_id"].as_str().unwrap().to_owned();
        self.cri.ok("StartContainer", &json!({ "container_id": id }));
        Container { cri: self.cri, id }
    }

    fn info(&self) -> Value {
        let answer = self.cri.ok("PodSandboxStatus", &json!({ "pod_sandbox_id": self.id, "verbose": true }));
        serde_json::from_str(answer["info"]["info"].as_str().unwrap()).unwrap()
    }

    fn pid(&self) -> u32 {
        let pid = self.info()["pid"].as_u64().unwrap() as u32;
        eventually("the sandbox runs", || runs_program(pid));
        pid
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let pod = json!({ "pod_sandbox_id": self.id });
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            if let Err(e) = self.cri.call(method, &pod) {
                eprintln!("{method}: {e}");
            }
        }
    }
}

/// Removed with its pod.
struct Container {
    cri: &'static Cri,
    id: String,
}

impl Container {
    fn status(&self) -> Value {
        self.cri.ok("ContainerStatus", &json!({ "container_id": self.id }))["status"].clone()
    }

    /// What crictl inspect shows.
    fn info(&self) -> Value {
        let answer = self.cri.ok("ContainerStatus", &json!({ "container_id": self.id, "verbose": true }));
        serde_json::from_str(answer["info"]["info"].as_str().unwrap()).unwrap()
    }

    #[track_caller]
    fn pid(&self) -> u32 {
        let pid = self.info()["pid"].as_u64().unwrap() as u32;
        eventually("the user's program runs", || runs_program(pid));
        pid
    }

    /// Exit code, standard output, standard error.
    #[track_caller]
    fn exec(&self, cmd: &[&str]) -> (i64, String, String) {
        let answer =
            self.cri.ok("ExecSync", &json!({ "container_id": self.id, "cmd": cmd, "timeout": 20 * patience() }));
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        (answer["exit_code"].as_i64().unwrap_or(0), text("stdout"), text("stderr"))
    }

    fn stop(&self) {
        self.cri.ok("StopContainer", &json!({ "container_id": self.id, "timeout": 0 }));
    }
}

/// What the kubelet asks for by default: every container has its own processes.
fn own_pids() -> Value {
    json!({ "pid": "CONTAINER" })
}

fn pod_of_two(cri: &'static Cri) {
    let pod = Pod::run(cri, "two", own_pids());
    let web = pod.container(
        "ipcmk --shmem 8192; mkdir /www; echo page >/www/index.html; exec httpd -f -p 127.0.0.1:80 -h /www",
        own_pids(),
    );
    let client = pod.container("exec sleep 1000", own_pids());
    let (sandbox, web_pid, client_pid) = (pod.pid(), web.pid(), client.pid());
    for pid in [web_pid, client_pid] {
        let same = shared(sandbox, pid);
        for kind in ["net", "ipc", "uts"] {
            assert!(same.contains(&kind), "{kind}: {same:?}");
        }
        assert!(!same.contains(&"pid") && !same.contains(&"mnt"), "{same:?}");
    }
    assert_ne!(ns(sandbox, "net"), own_ns("net"));
    eventually("a page over localhost", || client.exec(&["wget", "-q", "-O", "-", "http://127.0.0.1/"]).1 == "page\n");
    let (_, seen, _) = client.exec(&["ipcs", "-m"]);
    assert!(seen.contains("8192"), "{seen}");
    assert_eq!(client.exec(&["hostname"]).1, "two\n");
    // The address that the network plugin gave to the pod.
    let status = cri.ok("PodSandboxStatus", &json!({ "pod_sandbox_id": pod.id }));
    let address = status["status"]["network"]["ip"].as_str().unwrap().to_owned();
    assert_eq!(status["status"]["runtime_handler"], "hilum");
    assert!(web.exec(&["ip", "addr", "show", "eth0"]).1.contains(&address), "{address}");
    // All below the pod's cgroup.
    let parent = pod.config["linux"]["cgroup_parent"].as_str().unwrap().to_owned();
    for pid in [sandbox, web_pid, client_pid] {
        let cgroup = cgroup_of(pid, if Host::plain() == Host::V2 { "" } else { "memory" });
        assert!(cgroup.contains(&parent), "{cgroup}");
    }
    // The runtime under test has it: its state, in the shim's directory for it.
    let state = runtime_state(&containerd::runtime_root(KUBERNETES), &web.id);
    assert_eq!(state["pid"].as_u64(), Some(web_pid.into()), "{state:#}");
}

fn namespace_paths_are_the_sandboxs(cri: &'static Cri) {
    let pod = Pod::run(cri, "paths", own_pids());
    let c = pod.container("exec sleep 1000", own_pids());
    let (info, sandbox) = (c.info(), pod.pid());
    let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array().unwrap().clone();
    let path = |kind: &str| {
        let entry = namespaces.iter().find(|entry| entry["type"] == kind);
        entry.and_then(|entry| entry["path"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!((path("mount"), path("pid")), (String::new(), String::new()), "{namespaces:?}");
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        let path = path(kind);
        assert!(!path.is_empty(), "{kind}: {namespaces:?}");
        // The path that the runtime was given, the sandbox's namespace and the container's are one.
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        let given = inode(Path::new(&path));
        assert_eq!(
            (given, given),
            (inode(&proc(sandbox, &format!("ns/{file}"))), inode(&proc(c.pid(), &format!("ns/{file}"))))
        );
    }
    assert_eq!(info["runtimeType"], "io.containerd.runc.v2");
    shows_namespaces(&containerd::runtime_root(KUBERNETES), &[(&pod.id, sandbox), (&c.id, c.pid())]);
}

fn shared_pids(cri: &'static Cri) {
    let options = json!({ "pid": "POD" });
    let pod = Pod::run(cri, "pids", options.clone());
    let one = pod.container("exec sleep 996", options.clone());
    let two = pod.container("sleep 994 & exec sleep 995", options);
    let (sandbox, one_pid, two_pid) = (pod.pid(), one.pid(), two.pid());
    assert_eq!((ns(sandbox, "pid"), ns(sandbox, "pid")), (ns(one_pid, "pid"), ns(two_pid, "pid")));
    let (_, seen, _) = one.exec(&["ps"]);
    assert!(seen.contains("sleep 994") && seen.contains("sleep 995"), "{seen}");
    // The end of a container's first process ends its others, and nobody else's.
    let child = process_like(one_pid, "sleep\x00994");
    two.stop();
    eventually("all of it is gone", || [two_pid, child].iter().all(|&pid| fs::read_link(proc(pid, "exe")).is_err()));
    assert_eq!((comm(sandbox), comm(one_pid)), ("sleep".to_owned(), "sleep".to_owned()));
    assert_eq!(one.status()["state"], "CONTAINER_RUNNING");
}

fn pids_of_a_target(cri: &'static Cri) {
    let pod = Pod::run(cri, "target", own_pids());
    let target = pod.container("exec sleep 1000", own_pids());
    let debugger = pod.container("exec sleep 996", json!({ "pid": "TARGET", "target_id": target.id }));
    assert_eq!(ns(target.pid(), "pid"), ns(debugger.pid(), "pid"));
    assert_ne!(ns(target.pid(), "pid"), ns(pod.pid(), "pid"));
    assert!(debugger.exec(&["ps"]).1.contains("sleep 1000"));
}

/// What no field of the CRI can say: annotations do, which the configuration lists for containerd to pass on.
fn pods_by_annotation(cri: &'static Cri) {
    if !host::is_hilum() {
        skip("another runtime does not know org.hilum.*");
        return;
    }
    // The network is what the CRI plugin makes, whatever the runtime does.
    let named = NamedPod::create("cri", &["--share", "ipc,uts"]);
    let annotations = json!({ "annotations": { "org.hilum.pod": named.name } });
    let pod = Pod::run_with(cri, "named", own_pids(), annotations.clone());
    let one =
        pod.start("exec sleep 1000", json!({ "linux": { "security_context": { "namespace_options": own_pids() } } }));
    for pid in [pod.pid(), one.pid()] {
        assert_eq!((ns(pid, "ipc"), ns(pid, "uts")), (named.ns("ipc"), named.ns("uts")));
        assert_eq!(ns(pid, "net"), ns(pod.pid(), "net"));
        assert!(cgroup_of(pid, if Host::plain() == Host::V2 { "" } else { "memory" }).contains(&named.name));
    }
    // One container's annotation: its neighbour's processes, where the pod shares none.
    let join = json!({
        "annotations": { "org.hilum.join": format!("{}:pid", one.id) },
        "linux": { "security_context": { "namespace_options": own_pids() } },
    });
    let two = pod.start("exec sleep 995", join);
    assert_eq!(ns(two.pid(), "pid"), ns(one.pid(), "pid"));
    assert_ne!(ns(two.pid(), "pid"), ns(pod.pid(), "pid"));
    assert!(two.exec(&["ps"]).1.contains("sleep 1000"));
}

fn host_namespaces(cri: &'static Cri) {
    let options = json!({ "network": "NODE", "pid": "NODE", "ipc": "NODE" });
    let pod = Pod::run(cri, "host", options.clone());
    let c = pod.container("exec sleep 1000", options);
    for kind in ["net", "pid", "ipc"] {
        assert_eq!((ns(c.pid(), kind), ns(pod.pid(), kind)), (own_ns(kind), own_ns(kind)), "{kind}");
    }
    assert_ne!(ns(c.pid(), "mnt"), own_ns("mnt"));
}

fn security_context(cri: &'static Cri) {
    let pod = Pod::run(cri, "security", own_pids());
    let c = pod.container_with(
        "exec sleep 1000",
        json!({
            "namespace_options": own_pids(),
            "capabilities": { "drop_capabilities": ["ALL"], "add_capabilities": ["NET_ADMIN"] },
            "run_as_user": { "value": 1234 }, "run_as_group": { "value": 5678 }, "supplemental_groups": [99],
            "readonly_rootfs": true, "no_new_privs": true,
            "seccomp": { "profile_type": "RuntimeDefault" },
            "masked_paths": ["/proc/filesystems"], "readonly_paths": ["/proc/sys"],
        }),
        json!({}),
    );
    let pid = c.pid();
    assert_eq!(status_of(pid, "CapBnd"), "0000000000001000");
    assert_eq!(status_of(pid, "Uid"), "1234\t1234\t1234\t1234");
    assert_eq!(status_of(pid, "Gid"), "5678\t5678\t5678\t5678");
    assert!(status_of(pid, "Groups").split_whitespace().any(|group| group == "99"));
    assert_eq!((status_of(pid, "Seccomp").as_str(), status_of(pid, "NoNewPrivs").as_str()), ("2", "1"));
    let mounts = mounts_of(pid);
    assert!(mount_at(&mounts, "/").has("ro") && mount_at(&mounts, "/proc/sys").has("ro"), "{mounts:#?}");
    mount_at(&mounts, "/proc/filesystems");
}

fn exec_sync(cri: &'static Cri) {
    let pod = Pod::run(cri, "exec", own_pids());
    let c = pod.container("exec sleep 1000", own_pids());
    assert_eq!(c.exec(&["sh", "-c", "echo out; echo err >&2; exit 7"]), (7, "out\n".to_owned(), "err\n".to_owned()));
    let (_, inside, _) = c.exec(&["sh", "-c", "readlink /proc/self/ns/net; cat /proc/1/comm"]);
    assert_eq!(inside, format!("{}\nsleep\n", ns(c.pid(), "net")));
    let late = cri.call("ExecSync", &json!({ "container_id": c.id, "cmd": ["sleep", "991"], "timeout": 1 }));
    assert!(late.as_ref().is_err_and(|e| e.contains("DEADLINE") || e.contains("timed out")), "{late:?}");
    let missing = cri.call("ExecSync", &json!({ "container_id": c.id, "cmd": ["/no/such"], "timeout": 5 }));
    assert!(missing.as_ref().is_err_and(|e| e.contains("no such file or directory")), "{missing:?}");
}

fn stats_and_update(cri: &'static Cri) {
    let pod = Pod::run(cri, "stats", own_pids());
    let resources =
        json!({ "memory_limit_in_bytes": 67_108_864, "cpu_quota": 50_000, "cpu_period": 100_000, "cpu_shares": 512 });
    let c = pod.container_with("while :; do :; done", json!({ "namespace_options": own_pids() }), resources);
    let limits = Limits(c.pid());
    assert_eq!((limits.memory().as_str(), limits.cpu().as_str()), ("67108864", "50000 100000"));
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    eventually("statistics", || {
        let stats = cri.ok("ContainerStats", &json!({ "container_id": c.id }))["stats"].clone();
        number(&stats["cpu"]["usage_core_nano_seconds"]["value"]) > 0
            && number(&stats["memory"]["working_set_bytes"]["value"]) > 0
    });
    let change = json!({ "memory_limit_in_bytes": 134_217_728, "cpu_quota": 25_000, "cpu_period": 100_000 });
    cri.ok("UpdateContainerResources", &json!({ "container_id": c.id, "linux": change }));
    assert_eq!((limits.memory().as_str(), limits.cpu().as_str()), ("134217728", "25000 100000"));
}

fn ends_and_logs(cri: &'static Cri) {
    let pod = Pod::run(cri, "ends", own_pids());
    let c = pod.container("echo said; exit 9", own_pids());
    eventually("its end", || c.status()["state"] == "CONTAINER_EXITED");
    assert_eq!((c.status()["exit_code"].as_i64(), c.status()["reason"].as_str()), (Some(9), Some("Error")));
    let log = dir().join("cri/logs/ends/c0.log");
    eventually("its log", || read(&log).contains("stdout F said"));
    // Again, in the same pod.
    let c = pod.container("exec sleep 1000", own_pids());
    let pid = c.pid();
    c.stop();
    assert_eq!(c.status()["exit_code"].as_i64(), Some(137));
    assert!(fs::read_link(proc(pid, "exe")).is_err());
    // The shim watches for this from the moment that start has returned: not at once.
    let hungry = pod.container_with(
        &format!("{}; exec tail /dev/zero", a_moment()),
        json!({ "namespace_options": own_pids() }),
        json!({ "memory_limit_in_bytes": 16_777_216 }),
    );
    eventually("the end of one that wants more", || hungry.status()["reason"] == "OOMKilled");
    assert!(fs::read_link(proc(pod.pid(), "exe")).is_ok());
}

fn user_namespace(cri: &'static Cri) {
    let version: Vec<u32> =
        cri.containerd.version.trim_start_matches('v').split('.').map_while(|n| n.parse().ok()).collect();
    if version < vec![1, 7] {
        skip(&format!("containerd {} has no user namespaces for pods: 1.7 has", cri.containerd.version));
        return;
    }
    let ids = json!([{ "host_id": 700_000, "container_id": 0, "length": 65_536 }]);
    let options = json!({ "pid": "CONTAINER", "userns_options": { "mode": "POD", "uids": ids, "gids": ids } });
    let pod = Pod::run(cri, "userns", options.clone());
    let c = pod.container("exec sleep 1000", options);
    let (sandbox, pid) = (pod.pid(), c.pid());
    assert_eq!(ns(sandbox, "user"), ns(pid, "user"));
    assert_ne!(ns(pid, "user"), own_ns("user"));
    assert_eq!(read(&proc(pid, "uid_map")).split_whitespace().collect::<Vec<_>>(), ["0", "700000", "65536"]);
    assert_eq!(status_of(pid, "Uid").split_whitespace().next(), Some("700000"));
    assert_eq!(c.exec(&["id", "-u"]).1, "0\n");
}

fn handler_must_exist(cri: &'static Cri) {
    let config = json!({ "metadata": { "name": "none", "uid": "none", "namespace": "default" }, "hostname": "none" });
    let refused = cri.call("RunPodSandbox", &json!({ "config": config, "runtime_handler": "nosuchhandler" }));
    assert!(refused.as_ref().is_err_and(|e| e.contains("nosuchhandler")), "{refused:?}");
}

/// After all the others.
fn nothing_is_left(cri: &'static Cri) {
    let ctr = Client::new(&["ctr", "--address", &cri.containerd.socket, "--namespace", KUBERNETES]);
    assert_eq!(ctr.ok(&["containers", "list", "--quiet"]), "");
    for namespace in [KUBERNETES.to_owned(), unique()] {
        let left: Vec<_> = fs::read_dir(containerd::runtime_root(&namespace)).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let pods = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.len() >= 64) && path.to_string_lossy().contains("cri_")
    };
    let left: Vec<_> = kernel::cgroups_named(&unique()).into_iter().filter(pods).collect();
    assert!(left.is_empty(), "{left:#?}");
}
