//! A directory that stands for something (a container, a pod), and whose lock serialises the commands on it.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::json;
use crate::spec::limits;

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
    /// Makes the directory. `None`: there is one, as the file in it shows that `save` will write.
    ///
    /// One without that file is what is left of a command that was killed in its first or last moments. It is nobody's, and
    /// makes room.
    pub fn create(path: &Path, file: &str) -> Result<Option<Self>> {
        loop {
            match fs::DirBuilder::new().mode(0o711).create(path) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => match remove_leftover(path, file)? {
                    true => continue,
                    false => return Ok(None),
                },
                Err(e) => return Err(e).at("create", path).map_err(Error::on_disk),
            }
            let made = Self::open(path.into(), Access::Exclusive).inspect_err(|_| drop(fs::remove_dir(path)))?;
            // In the moment before it was locked, another command may have taken it for a leftover.
            if let Some(made) = made {
                return Ok((!exists(&path.join(file))).then_some(made));
            }
        }
    }

    /// `None`: there is no such directory, or there was one until a moment ago.
    pub fn open(path: PathBuf, access: Access) -> Result<Option<Self>> {
        let Some(it) = Self::unlocked(path)? else { return Ok(None) };
        it.wait(access)?;
        Ok(it.is_there()?.then_some(it))
    }

    /// The same, if no command is at work on it.
    pub fn seize(path: PathBuf) -> Result<Option<Self>> {
        let Some(it) = Self::unlocked(path)? else { return Ok(None) };
        Ok((it.try_lock(Access::Exclusive)? && it.is_there()?).then_some(it))
    }

    fn unlocked(path: PathBuf) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            other => Ok(Some(Self { lock: other.at("open", &path)?, path })),
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

    /// For as long as this is there, programs that are started get the lock as well: should we be killed, it is held until
    /// they have ended.
    pub fn lend(&self) -> Result<OwnedFd> {
        rustix::io::dup(&self.lock).at("lend the lock of", &self.path)
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

    /// To be called without the files that are expected in it, so that there is seldom a need to look for others.
    pub fn remove(self) -> Result<()> {
        match fs::remove_dir(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(&self.path),
            other => other,
        }
        .at("remove", &self.path)
        .map_err(Error::on_disk)
    }

    /// Whoever held the lock may have removed the directory.
    fn is_there(&self) -> Result<bool> {
        Ok(fstat(&self.lock).at("stat", &self.path)?.st_nlink > 0)
    }

    /// Another command may be at work: for a moment, or in a hook for as long as that takes. Nobody waits without a bound.
    fn wait(&self, access: Access) -> Result<()> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        while !self.try_lock(access)? {
            if start.elapsed() >= LOCK_BOUND {
                return Err(Error::new(format!("{}: another command is at work on it", self.path.display()))
                    .path(&self.path)
                    .hint(format!("it has not ended in {LOCK_BOUND:?}; a hook or a CNI plugin may hang")));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        Ok(())
    }

    /// False: another command has it.
    fn try_lock(&self, access: Access) -> Result<bool> {
        let operation = match access {
            Access::Exclusive => FlockOperation::NonBlockingLockExclusive,
            Access::Shared => FlockOperation::NonBlockingLockShared,
        };
        match rustix::io::retry_on_intr(|| flock(&self.lock, operation)) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno).at("lock", &self.path),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Said, and not only closed: what a program has started that it was lent to may be there for long.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Path::exists() has two system calls where it is not, which is usual here.
pub(super) fn exists(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok()
}

/// False: it is in use, or something else is there.
fn remove_leftover(path: &Path, file: &str) -> Result<bool> {
    let Some(left) = (match exists(&path.join(file)) {
        true => return Ok(false),
        false => Locked::unlocked(path.into())?,
    }) else {
        return Ok(fs::symlink_metadata(path).is_err());
    };
    if !left.try_lock(Access::Exclusive)? || exists(&path.join(file)) {
        return Ok(false);
    }
    // Somebody else has removed it: what has the name by now is a new one, and whose lock this is not.
    if !left.is_there()? {
        return Ok(true);
    }
    let _ = fs::remove_file(aside(&path.join(file)));
    Ok(fs::remove_dir(path).is_ok())
}

/// What `save` wrote, without waiting for a command that is at work. `None`: there is no such file.
pub fn load<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    load_into(&mut Vec::new(), file)
}

/// The same, of which parts may stay in the text.
pub fn load_into<'t, T: Deserialize<'t>>(text: &'t mut Vec<u8>, file: &Path) -> Result<Option<T>> {
    // Opened once: it may be replaced or removed at any moment.
    let opened = match fs::File::open(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.at("read", file)?,
    };
    limits::read_into(text, &opened, file, LARGEST)?;
    json::parse(text).at("read", file).map(Some)
}

/// A file that appears whole, under its name, or not at all: a reader sees the old content or the new one.
pub fn write_aside(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    let aside = aside(path);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&aside)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&aside, path));
    written.inspect_err(|_| drop(fs::remove_file(&aside))).at("write", path).map_err(Error::on_disk)
}

fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(ASIDE);
    aside.into()
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
