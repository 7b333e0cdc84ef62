//! A cgroup and those below it, with their processes: to be looked at.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::Serialize;

use super::{Cgroup, file};

#[derive(Debug, Serialize)]
pub struct Node {
    pub path: PathBuf,
    pub pids: Vec<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<Node>,
}

impl Cgroup {
    /// In the hierarchy that tells of all of its processes. `None`: it is gone.
    pub fn tree(&self) -> Option<Node> {
        self.main().filter(|main| main.exists()).map(|main| Node::read(&main.path))
    }

    /// Where it is in that tree.
    pub fn main_path(&self) -> Option<&Path> {
        self.main().map(|main| main.path.as_path())
    }
}

impl Node {
    fn read(path: &Path) -> Node {
        let mut pids = match file::read_list(&path.join("cgroup.procs")) {
            // A threaded cgroup has threads: their processes are those of the one above.
            Err(Errno::OPNOTSUPP) => String::new(),
            text => text.unwrap_or_default(),
        }
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect::<Vec<i32>>();
        pids.sort_unstable();
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut dirs: Vec<PathBuf> =
            entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect();
        dirs.sort();
        Node { path: path.into(), pids, below: dirs.iter().map(|dir| Node::read(dir)).collect() }
    }
}
