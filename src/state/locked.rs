//! A directory that stands for something (a container, a pod), and whose lock serialises the commands on it.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Context, Error, Result};

/// A state larger than this was not written by hilum.
const LARGEST: u64 = 64 << 20;
/// A creation with slow hooks is over by then.
const LOCK_BOUND: Duration = Duration::from_secs(30);

/// Behind the name of a file that is being written.
const ASIDE: &str = ".new";

/// Locked until this is dropped.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    lock: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Exclusive,
    /// Beside others who only want it to stay.
    Shared,
}

impl Locked {
    /// Makes the directory. `None`: there is one.
    pub fn create(path: PathBuf) -> Result<Option<Self>> {
        loop {
            match fs::DirBuilder::new().mode(0o711).create(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
                Err(e) => return Err(e).at("create", path),
            }
            let made = Self::open(path.clone(), Access::Exclusive).inspect_err(|_| drop(fs::remove_dir(&path)))?;
            // Before it was locked, `gc` may have taken it for what a killed command has left.
            if made.is_some() {
                return Ok(made);
            }
        }
    }

    /// `None`: there is no such directory, or there was one until a moment ago.
    pub fn open(path: PathBuf, access: Access) -> Result<Option<Self>> {
        let Some(it) = Self::find(path)? else { return Ok(None) };
        it.wait(access)?;
        Ok(it.is_there()?.then_some(it))
    }

    /// The same, if no command is at work on it.
    pub fn seize(path: PathBuf) -> Result<Option<Self>> {
        let Some(it) = Self::find(path)? else { return Ok(None) };
        match flock(&it.lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(it.is_there()?.then_some(it)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno).at("lock", &it.path),
        }
    }

    /// Not locked yet.
    fn find(path: PathBuf) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            other => other.at("open", &path).map(|lock| Some(Self { path, lock })),
        }
    }

    /// Whether nothing is in it but these, and what `save` leaves beside them when it is killed.
    pub fn holds_only(&self, names: &[&str]) -> Result<bool> {
        for entry in fs::read_dir(&self.path).at("read", &self.path)? {
            let name = entry.at("read", &self.path)?.file_name();
            let name = name.to_string_lossy();
            if !names.contains(&name.strip_suffix(ASIDE).unwrap_or(&name)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets other commands have their turn.
    pub fn unlock(&self) -> Result<()> {
        flock(&self.lock, FlockOperation::Unlock).at("unlock", &self.path)
    }

    /// Takes the lock again. False: somebody has removed the directory meanwhile.
    pub fn relock(&self) -> Result<bool> {
        self.wait(Access::Exclusive)?;
        self.is_there()
    }

    pub fn save(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec(value).map_err(|e| Error::new(e.to_string())).context("write the state")?;
        write_aside(&self.path.join(name), &text, 0o600)
    }

    /// With the files that are expected in it, so that there is seldom a need to look for others.
    pub fn remove(self, files: &[&str]) -> Result<()> {
        for name in files {
            let _ = fs::remove_file(self.path.join(name));
        }
        match fs::remove_dir(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(&self.path),
            other => other,
        }
        .at("remove", &self.path)
    }

    /// Whoever held the lock may have removed the directory.
    fn is_there(&self) -> Result<bool> {
        Ok(fstat(&self.lock).at("stat", &self.path)?.st_nlink > 0)
    }

    /// Another command may be at work: for a moment, or in a hook for as long as that takes. Nobody waits without a bound.
    fn wait(&self, access: Access) -> Result<()> {
        let operation = match access {
            Access::Exclusive => FlockOperation::NonBlockingLockExclusive,
            Access::Shared => FlockOperation::NonBlockingLockShared,
        };
        let path = &self.path;
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match flock(&self.lock, operation) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK) if start.elapsed() < LOCK_BOUND => {}
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::new(format!("{}: another command is at work on it", path.display()))
                        .path(path)
                        .hint(format!("it has not ended in {LOCK_BOUND:?}; a hook may hang")));
                }
                Err(errno) => return Err(errno).at("lock", path),
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// What `save` wrote, without waiting for a command that is at work. `None`: there is no such file.
pub fn load<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    let text = match fs::metadata(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).at("read", file),
        Ok(meta) if meta.len() > LARGEST => return Err(Error::new(format!("{}: too large", file.display()))),
        Ok(_) => fs::read(file).at("read", file)?,
    };
    serde_json::from_slice(&text).map_err(|e| Error::new(e.to_string())).at("read", file).map(Some)
}

/// A file that appears whole, under its name, or not at all: a reader sees the old content or the new one.
pub fn write_aside(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(ASIDE);
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

/// The names of the directories in a directory, sorted; none if it is not there.
pub fn entries(root: &Path) -> Result<Vec<String>> {
    let dir = match fs::read_dir(root) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("read", root)?,
    };
    let mut names = Vec::new();
    for entry in dir {
        let entry = entry.at("read", root)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
