//! Hooks in the runtime's own namespaces: prestart, createRuntime, poststart, poststop.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Context, Error, Result};
use crate::spec::config::Hook;
use crate::state::{State, Status};

/// Runs them in order; the first that fails is the error.
pub fn run(name: &str, hooks: &[Hook], state: &State, status: Status, pid: i32) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let document = document(state, status, pid)?;
    for (index, hook) in hooks.iter().enumerate() {
        one(hook, &document).context(format!("error running {name} hook #{index} {}", hook.path))?;
    }
    Ok(())
}

pub fn document(state: &State, status: Status, pid: i32) -> Result<Vec<u8>> {
    serde_json::to_vec(&state.document(status, pid)).map_err(|e| Error::new(e.to_string()))
}

fn one(hook: &Hook, document: &[u8]) -> Result<()> {
    // Files and no pipes: nobody waits for anybody, however much is written and whether or not it is read.
    let mut input = std::fs::File::from(memfd_create("state", MemfdFlags::CLOEXEC)?);
    input.write_all(document)?;
    input.rewind()?;
    let mut output = std::fs::File::from(memfd_create("output", MemfdFlags::CLOEXEC)?);
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    command.stdin(input).stdout(output.try_clone()?).stderr(output.try_clone()?);

    let mut child = command.spawn()?;
    let status = wait(&mut child, hook.timeout)?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    };
    Err(Error::new(format!("{how}, output: {}", last_words(&mut output))))
}

fn wait(child: &mut Child, timeout: Option<i64>) -> Result<ExitStatus> {
    let Some(seconds) = timeout else {
        return Ok(child.wait()?);
    };
    let pid = Pid::from_raw(child.id() as i32).ok_or_else(|| Error::new("no pid"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let ended = rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)))? > 0;
    if ended {
        return Ok(child.wait()?);
    }
    child.kill()?;
    child.wait()?;
    let limit = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    Err(Error::new(format!("killed after its timeout of {limit:?}")))
}

/// The end of what the hook printed.
fn last_words(output: &mut std::fs::File) -> String {
    const ROOM: u64 = 1024;
    let len = output.metadata().map_or(0, |meta| meta.len());
    let mut text = Vec::new();
    let _ = output.seek(SeekFrom::Start(len.saturating_sub(ROOM)));
    let _ = output.take(ROOM).read_to_end(&mut text);
    String::from_utf8_lossy(&text).trim().to_string()
}
