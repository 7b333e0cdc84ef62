//! `pod update`: limits of a pod and its containers change together, or not at all.

use crate::common::*;
use crate::pods_ops::each_driver;

const MIB: u64 = 1 << 20;

/// A container that holds so many MiB, which no page cache is.
fn holder(pod: &Pod, mib: u64) -> Container {
    let c = Container::sh(&format!("head -c {mib}m /dev/zero >/dev/shm/held && echo holds; sleep 1000")).in_pod(pod);
    c.set("linux/resources/memory", json!({ "limit": 64 * MIB })).set("linux/resources/pids", json!({ "limit": 20 }))
}

/// A limit of the pod's, or of a container in it.
fn limit(pod: &Pod, c: Option<&Container>, controller: &str, file: &str) -> String {
    let dir = match c {
        None => pod.cgroup(controller),
        Some(c) => {
            let found = cgroups_named(&c.id).into_iter().find(|dir| dir.join(file).exists());
            found.unwrap_or_else(|| panic!("no {file} of {}", c.id))
        }
    };
    read(&dir.join(file)).trim().to_owned()
}

fn memory(pod: &Pod, c: Option<&Container>) -> u64 {
    limit(pod, c, "memory", Pod::memory_files().0).parse().unwrap()
}

fn pids(pod: &Pod, c: Option<&Container>) -> String {
    limit(pod, c, "pids", "pids.max")
}

/// As `quota period`.
fn cpu(pod: &Pod, c: Option<&Container>) -> String {
    match Host::plain() {
        Host::V2 => limit(pod, c, "cpu", "cpu.max"),
        Host::V1Hybrid => ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map(|file| limit(pod, c, "cpu", file)).join(" "),
    }
}

/// What is remembered of a container's limits.
fn remembered(c: &Container) -> Value {
    let text = read(&c.root().join(&c.id).join("config.json"));
    serde_json::from_str::<Value>(&text).unwrap()["linux"]["resources"].clone()
}

fn has_limits() -> bool {
    let host = Host::plain();
    let missing: Vec<_> = ["memory", "pids", "cpu", "cpuset"].into_iter().filter(|name| !host.has(name)).collect();
    missing.is_empty() || skip(&format!("the host lacks {missing:?}"))
}

#[test]
fn limits_change_together_and_are_remembered() {
    each_driver(|new| {
        if !has_limits() {
            return;
        }
        let pod = new();
        pod.create(&["--memory", "128m", "--cpus", "1", "--pids-limit", "100"]).ok();
        let (app, sidecar) = (holder(&pod, 40), Container::sleeper().in_pod(&pod));
        app.up().says("holds");
        sidecar.up();
        // Less for all, close to what is in use; and the quota of a container must go down before the pod's.
        let of_app = |limits: &str| format!("{}:{limits}", app.id);
        pod.verb("update", &["--container", &of_app("cpus=0.5")]).ok();
        let args = ["--memory", "48m", "--cpus", "0.4", "--container", &of_app("memory=46m,cpus=0.3,pids-limit=9")];
        pod.verb("update", &args).ok();
        assert_eq!((memory(&pod, None), memory(&pod, Some(&app))), (48 * MIB, 46 * MIB));
        assert_eq!((cpu(&pod, None).as_str(), cpu(&pod, Some(&app)).as_str()), ("40000 100000", "30000 100000"));
        assert_eq!((pids(&pod, None).as_str(), pids(&pod, Some(&app)).as_str()), ("100", "9"));
        assert_eq!(remembered(&app)["memory"]["limit"], 46 * MIB);
        assert_eq!(remembered(&app)["pids"]["limit"], 9);
        assert_eq!(pod.document()["spec"]["linux"]["resources"]["memory"]["limit"], 48 * MIB);
        // More for all: the pod's first.
        let other = format!("{}:memory=100m", sidecar.id);
        let args = ["--memory", "256m", "--cpus", "1.5", "--container", &of_app("memory=200m,cpus=1.2")];
        pod.verb("update", &[&args[..], &["--container", &other]].concat()).ok();
        assert_eq!((memory(&pod, None), memory(&pod, Some(&app))), (256 * MIB, 200 * MIB));
        assert_eq!(memory(&pod, Some(&sidecar)), 100 * MIB);
        assert_eq!((cpu(&pod, None).as_str(), cpu(&pod, Some(&app)).as_str()), ("150000 100000", "120000 100000"));
        // It counts for what is done to the container alone.
        app.call(&["update", "--cpu-quota", "60000", &app.id]).ok();
        assert_eq!(cpu(&pod, Some(&app)), "60000 100000");
        assert_eq!(app.status(), "running");
        pod.finish();
    });
}

