//! `ns`: who shares which namespaces with whom.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ArgMatches;
use hilum_sys::namespace::Kind;
use serde::Serialize;

use super::matrix::Matrix;
use super::show::colour;
use super::{Global, list, text, texts};
use crate::error::{Error, Result};
use crate::proc::Namespace;
use crate::state::{Namespaces, State, missing, read};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let mut all = Vec::new();
    for state in list::states(&global.root)? {
        let namespaces = state.process.as_ref().map(Namespaces::of).transpose()?.flatten();
        all.push((state, namespaces.unwrap_or_default()));
    }
    // The containers of a pod side by side; in the order of ids, as they come, within it and where there is none.
    all.sort_by(|(one, _), (other, _)| pod(one).cmp(&pod(other)));
    let host = Namespaces::own()?;
    let named = texts(args, "ids");
    if let Some(id) = named.iter().find(|id| all.iter().all(|(state, _)| state.id != **id)) {
        return Err(absent(&global.root, id));
    }
    let asked: Vec<_> = all.iter().filter(|(state, _)| named.is_empty() || named.contains(&state.id)).collect();

    let text = if text(args, "format") == Some("json") {
        let groups = Groups::new(&all, &host);
        let rows = asked.iter().map(|(state, namespaces)| groups.document(state, namespaces));
        super::json(&rows.collect::<Result<Vec<_>>>()?)?
    } else {
        let rows = asked.iter().map(|(state, namespaces)| (state.id.as_str(), namespaces)).collect();
        Matrix { host: &host, pod: None, rows }.table(colour())
    };
    super::print(&text)?;
    Ok(0)
}

fn pod(state: &State) -> Option<&str> {
    state.pod.as_ref().map(|pod| pod.name.as_str())
}

/// Why there is none of this name among those that were read.
fn absent(root: &Path, id: &str) -> Error {
    let dir = root.join(id);
    // With a `/` in it, it would be the path of something else.
    let broken = if id.contains('/') { None } else { read(&dir).err() };
    broken.unwrap_or_else(|| missing(&dir)).context(id)
}

/// Which containers are in a namespace, for each that is not the host's.
struct Groups<'s>(BTreeMap<(Kind, Namespace), Vec<&'s str>>);

#[derive(Serialize)]
struct Document<'s> {
    id: &'s str,
    pid: i32,
    status: &'static str,
    bundle: &'s Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'s str>,
    namespaces: BTreeMap<&'static str, Membership<'s>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Membership<'s> {
    inode: u64,
    host: bool,
    /// The other containers. Not said of the host's namespaces: most of what runs there is none of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_with: Option<Vec<&'s str>>,
}

impl<'s> Groups<'s> {
    fn new(all: &'s [(State, Namespaces)], host: &Namespaces) -> Self {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for (state, namespaces) in all {
            for (kind, namespace) in namespaces.iter().filter(|(kind, it)| host.get(*kind) != Some(*it)) {
                groups.entry((kind, namespace)).or_default().push(state.id.as_str());
            }
        }
        Self(groups)
    }

    fn document(&self, state: &'s State, namespaces: &Namespaces) -> Result<Document<'s>> {
        let status = state.status()?;
        let membership = |(kind, namespace): (Kind, Namespace)| {
            let group = self.0.get(&(kind, namespace));
            let others = |group: &Vec<&'s str>| group.iter().copied().filter(|id| *id != state.id).collect();
            let inode = namespace.inode;
            (kind.proc_name(), Membership { inode, host: group.is_none(), shared_with: group.map(others) })
        };
        Ok(Document {
            id: &state.id,
            pid: state.pid(status),
            status: status.name(),
            bundle: &state.bundle,
            pod: pod(state),
            namespaces: namespaces.iter().map(membership).collect(),
        })
    }
}
