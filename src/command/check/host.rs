//! Who runs hilum, /proc, and the directory for state.

use std::path::Path;

use rustix::fs::{Access, access};
use rustix::thread::CapabilitySet;

use super::{Check, Status};
use crate::error::{Context, Error, Result};
use crate::privilege::{in_user_namespace, missing};
use crate::proc;

pub fn checks(root: &Path) -> Vec<Check> {
    let procfs = proc::check().map(|()| "a procfs".to_string());
    vec![Check::of("proc", procfs, Status::Missing, "mount -t proc proc /proc"), privileges(), state(root)]
}

fn privileges() -> Check {
    let uid = rustix::process::geteuid();
    let place = if in_user_namespace() { " in a user namespace" } else { "" };
    let lacking = missing(CapabilitySet::SYS_ADMIN);
    match uid.is_root() {
        true if !lacking.is_empty() => Check::missing(
            "privileges",
            format!("root{place}, without {}", lacking.join(", ")),
            "run hilum as root of the host or of a user namespace; in a container, a privileged one",
        ),
        true => Check::ok("privileges", format!("root{place}")),
        false => Check::ok("privileges", format!("user {}{place}: containers need a user namespace", uid.as_raw())),
    }
}

fn state(root: &Path) -> Check {
    let found = writable(root).context(format!("state directory {}", root.display()));
    Check::of("state", found, Status::Missing, "set XDG_RUNTIME_DIR, or choose another directory with --root")
}

/// Whether it can be written to, or made: by what is there of its path.
fn writable(root: &Path) -> Result<String> {
    let there = root.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
    if !there.metadata().at("stat", there)?.is_dir() {
        return Err(Error::new(format!("{} is not a directory", there.display())));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).at("write to", there)?;
    match there == root {
        true => Ok(root.display().to_string()),
        false => Ok(format!("{}, which the first container makes", root.display())),
    }
}
