//! ns: who shares which namespaces, held against what the kernel says.

use crate::common::*;
use std::fs;
use std::process::Stdio;

/// As in /proc/PID/ns.
const COLUMNS: [&str; 8] = ["net", "ipc", "uts", "pid", "user", "time", "cgroup", "mnt"];

fn inode(pid: u32, kind: &str) -> u64 {
    ns(pid, kind).trim_start_matches(|c: char| !c.is_ascii_digit()).trim_end_matches(']').parse().unwrap()
}

/// The rows of the table: an id, and what stands in each column.
fn table(c: &Container, ids: &[&str]) -> Vec<Vec<String>> {
    let out = c.call(&[&["ns"], ids].concat()).ok().stdout;
    let rows: Vec<Vec<String>> = out.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    assert_eq!(rows[0], ["ID", "NET", "IPC", "UTS", "PID", "USER", "TIME", "CGROUP", "MNT"]);
    rows[1..].to_vec()
}

fn json(c: &Container, ids: &[&str]) -> Vec<Value> {
    let out = c.call(&[&["ns", "--format", "json"], ids].concat()).ok().stdout;
    serde_json::from_str(&out).unwrap()
}

/// A container that owns its namespaces, one that joins some of them, one with the host's network, and one that ended.
fn four() -> Option<[Container; 4]> {
    if !hilum_only("a command of its own") {
        return None;
    }
    let owner = Container::sleeper();
    owner.up();
    let path = |kind: &str| proc(owner.pid(), "ns").join(kind);
    let mut joiner = Container::sleeper().under(&owner).join("network", path("net")).join("ipc", path("ipc"));
    joiner = joiner.join("uts", path("uts")).without_namespace("cgroup");
    joiner.config.as_object_mut().unwrap().remove("hostname");
    joiner.up();
    let hosted = Container::sleeper().under(&owner).without_namespace("network").in_user_namespace();
    // A user namespace of its own may not mount what the host's network owns.
    let hosted = hosted.with(|config| {
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/sys");
    });
    hosted.up();
    let ended = Container::new(&["true"]).under(&owner);
    ended.create().start();
    ended.wait("stopped");
    // The one that has the state directory is dropped last.
    Some([ended, hosted, joiner, owner])
}

#[test]
fn equal_letters_are_equal_namespaces() {
    let Some(all) = four() else { return };
    let [ended, hosted, joiner, owner] = &all;
    let rows = table(owner, &[]);
    let mut ids: Vec<_> = all.iter().map(|c| c.id.as_str()).collect();
    ids.sort();
    assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ids);
    let of = |c: &Container| rows.iter().find(|row| row[0] == c.id).unwrap()[1..].to_vec();
    assert_eq!(of(ended), ["-"; 8]);
    let running = [owner, joiner, hosted].map(|c| (c.pid(), of(c)));
    for (column, kind) in COLUMNS.iter().enumerate() {
        for (pid, marks) in &running {
            assert_eq!(marks[column] == "host", ns(*pid, kind) == own_ns(kind), "{kind}: {rows:#?}");
            for (other, its) in &running {
                assert_eq!(marks[column] == its[column], ns(*pid, kind) == ns(*other, kind), "{kind}: {rows:#?}");
            }
        }
        // In the order of their appearance.
        let first = rows.iter().map(|row| row[column + 1].as_str()).find(|mark| *mark != "host" && *mark != "-");
        assert!(first.is_none_or(|mark| mark == "a"), "{kind}: {rows:#?}");
    }
    assert_eq!(running[0].1[..3], running[1].1[..3], "what this test is about: {rows:#?}");
    assert_eq!((running[2].1[0].as_str(), running[1].1[6].as_str()), ("host", "host"));

    let one = table(owner, &[&joiner.id]);
    assert_eq!((one.len(), one[0].join(" ")), (1, format!("{} a a a a host host host a", joiner.id)));
    all.into_iter().for_each(Container::finish);
}

