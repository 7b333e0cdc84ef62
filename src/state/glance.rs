//! A state that is listed: no more of it than its row needs, and most of that is left in the file's text. With a thousand of
//! them, to make strings of everything is a fifth of the time.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::dir::FILE;
use super::locked::load_into;
use super::{Document, Identity, InitProgram, Status};
use crate::cgroup;
use crate::error::Result;

/// The fields of `State` that it has, of the same names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Glance<'t> {
    #[serde(borrow)]
    oci_version: Cow<'t, str>,
    #[serde(borrow)]
    pub id: Cow<'t, str>,
    #[serde(borrow)]
    bundle: Cow<'t, str>,
    #[serde(borrow)]
    rootfs: Cow<'t, str>,
    #[serde(borrow)]
    created: Cow<'t, str>,
    pub owner: u32,
    #[serde(borrow)]
    annotations: &'t RawValue,
    process: Option<Identity>,
    ready: bool,
    init: Option<InitProgram>,
    #[serde(borrow)]
    cgroup: cgroup::Unread<'t>,
}

impl<'t> Glance<'t> {
    /// Of the container with this directory; `None`, if it has no state.
    pub fn read(text: &'t mut Vec<u8>, path: &Path) -> Result<Option<Self>> {
        load_into(text, &path.join(FILE))
    }

    pub fn document(&self) -> Result<Document<'_, &RawValue>> {
        let status = Status::of(self.process.as_ref(), self.ready, self.init.as_ref(), &self.cgroup)?;
        Ok(Document {
            oci_version: &self.oci_version,
            id: &self.id,
            pid: status.pid(self.process.as_ref()),
            status: status.name(),
            bundle: Path::new(&*self.bundle),
            rootfs: Path::new(&*self.rootfs),
            created: &self.created,
            annotations: Some(self.annotations).filter(|annotations| annotations.get() != "{}"),
            owner: String::new(),
        })
    }
}
