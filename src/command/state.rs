//! `state`: what a container is now.

use clap::ArgMatches;

use super::Global;
use crate::error::{Error, Result};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let state = super::state_of(global, args)?;
    let status = state.status()?;
    let text = serde_json::to_string_pretty(&state.document(status, state.pid(status)))
        .map_err(|e| Error::new(e.to_string()))?;
    super::print(&text)?;
    Ok(0)
}
