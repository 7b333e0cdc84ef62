//! The cgroup of a container whose status is asked for, and no more: to be read only if that needs it.

use serde::Deserialize;
use serde_json::value::RawValue;

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
pub struct Unread(Box<RawValue>);

impl Unread {
    /// Only v1 has a controller of this name, and all other text in it is a path or the name of a unit.
    fn has_v1_freezer(&self) -> bool {
        self.0.get().contains("\"freezer\"")
    }
}

impl Pauses for Unread {
    fn pauses(&self, process: &Stat) -> Result<bool> {
        match self.has_v1_freezer() && !process.may_be_frozen() {
            true => Ok(false),
            false => json::parse::<Cgroup>(self.0.get().as_bytes())?.pauses(process),
        }
    }
}
