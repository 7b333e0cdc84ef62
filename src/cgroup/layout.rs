//! What there is of cgroups for a container that asks for nothing in particular: for `check`, which makes none.

use std::path::{Path, PathBuf};

use super::{Directory, Host, Place, Version, file};
use crate::error::Result;

pub struct Layout {
    pub versions: Vec<Version>,
    /// All that the hierarchies have, by the names of their version.
    pub controllers: Vec<String>,
    /// In v2, where containers' cgroups go that have no absolute path, as far as it is there.
    pub home: Option<PathBuf>,
}

impl Layout {
    pub fn of(host: &Host) -> Result<Self> {
        let name = PathBuf::from("hilum");
        let all = host.directories(&Place::Absolute(name.clone()), false)?;
        let own = host.directories(&Place::Relative(name), true)?;
        Ok(Self {
            versions: all.iter().map(|directory| directory.version).collect(),
            controllers: all.iter().flat_map(|directory| directory.controllers.clone()).collect(),
            home: own.iter().find(|directory| directory.version == Version::V2).and_then(home),
        })
    }

    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|it| it == controller)
    }
}

fn home(directory: &Directory) -> Option<PathBuf> {
    let mut above = directory.path.ancestors().skip(1).take_while(|path| path.starts_with(&directory.mount));
    above.find(|path| path.exists()).map(Path::to_path_buf)
}

/// The controllers that can be handed down from this cgroup of v2.
pub fn delegated(cgroup: &Path) -> Result<Vec<String>> {
    let text = file::read(&cgroup.join("cgroup.controllers"))?;
    Ok(text.split_whitespace().map(str::to_string).collect())
}
