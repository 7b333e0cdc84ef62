//! What the runtime remembers of a container: `<root>/<id>/state.json`, there from the moment that the id is taken, and
//! naming everything that will have to be undone.

mod dir;
mod locked;
mod namespaces;
mod pod;
mod process;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use dir::{
    Container, START_SOCKET, document, document_text, glance, half_made, make_sticky, missing, prepare_root, read,
    refuse_taken,
};
pub use locked::{Access, Locked, entries, load, write_aside};

pub use namespaces::Namespaces;
pub use pod::PodOf;
use process::is_named_init;
pub use process::{Identity, InitProgram};

use crate::cgroup::{self, Cgroup, Pauses};
use crate::error::{Error, Result};
use crate::resctrl::Groups;
use crate::spec::config::Hook;

/// config.md of the runtime specification that this implements.
pub const OCI_VERSION: &str = "1.3.0";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State<C = Cgroup> {
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
    pub cgroup: C,
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

/// For who looks at many and asks for no more of the cgroup than the status does.
pub type Glance = State<cgroup::Unread>;

/// The steps that are left when a container is created, by name, and the number of the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StepNames {
    pub first: usize,
    pub names: Vec<String>,
}

/// What a container is (runtime.md, "State", and what runc adds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A command is at work on its creation.
    Creating,
    /// It waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen: by `pause`, or with the pod or cgroup that it is in.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
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

impl<C: Pauses> State<C> {
    /// What is so now: asked of the kernel, never remembered.
    pub fn status(&self) -> Result<Status> {
        let Some(process) = &self.process else {
            return Ok(Status::Creating);
        };
        let Some(stat) = process.alive()? else {
            return Ok(Status::Stopped);
        };
        // A created container's process is still the runtime's own program: exec is what changes it, in one instant.
        let created = match &self.init {
            // It had the name when it was ready: most programs need no second look, while they have not begun to end.
            Some(_) if self.ready && !stat.exiting && !is_named_init(&stat) => Some(false),
            Some(init) => init.is_run_by(process)?,
            None => Some(false),
        };
        let Some(created) = created else { return Ok(Status::Stopped) };
        Ok(match (created, self.cgroup.pauses(&stat)?) {
            (true, _) if !self.ready => Status::Creating,
            (_, true) => Status::Paused,
            (true, false) => Status::Created,
            (false, false) => Status::Running,
        })
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
            annotations: &self.annotations,
            owner: String::new(),
        }
    }

    pub fn pid(&self, status: Status) -> i32 {
        match (&self.process, status) {
            (_, Status::Stopped) | (None, _) => 0,
            (Some(process), _) => process.pid,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'s> {
    pub oci_version: &'s str,
    pub id: &'s str,
    pub pid: i32,
    pub status: &'static str,
    pub bundle: &'s PathBuf,
    pub rootfs: &'s PathBuf,
    pub created: &'s str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'s BTreeMap<String, String>,
    /// Filled in by `list` only, as runc does.
    pub owner: String,
}
