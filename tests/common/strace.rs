//! Commands with something done to their system calls.

use super::{Host, skip};
use std::path::Path;
use std::process::Command;

pub fn has_strace() -> bool {
    let works =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success());
    works || skip("strace is not installed, or may not trace")
}

/// strace, up to the command that it is to run, and to do something to: `sendto:signal=KILL:when=2` (before the call is
/// made). `follow`: to its children, too.
pub fn strace(host: Host, inject: &str, follow: bool) -> Command {
    let mut command = host.command(Path::new("strace"));
    if follow {
        command.arg("-f");
    }
    command.args(["-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
    command
}
