//! The one error type: a chain of `what was attempted: why it failed`, read by a person on one line of a log.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// With the one [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The few failures that code, not only people, tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What only people tell apart.
    Other,
    /// No container with this id.
    NotFound,
    /// The container's process has ended.
    NotRunning,
    /// What is left of it could not be removed, and is in the container's state.
    HalfUndone,
    /// Who reads the answer has enough of it, as head(1) has.
    Unread,
}

const OLD_KERNEL: &str = "hilum needs Linux 5.10 or newer, and no seccomp filter around it that hides system calls";

/// EAGAIN of a clone(2).
pub const NO_MORE_PROCESSES: &str = "the limit on processes (RLIMIT_NPROC or pids.max) is reached";

/// Of each part of the chain: a document may hold a megabyte where a name should be.
const LONGEST: usize = 1000;

/// What went wrong, while what was attempted, and what to do about it. Displayed on one line.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    /// Outermost last: each caller adds what it was doing.
    chain: Vec<String>,
    detail: Box<Detail>,
}

/// What the JSON log says beside `msg`.
#[derive(Debug, Default)]
pub struct Detail {
    /// The step of the plan, in words.
    pub step: Option<String>,
    /// What it was attempted on.
    pub path: Option<PathBuf>,
    /// What the kernel said.
    pub errno: Option<Errno>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Error {
    /// A failure that is no other one's consequence.
    pub fn new(what: impl Into<String>) -> Self {
        Self { kind: Kind::Other, chain: vec![what.into()], detail: Box::default() }
    }

    /// For code that goes on after some failures.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is known of it apart from the text.
    pub fn detail(&self) -> &Detail {
        &self.detail
    }

    /// Of another kind.
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// What happened, without what to do about it.
    pub fn message(&self) -> String {
        Message(self).to_string()
    }

    /// What to do about it; shown behind the message.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.detail.hint = Some(hint.into());
        self
    }

    /// On this path, unless a nearer one is known.
    pub fn path(mut self, path: impl AsRef<Path>) -> Self {
        self.detail.path.get_or_insert_with(|| path.as_ref().to_path_buf());
        self
    }

    /// In this step of the plan.
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.detail.step = Some(step.into());
        self
    }

    /// Says what helps where a file could not be made.
    pub fn on_disk(self) -> Self {
        match self.detail.errno {
            Some(Errno::NOSPC | Errno::DQUOT) => {
                self.hint("its file system is full, or has no inodes left (df, df -i)")
            }
            Some(Errno::ROFS) => self.hint("its file system is mounted read-only"),
            _ => self,
        }
    }

    /// Other words for the same failure, which keeps its errno.
    pub fn replace(mut self, what: impl Into<String>) -> Self {
        self.chain = vec![what.into()];
        self
    }

    /// Says what was being done when this happened.
    pub fn context(mut self, what: impl Into<String>) -> Self {
        self.chain.push(what.into());
        self
    }
}

/// The chain without the hint.
struct Message<'e>(&'e Error);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.chain.iter().rev().enumerate() {
            if i > 0 {
                f.write_str(": ")?;
            }
            // A log entry is one line, whatever a path or a document put into the text.
            for c in part.chars().take(LONGEST) {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { fmt::Write::write_char(f, c)? }
            }
            if part.chars().nth(LONGEST).is_some() {
                f.write_str("…")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Message(self).fmt(f)?;
        if let Some(hint) = &self.detail.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The kernel's own words, without the number that Rust adds.
pub fn errno_text(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.rfind(" (os error") {
        Some(end) => text.get(..end).unwrap_or(&text).to_string(),
        None => text,
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        let mut error = Error::new(errno_text(errno));
        error.detail.errno = Some(errno);
        if errno == Errno::NOSYS {
            return error.hint(OLD_KERNEL);
        }
        error
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        match Errno::from_io_error(&e) {
            Some(errno) => errno.into(),
            None => Error::new(e.to_string()),
        }
    }
}

/// Adds what was attempted to whatever went wrong.
pub trait Context<T> {
    /// `what: cause`.
    fn context(self, what: impl Into<String>) -> Result<T>;
    /// The same, where to say it takes time.
    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
    /// `verb path: cause`, with the path also as a key of the JSON log.
    fn at(self, verb: &str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|e| e.into().context(what))
    }

    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| e.into().context(what()))
    }

    fn at(self, verb: &str, path: impl AsRef<Path>) -> Result<T> {
        let path = path.as_ref();
        self.map_err(|e| e.into().context(format!("{verb} {}", path.display())).path(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_chain_with_the_kernels_words_and_a_hint() {
        let e = Error::from(Errno::PERM).context("mount sysfs on /sys").hint("share the user namespace too");
        assert_eq!(e.to_string(), "mount sysfs on /sys: Operation not permitted; share the user namespace too");
    }

    #[test]
    fn is_one_line_whatever_a_path_holds() {
        let e: Error = Err::<(), _>(Errno::NOENT).at("open", "/a\nlevel=error").unwrap_err();
        assert_eq!(e.to_string(), "open /a\\nlevel=error: No such file or directory");
        assert_eq!(e.detail().path.as_deref(), Some(Path::new("/a\nlevel=error")));
    }
}
