//! `update`: other limits for a container that exists. Its device rules stay.

use clap::ArgMatches;
use serde_json::Value;

use super::resources::{change, given};
use super::{Global, text};
use crate::cgroup::update::{self, Update};
use crate::error::{Error, Kind, Result};
use crate::spec;
use crate::state::{Container, Status, document_text};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    for option in ["l3-cache-schema", "mem-bw-schema"] {
        if text(args, option).is_some() {
            return Err(Error::new(format!("--{option}: Intel RDT is not supported")));
        }
    }
    let (container, state) = Container::load(&global.root, super::id(args)?)?;
    if matches!(state.status()?, Status::Stopped | Status::Creating) {
        return Err(Error::new("container not running").with_kind(Kind::NotRunning));
    }
    let mut given = given(args)?;

    let mut document: Value = spec::parse(&document_text(container.path())?)?;
    let resources = change(&mut document, &mut given)?;
    state.cgroup.check_memory_in_use(&resources)?;
    let updates = [Update::new(&state.cgroup, "", &resources)?];
    let done = update::apply(None, &updates)?;
    match container.save_document(document.to_string().as_bytes()) {
        Ok(()) => Ok(0),
        Err(error) => {
            done.undo();
            Err(error)
        }
    }
}
