//! Views of this host.

use crate::{must, target};
use std::path::Path;
use std::process::{Command, ExitStatus};

fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Why a part cannot be measured on this host.
pub fn cannot(part: &str) -> Option<&'static str> {
    (part == "v1" && is_unified()).then_some("this host has cgroup v2 alone")
}

/// This program again, in a mount namespace of its own.
pub fn in_view(layout: &str, rounds: usize) -> ExitStatus {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    command.args(["--inside", layout, "--rounds", &rounds.to_string()]).status().unwrap()
}

/// crun refuses a hybrid layout, and a comparison needs one for all.
pub fn enter(layout: &str) {
    let script = match layout {
        "v2" if is_unified() => return,
        "v2" => "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        _ => "[ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified",
    };
    must(Command::new("sh").args(["-c", script]));
}

/// The suite of the clients starts their daemons, and measures when it is asked to (integration/speed.rs). With the layout
/// that has controllers, which clients write to.
pub fn clients(rounds: usize) -> ExitStatus {
    let enter = "[ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified
        exec scripts/cargo test --test integration -- speed";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", enter]);
    command.env("HILUM_SPEED", target().join("bench")).env("HILUM_SPEED_ROUNDS", (rounds / 2).max(1).to_string());
    command.env("HILUM_UNDER_TEST", target().join("hilum"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap()
}