#[test]
fn what_usage_exceeds_is_refused_and_nothing_changed() {
    each_driver(|new| {
        if !has_limits() {
            return;
        }
        let pod = new();
        pod.create(&["--memory", "128m", "--pids-limit", "100"]).ok();
        let (app, many) =
            (holder(&pod, 40), Container::sh("for i in 1 2 3 4 5; do sleep 1000 & done; echo many; wait"));
        let many = many.in_pod(&pod).set("linux/resources/pids", json!({ "limit": 30 }));
        app.up().says("holds");
        many.up().says("many");
        let of = |c: &Container, limits: &str| format!("{}:{limits}", c.id);
        for (args, text) in [
            (vec!["--memory", "39m"], format!("pod {}: linux.resources.memory.limit: ", pod.name)),
            (
                vec!["--container", &of(&app, "memory=39m")],
                format!("container {}: linux.resources.memory.limit", app.id),
            ),
            // What could be done is not done either.
            (vec!["--memory", "512m", "--container", &of(&app, "memory=39m,pids-limit=5")], "bytes are in use".into()),
            (vec!["--pids-limit", "6"], "processes are in use".into()),
            (vec!["--memory", "100m", "--container", &of(&many, "pids-limit=5")], "6 processes are in use".into()),
        ] {
            pod.verb("update", &args).fails(&text);
            assert_eq!((memory(&pod, None), memory(&pod, Some(&app))), (128 * MIB, 64 * MIB), "{args:?}");
            assert_eq!(pids(&pod, None), "100", "{args:?}");
            assert_eq!((pids(&pod, Some(&app)).as_str(), pids(&pod, Some(&many)).as_str()), ("20", "30"), "{args:?}");
        }
        assert_eq!(remembered(&app)["memory"]["limit"], 64 * MIB);
        assert_eq!(pod.document()["spec"]["linux"]["resources"]["memory"]["limit"], 128 * MIB);
        // Just above, all of it lives on.
        pod.verb("update", &["--memory", "47m", "--pids-limit", "9", "--container", &of(&app, "memory=45m")]).ok();
        assert_eq!((memory(&pod, None), memory(&pod, Some(&app))), (47 * MIB, 45 * MIB));
        assert_eq!((app.status().as_str(), many.status().as_str()), ("running", "running"));
        pod.finish();
    });
}

#[test]
fn what_fails_half_way_is_undone() {
    each_driver(|new| {
        if !has_limits() {
            return;
        }
        let pod = new();
        pod.create(&["--memory", "128m", "--cpus", "0.5"]).ok();
        let (app, other) = (holder(&pod, 1), holder(&pod, 1));
        app.up().says("holds");
        other.up().says("holds");
        let before = (pod.document(), remembered(&app), remembered(&other));
        // The kernel takes all of it but the processor that is not there, which comes after the first writes.
        let args = ["--memory", "256m", "--cpus", "1", "--container", &format!("{}:memory=32m,pids-limit=7", app.id)];
        let bad = format!("{}:memory=20m,cpuset-cpus=4000,pids-limit=5", other.id);
        let out = pod.verb("update", &[&args[..], &["--container", &bad]].concat());
        out.fails(&format!("container {}: linux.resources.cpu.cpus: write ", other.id));
        assert_eq!(memory(&pod, None), 128 * MIB);
        assert_eq!(cpu(&pod, None), "50000 100000");
        for c in [&app, &other] {
            assert_eq!((memory(&pod, Some(c)), pids(&pod, Some(c)).as_str()), (64 * MIB, "20"));
        }
        assert_eq!((pod.document(), remembered(&app), remembered(&other)), before);
        pod.finish();
    });
}

