//! A plugin: found in the directories, run within a time limit, and what it says when it fails.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, MemfdFlags, access, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Context, Error, Result};
use crate::log;

/// A result is some hundred bytes.
const LARGEST: u64 = 1 << 20;
/// Of what a plugin prints for people, so much that an error has room for it.
const LAST_WORDS: u64 = 800;

/// One link of a network's chain, as it is configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plugin {
    /// The name of its program.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Plugin {
    /// Its program.
    pub fn find(&self, dirs: &[PathBuf]) -> Result<PathBuf> {
        let kind = &self.kind;
        if kind.is_empty() || kind.contains('/') {
            return Err(Error::new(format!("type {kind:?} is not the name of a plugin")));
        }
        let is_program = |path: &PathBuf| path.is_file() && access(path, Access::EXEC_OK).is_ok();
        dirs.iter().map(|dir| dir.join(kind)).find(is_program).ok_or_else(|| {
            let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            Error::new(format!("plugin {kind} is not in {}", dirs.join(", ")))
                .hint("install it (the package containernetworking-plugins has the usual ones), or set CNI_PATH")
        })
    }
}

/// Runs a plugin with this input, and gives what it has printed.
pub(super) fn run(program: &Path, env: &[(&str, &OsStr)], input: &Value, limit: Duration) -> Result<Vec<u8>> {
    // Files and no pipes: nobody waits for anybody, however much is written and whether or not it is read.
    let mut stdin = memory("input")?;
    serde_json::to_writer(&mut stdin, input).map_err(|e| Error::new(e.to_string()))?;
    stdin.flush().and_then(|()| stdin.rewind())?;
    let (mut stdout, mut stderr) = (memory("output")?, memory("errors")?);
    let mut command = Command::new(program);
    // A group of its own: it is ended with what it has started, and a key pressed at the terminal does not end it.
    command.envs(env.iter().copied()).process_group(0);
    command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);

    let ended = wait(&mut command.spawn().at("run", program)?, limit)?;
    let said = last_words(&mut stderr);
    if !said.is_empty() {
        log::debug(|| format!("{}: {said}", program.display()));
    }
    let status =
        ended.ok_or_else(|| Error::new(with_words(format!("killed after its time limit of {limit:?}"), &said)))?;
    let mut printed = Vec::new();
    stdout.rewind()?;
    stdout.take(LARGEST).read_to_end(&mut printed)?;
    if status.success() { Ok(printed) } else { Err(failure(status, &printed, &said)) }
}

fn memory(name: &str) -> Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// `None`: the time was over, and it and its process group have been killed.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let pid = Pid::from_raw(child.id() as i32).ok_or_else(|| Error::new("no pid"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    if rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)))? > 0 {
        return Ok(Some(child.wait()?));
    }
    // Not waited for yet, so that the number of the group is still its own.
    kill_process_group(pid, Signal::KILL)?;
    child.wait()?;
    Ok(None)
}

/// What the specification has plugins print when they fail.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    code: u32,
    msg: String,
    details: String,
}

fn failure(status: ExitStatus, printed: &[u8], said: &str) -> Error {
    match serde_json::from_slice(printed) {
        Ok(Complaint { code, msg, details }) if !msg.is_empty() => {
            let details = if details.is_empty() { details } else { format!(": {details}") };
            Error::new(format!("{msg}{details}: code {code}"))
        }
        _ => {
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit status {code}"),
                (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
            };
            let printed = String::from_utf8_lossy(printed);
            Error::new(with_words(how, if said.is_empty() { printed.trim() } else { said }))
        }
    }
}

fn with_words(what: String, words: &str) -> String {
    if words.is_empty() { what } else { format!("{what}, output: {words}") }
}

/// The end of what it printed.
fn last_words(output: &mut File) -> String {
    let len = output.metadata().map_or(0, |meta| meta.len());
    let mut text = Vec::new();
    let _ = output.seek(SeekFrom::Start(len.saturating_sub(LAST_WORDS)));
    let _ = output.take(LAST_WORDS).read_to_end(&mut text);
    String::from_utf8_lossy(&text).trim().to_string()
}
