//! What is to be seen of a pod, held against what the kernel says.

use crate::common::*;
use crate::pods_ops::each_driver;
use std::collections::BTreeSet;
use std::path::Path;

/// The processes that the kernel lists in a cgroup.
fn listed(dir: &Path) -> BTreeSet<u64> {
    read(&dir.join("cgroup.procs")).lines().map(|pid| pid.parse().unwrap()).collect()
}

/// Container and process, of a list of them.
fn pids_of(list: &Value, container: &Value) -> BTreeSet<u64> {
    let all = list.as_array().unwrap().iter().filter(|it| it["container"] == *container);
    all.map(|it| it["pid"].as_u64().unwrap()).collect()
}

fn inode(link: &str) -> u64 {
    link.trim_end_matches(']').rsplit('[').next().unwrap().parse().unwrap()
}

#[test]
fn inspect_shows_what_the_kernel_says() {
    each_driver(|new| {
        let pod = new();
        pod.create(&["--share", "net,ipc,uts,pid", "--hostname", "shop", "--cpus", "0.5"]).ok();
        let app = Container::sh("sleep 1000 & sleep 1001 & echo ready; wait").in_pod(&pod);
        let other = Container::sleeper().in_pod(&pod).without_namespace("cgroup");
        app.up().says("ready");
        other.up();
        let seen = pod.json("inspect", &[]);
        assert_eq!((&seen["name"], &seen["status"]), (&json!(pod.name), &json!("running")));
        assert_eq!((&seen["hostname"], &seen["shmSize"]), (&json!("shop"), &json!(64 << 20)));
        assert_eq!(seen["resources"], json!({ "cpu": { "quota": 50_000, "period": 100_000 } }));
        for kind in ["net", "ipc", "uts", "pid"] {
            assert_eq!(seen["namespaces"][kind], inode(&pod.ns(kind)), "{kind}");
        }
        // The matrix: what is the pod's, the host's, and the container's own.
        let reaper = pod.document()["reaper"]["process"]["pid"].clone();
        assert_eq!(seen["reaper"]["pid"], reaper);
        let containers = seen["containers"].as_array().unwrap();
        for c in [&app, &other] {
            let it = containers.iter().find(|it| it["id"] == c.id).unwrap();
            assert_eq!((&it["pid"], &it["status"]), (&json!(c.pid()), &json!("running")));
            for (kind, of) in
                [("net", "pod"), ("ipc", "pod"), ("uts", "pod"), ("pid", "pod"), ("mnt", "own"), ("user", "host")]
            {
                let expected = json!({ "inode": inode(&ns(c.pid(), kind)), "of": of });
                assert_eq!(it["namespaces"][kind], expected, "{kind}");
            }
            assert_eq!(it["namespaces"]["cgroup"]["of"], if c.id == app.id { "own" } else { "host" });
        }
        // The tree, with every process in its place.
        let tree = seen["cgroup"]["below"].as_array().unwrap();
        assert_eq!((tree.len(), &seen["cgroup"]["processes"]), (3, &json!([])));
        let mut total = 0;
        for node in tree {
            let path = Path::new(node["path"].as_str().unwrap());
            let processes = node["processes"].as_array().unwrap();
            let pids: BTreeSet<_> = processes.iter().map(|it| it["pid"].as_u64().unwrap()).collect();
            assert_eq!(pids, listed(path), "{node}");
            total += pids.len();
        }
        assert_eq!(total, 5);
        assert!(tree.iter().any(|node| node["processes"].to_string().contains("sleep 1001")), "{tree:#?}");
        // The same for people, at a glance, without colours where there is no terminal.
        pod.verb("pause", &[]).ok();
        let page = pod.verb("inspect", &[]).ok().stdout;
        // Whoever may make a cgroup names it.
        let hostile = Path::new(tree[0]["path"].as_str().unwrap()).join("\x1b]0;x\x07");
        std::fs::create_dir(&hostile).unwrap();
        assert!(pod.verb("inspect", &[]).ok().stdout.contains("?]0;x?\n"));
        std::fs::remove_dir(hostile).unwrap();
        for text in [format!("{}  paused\n", pod.name), "├─".into(), "sleep 1001".into()] {
            assert!(page.contains(&text), "{text:?} is not in {page}");
        }
        let row =
            |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {page}"));
        let cells = |name: &str| row(name).split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cells("ID "), ["NET", "IPC", "UTS", "PID", "USER", "TIME", "CGROUP", "MNT"]);
        assert_eq!(cells(&app.id), ["pod", "pod", "pod", "pod", "host", "host", "own", "own"]);
        assert_eq!(cells("<reaper> "), ["pod", "pod", "pod", "pod", "host", "host", "host", "own"]);
        let wide: Vec<_> = page.lines().filter(|line| line.chars().count() > 80).collect();
        // Paths are as long as they are.
        assert!(wide.iter().all(|line| line.contains("/hilum-test-") || line.starts_with('/')), "{wide:#?}");
        assert!(!page.contains('\x1b'), "{page:?}");
        pod.verb("resume", &[]).ok();
        pod.finish();
    });
}

