//! `list`: all containers of a state directory.

use std::path::Path;

use clap::ArgMatches;

use super::{Global, text};
use crate::error::{Error, Result};
use crate::log;
use crate::state::{Document, State, Status, entries, glance};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let form = match text(args, "format") {
        _ if args.get_flag("quiet") => Form::Ids,
        Some("json") => Form::Json,
        _ => Form::Table,
    };
    let owners = Owners::read();
    let mut list = List::default();
    each(&global.root, |state| {
        if let Err(e) = add(&mut list, form, &state, &owners) {
            log::complain(&format!("container {}: {e}", state.id));
        }
    })?;
    super::print(&list.text(form))?;
    Ok(0)
}

/// What can be read, in the order of ids; the rest is told on stderr.
pub fn states(root: &Path) -> Result<Vec<State>> {
    let mut states = Vec::new();
    each(root, |state| states.push(state))?;
    Ok(states)
}

/// One at a time: of a thousand, none is kept.
fn each(root: &Path, mut see: impl FnMut(State)) -> Result<()> {
    for id in entries(root)? {
        match glance(&root.join(&id)) {
            Ok(Some(state)) => see(state),
            // Taken a moment ago, or left by a command that was killed.
            Ok(None) => {}
            Err(e) => log::complain(&format!("load container {id}: {e}")),
        }
    }
    Ok(())
}

fn add(list: &mut List, form: Form, state: &State, owners: &Owners) -> Result<()> {
    let status: Status = state.status()?;
    let mut row = state.document(status, state.pid(status));
    row.owner = owners.name(state.owner);
    list.add(form, &row)
}

#[derive(Clone, Copy)]
enum Form {
    Ids,
    Json,
    Table,
}

/// As it is printed, but for the widths of a table's columns.
#[derive(Default)]
struct List {
    text: String,
    rows: Vec<[String; 6]>,
}

impl List {
    fn add(&mut self, form: Form, row: &Document<'_>) -> Result<()> {
        match form {
            Form::Ids => self.text.extend([row.id, "\n"]),
            Form::Json => {
                let json = serde_json::to_string(row).map_err(|e| Error::new(e.to_string()))?;
                self.text.extend([if self.text.is_empty() { "[" } else { "," }, &json]);
            }
            Form::Table => {
                let bundle = row.bundle.to_string_lossy().into_owned();
                let (id, status, created) = (row.id.into(), row.status.into(), row.created.into());
                self.rows.push([id, row.pid.to_string(), status, bundle, created, row.owner.clone()]);
            }
        }
        Ok(())
    }

    fn text(self, form: Form) -> String {
        match form {
            Form::Ids => self.text,
            // runc's encoder writes an empty list as null, and callers know.
            Form::Json if self.text.is_empty() => "null\n".into(),
            Form::Json => self.text + "]\n",
            Form::Table => table(&self.rows),
        }
    }
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
