//! A program of the host's, run and waited for: a hook, a plugin.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use hilum_sys::signal::unblocked;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, MemfdFlags, access, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::error::{Error, Result};

/// Of what a program prints for people, so much that an error has room for it.
const LAST_WORDS: u64 = 800;

pub struct Program<'p> {
    pub command: Command,
    pub input: &'p [u8],
    pub limit: Option<Duration>,
    /// A process group of its own: at the limit all of it is ended, and a key pressed at the terminal does not end it.
    pub own_group: bool,
    /// Standard error is not in the output.
    pub errors_apart: bool,
}

pub struct Outcome {
    /// `None`: the time was over, and it has been killed.
    pub status: Option<ExitStatus>,
    output: File,
    errors: Option<File>,
}

impl Program<'_> {
    /// Its streams are files and no pipes: nobody waits for anybody, however much is written and whether or not it is read.
    pub fn run(mut self) -> Result<Outcome> {
        let mut input = memory("input")?;
        input.write_all(self.input)?;
        input.rewind()?;
        let output = memory("output")?;
        let errors = if self.errors_apart { Some(memory("errors")?) } else { None };
        if self.own_group {
            self.command.process_group(0);
        }
        self.command.stdin(input).stdout(output.try_clone()?).stderr(errors.as_ref().unwrap_or(&output).try_clone()?);
        let mut child = unblocked(&mut self.command).spawn()?;
        let status = match self.limit {
            None => Some(child.wait()?),
            Some(limit) => wait(&mut child, limit, self.own_group)?,
        };
        Ok(Outcome { status, output, errors })
    }
}

impl Outcome {
    /// The first bytes of the output.
    pub fn output(&mut self, most: u64) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        self.output.rewind()?;
        (&self.output).take(most).read_to_end(&mut text)?;
        Ok(text)
    }

    /// The end of what it has printed for people.
    pub fn last_words(&mut self) -> String {
        let file = self.errors.as_mut().unwrap_or(&mut self.output);
        let len = file.metadata().map_or(0, |meta| meta.len());
        let mut text = Vec::new();
        let _ = file.seek(SeekFrom::Start(len.saturating_sub(LAST_WORDS)));
        let _ = file.take(LAST_WORDS).read_to_end(&mut text);
        String::from_utf8_lossy(&text).trim().to_string()
    }
}

/// The first program of this name in directories that are listed as in PATH.
pub fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    let mut files = directories.map(|directory| directory.join(name));
    files.find(|file| file.is_file() && access(file.as_os_str().as_bytes(), Access::EXEC_OK).is_ok())
}

/// How it has ended, in words.
pub fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}

fn memory(name: &str) -> Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn wait(child: &mut Child, limit: Duration, group: bool) -> Result<Option<ExitStatus>> {
    let pid = Pid::from_raw(child.id() as i32).ok_or_else(|| Error::new("no pid"))?;
    let ended = ends_within(pid, limit);
    if let Ok(true) = ended {
        return Ok(Some(child.wait()?));
    }
    match group {
        // Not waited for yet, so that the number of the group is still its own.
        true => kill_process_group(pid, Signal::KILL)?,
        false => child.kill()?,
    }
    child.wait()?;
    ended.map(|_| None)
}

fn ends_within(pid: Pid, limit: Duration) -> Result<bool> {
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    Ok(rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)))? > 0)
}
