//! Checkpoint and restore, which CRIU (criu.org) does: it is told what is the container's and what is not, it reports
//! the stages that it is at, and what it says when it fails becomes part of the error.

mod client;
pub mod dump;
pub mod mounts;
pub mod options;
pub mod protocol;
pub mod restore;
mod stdio;

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use crate::error::{Context, Error, Result};
use crate::plan::idmapped;
use crate::spec::config::Spec;
use crate::state::State;
use client::{Client, complaint};
pub use client::{probe, version};
use protocol::{Kind, Response};

/// As runc calls an external network or pid namespace in CRIU's images.
const EXTERNAL_NET: &str = "extRootNetNS";
const EXTERNAL_PID: &str = "extRootPidNS";
/// A container's own file of options for CRIU, or none if it is empty.
const CONFIG_ANNOTATION: &str = "org.criu.config";
/// The options of a host, under the name that runc has made known.
const CONFIG_FILE: &str = "/etc/criu/runc.conf";

/// Where CRIU's images go and come from, and where its log goes.
pub struct Directories {
    images: OwnedFd,
    pub images_path: PathBuf,
    work: Option<OwnedFd>,
    work_path: Option<PathBuf>,
    log: PathBuf,
    log_name: &'static str,
}

impl Directories {
    /// `make`: also the images' directory, which may be there already.
    pub fn open(images: &Path, work: Option<&Path>, log_name: &'static str, make: bool) -> Result<Self> {
        let (images, work) = (std::path::absolute(images)?, work.map(std::path::absolute).transpose()?);
        for path in work.iter().chain([&images].into_iter().filter(|_| make)) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path).at("create", path)?;
        }
        Ok(Self {
            images: directory(&images).context("--image-path")?,
            work: work.as_deref().map(directory).transpose().context("--work-path")?,
            log: work.as_ref().unwrap_or(&images).join(log_name),
            images_path: images,
            work_path: work,
            log_name,
        })
    }

    /// The same ones, in the mount namespace of the calling thread.
    fn reopen(&self) -> Result<Self> {
        Self::open(&self.images_path, self.work_path.as_deref(), self.log_name, false)
    }

    /// The part of the options that says so.
    fn options(&self) -> options::Options {
        options::Options {
            images_dir: self.images.as_raw_fd(),
            work_dir: self.work.as_ref().map(AsRawFd::as_raw_fd),
            log_file: self.log_name,
            ..options::Options::default()
        }
    }

    /// Adds to a failure what CRIU has written about it, and what it misses in this kernel.
    fn explain(&self, failure: Error) -> Error {
        let text = fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let said = errors_of(&text);
        let mut words = failure.message();
        if !said.is_empty() {
            words += &format!(": {said}");
        }
        if let Some(missing) = complaint() {
            words += &format!("; criu check: {missing}");
        }
        let hint = failure.detail().hint.clone().unwrap_or_else(|| format!("criu's log is {}", self.log.display()));
        failure.replace(words).path(&self.log).hint(hint)
    }
}

/// What no checkpoint can hold, or no restore can make again.
fn refuse(spec: &Spec) -> Result<()> {
    let listed = |kind: &str| spec.linux.namespaces.iter().find(|ns| ns.kind == kind);
    for kind in ["mount", "cgroup"] {
        if let Some(ns) = listed(kind).filter(|ns| !ns.path.is_empty()) {
            return Err(Error::new(format!("CRIU cannot restore a container into a {kind} namespace ({})", ns.path)));
        }
    }
    if listed("mount").is_none() {
        return Err(Error::new("CRIU cannot restore a container without a mount namespace of its own"));
    }
    if listed("user").is_some() {
        return Err(Error::new("CRIU cannot restore a container with a user namespace")
            .hint("it opens the images as the root of that namespace, who may not read them"));
    }
    if spec.mounts.iter().any(idmapped::is_asked_for) {
        return Err(Error::new("CRIU cannot restore a container with id-mapped mounts")
            .hint("its files would come back with other owners"));
    }
    if !spec.linux.net_devices.is_empty() {
        return Err(Error::new("CRIU cannot restore a container with devices of the host's (linux.netDevices)"));
    }
    if spec.linux.intel_rdt.is_some() {
        return Err(Error::new("CRIU cannot restore processes into their class of linux.intelRdt"));
    }
    Ok(())
}

