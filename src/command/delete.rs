//! `delete`: undoes everything that the state names.

use std::path::Path;

use clap::ArgMatches;

use super::Global;
use crate::error::{Error, Kind, Result};
use crate::run::destroy;
use crate::state::{Container, Status, half_made};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    delete(&global.root, super::id(args)?, args.get_flag("force"))?;
    Ok(0)
}

pub fn delete(root: &Path, id: &str, force: bool) -> Result<()> {
    let (container, state) = match Container::open(root, id) {
        Err(e) if e.kind() == Kind::NotFound && force => return Ok(()),
        other => other?,
    };
    let Some(state) = state else {
        // The creation was killed before it could do anything but take the id.
        if force {
            return container.remove(id, None);
        }
        return Err(half_made(&root.join(id)));
    };
    let status = state.status()?;
    if !force && matches!(status, Status::Running | Status::Paused) {
        return Err(Error::new(format!("cannot delete container {id} that is not stopped: {}", status.name())));
    }
    destroy(container, &state)
}
