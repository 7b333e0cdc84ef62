//! The results, as a table of ratios for a terminal, and as a page.

use crate::measure::{Results, Row};
use std::fmt::Write as _;

const TOOLS: [&str; 4] = ["hilum", "crun", "runc", "floor"];

/// Of the other tools to hilum: 2.00 is twice as much.
fn cells(row: &Row) -> Vec<String> {
    let base = row.numbers.get(TOOLS[0]).copied();
    let ratio = |name: &&str| match (row.numbers.get(*name), base) {
        (Some(number), Some(base)) if base > 0.0 => format!("{:.2}", number / base),
        _ => "-".to_owned(),
    };
    let digits = if row.unit == "ms" { 2 } else { 0 };
    let own = base.map_or("-".to_owned(), |base| format!("{base:.digits$} {}", row.unit).trim_end().to_owned());
    let mut cells = vec![row.what.clone(), own];
    cells.extend(TOOLS.iter().skip(1).map(ratio));
    cells
}

fn title(layout: &str) -> &'static str {
    match layout {
        "v2" => "cgroup v2",
        "v1" => "cgroup v1",
        _ => "Through clients",
    }
}

fn layouts(results: &Results) -> Vec<(&'static str, Vec<Vec<String>>)> {
    let mut found: Vec<(&'static str, Vec<Vec<String>>)> = Vec::new();
    for row in &results.rows {
        match found.last_mut().filter(|(name, _)| *name == title(&row.layout)) {
            Some((_, rows)) => rows.push(cells(row)),
            None => found.push((title(&row.layout), vec![cells(row)])),
        }
    }
    found
}

fn header(results: &Results) -> Vec<String> {
    let named = |name: &&str| format!("{name} {}", results.versions.get(*name).map_or("", String::as_str));
    let mut cells = vec![String::new()];
    cells.extend(TOOLS.iter().map(|name| named(name).trim_end().to_owned()));
    cells
}

pub fn text(results: &Results) -> String {
    let mut text = String::new();
    for (name, rows) in layouts(results) {
        _ = writeln!(text, "\n{name}: hilum, and the others as ratios to it\n");
        let rows: Vec<_> = [vec![header(results)], rows].concat();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        for row in &rows {
            let cells = row.iter().enumerate().map(|(n, cell)| match n {
                0 => format!("{cell:<width$}", width = width(0)),
                n => format!("{cell:>width$}", width = width(n)),
            });
            _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
    text
}

pub fn page(results: &Results) -> String {
    let mut page = include_str!("page.md").to_owned();
    let mut tables = String::new();
    for (name, rows) in layouts(results) {
        _ = writeln!(tables, "## {name}\n\n| {} |\n|---|---:|---:|---:|---:|", header(results).join(" | "));
        for row in rows {
            _ = writeln!(tables, "| {} |", row.join(" | "));
        }
        tables.push('\n');
    }
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output().unwrap();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    for (name, value) in [
        ("@DATE@", String::from_utf8_lossy(&date.stdout).trim().to_owned()),
        ("@CORES@", cores.to_string()),
        ("@KERNEL@", read("/proc/sys/kernel/osrelease").split(['.', '-']).take(2).collect::<Vec<_>>().join(".")),
        (
            "@WITHOUT@",
            if results.without.is_empty() { String::new() } else { format!(", without {}", results.without) },
        ),
        ("@TABLES@", tables.trim_end().to_owned()),
        ("@PROFILE@", read(crate::target().join("bench/profile.md").to_str().unwrap()).trim_end().to_owned()),
    ] {
        page = page.replace(name, &value);
    }
    page
}