#[test]
fn a_page_is_coloured_on_a_terminal_and_shows_no_others_colours() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&[]);
    let c = Container::new(&["sh", "-c", "while :; do sleep 1; done", "\x1b[31mred\x1b[m"]).in_pod(&pod);
    c.up();
    let words: Vec<String> = std::iter::once(program().display().to_string())
        .chain(pod.command(&["pod", "inspect", &pod.name]).get_args().map(|arg| arg.to_string_lossy().into_owned()))
        .collect();
    let page = |no_color: &str| {
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &words.join(" "), "/dev/null"]).env("NO_COLOR", no_color);
        String::from_utf8(script.stdin(std::process::Stdio::null()).output().unwrap().stdout).unwrap()
    };
    let coloured = page("");
    assert!(coloured.contains("\x1b[32mrunning\x1b[m"), "{coloured:?}");
    assert!(!coloured.contains("\x1b[31mred") && coloured.contains("?[31mred?[m"), "{coloured:?}");
    assert!(!page("1").contains('\x1b'));
    pod.finish();
}

#[test]
fn ps_lists_the_processes_by_container() {
    each_driver(|new| {
        let pod = new();
        pod.create(&["--share", "pid"]).ok();
        assert_eq!(pod.json("ps", &[]).as_array().unwrap().len(), 1, "the reaper");
        let (app, other) =
            (Container::sh("sleep 1000 & echo ready; wait").in_pod(&pod), Container::sleeper().in_pod(&pod));
        app.up().says("ready");
        other.up();
        let list = pod.json("ps", &[]);
        let dir = |c: &Container| cgroups_named(&c.id).into_iter().find(|dir| !listed(dir).is_empty()).unwrap();
        assert_eq!(pids_of(&list, &json!(app.id)), listed(&dir(&app)));
        assert_eq!(pids_of(&list, &json!(other.id)), [u64::from(other.pid())].into());
        let reaper = pod.document()["reaper"]["process"]["pid"].as_u64().unwrap();
        assert_eq!(pids_of(&list, &Value::Null), [reaper].into());
        if which("ps") {
            let table = pod.call(&["pod", "ps", &pod.name, "-eo", "pid,args"]).ok();
            let lines = table.lines();
            assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["CONTAINER", "PID", "COMMAND"]);
            assert_eq!(lines.len(), 5, "{lines:#?}");
            let line = lines.iter().find(|line| line.starts_with(&format!("{} ", other.id))).unwrap();
            assert_eq!(line.split_whitespace().collect::<Vec<_>>()[1..], [&other.pid().to_string(), "sleep", "1000"]);
            assert!(lines[4].starts_with("<reaper> "), "{lines:#?}");
        }
        pod.finish();
    });
}

fn which(name: &str) -> bool {
    let found = std::process::Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
    found.status.success() || skip(&format!("there is no {name}"))
}

