//! The dump: what is told to CRIU about a container that runs.

use std::collections::BTreeMap;
use std::path::Path;

use hilum_sys::namespace::Kind as Namespace;

use super::client::Client;
use super::mounts::{self, External};
use super::options::{Options, Switches};
use super::protocol::{Features, Kind};
use super::stdio::{self, Streams};
use super::{Directories, EXTERNAL_NET, EXTERNAL_PID, config_file, converse};
use crate::error::{Context, Error, Result};
use crate::log;
use crate::spec::config::Spec;
use crate::state::State;

/// What the user asks for, besides the directories.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub switches: Switches,
    pub leave_running: bool,
    pub pre_dump: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    pub parent: Option<String>,
    pub page_server: Option<(String, u16)>,
}

pub fn dump(state: &State, spec: &Spec, pid: i32, wish: &Wish, dirs: &Directories, features: Features) -> Result<()> {
    super::refuse(spec)?;
    refuse(wish, features)?;
    let table = mounts::table(pid)?;
    let externals = mounts::find(pid, &table, spec, &state.cgroup)?;
    let streams = stdio::of(pid, &table)?;
    if !wish.pre_dump {
        mounts::save(&dirs.images_path, &externals)?;
        stdio::save(&dirs.images_path, &streams.names)?;
    }
    warn_of_others(&parents(&state.cgroup.pids()?), pid);
    let facts = Facts {
        pid,
        rootfs: &state.rootfs,
        externals: &externals,
        streams: &streams,
        namespaces: joined(spec, pid)?,
        freezer: state.cgroup.freezer_path(),
        config_file: config_file(state),
    };
    let options = plan(dirs.options(), wish, facts);
    let kind = if wish.pre_dump { Kind::PreDump } else { Kind::Dump };

    let client = Client::start()?;
    let dumped = converse(&client, kind, &options, |_, _, _| Ok(()));
    // After a pre-dump CRIU would take another request: it says no when there is none, which is no failure.
    let ended = client.end();
    dumped.map_err(|error| dirs.explain(error))?;
    ended
}

/// What is known of the container.
struct Facts<'f> {
    pid: i32,
    rootfs: &'f Path,
    externals: &'f [External],
    streams: &'f Streams,
    /// Joined namespaces that stay outside: kind, inode.
    namespaces: Vec<(Namespace, u64)>,
    freezer: Option<&'f Path>,
    config_file: Option<String>,
}

fn plan(base: Options, wish: &Wish, facts: Facts<'_>) -> Options {
    let mut external: Vec<String> = Vec::new();
    for (kind, inode) in facts.namespaces {
        let name = if kind == Namespace::Pid { EXTERNAL_PID } else { EXTERNAL_NET };
        external.push(format!("{}[{inode}]:{name}", kind.proc_name()));
    }
    external.extend(facts.externals.iter().map(|it| format!("mnt[{0}]:{0}", it.point)));
    external.extend(facts.streams.external.iter().cloned());
    Options {
        pid: Some(facts.pid),
        root: facts.rootfs.display().to_string(),
        switches: wish.switches,
        leave_running: wish.leave_running,
        tcp_skip_in_flight: wish.tcp_skip_in_flight,
        link_remap: wish.link_remap,
        track_mem: wish.pre_dump || wish.parent.is_some(),
        parent: wish.parent.clone(),
        page_server: wish.page_server.clone(),
        external,
        freeze_cgroup: facts.freezer.map(|path| path.display().to_string()),
        config_file: facts.config_file,
        ..base
    }
}

fn refuse(wish: &Wish, features: Features) -> Result<()> {
    if (wish.pre_dump || wish.parent.is_some()) && !features.mem_track {
        return Err(Error::new("--pre-dump, --parent-path: this kernel cannot track changes of memory for CRIU")
            .hint("it needs CONFIG_MEM_SOFT_DIRTY"));
    }
    Ok(())
}

