//! The layers of the source, by its `use` lines: dependencies point one way.

use crate::common::read;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the hilum crate, and those that it may use. (That sys and init use nothing of it, the compiler sees:
/// they are crates of their own.)
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("log", &["error"]),
    ("conflict", &["error"]),
    ("proc", &["error"]),
    ("program", &["error"]),
    ("resctrl", &["error", "spec"]),
    ("dbus", &["error"]),
    ("netlink", &["error"]),
    ("cni", &["error", "log", "program"]),
    ("spec", &["error", "cgroup"]),
    ("cgroup", &["error", "log", "conflict", "spec", "dbus"]),
    ("plan", &["error", "log", "conflict", "proc", "netlink", "spec", "cgroup"]),
    ("state", &["error", "log", "proc", "spec", "cgroup", "resctrl"]),
    ("run", &["error", "log", "conflict", "program", "resctrl", "netlink", "spec", "cgroup", "plan", "state"]),
    ("pod", &["error", "log", "conflict", "proc", "spec", "cgroup", "cni", "plan", "state", "run"]),
    ("cli", &[]),
    (
        "command",
        &["error", "log", "conflict", "proc", "resctrl", "spec", "cgroup", "plan", "state", "run", "pod", "cli"],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 50, "{} sources", found.len());
    found
}

#[test]
fn no_layer_calls_upward() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in all_sources() {
        let inside = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        let module = inside.split('/').next().unwrap().trim_end_matches(".rs");
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            continue;
        };
        for line in read(&path).lines() {
            for used in line.split("crate::").skip(1) {
                let names = used.trim_start_matches('{').split(|c: char| !(c.is_alphanumeric() || c == '_'));
                let first = names.into_iter().next().unwrap();
                let is_layer = LAYERS.iter().any(|(name, _)| *name == first);
                assert!(!is_layer || first == module || allowed.contains(&first), "{inside} uses {first}: {line}");
            }
        }
    }
}

#[test]
fn unsafe_code_is_in_sys_alone_and_gives_its_reason() {
    for path in all_sources() {
        let inside = path.to_string_lossy().contains("/src/sys/");
        let text = read(&path);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let blocks = code.filter(|line| line.contains("unsafe {") || line.contains("unsafe fn")).count();
        assert!(inside || blocks == 0, "{} has unsafe code", path.display());
        assert!(text.matches("SAFETY").count() * 2 >= blocks, "{}: unsafe without a reason", path.display());
    }
}
