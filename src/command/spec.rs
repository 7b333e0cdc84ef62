//! `spec`: an example config.json.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

use clap::ArgMatches;

use super::preparation::bundle_path;
use crate::cgroup::host_is_unified;
use crate::error::{Context, Error, Result};
use crate::spec::example;

pub fn run(args: &ArgMatches) -> Result<u8> {
    let path = bundle_path(args).join("config.json");
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o666).open(&path);
    let mut file = match file {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::new("File config.json exists. Remove it first").path(path));
        }
        other => other.at("create", &path).map_err(Error::on_disk)?,
    };
    let written = file.write_all(example(args.get_flag("rootless"), host_is_unified()).as_bytes());
    // Half of one would be in the way of the next attempt.
    written.inspect_err(|_| drop(std::fs::remove_file(&path))).at("write", &path).map_err(Error::on_disk)?;
    Ok(0)
}
