//! `list`: all containers of a state directory.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, available_parallelism};

use clap::ArgMatches;
use serde_json::value::RawValue;

use super::{Global, text};
use crate::error::{Context as _, Error, Result};
use crate::log;
use crate::state::{Document, Glance, State, entries, read};

/// The fewest that are worth a thread, whose start costs as much as a few.
const SHARE: usize = 64;

type Row<'r> = Document<'r, &'r RawValue>;

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let root = &global.root;
    let list = match text(args, "format") {
        _ if args.get_flag("quiet") => rows(root, |row| Ok(format!("{}\n", row.id)))?.concat(),
        Some("json") => json(&rows(root, |row| serde_json::to_string(&row).map_err(|e| Error::new(e.to_string())))?),
        _ => table(&rows(root, |row| Ok(cells(row)))?),
    };
    super::print(&list)?;
    Ok(0)
}

/// What can be read, in the order of ids; the rest is told on stderr.
pub fn states(root: &Path) -> Result<Vec<State>> {
    each(root, |_, id| read(&root.join(id)).with_context(|| format!("load container {id}")))
}

/// What `form` makes of each container, one at a time: of a thousand, none is kept.
fn rows<T: Send>(root: &Path, form: impl Fn(Row<'_>) -> Result<T> + Sync) -> Result<Vec<T>> {
    let owners = Owners::read();
    let row = |state: &Glance<'_>| {
        let mut row = state.document()?;
        row.owner = owners.name(state.owner);
        form(row)
    };
    each(root, |text, id| {
        let state = Glance::read(text, &root.join(id)).with_context(|| format!("load container {id}"))?;
        state.map(|state| row(&state).with_context(|| format!("container {id}"))).transpose()
    })
}

/// `look` is given room for a text, and answers nothing where no state is: taken a moment ago, or left by a command that was
/// killed.
fn each<T: Send>(root: &Path, look: impl Fn(&mut Vec<u8>, &str) -> Result<Option<T>> + Sync) -> Result<Vec<T>> {
    Ok(side_by_side(&entries(root)?, |ids| {
        let mut text = Vec::new();
        let look = |id: &String| {
            look(&mut text, id).unwrap_or_else(|e| {
                log::complain(&e.to_string());
                None
            })
        };
        ids.iter().filter_map(look).collect()
    }))
}

/// Most of the time is the kernel's, which answers on every processor. Each takes a few at a time: none waits for one that
/// has less of its processor.
fn side_by_side<T: Send>(ids: &[String], look: impl Fn(&[String]) -> Vec<T> + Sync) -> Vec<T> {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let threads = processors.min(ids.len() / SHARE).max(1);
    let (ids, look) = (Mutex::new(ids.chunks(SHARE).enumerate()), &look);
    let next = || ids.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || std::iter::from_fn(next).map(|(at, ids)| (at, look(ids))).collect::<Vec<_>>();
    let mut seen = thread::scope(|scope| {
        // A limit on processes allows no thread: then this one does all.
        let others: Vec<_> =
            (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut seen = work();
        // A panic would have ended all of the program.
        seen.extend(others.into_iter().filter_map(|thread| thread.join().ok()).flatten());
        seen
    });
    seen.sort_by_key(|(at, _)| *at);
    seen.into_iter().flat_map(|(_, seen)| seen).collect()
}

/// runc's encoder writes an empty list as null, and callers know.
fn json(rows: &[String]) -> String {
    match rows {
        [] => "null\n".into(),
        _ => format!("[{}]\n", rows.join(",")),
    }
}

fn cells(row: Row<'_>) -> [String; 6] {
    let bundle = row.bundle.to_string_lossy().into_owned();
    [row.id.into(), row.pid.to_string(), row.status.into(), bundle, row.created.into(), row.owner]
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
    let mut text = String::with_capacity((rows.len() + 1) * widths.iter().sum::<usize>());
    for [cells @ .., last] in lines() {
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width - cell.chars().count()));
        }
        text.extend([last, "\n"]);
    }
    text
}

/// User names, from /etc/passwd alone: a static binary cannot load the modules of nsswitch.conf.
pub struct Owners(BTreeMap<u32, String>);

impl Owners {
    pub fn read() -> Self {
        let mut names = BTreeMap::new();
        for line in std::fs::read_to_string("/etc/passwd").unwrap_or_default().lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
                // The first line of a number is what getpwuid(3) finds.
                names.entry(uid).or_insert_with(|| name.to_string());
            }
        }
        Self(names)
    }

    /// As runc says it when nobody has that name.
    pub fn name(&self, uid: u32) -> String {
        self.0.get(&uid).cloned().unwrap_or_else(|| format!("#{uid}"))
    }
}
