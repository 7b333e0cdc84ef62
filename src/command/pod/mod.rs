//! `hilum pod`: one file per command.

mod create;
mod inspect;
mod kill;
mod ls;
mod pause;
mod ps;
mod rm;
mod run;
mod stats;
mod update;
mod wait;

use clap::ArgMatches;

use super::{Global, text};
use crate::error::{Error, Result};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    match args.subcommand() {
        Some(("create", args)) => create::run(global, args),
        Some(("inspect", args)) => inspect::run(global, args),
        Some(("kill", args)) => kill::run(global, args),
        Some(("ls", args)) => ls::run(global, args),
        Some(("ps", args)) => ps::run(global, args),
        Some(("stats", args)) => stats::run(global, args),
        Some(("pause", args)) => pause::pause(global, args),
        Some(("resume", args)) => pause::resume(global, args),
        Some(("rm", args)) => rm::run(global, args),
        Some(("run", args)) => run::run(global, args),
        Some(("update", args)) => update::run(global, args),
        Some(("wait", args)) => wait::run(global, args),
        _ => Err(Error::new("no command given").hint("hilum pod --help lists them")),
    }
}

fn pod_name(args: &ArgMatches) -> Result<&str> {
    check_name(text(args, "pod").unwrap_or_default())
}

fn check_name(name: &str) -> Result<&str> {
    crate::state::name_of(name, "invalid name of a pod")
}
