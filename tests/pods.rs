//! Pods: what they share, what they pin, and that nothing of them stays.

use crate::common::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The kinds under /proc/PID/ns that a pod can share.
const SHARED: [&str; 7] = ["net", "ipc", "uts", "pid", "user", "time", "cgroup"];

const IDS: [&str; 2] = ["--uidmap", "0:100000:65536"];

fn sleeper(pod: &Pod) -> Container {
    Container::sleeper().in_pod(pod)
}

/// A container of a pod that has a user namespace: its root file system is for these ids.
fn for_kind(pod: &Pod, kind: &str) -> Container {
    let c = sleeper(pod);
    match kind {
        "user" => c.in_user_namespace().without_namespace("user").with(|config| {
            for maps in ["uidMappings", "gidMappings"] {
                config["linux"].as_object_mut().unwrap().remove(maps);
            }
        }),
        _ => c,
    }
}

fn flags(share: &str) -> Vec<&str> {
    let mut flags = vec!["--share", share];
    if share.split(',').any(|kind| kind == "user") {
        flags.extend(IDS);
    }
    flags
}

/// Those of `kinds` are the pod's in each of the containers, and all others are not shared between them.
#[track_caller]
fn share_just(pod: &Pod, kinds: &[&str], containers: &[&Container]) {
    for kind in SHARED {
        let all: Vec<String> = containers.iter().map(|c| ns(c.pid(), kind)).collect();
        if kinds.contains(&kind) {
            assert!(all.iter().all(|ns| *ns == pod.ns(kind)), "{kind}: {all:?}, and the pod has {}", pod.ns(kind));
            assert_ne!(pod.ns(kind), own_ns(kind), "{kind}");
        } else if kind == "user" || kind == "time" {
            // Not in the containers' documents.
            assert!(all.iter().all(|ns| *ns == own_ns(kind)), "{kind}: {all:?}");
        } else {
            let mut different = all.clone();
            different.sort();
            different.dedup();
            assert_eq!(different.len(), all.len(), "{kind}: {all:?}");
            assert!(!all.contains(&own_ns(kind)), "{kind}: {all:?}");
        }
    }
}

#[test]
fn each_kind_alone_is_shared_by_three_containers() {
    for kind in SHARED {
        let pod = Pod::with(&flags(kind));
        let containers: Vec<_> = (0..3).map(|_| for_kind(&pod, kind)).collect();
        for c in &containers {
            c.up();
        }
        share_just(&pod, &[kind], &containers.iter().collect::<Vec<_>>());
        for c in containers {
            c.finish();
        }
        pod.finish();
    }
}

#[test]
fn all_kinds_together_are_shared_by_three_containers() {
    let pod = Pod::with(&flags(&SHARED.join(",")));
    // With a user namespace that owns all others, sysfs and mqueue can be mounted, too.
    let containers: Vec<_> = (0..3).map(|_| for_kind(&pod, "user")).collect();
    for c in &containers {
        c.up();
    }
    share_just(&pod, &SHARED, &containers.iter().collect::<Vec<_>>());
    for c in containers {
        c.finish();
    }
    pod.finish();
}

#[test]
fn localhost_names_shared_memory_and_queues_are_the_pods() {
    let pod = Pod::with(&["--hostname", "shop", "--domainname", "corner", "--shm-size", "3m"]);
    let server = Container::sh("while :; do nc -l -p 80 -e echo hello; done").in_pod(&pod);
    server.up();
    let script = "hostname; cat /proc/sys/kernel/domainname; nc 127.0.0.1 80; echo data >/dev/shm/posix; \
                  df -k /dev/shm | tail -n 1 | awk '{ print $2 }'";
    let client = Container::sh(script).set("hostname", json!("of-the-container")).in_pod(&pod);
    eventually("the server listens", || {
        let out = client.run();
        out.stdout == "shop\ncorner\nhello\n3072\n"
    });
    // POSIX shared memory and message queues are files; System V's has an id in the namespace.
    let reader = Container::sh("cat /dev/shm/posix; tail -n +2 /proc/sysvipc/shm | wc -l").in_pod(&pod);
    let writer = Container::sleeper().in_pod(&pod);
    writer.up();
    make_segment(writer.pid());
    assert_eq!(reader.run().ok().stdout, "data\n1\n");
    // Not the host's.
    assert!(!std::path::Path::new("/dev/shm/posix").exists());
    for c in [server, client, reader, writer] {
        c.finish();
    }
    pod.finish();
}

