//! `create`: everything but the execution.

use clap::ArgMatches;

use super::{Global, creation};
use crate::error::Result;

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let made = creation::make(global, args, creation::preserved(args)?, true, true)?;
    // The state is saved: from here on the process may outlive us.
    match made.created.channel.go().and_then(|()| made.write_pid_file(args)) {
        Ok(()) => Ok(0),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}
