//! `plan`: what `create` would do, in order, without doing it; and all that would keep it from that.

mod owner;
mod report;
mod text;

use clap::ArgMatches;

use super::preparation::{Bundle, Wish, bundle_path, membership_flags, new_id, prepare, take_part};
use super::{Global, text};
use crate::conflict::Conflicts;
use crate::error::Result;
use crate::run::bare;
use report::Report;

/// For a container that nobody has named.
const NOBODY: &str = "ID";

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let mut conflicts = Conflicts::default();
    let id = match text(args, "id") {
        Some(_) => conflicts.note("ID", new_id(global, args)).unwrap_or(NOBODY),
        None => NOBODY,
    };
    let loaded = Bundle::load(bundle_path(args), &mut conflicts);
    let report = match conflicts.note("config.json", loaded) {
        Some(bundle) => look(global, args, id, bundle, conflicts)?,
        None => Report::of_conflicts(id, &conflicts),
    };
    let text = match text(args, "format") {
        Some("json") => super::json(&report)?,
        _ => text::render(&report),
    };
    super::print(&text)?;
    Ok(if report.conflicts.is_empty() { 0 } else { 1 })
}

fn look(global: &Global, args: &ArgMatches, id: &str, mut bundle: Bundle, mut conflicts: Conflicts) -> Result<Report> {
    let membership = take_part(global, membership_flags(args), id, &mut bundle.document.spec);
    let membership = conflicts.note("annotations", membership).unwrap_or_default();
    let wish = Wish {
        id,
        no_pivot: args.get_flag("no-pivot"),
        new_keyring: !args.get_flag("no-new-keyring"),
        extra_env: Vec::new(),
        wait_for_start: true,
        shm: membership.shm.as_ref(),
        bare: &bare::stand_in,
    };
    prepare(global, bundle, wish, |mut prepared| {
        for used in prepared.surroundings.iter().flat_map(|it| it.cgroup.in_use()) {
            prepared.conflicts.note("linux.cgroupsPath", used);
        }
        Ok(Report::new(global, prepared, conflicts))
    })
}