/// A System V segment in the ipc namespace of the process; busybox can only look at them.
fn make_segment(pid: u32) {
    let made = std::process::Command::new("nsenter")
        .args(["-t", &pid.to_string(), "-i", "ipcmk", "-M", "4096"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn names_of_a_container_do_not_rename_the_pod() {
    let pod = Pod::with(&["--hostname", "shop"]);
    let (a, b) = (sleeper(&pod).set("hostname", json!("a")), sleeper(&pod).set("hostname", json!("b")));
    a.up();
    b.up();
    for c in [&a, &b] {
        assert_eq!(c.call(&["exec", &c.id, "hostname"]).ok().stdout, "shop\n");
    }
    a.finish();
    b.finish();
    pod.finish();
}

#[test]
fn sysctls_are_set_once_for_all() {
    let pod = Pod::with(&["--sysctl", "kernel.msgmax=12345", "--sysctl", "net.ipv4.ip_forward=1"]);
    let c = Container::sh("cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward").in_pod(&pod);
    assert_eq!(c.run().ok().stdout, "12345\n1\n");
    c.finish();
    pod.finish();

    let pod = Pod::new();
    pod.create(&["--share", "uts", "--sysctl", "kernel.msgmax=1"]).fails("not allowed in the host's ipc namespace");
    pod.left_nothing();
}

#[test]
fn an_empty_pod_has_no_process_and_outlives_its_containers() {
    let pod = Pod::with(&["--share", "net,ipc,uts,time,cgroup"]);
    let before: Vec<String> = ["net", "ipc", "uts", "time", "cgroup"].iter().map(|kind| pod.ns(kind)).collect();
    let is_empty = || {
        let tasks = fs::read_to_string(pod.cgroup("memory").join("cgroup.procs")).unwrap();
        let users = processes_in(&before);
        (tasks.is_empty() && users.is_empty()).then_some(()).ok_or((tasks, users))
    };
    assert_eq!(is_empty(), Ok(()));
    for _ in 0..2 {
        let c = sleeper(&pod);
        c.up();
        assert_eq!(ns(c.pid(), "net"), pod.ns("net"));
        c.finish();
        assert_eq!(is_empty(), Ok(()));
    }
    let after: Vec<String> = ["net", "ipc", "uts", "time", "cgroup"].iter().map(|kind| pod.ns(kind)).collect();
    assert_eq!(before, after);
    pod.finish();
}

/// The processes of the host that are in one of the namespaces.
fn processes_in(namespaces: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let links = fs::read_dir(entry.path().join("ns")).into_iter().flatten().flatten();
        for link in links.filter_map(|link| fs::read_link(link.path()).ok()) {
            if namespaces.contains(&link.display().to_string()) {
                found.push(format!("{} {}", entry.path().display(), link.display()));
            }
        }
    }
    found
}

#[test]
fn a_pods_namespaces_are_gone_after_rm() {
    let pod = Pod::with(&["--share", "net"]);
    // A device in the network namespace: its peer is there for as long as the namespace is.
    let peer = format!("hp{}", std::process::id());
    let path = pod.path().join("ns/net").display().to_string();
    let ip = |args: &[&str]| std::process::Command::new("ip").args(args).output().unwrap();
    let made = ip(&["link", "add", &peer, "type", "veth", "peer", "name", "inside"]);
    if !made.status.success() {
        _ = skip("this kernel has no veth");
        return;
    }
    // ip(8) takes names in /run/netns, or the pid of a process.
    let name = format!("/run/netns/{}", pod.name);
    fs::create_dir_all("/run/netns").unwrap();
    symlink(&path, &name).unwrap();
    let moved = ip(&["link", "set", "inside", "netns", &pod.name]);
    fs::remove_file(&name).unwrap();
    assert!(moved.status.success(), "{moved:?}");
    assert!(ip(&["link", "show", &peer]).status.success());
    pod.finish();
    eventually("the namespace is gone", || !ip(&["link", "show", &peer]).status.success());
}

#[test]
fn with_a_shared_pid_namespace_the_reaper_takes_orphans_and_little_memory() {
    let pod = Pod::with(&["--share", "pid"]);
    let reaper = pod.document()["reaper"]["process"]["pid"].as_u64().unwrap() as u32;
    // Each is an orphan once its parent has ended, and a zombie if nobody waits for it.
    let script = "for i in $(seq 100); do (sleep 0.1 & ) ; done; sleep 0.3; echo done; exec sleep 1000";
    let c = Container::sh(script).in_pod(&pod);
    c.create().start();
    c.says("done");
    let zombies = || {
        let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        let of_pod =
            |pid: &u32| fs::read_link(proc(*pid, "ns/pid")).is_ok_and(|ns| ns.display().to_string() == pod.ns("pid"));
        let parent =
            |pid: &u32| fs::read_to_string(proc(*pid, "status")).is_ok_and(|s| field(&s, "PPid") == reaper.to_string());
        pids.filter(|pid| of_pod(pid) || parent(pid)).count()
    };
    // The reaper and the container's own process.
    eventually("no orphan is left", || zombies() == 2);
    // Resident, in all mappings.
    let rss = |name: &str| status_of(reaper, name).split(' ').next().unwrap().parse::<u64>().unwrap();
    println!("the reaper: {} kB resident, {} kB of them its own", rss("VmRSS"), rss("RssAnon"));
    assert!(rss("VmRSS") < 1024, "{} kB", rss("VmRSS"));
    c.finish();
    pod.finish();
}

#[test]
fn the_reaper_has_nothing_that_a_tracer_could_use() {
    let pod = Pod::with(&["--share", "pid"]);
    let reaper = pod.document()["reaper"]["process"]["pid"].as_u64().unwrap() as u32;
    for capabilities in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status_of(reaper, capabilities), 16), Ok(0), "{capabilities}");
    }
    assert_eq!(status_of(reaper, "NoNewPrivs"), "1");
    assert_eq!(fs::read_dir(proc(reaper, "fd")).unwrap().count(), 0);
    // An empty root, and namespaces of its own where it does not have the pod's.
    assert_eq!(fs::read_dir(proc(reaper, "root")).unwrap().count(), 0);
    for kind in ["mnt", "net", "ipc", "uts", "pid"] {
        assert_ne!(ns(reaper, kind), own_ns(kind), "{kind}");
    }
    // Only its own root is mounted there, and cannot be written to.
    let mounts = mounts_of(reaper);
    assert!(mounts.len() == 1 && mounts[0].options.starts_with("ro"), "{mounts:?}");
    // Other processes of the namespace see it, and have not the right to look into it.
    let c = Container::sh("ls /proc/1/root/; readlink /proc/1/exe; cat /proc/1/maps").in_pod(&pod);
    let out = c.run();
    assert_eq!((out.stdout.as_str(), out.stderr.matches("ermission denied").count()), ("", 2), "{out:?}");
    c.finish();
    pod.finish();
}

