//! Seccomp filters that were compiled before. For the profile of a Docker container libseccomp takes longer than the kernel
//! for all the rest of a creation, and it is the same profile for all of them.
//!
//! They are kept in a directory that is its owner's alone. The name of a file is a number between 0 and [`SLOTS`], so there
//! are never more; what was compiled says the text in it, all of which is compared. Whatever is wrong with the directory or a
//! file, the filter is compiled, and nobody fails.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, linkat, mkdir, open, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::{Context, Error, Result};
use crate::log;
use crate::plan::seccomp::{self, Filter};
use crate::privilege::in_user_namespace;

const NAME: &str = "hilum.seccomp";
const SLOTS: u64 = 64;
/// What a longer profile costs is not the compilation alone.
const LONGEST: usize = 128 << 10;

/// The program of the filter, an array of `struct sock_filter`.
pub fn program(filter: &Filter<'_>) -> Result<Vec<u8>> {
    let Some((dir, source)) = place(filter) else { return filter.compile() };
    if let Some(program) = find(&dir, &source) {
        return Ok(program);
    }
    let program = filter.compile()?;
    if let Err(error) = keep(&dir, &source, &program) {
        log::debug(|| format!("keep a filter in {NAME}: {error}"));
    }
    Ok(program)
}

/// The directory, and what a program is found by: all that it follows from.
fn place(filter: &Filter<'_>) -> Option<(OwnedFd, Vec<u8>)> {
    let source = source(filter).ok().filter(|source| source.len() <= LONGEST)?;
    Some((directory()?, source))
}

/// The profile, the library, and whose instructions come before its.
fn source(filter: &Filter<'_>) -> Result<Vec<u8>> {
    let own = std::fs::metadata("/proc/self/exe").context("stat /proc/self/exe")?;
    let (version, library, arch) = (env!("CARGO_PKG_VERSION"), seccomp::version(), std::env::consts::ARCH);
    let binary = format!("{} {} {}", own.len(), own.mtime(), own.mtime_nsec());
    let mut source = format!("hilum {version} ({binary}), libseccomp {library}, {arch}\n").into_bytes();
    serde_json::to_writer(&mut source, filter.profile()).map_err(|e| Error::new(e.to_string()))?;
    source.push(b'\n');
    Ok(source)
}

/// Root's, or the user's own.
fn directory() -> Option<OwnedFd> {
    let user = geteuid();
    let path = match std::env::var_os("XDG_RUNTIME_DIR") {
        // Rootless podman calls as the root of a user namespace.
        Some(own) if Path::new(&own).is_absolute() && (!user.is_root() || in_user_namespace()) => PathBuf::from(own),
        _ if user.is_root() => PathBuf::from("/run"),
        _ => return None,
    };
    let path = path.join(NAME);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match open(&path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            let _ = mkdir(&path, Mode::RWXU);
            open(&path, flags, Mode::empty()).ok()?
        }
        other => other.ok()?,
    };
    let stat = fstat(&dir).ok()?;
    (stat.st_uid == user.as_raw() && stat.st_mode & 0o077 == 0).then_some(dir)
}

fn slot(source: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(source);
    (hasher.finish() % SLOTS).to_string()
}

fn find(dir: &OwnedFd, source: &[u8]) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(dir, slot(source), flags, Mode::empty()).ok()?);
    let (stat, own) = (fstat(&file).ok()?, geteuid().as_raw());
    let is_own = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_uid == own;
    let most = source.len() + Filter::LARGEST_PROGRAM;
    if !is_own || stat.st_size as u64 > most as u64 {
        return None;
    }
    let mut text = Vec::with_capacity(stat.st_size as usize + 1);
    file.take(most as u64).read_to_end(&mut text).ok()?;
    let program = text.strip_prefix(source)?;
    Filter::is_program(program).then(|| program.to_vec())
}

/// Appears whole or not at all, and leaves nothing where it does not: O_TMPFILE.
fn keep(dir: &OwnedFd, source: &[u8], program: &[u8]) -> Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir, ".", flags, Mode::RUSR | Mode::WUSR).context("open")?);
    file.write_all(source).and_then(|()| file.write_all(program)).context("write")?;
    let (name, made) = (slot(source), format!("/proc/self/fd/{}", file.as_raw_fd()));
    match unlinkat(dir, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(Error::from(errno).context("unlink")),
    }
    match linkat(CWD, made, dir.as_fd(), &name, AtFlags::SYMLINK_FOLLOW) {
        // Another command was faster.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::from(errno).context("link")),
    }
}
