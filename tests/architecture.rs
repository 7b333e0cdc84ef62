//! The layers of the source, by its `use` lines: dependencies point one way.

use crate::common::read;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the hilum crate, and those that it may use. (That sys and init use nothing of it, the compiler sees:
/// they are crates of their own.)
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("log", &["error"]),
    ("fault", &["error", "log"]),
    ("conflict", &["error"]),
    ("privilege", &["error", "proc"]),
    ("proc", &["error"]),
    ("program", &["error"]),
    ("resctrl", &["error", "proc", "spec"]),
    ("dbus", &["error"]),
    ("netlink", &["error"]),
    ("cni", &["error", "log", "program"]),
    ("spec", &["error"]),
    ("cgroup", &["error", "log", "conflict", "privilege", "proc", "spec", "dbus"]),
    ("plan", &["error", "log", "conflict", "privilege", "proc", "netlink", "spec", "cgroup"]),
    ("state", &["error", "log", "privilege", "proc", "spec", "cgroup", "resctrl"]),
    (
        "run",
        &["error", "log", "conflict", "privilege", "program", "resctrl", "netlink", "spec", "cgroup", "plan", "state"],
    ),
    ("pod", &["error", "log", "conflict", "proc", "spec", "cgroup", "cni", "plan", "state", "run"]),
    ("cli", &[]),
    (
        "command",
        &[
            "error",
            "log",
            "conflict",
            "privilege",
            "proc",
            "program",
            "resctrl",
            "spec",
            "cgroup",
            "cni",
            "plan",
            "state",
            "run",
            "pod",
            "cli",
        ],
    ),
    ("runtime", &["error", "state", "command"]),
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

/// The modules and crates of src/, by name.
fn modules() -> BTreeSet<String> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| name.trim_end_matches(".rs").to_owned()).filter(|name| name != "lib").collect()
}

#[test]
fn the_picture_of_the_layers_is_that_of_the_sources() {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md"));
    let picture = page.split("## The layers\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let modules = modules();
    // What is said of a row stands behind two dozens of spaces or a bar; the names of its modules come before.
    let mut rows = BTreeMap::new();
    for (row, line) in picture.lines().filter(|line| line.starts_with("    ")).enumerate().skip(1) {
        let names: String = line.chars().take(60).collect();
        for name in names.split_whitespace().filter(|name| modules.contains(*name)) {
            assert_eq!(rows.insert(name.to_owned(), row), None, "{name} is there twice");
        }
    }
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), modules, "docs/architecture.md and src/");
    for (name, below) in LAYERS {
        for used in *below {
            // cgroup uses spec, which is on the same row.
            assert!(rows[*name] <= rows[*used], "{name} uses {used}, which is above it");
        }
    }
}

#[test]
fn readme_says_where_things_are() {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let code = page.split("## The code\n").nth(1).unwrap();
    for module in modules() {
        assert!(code.contains(&format!("{module}.rs")) || code.contains(&format!("src/{module}/")), "{module}");
    }
}

#[test]
fn a_file_has_one_subject_and_seldom_more_than_400_lines() {
    for path in all_sources().iter().filter(|path| !path.ends_with("tests.rs")) {
        let text = read(path);
        assert!(text.lines().count() <= 400, "{}: {} lines", path.display(), text.lines().count());
        let says = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        assert!(says.starts_with("//!"), "{} does not say what it is about: {says}", path.display());
    }
}

/// docs/unsafe.md has a line for each file of sys with unsafe code, and its numbers.
#[test]
fn unsafe_code_is_in_sys_alone_gives_its_reason_and_is_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = read(&root.join("docs/unsafe.md"));
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.contains(".rs |"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let mut counted = 0;
    for path in all_sources() {
        let text = read(&path);
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let count = |wanted: fn(&str) -> bool| code.iter().filter(|line| wanted(line)).count();
        let blocks = count(|line| line.contains("unsafe {"));
        let functions = count(|line| line.contains("unsafe fn") || line.contains("unsafe extern"));
        let names = count(|line| line.contains("#[unsafe("));
        let sum = blocks + functions + names;
        let reasons = text.matches("SAFETY").count() + text.matches("# Safety").count();
        assert!(reasons >= blocks.max(functions), "{}: unsafe without a reason", path.display());
        let Ok(name) = path.strip_prefix(root.join("src/sys")) else {
            assert_eq!(sum, 0, "{} has unsafe code", path.display());
            continue;
        };
        let name = name.to_str().unwrap();
        let row = rows.iter().find(|row| row[1] == name);
        let numbers = [blocks, functions, names].map(|n| n.to_string());
        match row {
            Some(row) => assert_eq!(row[2..5], numbers, "docs/unsafe.md: blocks, functions and names of {name}"),
            None => assert_eq!(sum, 0, "docs/unsafe.md has no line for {name}"),
        }
        counted += usize::from(row.is_some());
    }
    assert_eq!(counted, rows.len(), "docs/unsafe.md has lines for files that are not there");
}
