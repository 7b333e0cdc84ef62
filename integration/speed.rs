//! How long containers take through their clients, with each runtime. Only when `make bench` asks, by HILUM_SPEED: the
//! directory for the results. HILUM_SPEED_ROUNDS: how many of each.

use crate::common::*;
use crate::{Group, containerd, docker};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// As Docker knows them, and where they are.
fn runtimes() -> Vec<(&'static str, PathBuf)> {
    let all = [("hilum", program()), ("crun", "/usr/bin/crun"), ("runc", "/usr/sbin/runc")];
    all.into_iter().map(|(name, path)| (name, PathBuf::from(path))).filter(|(_, path)| path.exists()).collect()
}

fn results() -> Option<PathBuf> {
    std::env::var_os("HILUM_SPEED").map(PathBuf::from)
}

/// For daemon.json.
pub fn others() -> Value {
    let all = runtimes().into_iter().skip(1).filter(|(name, _)| results().is_some() && *name != "runc");
    all.map(|(name, path)| (name.to_owned(), json!({ "path": path }))).collect::<serde_json::Map<_, _>>().into()
}

pub fn group() -> Group {
    let mut group = Group { name: "speed", tests: Vec::new(), stop: || () };
    if results().is_some() {
        group.add("docker_run", || docker::with_engine(|engine| docker_run(&engine.client)));
        group.add("ctr_run", || containerd::with(|containerd| ctr_run(&containerd.ctr)));
    }
    group
}

fn docker_run(client: &Client) {
    // What it asks of a runtime for a container without any options.
    let id = client.ok(&["run", "--detach", "--runtime", "hilum", image::NAME]);
    let config = dirs_named(dir(), id.trim()).into_iter().map(|dir| dir.join("config.json")).find(|file| file.exists());
    let config: Value = serde_json::from_str(&read(&config.expect("a bundle"))).unwrap();
    let profile = &config["linux"]["seccomp"];
    assert!(profile.is_object(), "{config}");
    fs::write(results().unwrap().join("docker-seccomp.json"), profile.to_string()).unwrap();
    client.ok(&["rm", "--force", id.trim()]);
    compare("docker run --rm --network none", |name, _, _| {
        client.ok(&["run", "--rm", "--network", "none", "--runtime", name, image::NAME, "true"]);
    });
}

fn ctr_run(client: &Client) {
    compare("ctr run --rm", |name, path, round| {
        let id = format!("{name}{round}");
        let runtime = ["run", "--rm", "--runtime", "io.containerd.runc.v2", "--runc-binary", path];
        client.ok(&[&runtime[..], &[image::NAME, &id, "true"]].concat());
    });
}

/// The median of each, in milliseconds. The runtimes take turns; one that cannot do it here is left out.
fn compare(what: &str, once: impl Fn(&str, &str, usize) + std::panic::RefUnwindSafe) {
    let rounds: usize = std::env::var("HILUM_SPEED_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let mut runtimes = runtimes();
    runtimes.retain(|(name, path)| {
        let works = std::panic::catch_unwind(|| once(name, path.to_str().unwrap(), 0)).is_ok();
        assert!(works || *name != "hilum", "{what} fails with hilum");
        works || skip(&format!("{what} fails with {name}"))
    });
    for round in 1..=rounds {
        for (name, path) in &runtimes {
            let start = Instant::now();
            once(name, path.to_str().unwrap(), round);
            times.entry(name).or_default().push(start.elapsed());
        }
    }
    let median = |mut list: Vec<Duration>| {
        list.sort_unstable();
        list[list.len() / 2].as_secs_f64() * 1e3
    };
    let row: BTreeMap<_, _> = times.into_iter().map(|(name, list)| (name, median(list))).collect();
    println!("{what}: {row:.1?} ms");
    keep(&results().unwrap().join("clients.json"), json!([what, "ms", row]));
}

/// Replaces the row of the same name.
fn keep(file: &Path, row: Value) {
    static FILE: Mutex<()> = Mutex::new(());
    let _one = FILE.lock().unwrap();
    let kept: Option<Value> = serde_json::from_str(&read(file)).ok();
    let mut rows: Vec<Value> = kept.and_then(|kept| kept["rows"].as_array().cloned()).unwrap_or_default();
    rows.retain(|other| other[0] != row[0]);
    rows.push(row);
    fs::write(file, format!("{:#}\n", json!({ "versions": {}, "rows": rows, "without": "" }))).unwrap();
}
