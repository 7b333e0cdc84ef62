//! docs/reliability.md is what the suite has counted: each part and row of it is of a test, and nothing in it was lost.

use crate::common::read;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// How tests say what they count, and of which part that is.
const COUNTERS: [(&str, &str); 5] = [
    ("attacks(", "Attacks"),
    (" tally(", "Limits of the host"),
    ("Tally::of(PART, ", "Hostile inputs"),
    ("Tally::of(\"Races\", ", "Races"),
    ("Tally::of(\"Soak\", ", "Soak"),
];

/// What a host like that of the page does not have.
const ELSEWHERE: [&str; 2] = ["row 4: AppArmor where /proc is another", "100 containers at once, by systemd"];

/// Part and title of each row that a test writes, where it does not make the title up.
fn tallies() -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let is_other = |path: &&PathBuf| !path.ends_with("reliability_page.rs");
    for text in sources(&root().join("tests")).iter().filter(is_other).map(|path| read(path)) {
        for (call, part) in COUNTERS {
            let titles = text.split(call).skip(1).filter_map(|rest| rest.strip_prefix('"')?.split('"').next());
            found.extend(titles.map(|title| (part, title.to_owned())));
        }
    }
    found
}

/// (part, title, tried, survived, left behind)
fn rows() -> Vec<(String, String, u64, u64, u64)> {
    let mut part = String::new();
    let mut rows = Vec::new();
    for line in read(&root().join("docs/reliability.md")).lines() {
        if let Some(title) = line.strip_prefix("## ") {
            part = title.to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, title, numbers @ .., _time, _] = cells.as_slice() {
            let numbers: Vec<u64> = numbers.iter().filter_map(|cell| cell.replace(',', "").parse().ok()).collect();
            if let [tried, survived, left] = numbers[..] {
                rows.push((part.clone(), title.to_string(), tried, survived, left));
            }
        }
    }
    rows
}

#[test]
fn everything_that_is_counted_is_on_the_page() {
    let rows = rows();
    let tallies = tallies();
    assert!(tallies.len() > 80, "only {} tallies found", tallies.len());
    for (part, title) in tallies.iter().filter(|(_, title)| !ELSEWHERE.contains(&title.as_str())) {
        let is_there = rows.iter().any(|row| row.0 == *part && row.1 == *title);
        assert!(is_there, "docs/reliability.md, {part}: no row {title:?}: make reliability");
    }
    for part in ["Fuzzing", "Crash points", "Injected faults"] {
        assert!(rows.iter().any(|row| row.0 == part), "docs/reliability.md has nothing of {part}: make reliability");
    }
}

#[test]
fn nothing_on_the_page_was_lost_or_left_behind() {
    for (part, what, tried, survived, left) in rows() {
        assert!(tried > 0, "{part}, {what}: nothing was tried");
        assert_eq!((survived, left), (tried, 0), "{part}, {what}");
    }
}
