//! The state directory: one directory per container, whose lock serialises the commands on it.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
use rustix::io::Errno;

use super::State;
use crate::error::{Context, Error, Kind, Result};
use crate::spec::{self, config::Spec};

const FILE: &str = "state.json";
/// config.json as it was when the container was created, with what `update` has changed since. The bundle's own may be
/// edited meanwhile, and has no effect any more (runtime.md, "Lifecycle").
const DOCUMENT: &str = "config.json";
/// A state larger than this was not written by hilum.
const LARGEST: u64 = 64 << 20;
/// A creation with slow hooks is over by then.
const LOCK_BOUND: Duration = Duration::from_secs(30);

/// Makes the root directory, for the runtime's user only.
pub fn prepare_root(root: &Path) -> Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o711).create(root) {
        Ok(()) => Ok(()),
        Err(e) => Err(e).at("create the state directory", root),
    }
}

/// A container's directory, locked until this is dropped.
#[derive(Debug)]
pub struct Container {
    path: PathBuf,
    lock: OwnedFd,
}

impl Container {
    /// Takes the id. With the state already in it: who finds the directory finds what has to be undone.
    pub fn create(root: &Path, state: &State) -> Result<Self> {
        let path = root.join(&state.id);
        match fs::DirBuilder::new().mode(0o711).create(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::new("container with given ID already exists").path(path));
            }
            Err(e) => return Err(e).at("create", path),
        }
        let made =
            lock(&path).inspect_err(|_| drop(fs::remove_dir(&path)))?.map(|lock| Self { path: path.clone(), lock });
        let it = made.ok_or_else(|| Error::new(format!("{}: removed by another command", path.display())))?;
        it.save(state).inspect_err(|_| drop(fs::remove_dir_all(&path)))?;
        Ok(it)
    }

    /// The container's state, for as long as no other command changes it. `None`: a directory without a state, which a
    /// command that was killed in its first moments has left.
    pub fn open(root: &Path, id: &str) -> Result<(Self, Option<State>)> {
        let path = root.join(id);
        let it = Self { lock: lock(&path)?.ok_or_else(|| missing(&path))?, path: path.clone() };
        let state = read(&path)?;
        Ok((it, state))
    }

    /// The same, where a state is needed.
    pub fn load(root: &Path, id: &str) -> Result<(Self, State)> {
        let (it, state) = Self::open(root, id)?;
        match state {
            Some(state) => Ok((it, state)),
            None => Err(half_made(&it.path)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Written aside and renamed: a reader sees the old state or the new one.
    pub fn save(&self, state: &State) -> Result<()> {
        let text = serde_json::to_vec(state).map_err(|e| Error::new(e.to_string())).context("write the state")?;
        write_aside(&self.path.join(FILE), &text, 0o600)
    }

    pub fn save_document(&self, text: &[u8]) -> Result<()> {
        write_aside(&self.path.join(DOCUMENT), text, 0o600)
    }

    /// Lets other commands have their turn.
    pub fn unlock(&self) -> Result<()> {
        flock(&self.lock, FlockOperation::Unlock).at("unlock", &self.path)
    }

    /// Takes the lock again. False: somebody has removed the container meanwhile.
    pub fn relock(&self) -> Result<bool> {
        wait_for_lock(&self.lock, &self.path)?;
        is_there(&self.lock, &self.path)
    }

    pub fn remove(self) -> Result<()> {
        // There is seldom anything else, and then no need to look for it.
        let _ = fs::remove_file(self.path.join(DOCUMENT));
        let _ = fs::remove_file(self.path.join(FILE));
        match fs::remove_dir(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(&self.path),
            other => other,
        }
        .at("remove", &self.path)
    }
}

/// A file that appears whole, under its name, or not at all.
pub fn write_aside(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&aside)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&aside, path));
    written.inspect_err(|_| drop(fs::remove_file(&aside))).at("write", path)
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
    let file = path.join(FILE);
    let text = match fs::metadata(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).at("read", file),
        Ok(meta) if meta.len() > LARGEST => return Err(Error::new(format!("{}: too large", file.display()))),
        Ok(_) => fs::read(&file).at("read", &file)?,
    };
    let mut state: State = serde_json::from_slice(&text).map_err(|e| Error::new(e.to_string())).at("read", &file)?;
    state.cgroup.forget_others();
    Ok(Some(state))
}

/// The document of the container whose directory this is.
pub fn document(path: &Path) -> Result<Spec> {
    spec::parse(&document_text(path)?).context(path.join(DOCUMENT).display().to_string())
}

pub fn document_text(path: &Path) -> Result<Vec<u8>> {
    let file = path.join(DOCUMENT);
    fs::read(&file).at("read", file)
}

/// The ids under a root, sorted.
pub fn entries(root: &Path) -> Result<Vec<String>> {
    let dir = match fs::read_dir(root) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("read", root)?,
    };
    let mut ids = Vec::new();
    for entry in dir {
        let entry = entry.at("read", root)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            ids.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ids.sort();
    Ok(ids)
}

/// `None`: there is no such container, or there was one until a moment ago.
fn lock(path: &Path) -> Result<Option<OwnedFd>> {
    let dir = match open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        other => other.at("open", path)?,
    };
    wait_for_lock(&dir, path)?;
    Ok(is_there(&dir, path)?.then_some(dir))
}

/// Whoever held the lock may have removed the directory.
fn is_there(dir: &OwnedFd, path: &Path) -> Result<bool> {
    Ok(fstat(dir).at("stat", path)?.st_nlink > 0)
}

/// Another command may be at work: for a moment, or in a hook for as long as that takes. Nobody waits without a bound.
fn wait_for_lock(dir: &OwnedFd, path: &Path) -> Result<()> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match flock(dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if start.elapsed() < LOCK_BOUND => {}
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::new(format!("{}: another command is at work on this container", path.display()))
                    .path(path)
                    .hint(format!("it has not ended in {LOCK_BOUND:?}; a hook may hang")));
            }
            Err(errno) => return Err(errno).at("lock", path),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// The default root may be shared by users (XDG_RUNTIME_DIR): sticky, so that no cleaner takes it for stale.
pub fn make_sticky(root: &Path) -> Result<()> {
    fs::set_permissions(root, fs::Permissions::from_mode(0o1700)).at("chmod", root)
}