#[test]
fn the_reaper_ends_on_a_signal_and_the_pod_says_so() {
    for signal in ["TERM", "INT"] {
        let pod = Pod::with(&["--share", "net,pid"]);
        let reaper = pod.document()["reaper"]["process"]["pid"].as_u64().unwrap();
        let sent = std::process::Command::new("kill").args(["-s", signal, &reaper.to_string()]).status().unwrap();
        assert!(sent.success());
        eventually("it has ended", || !proc(reaper as u32, "ns/pid").exists());
        assert_eq!(
            pod.call(&["pod", "ls"]).ok().stdout.lines().nth(1).unwrap().split_whitespace().nth(1),
            Some("broken")
        );
        let c = sleeper(&pod);
        c.create_with(&[]).fails("sandbox gone: PID 1 of its pid namespace has ended");
        c.left_nothing();
        // What does not depend on it is still there.
        assert_ne!(pod.ns("net"), own_ns("net"));
        pod.finish();
    }
}

#[test]
fn in_a_shared_pid_namespace_the_end_of_one_leaves_its_neighbours_alone() {
    let pod = Pod::with(&["--share", "pid"]);
    let neighbour = Container::sh("sleep 1000 & exec sleep 1000").in_pod(&pod);
    neighbour.up();
    let count = || neighbour.call(&["ps", "-f", "json", &neighbour.id]).ok().stdout;
    let before = count();
    for end in [&["kill", "--all", "ID", "9"][..], &["kill", "ID", "KILL"], &["delete", "--force", "ID"]] {
        let c = Container::sh("sleep 1000 & exec sleep 1000").in_pod(&pod);
        c.up();
        let args: Vec<&str> = end.iter().map(|word| if *word == "ID" { c.id.as_str() } else { word }).collect();
        c.call(&args).ok();
        if args[0] != "delete" {
            c.wait("stopped");
        }
        c.finish();
        assert_eq!(count(), before, "{end:?}");
        assert_eq!(neighbour.status(), "running");
    }
    // They see each other, and may signal each other.
    let c = Container::sh("kill -HUP $(pidof sleep) && echo sent").in_pod(&pod);
    assert_eq!(c.run().ok().stdout, "sent\n");
    neighbour.wait("stopped");
    c.finish();
    neighbour.finish();
    pod.finish();
}

