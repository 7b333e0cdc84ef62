//! `list`: all containers of a state directory.

use std::num::NonZero;
use std::path::Path;
use std::thread::{self, available_parallelism};

use clap::ArgMatches;

use super::{Global, text};
use crate::error::{Error, Result};
use crate::log;
use crate::state::{Document, Glance, entries, glance};

/// The fewest that are worth a thread, whose start costs as much as a few.
const SHARE: usize = 64;

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let root = &global.root;
    let list = match text(args, "format") {
        _ if args.get_flag("quiet") => rows(root, |row| Ok(format!("{}\n", row.id)))?.concat(),
        Some("json") => json(&rows(root, |row| serde_json::to_string(row).map_err(|e| Error::new(e.to_string())))?),
        _ => table(&rows(root, |row| Ok(cells(row)))?),
    };
    super::print(&list)?;
    Ok(0)
}

/// What can be read, in the order of ids; the rest is told on stderr.
pub fn states(root: &Path) -> Result<Vec<Glance>> {
    each(root, Some)
}

/// What `form` makes of each container.
fn rows<T: Send>(root: &Path, form: impl Fn(&Document<'_>) -> Result<T> + Sync) -> Result<Vec<T>> {
    let owners = Owners::read();
    let row = |state: &Glance| {
        let status = state.status()?;
        let mut row = state.document(status, state.pid(status));
        row.owner = owners.name(state.owner);
        form(&row)
    };
    each(root, |state| row(&state).inspect_err(|e| log::complain(&format!("container {}: {e}", state.id))).ok())
}

/// One state at a time: of a thousand, none is kept.
fn each<T: Send>(root: &Path, see: impl Fn(Glance) -> Option<T> + Sync) -> Result<Vec<T>> {
    let look = |id: &String| match glance(&root.join(id)) {
        // None: taken a moment ago, or left by a command that was killed.
        Ok(state) => state.and_then(&see),
        Err(e) => {
            log::complain(&format!("load container {id}: {e}"));
            None
        }
    };
    Ok(side_by_side(&entries(root)?, |ids| ids.iter().filter_map(look).collect()))
}

/// Most of the time is the kernel's, which answers on every processor: on two, 1000 containers take 23 ms instead of 34.
fn side_by_side<T: Send>(ids: &[String], look: impl Fn(&[String]) -> Vec<T> + Sync) -> Vec<T> {
    if ids.len() < 2 * SHARE {
        return look(ids);
    }
    let processors = available_parallelism().map_or(1, NonZero::get);
    let share = ids.len().div_ceil(processors).max(SHARE);
    let (mine, others) = ids.split_at(share.min(ids.len()));
    let look = &look;
    thread::scope(|scope| {
        let start = |ids| thread::Builder::new().spawn_scoped(scope, move || look(ids));
        let threads: Vec<_> = others.chunks(share).map(|ids| (ids, start(ids))).collect();
        let mut seen = look(mine);
        for (ids, thread) in threads {
            // A limit on processes allows no thread: then this one does its part.
            let theirs = thread.ok().and_then(|thread| thread.join().ok());
            seen.extend(theirs.unwrap_or_else(|| look(ids)));
        }
        seen
    })
}

/// runc's encoder writes an empty list as null, and callers know.
fn json(rows: &[String]) -> String {
    match rows {
        [] => "null\n".into(),
        _ => format!("[{}]\n", rows.join(",")),
    }
}

fn cells(row: &Document<'_>) -> [String; 6] {
    let bundle = row.bundle.to_string_lossy().into_owned();
    [row.id.into(), row.pid.to_string(), row.status.into(), bundle, row.created.into(), row.owner.clone()]
}

fn table(rows: &[[String; 6]]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from);
    let lines = || std::iter::once(&head).chain(rows);
    let mut widths = [0; 6];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count() + 3).max(12);
        }
    }
    let mut text = String::new();
    for [cells @ .., last] in lines() {
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        text.extend([last, "\n"]);
    }
    text
}

/// User names, from /etc/passwd alone: a static binary cannot load the modules of nsswitch.conf.
pub struct Owners(String);

impl Owners {
    pub fn read() -> Self {
        Self(std::fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    /// As runc says it when nobody has that name.
    pub fn name(&self, uid: u32) -> String {
        let found = self.0.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
        });
        found.unwrap_or_else(|| format!("#{uid}"))
    }
}
