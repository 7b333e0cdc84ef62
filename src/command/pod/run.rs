//! `pod run`: a pod and its containers, all or nothing.

use std::path::Path;

use clap::ArgMatches;

use super::{create, rm, text};
use crate::command::creation::Options;
use crate::command::run::begin;
use crate::command::{Global, valid_id};
use crate::error::{Context, Error, Result};
use crate::log;
use crate::pod::{Flags, Manifest, Wanted};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let file = Path::new(text(args, "file").unwrap_or_default());
    let mut manifest = Manifest::load(file)?;
    if let Some(name) = text(args, "name") {
        manifest.name = name.into();
    }
    check(global, &manifest).context(file.display().to_string())?;
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
fn check(global: &Global, manifest: &Manifest) -> Result<()> {
    super::check_name(&manifest.name).context("name")?;
    for (index, member) in manifest.containers.iter().enumerate() {
        let id = valid_id(&member.id).and_then(|id| global.refuse_directory_of_pods(id));
        id.context(format!("containers[{index}].id"))?;
        if manifest.containers.iter().take(index).any(|other| other.id == member.id) {
            return Err(Error::new(format!("containers[{index}].id: {} is there twice", member.id)));
        }
    }
    Ok(())
}

/// As `hilum run --detach --pod POD --bundle DIR ID` does. Sockets of a service manager are for none of them.
fn start(global: &Global, pod: &str, member: &Wanted) -> Result<()> {
    let membership = Flags { pod: Some(pod), ..Flags::default() };
    let options = Options { membership, detached: true, ..Options::new(&member.id, &member.bundle) };
    begin(global, options, None).map(drop)
}