#[test]
fn exec_is_in_the_pods_namespaces_and_the_containers_cgroup() {
    let pod = Pod::with(&["--share", "net,ipc,uts,pid,cgroup"]);
    let (a, b) = (sleeper(&pod), sleeper(&pod));
    a.up();
    b.up();
    let script = "readlink /proc/self/ns/net; readlink /proc/self/ns/pid; cat /proc/self/cgroup";
    let out = a.call(&["exec", &a.id, "sh", "-c", script]).ok().stdout;
    assert!(out.starts_with(&format!("{}\n{}\n", pod.ns("net"), pod.ns("pid"))), "{out}");
    // The root of the shared cgroup namespace is the pod's cgroup, in each hierarchy that the host has mounted.
    let mounts = read(Path::new("/proc/mounts"));
    let is_mounted = |line: &&str| line.split(':').nth(1).is_some_and(|name| mounts.contains(name));
    let cgroups: Vec<_> = lasting(&out).into_iter().skip(2).filter(is_mounted).collect();
    assert!(!cgroups.is_empty() && cgroups.iter().all(|line| line.ends_with(&format!(":/{}", a.id))), "{out:?}");
    a.finish();
    b.finish();
    pod.finish();
}

#[test]
fn a_container_is_in_the_pods_cgroup_wherever_its_document_wants_it() {
    let pod = Pod::with(&["--memory", "64m", "--cpus", "0.5", "--pids-limit", "77"]);
    let c = sleeper(&pod).set("linux/cgroupsPath", json!("/elsewhere/of-docker"));
    c.up();
    let own = fs::read_to_string(proc(c.pid(), "cgroup")).unwrap();
    assert!(own.lines().any(|line| line.ends_with(&format!("/{}/of-docker", pod.name))), "{own}");
    assert!(!own.contains("elsewhere"), "{own}");
    let (limit, _) = Pod::memory_files();
    if pod.cgroup("memory").join(limit).exists() {
        assert_eq!(read(&pod.cgroup("memory").join(limit)).trim(), (64 << 20).to_string());
    }
    if pod.cgroup("pids").join("pids.max").exists() {
        assert_eq!(read(&pod.cgroup("pids").join("pids.max")).trim(), "77");
    }
    c.finish();
    pod.finish();
}

