//! A plugin: found in the directories, run within a time limit, and what it says when it fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Context, Error, Result};
use crate::json;
use crate::log;
use crate::program::{Program, how};

/// A result is some hundred bytes.
const LARGEST: u64 = 1 << 20;

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
pub(super) fn run(path: &Path, env: &[(&str, &OsStr)], input: &Value, limit: Duration) -> Result<Vec<u8>> {
    let input = serde_json::to_vec(input).map_err(|e| Error::new(e.to_string()))?;
    let mut command = Command::new(path);
    command.envs(env.iter().copied());
    let program = Program { command, input: &input, limit: Some(limit), own_group: true, errors_apart: true };
    let mut outcome = program.run().at("run", path)?;
    let said = outcome.last_words();
    if !said.is_empty() {
        log::debug(|| format!("{}: {said}", path.display()));
    }
    let killed = || Error::new(with_words(format!("killed after its time limit of {limit:?}"), &said));
    let status = outcome.status.ok_or_else(killed)?;
    let printed = outcome.output(LARGEST)?;
    if status.success() { Ok(printed) } else { Err(failure(status, &printed, &said)) }
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
    match json::parse(printed) {
        Ok(Complaint { code, msg, details }) if !msg.is_empty() => {
            let details = if details.is_empty() { details } else { format!(": {details}") };
            Error::new(format!("{msg}{details}: code {code}"))
        }
        _ => {
            let printed = String::from_utf8_lossy(printed);
            Error::new(with_words(how(status), if said.is_empty() { printed.trim() } else { said }))
        }
    }
}

fn with_words(what: String, words: &str) -> String {
    if words.is_empty() { what } else { format!("{what}, output: {words}") }
}
