//! docs/spec.md against the specification's schema, the sources and the tests.

use crate::common::read;
use crate::common::schema::Schema;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Of these the page has one row.
pub const OTHER_PLATFORMS: &[&str] = &["solaris", "windows", "vm", "zos", "freebsd"];

struct Row {
    property: String,
    does: String,
    source: String,
    tests: Vec<String>,
}

fn file(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn rows() -> Vec<Row> {
    let page = read(&file("docs/spec.md"));
    let lines = page.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix('|'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [property, does, source, tests] = cells[..] else { panic!("{line}") };
        let tests = tests.split(", ").filter(|test| !test.is_empty()).map(String::from).collect();
        Row { property: property.trim_end_matches('`').into(), does: does.into(), source: source.into(), tests }
    };
    let rows: Vec<Row> = lines.map(row).collect();
    assert!(rows.len() > 200, "{} rows", rows.len());
    rows
}

/// `closID` as the code has it: `clos_id`.
fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| chars[before]);
        let ends_a_word = before.is_some_and(|before| before.is_lowercase() || before.is_ascii_digit());
        let begins_a_word = before.is_some() && chars.get(index + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (ends_a_word || begins_a_word) {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// The name of the property, and of its field.
fn names(property: &str) -> Vec<String> {
    let name = property.rsplit('.').next().unwrap().trim_end_matches(['[', ']', '{', '}']);
    let field = match name {
        // Words of Rust's own.
        "type" => "kind".into(),
        "final" => "last".into(),
        name => snake(name),
    };
    vec![name.into(), field]
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect()
}

#[test]
fn every_row_has_a_source_that_speaks_of_it_and_tests_that_exist() {
    for Row { property, does, source, tests } in &rows() {
        assert!(
            ["done", "refused", "ignored", "never"].iter().any(|word| does.starts_with(word)),
            "{property}: {does}"
        );
        let text = fs::read_to_string(file(source)).unwrap_or_else(|e| panic!("{property}: {source}: {e}"));
        let known = words(&text);
        let names = names(property);
        assert!(names.iter().any(|name| known.contains(name.as_str())), "{property}: none of {names:?} in {source}");
        assert!(!tests.is_empty(), "{property}: no test");
        for test in tests {
            let (path, name) = test.split_once("::").unwrap_or_else(|| panic!("{property}: {test}"));
            let text = fs::read_to_string(file(path)).unwrap_or_else(|e| panic!("{property}: {path}: {e}"));
            let is_there = text.split("#[test]").skip(1).any(|behind| {
                let line = behind.lines().map(str::trim).find(|line| line.starts_with("fn "));
                line.is_some_and(|line| line.starts_with(&format!("fn {name}(")))
            });
            assert!(is_there, "{property}: no test {name} in {path}");
        }
    }
}

#[test]
fn the_page_has_a_row_for_every_property_of_the_specification_and_no_other() {
    let Some(schema) = Schema::load() else { return };
    let mut expected = BTreeSet::new();
    schema.paths(schema.document("config-schema.json"), "", &mut expected);
    let is_others = |path: &str| path.split_once(['.', '[']).is_some_and(|(top, _)| OTHER_PLATFORMS.contains(&top));
    expected.retain(|path| !is_others(path));
    let mut found = BTreeSet::new();
    for row in rows() {
        assert!(found.insert(row.property.clone()), "two rows for {}", row.property);
    }
    let missing: Vec<_> = expected.difference(&found).collect();
    let invented: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && invented.is_empty(), "no row for {missing:?}, no property for {invented:?}");
}

/// Every property has a field, or it would be ignored.
#[test]
fn every_property_is_read() {
    let fields = read(&file("src/spec/config.rs"));
    let known = words(&fields);
    for Row { property, .. } in rows() {
        let is_there = names(&property).iter().any(|name| known.contains(name.as_str()));
        // The clocks are a map's keys.
        assert!(is_there || property.starts_with("linux.timeOffsets."), "{property}");
    }
}