#[test]
fn rm_wants_stopped_containers_or_force() {
    let pod = Pod::with(&["--share", "uts"]);
    let (runs, stopped) = (sleeper(&pod), sleeper(&pod));
    runs.up();
    stopped.up();
    stopped.kill("KILL").ok();
    stopped.wait("stopped");
    let expected = format!("pod {}: it has containers that are not stopped: {}; ", pod.name, runs.id);
    pod.verb("rm", &[]).fails(&expected);
    assert!(pod.path().exists() && runs.status() == "running");
    runs.kill("KILL").ok();
    runs.wait("stopped");
    // Stopped ones go with it.
    pod.verb("rm", &[]).ok();
    pod.left_nothing();
    runs.left_nothing();
    stopped.left_nothing();
    pod.verb("rm", &[]).fails("does not exist");
    pod.verb("rm", &["--force"]).ok();
}

#[test]
fn a_name_is_used_once_and_is_not_a_path() {
    let pod = Pod::with(&["--share", "uts"]);
    pod.create(&["--share", "uts"]).fails(&format!("pod {} exists already", pod.name));
    assert_ne!(pod.ns("uts"), own_ns("uts"));
    for bad in ["..", "a/b", "", "a b"] {
        pod.call(&["pod", "create", bad]).fails("invalid name of a pod");
    }
    pod.finish();
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_exists() {
    for (flags, why) in [
        (&["--share", "nut"][..], "is not a kind of namespace that can be shared; there are user, pid, net"),
        (&["--share", "mount"], "is not a kind of namespace that can be shared"),
        (&["--share", "net", "--hostname", "x"], "hostname: the pod shares no uts namespace; add uts"),
        (&["--share", "user"], "a user namespace needs to know which ids it has"),
        (&["--share", "net", "--uidmap", "0:1:1"], "uidMappings: the pod shares no user namespace"),
        (&["--share", "user", "--uidmap", "0:1"], "invalid value for --uidmap"),
        (&["--share", "uts", "--net-path", "/proc/self/ns/net"], "netPath: the pod shares no network namespace"),
        (&["--net-path", "/proc/self/ns/uts"], "is of type uts, and linux.namespaces[0].type says network"),
        (&["--net-path", "/run"], "is not a namespace"),
        (&["--net-path", "/proc/self/ns/net", "--cni", "x"], "give one of them"),
        (&["--cni", "no-such-network"], "no-such-network"),
        (&["--shm-size", "none"], "invalid value for --shm-size"),
        (&["--memory", "much"], "invalid value for --memory"),
        (&["--cpus", "0"], "invalid value for --cpus"),
        (&["--time-offset", "boottime=1"], "timeOffsets: the pod shares no time namespace"),
        (&["--share", "time", "--time-offset", "realtime=1"], "neither monotonic nor boottime"),
        (&["--sysctl", "kernel.panic=1"], "is not in a separate kernel namespace"),
        (&["--hostname", &"x".repeat(65)], "hostname: has 65 bytes, and the kernel takes 64"),
    ] {
        let pod = Pod::new();
        println!("{flags:?}");
        pod.create(flags).fails(why);
        pod.left_nothing();
    }
}

#[test]
fn time_has_the_pods_offset() {
    let pod = Pod::with(&["--share", "time", "--time-offset", "boottime=1000000"]);
    let c = Container::sh("cat /proc/uptime").in_pod(&pod);
    let up: f64 = c.run().ok().stdout.split(' ').next().unwrap().parse().unwrap();
    let own: f64 = read("/proc/uptime".as_ref()).split(' ').next().unwrap().parse().unwrap();
    assert!((up - own - 1e6).abs() < 100.0, "{up} and {own}");
    c.finish();
    pod.finish();
}

#[test]
fn an_existing_network_namespace_can_be_the_pods() {
    let other = Container::sleeper();
    other.up();
    let path = proc(other.pid(), "ns/net").display().to_string();
    let pod = Pod::with(&["--net-path", &path]);
    assert_eq!(pod.ns("net"), ns(other.pid(), "net"));
    let c = sleeper(&pod);
    c.up();
    assert_eq!(ns(c.pid(), "net"), ns(other.pid(), "net"));
    c.finish();
    pod.finish();
    other.finish();
}

#[test]
fn ls_tells_what_there_is() {
    let pod = Pod::with(&["--share", "net,pid"]);
    let c = sleeper(&pod);
    c.up();
    let rows: Value = serde_json::from_str(&pod.call(&["pod", "ls", "-f", "json"]).ok().stdout).unwrap();
    assert_eq!(rows[0]["name"], pod.name);
    assert_eq!((&rows[0]["status"], &rows[0]["running"]), (&json!("running"), &json!(1)));
    assert_eq!(rows[0]["shared"], json!(["pid", "net"]));
    c.kill("KILL").ok();
    c.wait("stopped");
    let table = pod.call(&["pod", "ls"]).ok().stdout;
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..4], [pod.name.as_str(), "ready", "0/1", "pid,net"]);
    assert_eq!(pod.call(&["pod", "ls", "-q"]).ok().stdout, format!("{}\n", pod.name));
    c.finish();
    pod.finish();
    // The directory of the pods is nobody's id.
    let c = Container::sleeper();
    for command in [&["state"][..], &["delete", "--force"], &["create"]] {
        let root = c.root().display().to_string();
        let pods = format!("{root}/pods");
        c.write_config();
        c.call(&[&["--pods", pods.as_str()], command, &["pods"]].concat()).fails("pods is the directory of the pods");
    }
}

