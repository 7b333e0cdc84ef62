//! All that hilum may say went wrong, as it stands in the sources: `scripts/cargo test --test cli -- messages --nocapture` lists
//! it, for who reads it as the person who gets it.

use crate::common::*;
use std::path::{Path, PathBuf};

/// What makes a part of a message, and how it is called here.
const MAKERS: [(&str, &str); 8] = [
    ("Error::new(", "error"),
    (".hint(", "hint"),
    (".context(", "doing"),
    (".with_context(", "doing"),
    ("Fail::new(", "init"),
    ("log::warn(", "warning"),
    ("complain(", "warning"),
    (".at(", "doing"),
];

/// Begin as they do with runc: clients and people look for them. The others begin with a name.
const UPPERCASE: [&str; 13] = [
    "AppArmor",
    "CAP_SYS_ADMIN",
    "CNI",
    "CRIU",
    "Container cannot be checkpointed in",
    "File config.json exists. Remove it first",
    "Invalid port number",
    "JSON specification file",
    "Linux",
    "Use --page-server",
    "SCHED_ISO",
    "SELinux",
    "PID",
];

/// Say nothing, or say it twice: an error is told as one.
const EMPTY_WORDS: [&str; 9] = [
    "failed to",
    "unable to perform",
    "an error occurred",
    "error occurred",
    "unexpected error",
    "unknown error",
    "something went wrong",
    "please try",
    "invalid argument",
];

struct Part {
    place: String,
    kind: &'static str,
    text: String,
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") => found.push(path),
            false => {}
        }
    }
}

/// The string that comes first behind a maker: `"…"`, `format!("…"`, `|| format!("…"`, or behind an errno.
fn literal(behind: &str) -> Option<&str> {
    let start = behind.find('"')?;
    let allowed = |c: char| c.is_alphanumeric() || " \n:_,&|!(".contains(c);
    behind.get(..start).filter(|between| between.len() < 60 && between.chars().all(allowed))?;
    let text = behind.get(start + 1..)?;
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    text.get(..end?)
}

fn parts() -> Vec<Part> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut parts) = (Vec::new(), Vec::new());
    sources(&root.join("src"), &mut files);
    files.sort();
    for file in files {
        let text = read(&file);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (maker, kind) in MAKERS {
            for (at, _) in code.match_indices(maker) {
                let Some(text) = literal(&code[at + maker.len()..]) else { continue };
                let line = code[..at].lines().count();
                let place = format!("{}:{line}", file.strip_prefix(root).unwrap().display());
                let text = text.replace("\\\"", "\"");
                let lines: Vec<&str> = text.split("\\\n").map(str::trim_start).collect();
                parts.push(Part { place, kind, text: lines.concat() });
            }
        }
    }
    parts
}

#[test]
fn messages_are_for_who_reads_one_line_of_a_log() {
    let parts = parts();
    assert!(parts.iter().filter(|part| part.kind == "error").count() > 200, "{} parts", parts.len());
    let mut bad = Vec::new();
    for Part { place, kind, text } in &parts {
        println!("{kind:8} {place:40} {text}");
        let lower = text.to_lowercase();
        let mut says = |what: &str| bad.push(format!("{place}: {text:?} {what}"));
        if text.ends_with('.') && !["..", " ."].iter().any(|end| text.ends_with(end)) {
            says("ends with a full stop: something follows it in the chain");
        }
        if text.contains("\\n") || text.contains('\t') {
            says("is more than a line");
        }
        if text.len() > 240 {
            says("is longer than a line of a log");
        }
        let first = text.chars().next().unwrap_or(' ');
        if *kind == "error" && first.is_uppercase() && !UPPERCASE.iter().any(|known| text.starts_with(known)) {
            says("begins with a capital letter");
        }
        for word in EMPTY_WORDS.iter().filter(|word| lower.contains(**word)) {
            says(&format!("has the empty words {word:?}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// docs/errors.md explains messages that there are.
#[test]
fn the_page_on_errors_quotes_what_is_said() {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md"));
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(it, _)| it)).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    let parts = parts();
    for row in rows {
        let quoted: Vec<&str> = row.split('…').map(str::trim).filter(|part| !part.is_empty()).collect();
        for part in quoted {
            assert!(parts.iter().any(|it| fits(&it.text, part)), "docs/errors.md: nobody says {part:?} (of {row:?})");
        }
    }
}

/// A piece of a message, in which `{…}` is what differs each time.
fn fits(said: &str, quoted: &str) -> bool {
    let mut pieces = Vec::new();
    let mut rest = said;
    while let Some((before, behind)) = rest.split_once('{') {
        pieces.push(before);
        rest = behind.split_once('}').map_or("", |(_, behind)| behind);
    }
    pieces.push(rest);
    said.contains(quoted) || pieces.iter().any(|piece| piece.trim().len() > 8 && quoted.contains(piece.trim()))
}
