//! `create`: everything but the execution.

use clap::ArgMatches;

use super::creation::{Options, make};
use super::{Global, text};
use crate::error::Result;

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let options = Options { detached: true, wait_for_start: true, ..Options::of(args)? };
    make(global, options)?.leave(text(args, "pid-file"))?;
    Ok(0)
}