fn directory(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at("open", path)
}

/// The last lines of a log of CRIU's that are errors, without time and place in its sources.
fn errors_of(log: &str) -> String {
    const LAST: usize = 3;
    let errors: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("Error (").map(|(_, rest)| rest))
        .map(|rest| rest.split_once("): ").map_or(rest, |(_, text)| text).trim())
        .collect();
    errors.get(errors.len().saturating_sub(LAST)..).unwrap_or_default().join(" | ")
}

/// The annotation in the container's document decides, else the host's file, which need not be there.
fn config_file(state: &State) -> Option<String> {
    match state.annotations.get(CONFIG_ANNOTATION) {
        Some(file) => Some(file.clone()).filter(|file| !file.is_empty()),
        None => Some(CONFIG_FILE.to_string()),
    }
}

/// Sends the request, answers the notifications, and returns with CRIU's answer. An error of `notified` makes CRIU undo
/// what it has done, and is what is returned.
fn converse(
    client: &Client,
    kind: Kind,
    options: &options::Options,
    mut notified: impl FnMut(&str, &Response, Option<OwnedFd>) -> Result<()>,
) -> Result<Response> {
    crate::log::debug(|| format!("criu, {kind:?}: {options:?}"));
    client.send(&protocol::work(kind, options))?;
    let mut failed = None;
    loop {
        let (response, fd) = match client.next(None) {
            Ok(next) => next,
            Err(error) => return Err(failed.unwrap_or(error)),
        };
        let Some(script) = response.script.as_deref().filter(|_| response.kind == Kind::Notify as u64) else {
            return match failed {
                Some(error) => Err(error),
                None if response.success && response.kind == kind as u64 => Ok(response),
                None => Err(refused(response.errno)),
            };
        };
        crate::log::debug(|| format!("criu is at {script}"));
        let answer = notified(script, &response, fd);
        client.send(&protocol::notified(answer.is_ok()))?;
        failed = failed.or(answer.err());
    }
}

fn refused(errno: i32) -> Error {
    match errno {
        0 => Error::new("criu failed"),
        errno => Error::from(rustix::io::Errno::from_raw_os_error(errno.clamp(1, 4095))).context("criu failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_restored_is_refused_with_the_reason() {
        let refuse = |text: &str| refuse(&crate::spec::parse::<Spec>(text.as_bytes()).unwrap());
        refuse(r#"{"linux": {"namespaces": [{"type": "mount"}, {"type": "network", "path": "/x"}]}}"#).unwrap();
        for bad in [
            r#"{"linux": {"namespaces": [{"type": "mount", "path": "/x"}]}}"#,
            r#"{"linux": {"namespaces": [{"type": "mount"}, {"type": "cgroup", "path": "/x"}]}}"#,
            r#"{"linux": {"namespaces": [{"type": "mount"}, {"type": "user"}]}}"#,
            r#"{"linux": {"namespaces": [{"type": "network"}]}}"#,
            r#"{"linux": {"namespaces": [{"type": "mount"}], "netDevices": {"eth0": {}}}}"#,
            r#"{"linux": {"namespaces": [{"type": "mount"}]}, "mounts": [{"options": ["bind", "ridmap"]}]}"#,
            r#"{"linux": {"namespaces": [{"type": "mount"}]}, "mounts": [{"uidMappings": [{"size": 1}]}]}"#,
            r#"{"linux": {"namespaces": [{"type": "mount"}], "intelRdt": {}}}"#,
        ] {
            assert!(refuse(bad).unwrap_err().to_string().starts_with("CRIU cannot"));
        }
    }

    #[test]
    fn the_last_errors_of_a_log_are_what_is_quoted() {
        let log = "(00.000001) Version: 4.1\n(00.01) Error (criu/a.c:1): one\n(00.02) Error (criu/b.c:22): mnt: two: x\n\
                   (00.03) Warn  (criu/c.c:3): three\n(00.04) Error (criu/d.c:4): four\n(00.05) pie: 7: Error (x.c:5): five\n";
        assert_eq!(errors_of(log), "mnt: two: x | four | five");
        assert_eq!(errors_of("nothing\n"), "");
    }
}
