//! Random documents that are valid by the specification's schema: what cannot be made is refused by name, and nothing
//! of it stays. HILUM_TEST_SEED repeats what a seed has found.

use crate::common::schema::{Random, Schema};
use crate::common::*;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

/// Of one call: planning and making take milliseconds.
const BOUND: Duration = Duration::from_secs(20);

/// What no test may ask of the host that it runs on, nor of a terminal that it has not.
const LEFT_OUT: &[&str] = &["process.terminal", "vm", "solaris", "windows", "zos", "freebsd"];

/// Texts that make sense at a property, and some that do not.
fn texts(path: &str) -> &'static [&'static str] {
    match path {
        "ociVersion" => &["1.0.2", "1.3.0", "1.9.9-dev", "2.0.0", "one"],
        "root.path" => &["rootfs", "rootfs/", "nonexistent", ""],
        "process.cwd" => &["/", "/tmp", "/new/one", "relative", "/proc/self/fd/1"],
        "process.args[]" => &["true", "sh", "/bin/true", "nonexistent", ""],
        "process.env[]" => &["A=1", "PATH=/bin", "A=", "NOVALUE", "=x"],
        "process.rlimits[].type" => &["RLIMIT_CORE", "RLIMIT_NICE", "RLIMIT_MEMLOCK", "RLIMIT_NONE"],
        "process.execCPUAffinity.initial" | "process.execCPUAffinity.final" => &["0", "0-1", "", "9999", "1-0"],
        "mounts[].destination" => &["/mnt/a", "/mnt/a/b", "/dev/x", "/proc/x", "/", "relative", "/../up"],
        "mounts[].source" => &["rootfs", "rootfs/bin", "tmpfs", "nonexistent", ""],
        "mounts[].type" => &["tmpfs", "bind", "proc", "sysfs", "mqueue", "devpts", "cgroup", "none", "nonsense", ""],
        "mounts[].options[]" => {
            &["ro", "rbind", "bind", "nosuid", "rro", "rprivate", "rslave", "size=64k", "idmap", "no"]
        }
        "linux.namespaces[].path" => &["", "/proc/self/ns/uts", "/nonexistent", "relative"],
        "linux.cgroupsPath" => &["/ID", "ID", "../ID", "a:b:ID"],
        "linux.devices[].path" => &["/dev/x", "/dev/null", "relative"],
        "linux.devices[].type" => &["c", "b", "u", "p"],
        "linux.resources.devices[].type" => &["a", "b", "c", "p"],
        "linux.resources.devices[].access" => &["rwm", "r", "", "x"],
        "linux.resources.hugepageLimits[].pageSize" => &["2MB", "1GB", "64KB"],
        "linux.resources.cpu.cpus" | "linux.resources.cpu.mems" => &["0", "", "0-1", "4000", "x"],
        "linux.resources.network.priorities[].name" => &["lo", "none0"],
        "linux.resources.unified key" => &["cgroup.max.depth", "pids.max", "memory.high", "nonsense", "a/b.c"],
        "linux.resources.rdma{} key" => &["mlx5_0"],
        "linux.netDevices{} key" | "linux.netDevices{}.name" => &["none0", "none1"],
        "linux.sysctl{} key" => &["net.ipv4.ip_forward", "kernel.shmmax", "kernel.panic", "net..x"],
        "linux.sysctl{}" => &["1", "x"],
        "linux.maskedPaths[]" | "linux.readonlyPaths[]" => &["/proc/kcore", "/tmp", "/nonexistent", "relative"],
        "linux.seccomp.syscalls[].names[]" => &["mkdir", "getppid", "no_such_call", ""],
        "linux.intelRdt.memBwSchema" => &["MB:0=20"],
        "linux.intelRdt.closID" => &["x", "", "a/b", "/"],
        "linux.memoryPolicy.nodes" => &["0", "", "4000", "x"],
        path if path.starts_with("hooks.") && path.ends_with(".path") => {
            &["/bin/true", "/bin/false", "/nonexistent", "relative"]
        }
        path if path.starts_with("hooks.") && path.ends_with(".env[]") => &["A=1", "NOVALUE"],
        path if path.contains(".capabilities.") => &["CAP_CHOWN", "CAP_KILL", "CAP_NONSENSE"],
        _ => &["x", "label", ""],
    }
}

/// Gives the container a document of which a few properties are random, and returns the paths of what has changed.
fn change(c: &mut Container, schema: &Schema, random: &mut Random, most: u64) -> Vec<String> {
    let document = schema.document("config-schema.json");
    let mut all = BTreeSet::new();
    schema.paths(document, "", &mut all);
    let is_left_out = |path: &str| LEFT_OUT.iter().any(|out| path == *out || path.starts_with(&format!("{out}.")));
    // Below a list or a map comes with it.
    all.retain(|path| !path.contains(['[', '{']) && !is_left_out(path));
    let all: Vec<String> = all.into_iter().collect();
    c.config = Container::config(&["true"]);
    let mut paths = Vec::new();
    for _ in 0..=random.below(most) {
        let path = random.one(&all);
        let id = c.id.clone();
        let text = move |path: &str, random: &mut Random| random.one(texts(path)).replace("ID", &id);
        let mut value = schema.random(schema.at(document, path), path, random, &text);
        for out in LEFT_OUT {
            let below = out.strip_prefix(path.as_str()).and_then(|rest| rest.strip_prefix('.'));
            if let (Some(name), Some(object)) = (below, value.as_object_mut()) {
                object.remove(name);
            }
        }
        let mut at = &mut c.config;
        let mut changed = None;
        let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
        for above in ends.map(|end| &path[..end]) {
            let name = above.rsplit('.').next().unwrap();
            // With what else is required there.
            let new = || {
                changed.get_or_insert(above);
                schema.random(schema.at(document, above), above, random, &text)
            };
            at = at.as_object_mut().unwrap().entry(name).or_insert_with(new);
        }
        *at = value;
        paths.push(changed.unwrap_or(path).to_string());
    }
    paths
}

