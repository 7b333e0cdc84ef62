//! A pod's cgroup: the parent of its containers'.

use std::path::{Component, Path, PathBuf};

use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::create::{Made, inherit, refused};
use super::host::{Host, Place};
use super::remove::remove_tree;
use super::{Cgroup, Directory, Version};
use crate::error::{Context, Error, Result};

/// The pods of one parent, each with the directory that it was labelled with; those without a label are left out.
pub fn labelled(host: &Host, parent: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for directory in host.directories(&Place::parse(&format!("/{parent}"), "")?, true)? {
        for entry in std::fs::read_dir(&directory.path).into_iter().flatten().flatten() {
            if let Some(label) = label_of(&entry.path(), directory.version) {
                found.push((entry.path(), label));
            }
        }
    }
    Ok(found)
}

/// Whether it is gone now: not if there is a process in it, or below it.
pub fn remove_if_empty(path: &Path) -> bool {
    remove_tree(path).is_ok()
}

fn label_of(cgroup: &Path, version: Version) -> Option<String> {
    let mut label = [0; 4096];
    let length = getxattr(cgroup, label_name(version), &mut label).ok()?;
    Some(String::from_utf8_lossy(label.get(..length)?).into_owned())
}

/// Extended attributes of users are for v2 alone.
fn label_name(version: Version) -> &'static str {
    match version {
        Version::V1 => "trusted.hilum.pod",
        Version::V2 => "user.hilum.pod",
    }
}

impl Directory {
    /// A pod's cgroup is in use also while no process is in it. `own`: the pod that it is wanted for.
    pub(super) fn refuse_if_a_pods(&self, own: Option<&Path>) -> Result<()> {
        let label = label_of(&self.path, self.version).map(PathBuf::from);
        match label.filter(|pod| Some(pod.as_path()) != own && pod.exists()) {
            None => Ok(()),
            Some(pod) => {
                let (path, pod) = (self.path.display(), pod.display());
                Err(Error::new(format!("the cgroup {path} is that of the pod in {pod}"))
                    .path(&self.path)
                    .hint("choose another cgroup (linux.cgroupsPath, --cgroup), or another name for a pod"))
            }
        }
    }
}

impl Cgroup {
    /// Says of an empty cgroup whose it is, to `gc` and to whoever wants the same: where it cannot be said, nothing is
    /// removed, and nothing refused.
    pub fn label(&self, pod: &Path) {
        for directory in self.directories.iter().filter(|_| self.unit.is_none()) {
            let value = pod.as_os_str().as_encoded_bytes();
            let _ = setxattr(&directory.path, label_name(directory.version), value, XattrFlags::empty());
        }
    }

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

    /// A cgroup below this one for the process, which is moved there. Controllers are not handed down: that is for a
    /// container to do, when this cgroup has no process of its own any more.
    pub fn split_off(&self, name: &str, pid: i32) -> Result<Cgroup> {
        let mut made = Made::default();
        let mut below = Cgroup::default();
        for directory in &self.directories {
            let path = directory.path.join(name);
            made.mkdir(&path, &directory.mount).at("mkdir", &path).map_err(refused)?;
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
