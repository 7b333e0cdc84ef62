//! A pod's cgroup: the parent of its containers'.

use std::path::{Component, Path};

use super::create::{Made, inherit};
use super::{Cgroup, Directory};
use crate::error::{Context, Error, Result};

impl Cgroup {
    /// linux.cgroupsPath for a container in this cgroup, whose own choice keeps its last part.
    pub fn path_below(&self, given: &str, id: &str) -> Result<String> {
        if let Some(unit) = &self.unit {
            let rest = given.split_once(':').map_or_else(|| format!("hilum:{id}"), |(_, rest)| rest.to_string());
            return Ok(format!("{}:{rest}", unit.name));
        }
        let name = Path::new(given).components().next_back();
        let name = match name {
            Some(Component::Normal(name)) => name.to_string_lossy().into_owned(),
            _ => id.to_string(),
        };
        let mut places = self.directories.iter().filter_map(|d| d.path.strip_prefix(&d.mount).ok());
        let Some(place) = places.next() else { return Ok(given.to_string()) };
        if places.any(|other| other != place) {
            return Err(Error::new("the pod's cgroups are not at the same place in all hierarchies")
                .hint("make the pod with --cgroup and an absolute path"));
        }
        Ok(format!("/{}", place.join(name).display()))
    }

    /// Whether a cgroup in it has a copy of its processors, and not just the same.
    pub fn copies_cpuset(&self) -> bool {
        self.directories.iter().any(Directory::is_v1_cpuset)
    }

    /// Removes what this cgroup is in, if it has that name, and is empty now.
    pub fn remove_parent(&self, name: &str) {
        for parent in self.directories.iter().filter_map(|directory| directory.path.parent()) {
            if parent.file_name().is_some_and(|it| it == name) {
                let _ = rustix::fs::rmdir(parent);
            }
        }
    }

    /// A cgroup below this one for the process, which is moved there. Controllers are not handed down: that is for a
    /// container to do, when this cgroup has no process of its own any more.
    pub fn split_off(&self, name: &str, pid: i32) -> Result<Cgroup> {
        let mut made = Made::default();
        let mut below = Cgroup::default();
        for directory in &self.directories {
            let path = directory.path.join(name);
            made.mkdir(&path, &directory.mount).at("mkdir", &path)?;
            if directory.is_v1_cpuset() {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    inherit(&path, file, &directory.mount)?;
                }
            }
            let mut it = Directory { path, ..directory.clone() };
            it.inode = it.current_inode();
            below.directories.push(it);
        }
        below.add(pid)?;
        made.keep();
        Ok(below)
    }
}
