//! Other programs, and a file system, that some containers need: CRIU, the plugins of the CNI, resctrl.

use std::path::{Path, PathBuf};

use super::{Check, Status, WITHOUT_PROC};
use crate::{cni, resctrl, run};

pub fn checks() -> Vec<Check> {
    let criu = run::criu::version().map(|(path, version)| format!("{version}, {}", path.display()));
    let mounted = resctrl::mounted().map(|path| path.display().to_string());
    vec![
        Check::of("criu", criu, Status::Optional, "checkpoint and restore need it, and root to run it"),
        plugins(&cni::plugin_dirs()),
        Check::of("resctrl", mounted, Status::Optional, WITHOUT_PROC),
    ]
}

fn plugins(dirs: &[PathBuf]) -> Check {
    let list = |dirs: &[&Path]| dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
    let holds = |dir: &&Path| std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    let all: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
    match all.iter().copied().filter(holds).collect::<Vec<_>>().as_slice() {
        [] => Check::optional(
            "cni",
            format!("no plugins in {}", list(&all)),
            "pods with networks need them: install containernetworking-plugins, or say where they are in CNI_PATH",
        ),
        found => Check::ok("cni", list(found)),
    }
}