#[test]
fn stats_are_the_kernels_and_the_pods_are_the_sum() {
    each_driver(|new| {
        let host = Host::plain();
        if !host.has("memory") || !host.has("pids") {
            skip("no memory or pids controller");
            return;
        }
        let pod = new();
        pod.create(&["--share", "net,ipc,pid", "--memory", "256m"]).ok();
        let hold = |name: &str, mib: u64| {
            Container::sh(&format!("head -c {mib}m /dev/zero >/dev/shm/{name} && echo holds; sleep 1000")).in_pod(&pod)
        };
        let (a, b) = (hold("a", 20), hold("b", 30));
        let a = a.set("linux/resources/memory", json!({ "limit": 64 << 20 }));
        a.up().says("holds");
        b.up().says("holds");
        let stats = pod.json("stats", &[]);
        let memory = |of: &Value| of["memory"]["usage"].as_u64().unwrap() >> 20;
        let (of_a, of_b) = (&stats["containers"][&a.id], &stats["containers"][&b.id]);
        assert!((20..25).contains(&memory(of_a)) && (30..35).contains(&memory(of_b)), "{stats}");
        assert!((50..60).contains(&memory(&stats["pod"])), "{stats}");
        let usage = pod.cgroup("memory").join(Pod::memory_files().1);
        let kernel: u64 = read(&usage).trim().parse().unwrap();
        assert!((memory(&stats["pod"])).abs_diff(kernel >> 20) <= 2, "{kernel} {stats}");
        assert_eq!((&of_a["memory"]["limit"], &of_b["memory"]["limit"]), (&json!(64 << 20), &Value::Null));
        assert_eq!(stats["pod"]["memory"]["limit"], 256 << 20);
        // The reaper is counted, and apart.
        assert_eq!(stats["reaper"]["pids"]["usage"], 1);
        let pids = |of: &Value| of["pids"]["usage"].as_u64().unwrap();
        assert_eq!(pids(&stats["pod"]), pids(of_a) + pids(of_b) + 1);
        assert_eq!(stats["pod"]["cpuPercent"], Value::Null, "of no time there is no part");
        // A container that is gone leaves its part of /dev/shm to the pod.
        b.call(&["delete", "--force", &b.id]).ok();
        let stats = pod.json("stats", &[]);
        assert_eq!(stats["containers"].as_object().unwrap().len(), 1);
        assert!(memory(&stats["pod"]) >= 50, "{stats}");
        let table = pod.verb("stats", &[]).ok();
        let lines = table.lines();
        assert_eq!(lines.len(), 4);
        assert!(lines[3].starts_with("(pod)") && lines[3].contains(" MiB / 256 MiB "), "{lines:#?}");
        pod.finish();
    });
}

#[test]
fn stats_at_intervals_say_how_much_of_a_processor_it_is() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&["--cpus", "0.5"]);
    let busy = Container::sh("while :; do :; done").in_pod(&pod);
    busy.up();
    let out = pod.path().parent().unwrap().join("stats");
    let mut command = pod.command(&["pod", "stats", "--interval", "300ms", "--format", "json", &pod.name]);
    let watch = Helper(command.stdout(std::fs::File::create(&out).unwrap()).spawn().unwrap());
    let lines = || -> Vec<Value> {
        let text = read(&out);
        let whole = text.lines().take(text.matches('\n').count());
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // On a busy host it may have to wait for its turn: not every line has all of its part.
    let percent = |stats: &Value| stats["pod"]["cpuPercent"].as_f64().unwrap();
    eventually("a tenth of its part, twice", || lines().iter().filter(|stats| percent(stats) >= 5.0).count() >= 2);
    let lines = lines();
    for stats in &lines {
        assert!(percent(stats) < 90.0, "not much more than its limit: {stats}");
    }
    // The one is read after the other: on a busy host, much later.
    let is_all_of_it = |stats: &&Value| {
        let of_busy = stats["containers"][&busy.id]["cpuPercent"].as_f64().unwrap();
        (of_busy - percent(stats)).abs() < 20.0
    };
    assert!(lines.iter().filter(is_all_of_it).count() >= 2, "all of it is the container's: {lines:?}");
    // It ends with the pod.
    pod.verb("rm", &["-f"]).ok();
    let ended = watch.exit_code();
    assert_eq!(ended, 0);
    std::fs::remove_file(&out).unwrap();
    pod.left_nothing();
}

#[test]
fn who_looks_does_not_wait_and_says_what_is_not_there() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&[]);
    let locked = std::fs::File::open(pod.path()).unwrap();
    rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
    for verb in ["inspect", "ps", "stats", "wait"] {
        pod.verb(verb, &[]).ok();
        pod.call(&["pod", verb, "nobody"]).fails("pod nobody does not exist");
    }
    drop(locked);
    pod.finish();
}
