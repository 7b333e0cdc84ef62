//! The cgroup of a container whose status is asked for, and no more: to be read only if that needs it.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::process::paused_v2;
use super::{Cgroup, Version};
use crate::error::Result;
use crate::json;
use crate::proc::Stat;

pub trait Pauses {
    /// Whether it stops this process, which is in it. In v1 most show that they run by themselves: a quarter of the time
    /// of `list`.
    fn pauses(&self, process: &Stat) -> Result<bool>;
}

impl Pauses for Cgroup {
    fn pauses(&self, process: &Stat) -> Result<bool> {
        match self.freezer() {
            Ok(freezer) if freezer.version == Version::V1 && !process.may_be_frozen() => Ok(false),
            _ => self.paused(),
        }
    }
}

/// Ten directories in v1, which are a half of the instructions of `list` when they are read.
#[derive(Debug, Deserialize)]
pub struct Unread<'t>(#[serde(borrow)] &'t RawValue);

/// Of `Cgroup`, what tells where v2 is.
#[derive(Deserialize)]
struct Places<'t> {
    #[serde(borrow)]
    directories: Vec<Place<'t>>,
}

#[derive(Deserialize)]
struct Place<'t> {
    version: Version,
    #[serde(borrow)]
    path: Cow<'t, str>,
    inode: Option<u64>,
}

impl Unread<'_> {
    /// Only v1 has a controller of this name, and all other text in it is a path or the name of a unit.
    fn has_v1_freezer(&self) -> bool {
        self.0.get().contains("\"freezer\"")
    }

    fn read<'t, T: Deserialize<'t>>(&'t self) -> Result<T> {
        json::parse(self.0.get().as_bytes())
    }
}

impl Pauses for Unread<'_> {
    fn pauses(&self, process: &Stat) -> Result<bool> {
        if self.has_v1_freezer() {
            return match process.may_be_frozen() {
                true => self.read::<Cgroup>()?.pauses(process),
                false => Ok(false),
            };
        }
        let places: Places = self.read()?;
        let v2 = places.directories.iter().find(|place| place.version == Version::V2 && place.inode.is_some());
        v2.map_or(Ok(false), |v2| paused_v2(Path::new(&*v2.path), v2.inode))
    }
}