#[test]
fn json_has_the_kernels_numbers_and_who_shares_them() {
    let Some(all) = four() else { return };
    let [ended, hosted, joiner, owner] = &all;
    let listed = json(owner, &[]);
    assert_eq!(listed.len(), 4);
    let of = |c: &Container| listed.iter().find(|entry| entry["id"] == c.id).unwrap();
    for c in [owner, joiner, hosted] {
        let entry = of(c);
        assert_eq!((&entry["pid"], &entry["status"]), (&json!(c.pid()), &json!("running")));
        assert_eq!(entry["bundle"], json!(c.bundle()));
        assert_eq!(entry["namespaces"].as_object().unwrap().len(), 8);
        for kind in COLUMNS {
            let namespace = &entry["namespaces"][kind];
            assert_eq!(namespace["inode"], json!(inode(c.pid(), kind)), "{kind}");
            assert_eq!(namespace["host"], json!(ns(c.pid(), kind) == own_ns(kind)), "{kind}");
            let others = [owner, joiner, hosted].into_iter().filter(|other| other.id != c.id);
            let mut sharing: Vec<_> =
                others.filter(|other| ns(other.pid(), kind) == ns(c.pid(), kind)).map(|other| &other.id).collect();
            sharing.sort();
            let expected = if namespace["host"] == json!(true) { Value::Null } else { json!(sharing) };
            assert_eq!(namespace["sharedWith"], expected, "{kind}");
        }
    }
    assert_eq!(of(joiner)["namespaces"]["net"]["sharedWith"], json!([owner.id]));
    assert_eq!(
        of(ended),
        &json!({ "id": ended.id, "pid": 0, "status": "stopped", "bundle": ended.bundle(), "namespaces": {} })
    );
    // Also with those that were not asked for.
    let one = json(owner, &[&owner.id]);
    assert_eq!((one.len(), &one[0]), (1, of(owner)));
    all.into_iter().for_each(Container::finish);
}

#[test]
fn the_containers_of_a_pod_stand_together() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&[]);
    let first = Container::sleeper().in_pod(&pod);
    let alone = Container::sleeper().under(&first);
    let second = Container::sleeper().under(&first).in_pod(&pod);
    for c in [&first, &alone, &second] {
        c.up();
    }
    let rows = table(&first, &[]);
    let expected = [(&alone, "a a a"), (&first, "b b b"), (&second, "b b b")];
    for (row, (c, marks)) in rows.iter().zip(expected) {
        assert_eq!((&row[0], row[1..4].join(" ").as_str()), (&c.id, marks), "{rows:#?}");
    }
    let entries = json(&first, &[]);
    let pods: Vec<_> = entries.iter().map(|entry| entry["pod"].as_str()).collect();
    assert_eq!(pods, [None, Some(pod.name.as_str()), Some(&pod.name)]);
    assert_eq!(format!("net:[{}]", entries[1]["namespaces"]["net"]["inode"]), pod.ns("net"));
    for c in [second, alone, first] {
        c.finish();
    }
    pod.finish();
}

#[test]
fn a_pid_that_another_process_has_is_not_the_containers() {
    if !hilum_only("a command of its own") {
        return;
    }
    let c = Container::sleeper();
    c.up();
    // As if the container had ended, and this test's process had got its pid.
    let file = c.root().join(&c.id).join("state.json");
    let kept = fs::read(&file).unwrap();
    let mut state: Value = serde_json::from_slice(&kept).unwrap();
    state["process"]["pid"] = json!(std::process::id());
    fs::write(&file, state.to_string()).unwrap();
    let (rows, entries) = (table(&c, &[]), json(&c, &[]));
    fs::write(&file, kept).unwrap();
    assert_eq!(rows[0][1..], ["-"; 8]);
    assert_eq!((&entries[0]["status"], &entries[0]["namespaces"]), (&json!("stopped"), &json!({})));
    assert_eq!(table(&c, &[])[0][1], "a");
    c.finish();
}

#[test]
fn what_is_not_there_is_named() {
    if !hilum_only("a command of its own") {
        return;
    }
    let c = Container::sleeper();
    assert_eq!(table(&c, &[]), Vec::<Vec<String>>::new());
    assert_eq!(json(&c, &[]), Vec::<Value>::new());
    c.create();
    for absent in ["nobody", "../nobody", ""] {
        c.call(&["ns", &c.id, absent]).fails(&format!("{absent}: container does not exist"));
    }
    fs::create_dir(c.root().join("broken")).unwrap();
    fs::write(c.root().join("broken/state.json"), "{").unwrap();
    let out = c.call(&["ns"]).ok();
    assert!(out.stderr.contains("broken") && out.stdout.contains(&c.id), "{out:?}");
    c.call(&["ns", "broken"]).fails("broken/state.json: EOF");
    c.finish();
}

#[test]
fn colour_is_for_terminals() {
    if !hilum_only("a command of its own") {
        return;
    }
    let c = Container::sleeper();
    c.up();
    let shown = |variable: &str, on_terminal: bool| {
        let command = c.command(&["ns"]);
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
        let mut shell = std::process::Command::new(if on_terminal { "script" } else { "sh" });
        shell.args(if on_terminal { &["-qec"][..] } else { &["-c"] }).arg(words.join(" "));
        if on_terminal {
            shell.arg("/dev/null");
        }
        shell.env("NO_COLOR", variable);
        c.finish_call(shell, Stdio::null()).ok().stdout
    };
    assert!(shown("", true).contains("\x1b[1;31mhost\x1b[m"), "{:?}", shown("", true));
    for plain in [shown("1", true), shown("", false)] {
        assert!(plain.contains("host") && !plain.contains('\x1b'), "{plain:?}");
    }
    c.finish();
}
