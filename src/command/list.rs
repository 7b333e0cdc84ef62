//! `list`: all containers of a state directory.

use std::path::Path;

use clap::ArgMatches;

use super::{Global, text};
use crate::error::{Error, Result};
use crate::log;
use crate::state::{Document, State, Status, entries, read};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let states = states(&global.root)?;
    let owners = Owners::read();
    let mut rows = Vec::new();
    for state in &states {
        match row(state, &owners) {
            Ok(row) => rows.push(row),
            Err(e) => log::complain(&format!("container {}: {e}", state.id)),
        }
    }
    let text = if args.get_flag("quiet") {
        rows.iter().map(|row| format!("{}\n", row.id)).collect()
    } else if text(args, "format") == Some("json") {
        // runc's encoder writes an empty list as null, and callers know.
        let json = if rows.is_empty() { Ok("null".into()) } else { serde_json::to_string(&rows) };
        json.map_err(|e| Error::new(e.to_string()))? + "\n"
    } else {
        table(&rows)
    };
    super::print(&text)?;
    Ok(0)
}

/// What can be read, in the order of ids; the rest is told on stderr.
pub fn states(root: &Path) -> Result<Vec<State>> {
    let mut states = Vec::new();
    for id in entries(root)? {
        match read(&root.join(&id)) {
            Ok(Some(state)) => states.push(state),
            // Taken a moment ago, or left by a command that was killed.
            Ok(None) => {}
            Err(e) => log::complain(&format!("load container {id}: {e}")),
        }
    }
    Ok(states)
}

fn row<'s>(state: &'s State, owners: &Owners) -> Result<Document<'s>> {
    let status: Status = state.status()?;
    let mut row = state.document(status, state.pid(status));
    row.owner = owners.name(state.owner);
    Ok(row)
}

fn table(rows: &[Document<'_>]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from);
    let cells = rows.iter().map(|row| {
        let bundle = row.bundle.to_string_lossy().into_owned();
        [row.id.into(), row.pid.to_string(), row.status.into(), bundle, row.created.into(), row.owner.clone()]
    });
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(cells).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count() + 3).max(12);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let (last, cells) = match line.split_last() {
            Some(parts) => parts,
            None => continue,
        };
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(&format!("{cell:width$}"));
        }
        text.push_str(last);
        text.push('\n');
    }
    text
}

/// User names, from /etc/passwd alone: a static binary cannot load the modules of nsswitch.conf.
struct Owners(String);

impl Owners {
    fn read() -> Self {
        Self(std::fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    /// As runc says it when nobody has that name.
    fn name(&self, uid: u32) -> String {
        let found = self.0.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
        });
        found.unwrap_or_else(|| format!("#{uid}"))
    }
}