/// `unshare` these, and run a script with the program, the directory of pods and the pod's name.
fn unshared(flags: &str, pod: &Pod, script: &str) -> Out {
    let mut command = std::process::Command::new("unshare");
    command
        .args(flags.split(" "))
        .args(["--map-root-user", "sh", "-ec", script, "sh"])
        .arg(program())
        .arg(pod.pods())
        .arg(&pod.name);
    let out = command.env("XDG_RUNTIME_DIR", pod.root()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Out { code: out.status.code().unwrap_or(-1), stdout: text(&out.stdout), stderr: text(&out.stderr) }
}

#[test]
fn root_of_a_user_namespace_can_make_pods_where_it_may_mount() {
    let pod = Pod::new();
    let out = unshared(
        "--user --mount",
        &pod,
        "$1 --pods $2 pod create --share net,ipc,uts,pid $3; stat -f -c %T $2/$3/ns/net; \
         test $(stat -c %i $2/$3/ns/net) != $(stat -Lc %i /proc/self/ns/net); $1 --pods $2 pod rm -f $3; ls -A $2",
    );
    assert_eq!(out.ok().stdout, "nsfs\n");
    // Its mounts were in its own mount namespace.
    pod.left_nothing();
    let out = unshared("--user", &pod, "$1 --pods $2 pod create $3");
    out.fails("Operation not permitted; be root, or root of a user namespace with a mount namespace of its own");
    pod.left_nothing();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]).arg(program());
    let out = command.arg("--pods").arg(pod.pods()).args(["pod", "create", &pod.name]).output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("a pod's namespaces are mounted, which needs CAP_SYS_ADMIN"), "{error}");
    pod.left_nothing();
}

#[test]
fn the_shared_memory_of_a_pod_is_out_of_others_reach() {
    let pod = Pod::with(&["--share", "ipc"]);
    let c = Container::sh("echo secret >/dev/shm/x; chmod 666 /dev/shm/x").in_pod(&pod);
    c.run().ok();
    let path = pod.path().join("private/shm/x");
    assert_eq!(read(&path), "secret\n");
    let out = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "cat"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("Permission denied"), "{out:?}");
    pod.finish();
}
