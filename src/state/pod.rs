//! A container's place in its pod: the pod's directory has a link to the state of each of its containers.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

/// A pod, and its directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodOf {
    pub name: String,
    pub dir: PathBuf,
}

impl PodOf {
    pub fn link(&self, id: &str) -> PathBuf {
        self.dir.join("containers").join(id)
    }

    /// Makes the container whose directory this is, and who holds it, one of the pod's.
    pub fn enroll(&self, id: &str, container: &Path) -> Result<()> {
        let link = self.link(id);
        loop {
            match symlink(container, &link) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                other => return other.at("link", &link),
            }
            if is_same(&link, container) {
                return Ok(());
            }
            // Left by a command that was killed, or of a container under another root.
            let other = fs::read_link(&link).at("read", &link)?;
            if other.exists() {
                return Err(Error::new(format!("pod {} has a container {id} already", self.name)).path(other));
            }
            fs::remove_file(&link).at("remove", &link)?;
        }
    }

    /// The reverse, also where the pod is gone already. Under another root there may be one of the same id, which stays.
    pub fn forget(&self, id: &str, container: &Path) {
        let link = self.link(id);
        if is_same(&link, container) {
            let _ = fs::remove_file(link);
        }
    }
}

fn is_same(link: &Path, container: &Path) -> bool {
    let inode = |path: &Path| fs::metadata(path).map(|stat| (stat.dev(), stat.ino()));
    matches!((inode(link), inode(container)), (Ok(one), Ok(other)) if one == other)
}