#[test]
fn an_update_of_one_container_that_fails_half_way_is_undone() {
    if !hilum_only("the oracle leaves it half-done") || !has_limits() {
        return;
    }
    let c = Container::sleeper().set("linux/resources/memory", json!({ "limit": 64 * MIB }));
    let c = c.set("linux/resources/cpu", json!({ "quota": 40_000, "period": 80_000, "shares": 200 }));
    c.up();
    let files = match Host::plain() {
        Host::V1Hybrid => ["memory.limit_in_bytes", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares"].as_slice(),
        Host::V2 => ["memory.max", "cpu.max", "cpu.weight"].as_slice(),
    };
    let dirs = cgroups_named(&c.id);
    let find = |file: &&str| dirs.iter().find(|dir| dir.join(file).exists()).unwrap().join(file);
    let values = || files.iter().map(|file| read(&find(file))).collect::<Vec<_>>();
    let (before, document) = (values(), remembered(&c));
    let limits = ["--memory", "48m", "--cpu-quota", "20000", "--cpu-share", "100"];
    c.call(&[&["update"], &limits[..], &["--cpuset-cpus", "4000", &c.id]].concat()).fails("cpuset.cpus");
    assert_eq!((values(), remembered(&c)), (before.clone(), document));
    // Each of them would have been written.
    c.call(&[&["update"], &limits[..], &[&c.id]].concat()).ok();
    assert!(values().iter().zip(&before).filter(|(now, before)| now != before).count() >= 3);
    c.finish();
}

#[test]
fn processors_are_taken_away_from_all_and_given_to_all() {
    each_driver(|new| {
        if !has_limits() {
            return;
        }
        if std::thread::available_parallelism().unwrap().get() < 2 {
            skip("one processor");
            return;
        }
        let pod = new();
        pod.create(&["--cpuset-cpus", "0-1", "--share", "pid"]).ok();
        // One that has chosen, and one that has what the pod has.
        let own = Container::sleeper().in_pod(&pod).set("linux/resources/cpu", json!({ "cpus": "0" }));
        let any = Container::sleeper().in_pod(&pod);
        own.up();
        any.up();
        let allowed = |c: &Container| status_of(c.pid(), "Cpus_allowed_list");
        assert_eq!((allowed(&own).as_str(), allowed(&any).as_str()), ("0", "0-1"));
        pod.verb("update", &["--cpuset-cpus", "0"]).ok();
        eventually("all on the first", || (allowed(&own).as_str(), allowed(&any).as_str()) == ("0", "0"));
        // From one to another: on the way the pod has both.
        pod.verb("update", &["--cpuset-cpus", "1", "--container", &format!("{}:cpuset-cpus=1", own.id)]).ok();
        eventually("all on the second", || (allowed(&own).as_str(), allowed(&any).as_str()) == ("1", "1"));
        pod.verb("update", &["--cpuset-cpus", "0-1"]).ok();
        eventually("both", || (allowed(&own).as_str(), allowed(&any).as_str()) == ("1", "0-1"));
        assert_eq!(remembered(&any)["cpu"], Value::Null, "it has not chosen");
        pod.finish();
    });
}

#[test]
fn what_is_no_limit_or_no_container_is_named() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&[]);
    let c = Container::sh("true").in_pod(&pod);
    c.create().start().wait("stopped");
    let of_c = |limits: &str| format!("{}:{limits}", c.id);
    for (args, text) in [
        (vec![], "no limit is given"),
        (vec!["--container", "app"], "--container app: not ID:LIMIT=VALUE"),
        (vec!["--container", "app:memory"], "is no limit; write it as memory=64m"),
        (vec!["--container", "app:memori=1m"], "is no limit; there are blkio-weight, "),
        (vec!["--container", "app:memory=lots"], "invalid value for --memory"),
        (vec!["--container", "a/b:memory=1m"], "invalid name"),
        (vec!["--container", "nobody:memory=64m"], "has no container nobody"),
        (vec!["--container", &of_c("memory=64m")], "it does not run; it is stopped"),
        (vec!["--memory", "lots"], "invalid value for --memory"),
    ] {
        pod.verb("update", &args).fails(text);
    }
    pod.finish();
}