/// What `exec` has started has its parent outside, and CRIU follows the tree of the first process.
fn warn_of_others(parents: &BTreeMap<i32, i32>, first: i32) {
    let others: Vec<String> = outside_of_tree(parents, first).iter().map(i32::to_string).collect();
    if !others.is_empty() {
        log::warn(&format!("checkpoint: started by exec, and therefore not saved: process {}", others.join(", ")));
    }
}

fn parents(pids: &[i32]) -> BTreeMap<i32, i32> {
    let parent = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some((*pid, status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?))
    };
    pids.iter().filter_map(parent).collect()
}

fn outside_of_tree(parents: &BTreeMap<i32, i32>, first: i32) -> Vec<i32> {
    let belongs = |pid: i32| {
        let chain = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
        // A pid that is reused meanwhile could close a circle.
        chain.take(parents.len() + 1).any(|pid| pid == first)
    };
    parents.keys().copied().filter(|pid| !belongs(*pid)).collect()
}

/// The joined network and pid namespaces. CRIU leaves the others' content in the images, where a restore that joins them
/// again has no use for it.
fn joined(spec: &Spec, pid: i32) -> Result<Vec<(Namespace, u64)>> {
    let mut found = Vec::new();
    for kind in [Namespace::Net, Namespace::Pid] {
        let inode = |of: &str| {
            let path = format!("/proc/{of}/ns/{}", kind.proc_name());
            rustix::fs::stat(&path).map(|stat| stat.st_ino).at("stat", path)
        };
        let by_path = spec.linux.namespaces.iter().any(|ns| ns.kind == kind.spec_name() && !ns.path.is_empty());
        let theirs = inode(&pid.to_string())?;
        if by_path && theirs != inode("self")? {
            found.push((kind, theirs));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::mounts::Origin;
    use super::*;

    #[test]
    fn what_is_outside_is_told_and_nothing_else() {
        let externals = [
            External { point: "/data".into(), from: Origin::Bind { destination: "/data".into(), below: "".into() } },
            External { point: "/proc/kcore".into(), from: Origin::Null },
        ];
        let streams = Streams { names: vec!["pipe:[1]".into()], external: vec!["file[1f:2a]".into()] };
        let facts = Facts {
            pid: 42,
            rootfs: Path::new("/b/rootfs"),
            externals: &externals,
            streams: &streams,
            namespaces: vec![(Namespace::Net, 7), (Namespace::Pid, 8)],
            freezer: Some(Path::new("/sys/fs/cgroup/freezer/x")),
            config_file: None,
        };
        let wish = Wish { pre_dump: true, ..Wish::default() };
        let options = plan(Options::default(), &wish, facts);
        let expected = Options {
            pid: Some(42),
            root: "/b/rootfs".into(),
            track_mem: true,
            external: [
                "net[7]:extRootNetNS",
                "pid[8]:extRootPidNS",
                "mnt[/data]:/data",
                "mnt[/proc/kcore]:/proc/kcore",
                "file[1f:2a]",
            ]
            .map(String::from)
            .to_vec(),
            freeze_cgroup: Some("/sys/fs/cgroup/freezer/x".into()),
            ..Options::default()
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn a_process_whose_parents_are_not_the_containers_is_not_in_its_tree() {
        let parents = BTreeMap::from([(10, 1), (11, 10), (12, 11), (20, 7), (21, 20), (30, 31), (31, 30)]);
        assert_eq!(outside_of_tree(&parents, 10), [20, 21, 30, 31]);
    }

    #[test]
    fn what_this_kernel_cannot_do_is_refused() {
        let wish = Wish { pre_dump: true, ..Wish::default() };
        refuse(&wish, Features { mem_track: true }).unwrap();
        let error = refuse(&wish, Features::default()).unwrap_err().to_string();
        assert!(error.starts_with("--pre-dump, --parent-path: this kernel cannot"), "{error}");
    }
}
