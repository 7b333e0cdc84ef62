//! What commands that were killed have left of pods. Never what a command is at work on: that holds the lock.

use std::path::Path;

use super::{CONTAINERS, FILE, Member, PARENT, PRIVATE, Phase, Pods, ROOT, pin, remove_directory};
use crate::cgroup::{self, Host};
use crate::error::{Context, Result};
use crate::run::destroy;
use crate::state::{Container, Locked};

impl Pods {
    /// Removes what is left of this one, and says what that was, and what could not be removed.
    pub fn collect(&self, name: &str) -> Result<Vec<Result<String>>> {
        let Some(dir) = Locked::seize(self.0.join(name))? else { return Ok(Vec::new()) };
        let what = vec![Ok(format!("pod {name}, half-made or half-removed ({})", dir.path().display()))];
        match self.read(name)? {
            Some(pod) if pod.phase == Phase::Ready => {
                // Locked, it gets no new container meanwhile: one that is not made is not being made.
                let members = self.members(name)?;
                Ok(members.iter().filter_map(|member| self.collect_member(name, member).transpose()).collect())
            }
            Some(pod) => pod.remove(dir, true).map(|()| what),
            // A directory of pods may have been mistaken.
            None if dir.holds_only(&[pin::NS, PRIVATE, CONTAINERS, ROOT, FILE])? => {
                remove_directory(dir).map(|()| what)
            }
            None => Ok(Vec::new()),
        }
    }

    fn collect_member(&self, pod: &str, member: &Member) -> Result<Option<String>> {
        if member.state.is_some() {
            let Some(root) = member.dir.parent() else { return Ok(None) };
            return collect_container(root, &member.id);
        }
        let link = self.0.join(pod).join(CONTAINERS).join(&member.id);
        std::fs::remove_file(&link).at("remove", &link)?;
        Ok(Some(format!("the entry of {} in pod {pod}, which is gone ({})", member.id, link.display())))
    }

    /// Cgroups that pods of this directory had, of which nothing else is left. Other directories of pods may be there,
    /// whose pods have no process either: so each cgroup says whose it is.
    pub fn collect_cgroups(&self, host: &Host) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for (path, label) in cgroup::labelled(host, PARENT)? {
            let label = Path::new(&label);
            if label.parent() == Some(&self.0) && !label.exists() && cgroup::remove_if_empty(&path) {
                removed.push(format!("cgroup {}", path.display()));
            }
        }
        Ok(removed)
    }
}

/// Removes the container if its creation was killed before it had a process: its own, once it is there, ends by itself.
pub fn collect_container(root: &Path, id: &str) -> Result<Option<String>> {
    let Some((container, state)) = Container::seize(root, id)? else { return Ok(None) };
    let what = format!("container {id}, half-made ({})", container.path().display());
    match state {
        Some(state) if state.process.is_none() => destroy(container, &state).map(|()| Some(what)),
        None if container.holds_only_ours()? => container.remove(id, None).map(|()| Some(what)),
        _ => Ok(None),
    }
}
