//! `update`: other limits for a container that exists. Its device rules stay.

use clap::ArgMatches;
use serde_json::Value;

use super::resources::{complete, given, of_document, parse};
use super::{Global, text};
use crate::error::{Error, Kind, Result};
use crate::spec::{self, merge};
use crate::state::{Container, Status, document_text};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    for option in ["l3-cache-schema", "mem-bw-schema"] {
        if text(args, option).is_some() {
            return Err(Error::new(format!("--{option}: Intel RDT is not supported")));
        }
    }
    let (container, state) = Container::load(&global.root, super::id(args)?)?;
    if matches!(state.status(), Status::Stopped | Status::Creating) {
        return Err(Error::new("container not running").with_kind(Kind::NotRunning));
    }
    let mut given = given(args)?;

    let mut document: Value = spec::parse(&document_text(container.path())?)?;
    let resources = of_document(&mut document)?;
    merge(resources, &given);
    complete(&mut given, resources);
    state.cgroup.update(&parse(&given)?)?;
    let text = serde_json::to_vec(&document).map_err(|e| Error::new(e.to_string()))?;
    container.save_document(&text)?;
    Ok(0)
}
