//! Which namespaces a process is in, as the kernel says it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use hilum_sys::namespace::Kind;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::Identity;
use crate::error::{Context, Result};
use crate::proc::Namespace;

/// Those that the kernel has and lets be seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespaces(Vec<(Kind, Namespace)>);

impl Namespaces {
    /// The runtime's own. They are the host's, unless it runs in a container itself.
    pub fn own() -> Result<Self> {
        Self::below(&directory("/proc/self").at("open", "/proc/self")?)
    }

    /// `None`: the process has ended.
    pub fn of(process: &Identity) -> Result<Option<Self>> {
        let path = format!("/proc/{}", process.pid);
        let dir = match directory(&path) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.at("open", &path)?,
        };
        // An open directory keeps meaning the process that had the pid then: it is asked for afterwards who that was.
        let found = Self::below(&dir).with_context(|| path)?;
        Ok(process.is_alive()?.then_some(found))
    }

    /// Those that are mounted in a pod's directory, under the same names as in a process's.
    pub fn pinned(pod: &Path) -> Result<Self> {
        Self::below(&directory(pod).at("open", pod)?)
    }

    fn below(proc: &OwnedFd) -> Result<Self> {
        let mut found = Vec::with_capacity(Kind::ALL.len());
        for kind in Kind::ALL {
            match Namespace::below(proc.as_fd(), &format!("ns/{}", kind.proc_name())) {
                Ok(namespace) => found.push((kind, namespace)),
                // Ended, or of a kind that this kernel does not have, or another user's.
                Err(Errno::SRCH | Errno::NOENT | Errno::ACCESS | Errno::PERM) => {}
                Err(errno) => return Err(errno).context(format!("stat ns/{}", kind.proc_name())),
            }
        }
        Ok(Self(found))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Kind, Namespace)> {
        self.0.iter().copied()
    }

    pub fn get(&self, kind: Kind) -> Option<Namespace> {
        self.0.iter().find(|(of, _)| *of == kind).map(|(_, namespace)| *namespace)
    }
}

impl FromIterator<(Kind, Namespace)> for Namespaces {
    fn from_iter<I: IntoIterator<Item = (Kind, Namespace)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

fn directory(path: impl rustix::path::Arg) -> std::result::Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_process_and_of_no_other_with_its_pid() {
        let own = Identity::of(std::process::id() as i32).unwrap();
        let found = Namespaces::of(&own).unwrap().unwrap();
        assert_eq!(found, Namespaces::own().unwrap());
        let net = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert_eq!(net.to_str(), Some(format!("net:[{}]", found.get(Kind::Net).unwrap().inode).as_str()));
        let other = Identity { start_time: own.start_time + 1, ..own };
        assert_eq!(Namespaces::of(&other).unwrap(), None);
    }
}