fn seed() -> u64 {
    let given = std::env::var("HILUM_TEST_SEED").ok().map(|text| text.parse().expect("HILUM_TEST_SEED is a number"));
    given.unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64)
}

/// Runs a test with that many seeds, each of which is said when it fails.
pub fn with_seeds(count: u32, mut test: impl FnMut(&mut Random)) {
    let first = seed();
    let count = if std::env::var_os("HILUM_TEST_SEED").is_some() { 1 } else { count };
    for seed in (0..u64::from(count)).map(|n| first.wrapping_add(n)) {
        let one = std::panic::AssertUnwindSafe(|| test(&mut Random(seed)));
        if let Err(panic) = std::panic::catch_unwind(one) {
            eprintln!("repeat it with HILUM_TEST_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Whether a property such as `linux.sysctl["a.b"]` or `mounts[0].type` is in the document, or what it would be in.
fn is_in(config: &Value, property: &str) -> bool {
    let mut at = config;
    let mut rest = property;
    while !rest.is_empty() {
        let end = match rest.starts_with("[\"") {
            true => rest.find("\"]").map_or(rest.len(), |end| end + 2),
            false => rest.get(1..).and_then(|behind| behind.find(['.', '['])).map_or(rest.len(), |end| end + 1),
        };
        let (step, behind) = rest.split_at(end);
        let step = step.trim_start_matches('.');
        let next = match step.strip_prefix('[').and_then(|step| step.strip_suffix(']')) {
            Some(key) if key.starts_with('"') => serde_json::from_str(key).ok().and_then(|key: String| at.get(key)),
            Some(index) => index.parse::<usize>().ok().and_then(|index| at.get(index)),
            None => at.get(step),
        };
        // What is said to be missing is missing in something that is there.
        let Some(next) = next else { return behind.is_empty() && at.is_object() };
        (at, rest) = (next, behind);
    }
    true
}

fn timed(call: impl FnOnce() -> Out) -> Out {
    let start = Instant::now();
    let out = call();
    assert!(start.elapsed() < BOUND * patience(), "it took {:?}", start.elapsed());
    assert!(out.code <= 1 && !out.stderr.contains("panicked"), "{out:?}");
    out
}

#[test]
fn a_plan_never_panics_and_refuses_by_property() {
    let Some(schema) = Schema::load().filter(|_| hilum_only("plan")) else { return };
    let mut c = Container::new(&["true"]);
    with_seeds(rounds(300, 20_000), |random| {
        let paths = change(&mut c, &schema, random, 8);
        if random.below(4) == 0 {
            // All of it.
            let id = c.id.clone();
            let text = move |path: &str, random: &mut Random| random.one(texts(path)).replace("ID", &id);
            c.config = schema.random(schema.document("config-schema.json"), "", random, &text);
        }
        let errors = schema.errors(schema.document("config-schema.json"), "", &c.config);
        assert!(errors.is_empty(), "the generator: {errors:?}");
        let out = timed(|| c.plan_with(&["--format", "json"]));
        let report: Value = serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
        for conflict in report["conflicts"].as_array().unwrap() {
            let (property, error) = (conflict["property"].as_str().unwrap(), conflict["error"].as_str().unwrap());
            // A document that cannot be read names the property behind its own name.
            let named = match property {
                "config.json" => error.rsplit("config.json: ").next().unwrap().split(": ").next().unwrap(),
                property => property,
            };
            let is_named = is_in(&c.config, named) || error.starts_with("missing");
            assert!(is_named, "{property}: {error}: of {paths:?} in {}", c.config);
        }
    });
    c.left_nothing();
}

/// Names and values in what was changed: one of them has to be in an error.
fn clues(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(name, value)| {
            // A sysctl is named as a file, too.
            found.extend([name.clone(), name.replace('.', "/")]);
            clues(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| clues(item, found)),
        Value::String(text) if text.len() > 1 => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        _ => {}
    }
}

#[test]
fn what_is_created_can_be_deleted_and_what_is_not_leaves_nothing() {
    let Some(schema) = Schema::load() else { return };
    let mut c = Container::new(&["true"]);
    with_seeds(rounds(60, 3000), |random| {
        let paths = change(&mut c, &schema, random, 3);
        let out = timed(|| c.create_with(&[]));
        if out.code == 0 {
            timed(|| c.call(&["delete", "--force", &c.id])).ok();
        } else if hilum_only("property") {
            let mut named = Vec::new();
            for path in &paths {
                let last = path.rsplit('.').next().map(String::from);
                let above = path.match_indices('.').skip(1).map(|(end, _)| path[..end].to_string());
                named.extend(above.chain(last));
                clues(c.config.pointer(&format!("/{}", path.replace('.', "/"))).unwrap_or(&Value::Null), &mut named);
            }
            if paths.iter().any(|path| path == "process.env") {
                named.push("$PATH".into());
            }
            let said = out.stderr.to_lowercase();
            let is_named = named.iter().any(|name| said.contains(&name.to_lowercase()));
            assert!(is_named, "{paths:?}: {} in {}", out.stderr, c.config);
        }
        c.left_nothing();
    });
}
