//! `--join ID[:KINDS]`: the namespaces of another container.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hilum_sys::namespace::Kind;

use super::member::Shared;
use crate::error::{Context, Error, Result};
use crate::run::shm;
use crate::state::{self, Identity, State, Status};

/// What is joined when nobody says what.
const USUAL: [Kind; 3] = [Kind::Net, Kind::Ipc, Kind::Uts];

pub struct Target {
    state: State,
    process: Identity,
    kinds: Vec<Kind>,
}

impl Target {
    pub fn find(root: &Path, text: &str) -> Result<Self> {
        let (name, kinds) = match text.split_once(':') {
            Some((name, kinds)) => (name, parse_kinds(kinds)?),
            None => (text, USUAL.to_vec()),
        };
        let dir = find(root, name)?;
        let state = state::read(&dir)?.ok_or_else(|| state::half_made(&dir))?;
        let gone = || Error::new(format!("join {}: sandbox gone: the container has no process any more", state.id));
        match (state.process, state.status()?) {
            (Some(process), status) if !matches!(status, Status::Stopped | Status::Creating) => {
                Ok(Self { state, process, kinds })
            }
            _ => Err(gone()),
        }
    }

    pub fn id(&self) -> &str {
        &self.state.id
    }

    pub fn shared(&self) -> Result<Vec<Shared>> {
        let whose = format!("container {}", self.state.id);
        let shared = self.kinds.iter().map(|kind| {
            let path = PathBuf::from(format!("/proc/{}/ns/{}", self.process.pid, kind.proc_name()));
            let inode = std::fs::metadata(&path).at("stat", &path)?.ino();
            Ok(Shared { kind: *kind, path, inode, start_time: Some(self.process.start_time), whose: whose.clone() })
        });
        let shared = shared.collect::<Result<Vec<_>>>()?;
        // What was read by number was the container's, if it has not ended since.
        if !self.process.is_alive()? {
            return Err(Error::new(format!("join {}: sandbox gone: its process has ended", self.state.id)));
        }
        Ok(shared)
    }

    /// With the ipc namespace comes what the container has at /dev/shm: POSIX shared memory lives there (shm_overview(7)).
    pub fn shm(&self) -> Result<Option<OwnedFd>> {
        match self.kinds.contains(&Kind::Ipc) {
            true => shm::of(&self.process).context(format!("join {}: /dev/shm", self.state.id)),
            false => Ok(None),
        }
    }
}

fn parse_kinds(text: &str) -> Result<Vec<Kind>> {
    text.split(',').map(parse_kind).collect()
}

/// By the name in config.json or the one under /proc/PID/ns.
pub fn parse_kind(name: &str) -> Result<Kind> {
    let found = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Mount);
    let known: Vec<_> = found.collect();
    known.iter().find(|kind| [kind.proc_name(), kind.spec_name()].contains(&name)).copied().ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|kind| kind.proc_name()).collect();
        Error::new(format!("{name:?} is not a kind of namespace that can be shared"))
            .hint(format!("there are {}", names.join(", ")))
    })
}

/// By its id, or by what only its id begins with.
fn find(root: &Path, name: &str) -> Result<PathBuf> {
    let ids = state::entries(root)?;
    if ids.iter().any(|id| id == name) {
        return Ok(root.join(name));
    }
    // Among them may be the directory of the pods.
    let has_state = |id: &&String| !matches!(state::read(&root.join(id)), Ok(None));
    let mut found = ids.iter().filter(|id| !name.is_empty() && id.starts_with(name)).filter(has_state);
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(root.join(id)),
        (Some(one), Some(other)) => {
            Err(Error::new(format!("join {name}: {one} and {other} begin so")).hint("give more of the id"))
        }
        (None, _) => Err(state::missing(&root.join(name)).context(format!("join {name}"))),
    }
}
