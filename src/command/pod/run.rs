//! `pod run`: a pod and its containers, all or nothing.

use std::path::Path;

use clap::ArgMatches;

use super::{create, rm, text};
use crate::command::Global;
use crate::error::{Context, Error, Result};
use crate::pod::{Manifest, Wanted};
use crate::{cli, log};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let file = Path::new(text(args, "file").unwrap_or_default());
    let mut manifest = Manifest::load(file)?;
    if let Some(name) = text(args, "name") {
        manifest.name = name.into();
    }
    check(&manifest).context(file.display().to_string())?;
    create::make(global, &manifest)?;
    for member in &manifest.containers {
        if let Err(error) = start(global, &manifest.name, member) {
            if let Err(e) = rm::remove(global, &manifest.name, true) {
                log::warn(&format!("undo: {e}"));
            }
            return Err(error.context(format!("container {}", member.id)));
        }
    }
    Ok(0)
}

/// What no part of it can say alone. The ids are looked at before anything is made.
fn check(manifest: &Manifest) -> Result<()> {
    super::check_name(&manifest.name).context("name")?;
    for (index, member) in manifest.containers.iter().enumerate() {
        if manifest.containers.iter().take(index).any(|other| other.id == member.id) {
            return Err(Error::new(format!("containers[{index}].id: {} is there twice", member.id)));
        }
    }
    Ok(())
}

/// As if one had typed `hilum run --detach --pod POD --bundle DIR ID`.
fn start(global: &Global, pod: &str, member: &Wanted) -> Result<()> {
    let words = ["hilum", "run", "--detach", "--pod", pod, "--bundle"].map(std::ffi::OsString::from);
    let words = words.into_iter().chain([member.bundle.clone().into(), "--".into(), member.id.clone().into()]);
    let words: Vec<_> = words.collect();
    let matches = cli::command_for(&words).try_get_matches_from(&words);
    let matches = matches.map_err(|e| Error::new(e.to_string().lines().next().unwrap_or_default()))?;
    match matches.subcommand() {
        Some((_, args)) => crate::command::run::run(global, args).map(drop),
        None => Err(Error::new("no command")),
    }
}
