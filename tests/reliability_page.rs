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

/// The literal arguments of each `Tally::of`: the part, and the row's title, where the test does not make it up.
fn tallies() -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for path in sources(&root().join("tests")) {
        for call in read(&path).split(concat!("Tally", "::of(")).skip(1) {
            let mut literals = call.split('"');
            let (before, Some(part)) = (literals.next().unwrap(), literals.next()) else { continue };
            if !before.trim().is_empty() {
                continue;
            }
            let is_literal = literals.next().is_some_and(|between| between.trim() == ",");
            found.push((part.to_owned(), literals.next().filter(|_| is_literal).map(str::to_owned)));
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
    assert!(tallies.len() > 20, "only {} tallies found", tallies.len());
    for (part, what) in tallies {
        let of_part = || rows.iter().filter(|row| row.0 == part);
        assert!(of_part().count() > 0, "docs/reliability.md has nothing of {part}: make reliability");
        if let Some(what) = what {
            assert!(
                of_part().any(|row| row.1 == what),
                "docs/reliability.md, {part}: no row {what:?}: make reliability"
            );
        }
    }
}

#[test]
fn nothing_on_the_page_was_lost_or_left_behind() {
    for (part, what, tried, survived, left) in rows() {
        assert!(tried > 0, "{part}, {what}: nothing was tried");
        assert_eq!((survived, left), (tried, 0), "{part}, {what}");
    }
}
