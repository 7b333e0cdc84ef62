//! What README.md, docs/ and the manual pages say can be typed: the commands and options are there, and so are the files and
//! targets that they name.

use crate::common::read;
use clap::error::ErrorKind;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let of = |dir: &str, end: &str| {
        let entries = std::fs::read_dir(root().join(dir)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().ends_with(end)).collect::<Vec<_>>()
    };
    [
        of("", ".md"),
        of("docs", ".md"),
        of("docs/walkthroughs", ".md"),
        of("man", ".8"),
        of(".github/ISSUE_TEMPLATE", ".md"),
    ]
    .concat()
}

/// The lines that stand as code: indented, in a fence, or in a display of a manual page; and what is between backticks.
fn code(path: &Path) -> Vec<String> {
    let (text, mut lines, mut inside) = (read(path), Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") || line.starts_with(".Bd -literal") || line.starts_with(".Ed") {
            inside = !inside;
            continue;
        }
        let line = line.strip_prefix(".Dl ").map_or(line.to_owned(), |code| format!("    {code}"));
        if inside || line.starts_with("    ") {
            lines.push(line.trim().trim_start_matches("# ").to_owned());
        } else {
            lines.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    lines
}

/// The words of the commands of a line that begin with this one, as a shell would split them, as far as that is simple.
fn commands<'l>(line: &'l str, program: &str) -> Vec<Vec<&'l str>> {
    let mut found = Vec::new();
    let separators = [" | ", " && ", " || ", "; ", "$(", " > ", " >", " 2>", " <", "  #", ") ", " # "];
    let mut rest = vec![line];
    for separator in separators {
        rest = rest.iter().flat_map(|part| part.split(separator)).collect();
    }
    for part in rest {
        let words: Vec<&str> = part.trim().trim_end_matches([')', '"', '\'', ';', '`']).split_whitespace().collect();
        if words.first() == Some(&program) && words.len() > 1 {
            found.push(words);
        }
    }
    found
}

const NAMED: [ErrorKind; 2] = [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];

#[test]
fn commands_that_are_shown_are_taken() {
    let mut total = 0;
    for path in pages() {
        for line in code(&path) {
            for words in commands(&line, "hilum") {
                // What stands for something: `hilum kill ID`, `hilum --root DIR ns`, `…`. And what is cut off, or quoted.
                if words.iter().any(|word| word.contains(['…', '"', '\'', '[', '|', '<']) || word.ends_with("...")) {
                    continue;
                }
                total += 1;
                let taken = hilum::cli::command().try_get_matches_from(&words);
                // `hilum state` is what a command is called.
                let only_named = words.len() < 4;
                let ends = |error: &clap::Error| !error.use_stderr() || (only_named && NAMED.contains(&error.kind()));
                assert!(taken.as_ref().err().is_none_or(ends), "{}: {words:?}: {}", path.display(), taken.unwrap_err());
            }
        }
    }
    assert!(total > 100, "{total} commands");
}

#[test]
fn targets_of_make_that_are_named_are_there() {
    let makefile = read(&root().join("Makefile"));
    let mut total = 0;
    for path in pages().iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        for line in code(path) {
            for words in commands(&line, "make") {
                let targets = words[1..].iter().map(|word| word.trim_matches('\''));
                for target in targets.filter(|word| !word.contains(['=', ':']) && !word.starts_with('-')) {
                    total += 1;
                    assert!(makefile.contains(&format!("\n{target}:")), "{}: make {target}", path.display());
                }
            }
        }
    }
    assert!(total > 20, "{total} targets");
}

fn there(name: &str) -> bool {
    root().join(name).exists()
}

#[test]
fn files_that_are_named_are_there() {
    let mut total = 0;
    for path in pages().iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = read(path);
        for link in text.split("](").skip(1).filter_map(|behind| behind.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            total += 1;
            assert!(path.parent().unwrap().join(file).exists(), "{}: {link}", path.display());
        }
        for word in text.split([' ', '\n', '`', '(', ')', ',', ':', '|']) {
            let word = word.trim_end_matches(['.', ';']);
            let ours = ["src/", "tests/", "scripts/", "docs/", "integration/", "benches/", "man/", "fuzz/fuzz_targets"];
            if ours.iter().any(|start| word.starts_with(start)) && !word.contains(['*', '<', '…', '{']) {
                // Written by a test, where it is wanted.
                let made =
                    ["tests/data", "src/command/NAME.rs", "man/hilum-NAME.8", "tests/NAME.rs", "fuzz/corpus/TARGET"];
                total += 1;
                assert!(
                    made.iter().any(|it| word.starts_with(it)) || there(word) || there(&format!("{word}.rs")),
                    "{}: {word} is not there",
                    path.display()
                );
            }
        }
    }
    assert!(total > 100, "{total} files");
}
