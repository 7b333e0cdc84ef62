//! What the runtime remembers of a container: `<root>/<id>/state.json`, there from the moment that the id is taken, and
//! naming everything that will have to be undone.

mod dir;
mod glance;
mod locked;
mod namespaces;
mod pod;
mod process;
mod status;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use dir::{
    Container, START_SOCKET, document, document_text, half_made, make_sticky, missing, prepare_root, read, refuse_taken,
};
pub use glance::Glance;
pub use locked::{Access, Locked, entries, load, write_aside};
pub use namespaces::Namespaces;
pub use pod::PodOf;
pub use process::{Identity, InitProgram};
pub use status::Status;

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::resctrl::Groups;
use crate::spec::config::Hook;

/// config.md of the runtime specification that this implements.
pub const OCI_VERSION: &str = "1.3.0";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: String,
    /// The user who runs the runtime.
    pub owner: u32,
    pub annotations: BTreeMap<String, String>,
    /// The container's first process; absent until it exists.
    pub process: Option<Identity>,
    /// All is done but to execute.
    pub ready: bool,
    /// The program that this process runs until `start` makes it execute the user's.
    pub init: Option<InitProgram>,
    pub cgroup: Cgroup,
    /// Its place in resctrl, if it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<Groups>,
    /// Whether its processes have a session keyring of their own.
    #[serde(default)]
    pub new_keyring: bool,
    /// Whether killing the first process ends all others (it is PID 1 of a namespace of its own).
    pub own_pid_namespace: bool,
    /// For the message, should one of them fail.
    pub steps_after_start: StepNames,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
    /// The pod that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodOf>,
}

/// The steps that are left when a container is created, by name, and the number of the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StepNames {
    pub first: usize,
    pub names: Vec<String>,
}

/// What becomes the name of a directory.
pub fn name_of<'n>(name: &'n str, invalid: &str) -> Result<&'n str> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_+-.".contains(&c);
    if name.is_empty() || name == "." || name == ".." || !name.bytes().all(allowed) {
        return Err(Error::new(invalid).hint("it is made of letters, digits and _ + - ."));
    }
    if name.len() > 255 {
        return Err(Error::new(invalid).hint("it has 255 bytes at the most"));
    }
    Ok(name)
}

impl State {
    /// What is so now: asked of the kernel, never remembered.
    pub fn status(&self) -> Result<Status> {
        Status::of(self.process.as_ref(), self.ready, self.init.as_ref(), &self.cgroup)
    }

    /// The state as hooks read it and `state` prints it (runtime.md, "State").
    pub fn document(&self, status: Status, pid: i32) -> Document<'_> {
        Document {
            oci_version: &self.oci_version,
            id: &self.id,
            pid,
            status: status.name(),
            bundle: &self.bundle,
            rootfs: &self.rootfs,
            created: &self.created,
            annotations: Some(&self.annotations).filter(|annotations| !annotations.is_empty()),
            owner: String::new(),
        }
    }

    pub fn pid(&self, status: Status) -> i32 {
        status.pid(self.process.as_ref())
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'s, A = &'s BTreeMap<String, String>> {
    pub oci_version: &'s str,
    pub id: &'s str,
    pub pid: i32,
    pub status: &'static str,
    pub bundle: &'s Path,
    pub rootfs: &'s Path,
    pub created: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<A>,
    /// Filled in by `list` only, as runc does.
    pub owner: String,
}
