//! What is checkpointed: a container that counts. And whether it can be.

use super::{eventually, proc, read, run, skip};
use std::process::Command;

/// Counts in memory, and appends each number to a file: who goes on has been restored, and who starts anew has not.
pub const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo $i >>/tmp/count; sleep 0.05; done";

/// Whether CRIU works here; says so if it does not.
pub fn criu() -> bool {
    match run(Command::new("sh").args(["-c", "criu check"])).code {
        0 => true,
        127 => skip("criu is not installed"),
        _ => skip("criu check fails: this criu and this kernel do not fit"),
    }
}

/// How far a container has come that runs as this process.
pub fn counted(pid: u32) -> usize {
    read(&proc(pid, "root/tmp/count")).lines().count()
}

/// It goes on, and has counted every number once.
#[track_caller]
pub fn counts_beyond(pid: u32, number: usize) {
    eventually(&format!("it counts beyond {number}"), || counted(pid) > number + 1);
    let text = read(&proc(pid, "root/tmp/count"));
    // The last line may be half-written.
    let (whole, _) = text.rsplit_once('\n').unwrap();
    assert!(whole.lines().enumerate().all(|(i, line)| line == (i + 1).to_string()), "{text}");
}
