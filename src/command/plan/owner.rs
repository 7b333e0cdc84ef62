//! Whose a namespace is, among the pods and the containers of this state directory.

use hilum_sys::namespace::Kind;

use crate::command::{Global, list};
use crate::state::Namespaces;

#[derive(Default)]
pub struct Owners {
    /// Names, such as `container web`, by what is theirs.
    all: Vec<(Kind, u64, String)>,
}

impl Owners {
    /// Pods before containers, and of these the oldest first: a joined namespace is whose it was before. What cannot be
    /// read owns nothing.
    pub fn find(global: &Global) -> Self {
        let mut it = Self::default();
        for name in global.pods().names().unwrap_or_default() {
            let Ok(Some(pod)) = global.pods().read(&name) else { continue };
            for (kind, inode) in pod.kinds().filter_map(|kind| Some((kind, *pod.namespaces.get(kind.proc_name())?))) {
                it.all.push((kind, inode, format!("pod {name}")));
            }
        }
        let mut states = list::states(&global.root).unwrap_or_default();
        states.sort_by(|a, b| a.created.cmp(&b.created));
        for state in states {
            let namespaces = state.process.as_ref().and_then(|process| Namespaces::of(process).ok().flatten());
            for (kind, namespace) in namespaces.iter().flat_map(Namespaces::iter) {
                it.all.push((kind, namespace.inode, format!("container {}", state.id)));
            }
        }
        it
    }

    pub fn of(&self, kind: Kind, inode: u64) -> Option<&str> {
        self.all.iter().find(|(of, is, _)| *of == kind && *is == inode).map(|(_, _, name)| name.as_str())
    }
}
