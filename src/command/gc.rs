//! `gc`: removes what commands that were killed have left.

use crate::cgroup::Host;
use crate::error::{Error, Result};
use crate::log;
use crate::pod::collect_container;
use crate::state::entries;

use super::{Global, print};

pub fn run(global: &Global) -> Result<u8> {
    let mut failed = None;
    let mut tell = |what: Result<String>| -> Result<()> {
        match what {
            Ok(removed) => print(&format!("removed {removed}\n")),
            // One thing that cannot be removed is no reason to keep the others.
            Err(error) => {
                let earlier: Option<Error> = failed.replace(error);
                earlier.iter().for_each(|error| log::complain(&error.to_string()));
                Ok(())
            }
        }
    };
    for name in global.pods().names()? {
        let removed = global.pods().collect(&name).unwrap_or_else(|error| vec![Err(error)]);
        let mut removed = removed.into_iter().map(|what| what.map_err(|e| e.context(format!("pod {name}"))));
        removed.try_for_each(&mut tell)?;
    }
    for id in entries(&global.root)?.iter().filter(|id| global.root.join(id) != global.pods().0) {
        let removed = collect_container(&global.root, id).map_err(|e| e.context(format!("container {id}")));
        removed.transpose().map_or(Ok(()), &mut tell)?;
    }
    match Host::detect().and_then(|host| global.pods().collect_cgroups(&host)) {
        Ok(removed) => removed.into_iter().map(Ok).try_for_each(&mut tell)?,
        Err(error) => tell(Err(error))?,
    }
    failed.map_or(Ok(0), Err)
}
