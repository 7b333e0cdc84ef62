//! Hooks in the runtime's own namespaces: prestart, createRuntime, poststart, poststop.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::program::{Program, how};
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
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    let limit = hook.timeout.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
    let program = Program { command, input: document, limit, own_group: false, errors_apart: false };
    let mut outcome = program.run()?;
    match outcome.status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Error::new(format!("{}, output: {}", how(status), outcome.last_words()))),
        None => Err(Error::new(format!("killed after its timeout of {:?}", limit.unwrap_or_default()))),
    }
}
