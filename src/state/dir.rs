//! The state directory: one directory per container, with what is remembered of it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::locked::{Access, Locked, exists, load, write_aside};
use super::{PodOf, State};
use crate::error::{Context, Error, Kind, Result};
use crate::spec::{self, config::Spec};

pub(super) const FILE: &str = "state.json";
/// Where a created container waits for `start`.
pub const START_SOCKET: &str = "start.sock";
/// config.json as it was when the container was created, with what `update` has changed since. The bundle's own may be
/// edited meanwhile, and has no effect any more (runtime.md, "Lifecycle").
const DOCUMENT: &str = "config.json";
/// What of it the container sees, for sd_notify(3).
const NOTIFY: &str = "notify";

/// Makes the root directory. Only the runtime's user may list it. Others can get through: a container in a user namespace is
/// another user, and has its `notify` bound from there.
pub fn prepare_root(root: &Path) -> Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(root);
    made.at("create the state directory", root).map_err(Error::on_disk)
}

/// A container's directory, locked until this is dropped.
#[derive(Debug)]
pub struct Container(Locked);

impl Container {
    /// Takes the id, which the caller is to `enter` next.
    pub fn create(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(id);
        Locked::create(&path, FILE)?.ok_or_else(|| taken(&path)).map(Self)
    }

    /// Before anything is made: who finds the state finds what has to be undone. Its pod knows it before, and forgets it
    /// after: as long as there is a state, there is a way to it.
    pub fn enter(&self, state: &State) -> Result<()> {
        state.pod.as_ref().map_or(Ok(()), |pod| pod.enroll(&state.id, self.path()))?;
        self.save(state)
    }

    /// The container's state, for as long as no other command changes it. `None`: a directory without a state, which a
    /// command that was killed in its first moments has left.
    pub fn open(root: &Path, id: &str) -> Result<(Self, Option<State>)> {
        let path = root.join(id);
        let it = Locked::open(path.clone(), Access::Exclusive)?.ok_or_else(|| missing(&path))?;
        Ok((Self(it), read(&path)?))
    }

    /// The same, where a state is needed.
    pub fn load(root: &Path, id: &str) -> Result<(Self, State)> {
        let (it, state) = Self::open(root, id)?;
        match state {
            Some(state) => Ok((it, state)),
            None => Err(half_made(it.path())),
        }
    }

    /// As `open`, if no command is at work on it.
    pub fn seize(root: &Path, id: &str) -> Result<Option<(Self, Option<State>)>> {
        let Some(it) = Locked::seize(root.join(id))? else { return Ok(None) };
        let state = read(it.path())?;
        Ok(Some((Self(it), state)))
    }

    /// Whether it has nothing in it that a runtime has not put there: a root directory may have been mistaken.
    pub fn holds_only_ours(&self) -> Result<bool> {
        self.0.holds_only(&[FILE, DOCUMENT, START_SOCKET, NOTIFY])
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn save(&self, state: &State) -> Result<()> {
        self.0.save(FILE, state)
    }

    pub fn save_document(&self, text: &[u8]) -> Result<()> {
        write_aside(&self.path().join(DOCUMENT), text, 0o600)
    }

    /// Lets other commands have their turn.
    pub fn unlock(&self) -> Result<()> {
        self.0.unlock()
    }

    /// Takes the lock again. False: somebody has removed the container meanwhile.
    pub fn relock(&self) -> Result<bool> {
        self.0.relock()
    }

    /// With its place in the pod, if it has one. The state comes last of the files.
    pub fn remove(self, id: &str, pod: Option<&PodOf>) -> Result<()> {
        // Before the state: a directory without one makes room for the next only if there is nothing in it.
        let _ = fs::remove_dir_all(self.path().join(NOTIFY));
        for name in [DOCUMENT, START_SOCKET, FILE] {
            let _ = fs::remove_file(self.path().join(name));
        }
        if let Some(pod) = pod {
            pod.forget(id, self.path());
        }
        self.0.remove()
    }
}

/// To be asked early; it is `Container::create` that takes an id.
pub fn refuse_taken(root: &Path, id: &str) -> Result<()> {
    match exists(&root.join(id).join(FILE)) {
        true => Err(taken(&root.join(id))),
        false => Ok(()),
    }
}

fn taken(path: &Path) -> Error {
    Error::new("container with given ID already exists").path(path)
}

pub fn missing(path: &Path) -> Error {
    Error::new("container does not exist").with_kind(Kind::NotFound).path(path)
}

/// What a command that was killed in its first moments has left.
pub fn half_made(path: &Path) -> Error {
    missing(path).hint("its directory is there without a state: delete --force removes it")
}

/// Reads a state without waiting for a command that is at work on it.
pub fn read(path: &Path) -> Result<Option<State>> {
    let state: Option<State> = load(&path.join(FILE))?;
    Ok(state.map(|mut state| {
        state.cgroup.forget_others();
        state
    }))
}

/// The document of the container whose directory this is.
pub fn document(path: &Path) -> Result<Spec> {
    spec::parse(&document_text(path)?).context(path.join(DOCUMENT).display().to_string())
}

pub fn document_text(path: &Path) -> Result<Vec<u8>> {
    let file = path.join(DOCUMENT);
    fs::read(&file).at("read", file)
}

/// The default root may be shared by users (XDG_RUNTIME_DIR): sticky, so that no cleaner takes it for stale.
pub fn make_sticky(root: &Path) -> Result<()> {
    fs::set_permissions(root, fs::Permissions::from_mode(0o1700)).at("chmod", root)
}
