//! The mounts of a container that show something of the host: CRIU must be told which they are when it dumps them, and
//! what to put there when it restores them.
//!
//! Which they are, the kernel says: the container's mount table, and what stands now at the places that config.json
//! names. It is noted down beside CRIU's images. Where they come from, the config.json of the restore says, as at a
//! creation: a checkpoint may be restored on another host, with other directories.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::error::{Context, Error, Result};
use crate::json;
use crate::plan::mount::clean;
use crate::plan::rootfs::NOTIFY_INSIDE;
use crate::spec::config::Spec;
use crate::spec::limits;

const FILE: &str = "hilum.json";
const LARGEST: u64 = 16 << 20;

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u32,
    parent: u32,
    device: String,
    root: String,
    point: String,
    fs: String,
}

/// A mount from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// Where it is in the container; also CRIU's name of it.
    pub point: String,
    pub from: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Origin {
    /// The bind mount with this destination in config.json, or what is mounted below its source.
    Bind {
        destination: String,
        below: String,
    },
    /// A masked file.
    Null,
    /// A device that is the host's own node, as in a user namespace none can be made.
    Device,
    /// The container's cgroup in the hierarchy that is mounted there, or all of it.
    Cgroup {
        mount: PathBuf,
        whole: bool,
    },
    Sysfs,
    /// The directory of the container's notify socket.
    Notify,
}

/// What config.json has mounted somewhere.
#[derive(Clone, Debug)]
struct Known {
    destination: String,
    bind: bool,
}

pub fn table(pid: i32) -> Result<Vec<Mount>> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = fs::read(&path).at("read", &path)?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The lines of a mountinfo (proc_pid_mountinfo(5)).
pub fn parse(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        Some(Mount {
            id: left.first()?.parse().ok()?,
            parent: left.get(1)?.parse().ok()?,
            device: left.get(2)?.to_string(),
            root: unescape(left.get(3)?),
            point: unescape(left.get(4)?),
            fs: right.split(' ').next()?.to_string(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// Spaces and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.extend(code);
        plain.extend_from_slice(part.get(if code.is_some() { 3 } else { 0 }..).unwrap_or_default().as_bytes());
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The mount that an open file is on, by its fdinfo.
pub fn mount_of(fdinfo: &Path) -> Result<u32> {
    let text = fs::read_to_string(fdinfo).at("read", fdinfo)?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")).and_then(|id| id.trim().parse().ok());
    id.ok_or_else(|| Error::new(format!("{}: no mnt_id", fdinfo.display())))
}

/// The external mounts of a container that runs.
pub fn find(pid: i32, table: &[Mount], spec: &Spec, cgroup: &Cgroup) -> Result<Vec<External>> {
    let path = format!("/proc/{pid}/root");
    let root = open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at("open", &path)?;
    let mut known = BTreeMap::new();
    for mount in &spec.mounts {
        let destination = clean(&mount.destination);
        if let Some(id) = mount_at(&root, &destination, table)? {
            known.insert(id, Known { destination, bind: mount.is_bind() });
        }
    }
    let mut hierarchies = BTreeMap::new();
    for directory in &cgroup.directories {
        if let Ok(stat) = rustix::fs::stat(&directory.mount) {
            let device = format!("{}:{}", rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
            hierarchies.insert(device, directory.mount.clone());
        }
    }
    Ok(classify(table, spec, &known, &hierarchies))
}

/// The mount whose mount point this path leads to, by now. The container may have unmounted it.
fn mount_at(root: &OwnedFd, path: &str, table: &[Mount]) -> Result<Option<u32>> {
    let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let Ok(fd) = openat2(root.as_fd(), path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags) else {
        return Ok(None);
    };
    let number = fd.as_raw_fd();
    let id = mount_of(Path::new(&format!("/proc/self/fdinfo/{number}")))?;
    let link = format!("/proc/self/fd/{number}");
    let found = fs::read_link(&link).at("read", &link)?;
    Ok(table.iter().find(|mount| mount.id == id && Path::new(&mount.point) == found).map(|mount| mount.id))
}

fn classify(
    table: &[Mount],
    spec: &Spec,
    known: &BTreeMap<u32, Known>,
    hierarchies: &BTreeMap<String, PathBuf>,
) -> Vec<External> {
    let new = |kind: &str| spec.linux.namespaces.iter().any(|ns| ns.kind == kind && ns.path.is_empty());
    let origin = |mount: &Mount| {
        if let Some(known) = known.get(&mount.id) {
            if known.bind {
                return Some(Origin::Bind { destination: known.destination.clone(), below: String::new() });
            }
        } else if let Some((above, known)) = inside_bind(table, known, mount) {
            let below = mount.point.strip_prefix(&above.point)?.trim_start_matches('/').to_string();
            return Some(Origin::Bind { destination: known.destination.clone(), below });
        }
        match mount.fs.as_str() {
            // With a cgroup namespace of its own, the container has mounted them anew.
            "cgroup" | "cgroup2" if new("cgroup") => None,
            "cgroup" | "cgroup2" => {
                let hierarchy = hierarchies.get(&mount.device)?.clone();
                Some(Origin::Cgroup { mount: hierarchy, whole: mount.root == "/" })
            }
            // It could not mount one of a network namespace that is not its own.
            "sysfs" => (new("user") && !new("network")).then_some(Origin::Sysfs),
            _ if !is_outside(table, mount) => None,
            _ if mount.root.ends_with("/null") => Some(Origin::Null),
            _ if mount.point == NOTIFY_INSIDE => Some(Origin::Notify),
            _ if mount.point.starts_with("/dev/")
                || spec.linux.devices.iter().any(|d| clean(&d.path) == mount.point) =>
            {
                Some(Origin::Device)
            }
            // Not ours: CRIU says what it thinks of it.
            _ => None,
        }
    };
    let inner = table.iter().filter(|mount| mount.point != "/");
    inner.filter_map(|mount| Some(External { point: mount.point.clone(), from: origin(mount)? })).collect()
}

/// The bind mount of config.json that this mount has come with.
fn inside_bind<'t>(
    table: &'t [Mount],
    known: &'t BTreeMap<u32, Known>,
    mount: &'t Mount,
) -> Option<(&'t Mount, &'t Known)> {
    let mut at = mount;
    // No chain of parents is longer than the table.
    for _ in table {
        at = table.iter().find(|above| above.id == at.parent && above.id != at.id)?;
        if let Some(known) = known.get(&at.id) {
            return known.bind.then_some((at, known));
        }
    }
    None
}

/// Part of a file system of which the container has not the whole.
fn is_outside(table: &[Mount], mount: &Mount) -> bool {
    let whole = |other: &Mount| {
        other.device == mount.device
            && (other.root == "/" || (other.point == "/" && Path::new(&mount.root).starts_with(&other.root)))
    };
    mount.root != "/" && !table.iter().any(whole)
}

pub fn save(images: &Path, externals: &[External]) -> Result<()> {
    let text = serde_json::to_vec(externals).map_err(|e| Error::new(e.to_string()))?;
    crate::state::write_aside(&images.join(FILE), &text, 0o600)
}

pub fn load(images: &Path) -> Result<Vec<External>> {
    let path = images.join(FILE);
    let file = limits::open_file(&path).map_err(|e| e.hint("hilum checkpoint writes it"))?;
    let text = limits::read(&file, &path, LARGEST)?;
    json::parse(&text).at("read", &path)
}

/// Where a restore takes things from.
pub struct Sources<'s> {
    pub spec: &'s Spec,
    pub bundle: &'s Path,
    pub cgroup: &'s Cgroup,
    pub notify: &'s Path,
}

impl Sources<'_> {
    pub fn of(&self, external: &External) -> Result<PathBuf> {
        let point = &external.point;
        match &external.from {
            Origin::Bind { destination, below } => {
                let binds = self.spec.mounts.iter().filter(|mount| mount.is_bind());
                // As at a creation, the last one on a place is what is seen.
                let mount = binds.rev().find(|mount| clean(&mount.destination) == *destination).ok_or_else(|| {
                    Error::new(format!("the checkpoint has a bind mount on {destination}, and config.json has none"))
                        .hint("add it to mounts, with the source that it is to have now")
                })?;
                let source = self.bundle.join(&mount.source);
                let source = if below.is_empty() { source } else { source.join(below) };
                rustix::fs::access(&source, rustix::fs::Access::EXISTS)
                    .at(&format!("the source of the bind mount on {point}:"), &source)?;
                Ok(source)
            }
            Origin::Null => Ok("/dev/null".into()),
            Origin::Device => Ok(point.into()),
            Origin::Cgroup { mount, whole } => {
                let directory = self.cgroup.directories.iter().find(|directory| directory.mount == *mount);
                let directory = directory.ok_or_else(|| {
                    Error::new(format!("the checkpoint has a cgroup mount on {point}, of {}", mount.display()))
                        .hint("this host has no such hierarchy: restore on one with the same cgroup layout")
                })?;
                Ok(if *whole { directory.mount.clone() } else { directory.path.clone() })
            }
            Origin::Sysfs => Ok("/sys".into()),
            Origin::Notify => Ok(self.notify.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
90 80 8:1 /b/rootfs / ro - ext4 /dev/sda rw
91 90 0:50 / /proc rw - proc proc rw
92 90 0:51 / /dev rw - tmpfs tmpfs rw
93 90 8:1 /vol /my\\040data rw - ext4 /dev/sda rw
94 93 0:60 / /my\\040data/sub rw - tmpfs tmpfs rw
95 93 0:61 / /my\\040data/own rw - tmpfs tmpfs rw
96 91 0:50 /sys /proc/sys ro - proc proc rw
97 91 0:5 /null /proc/kcore rw - devtmpfs udev rw
98 90 0:52 / /sys ro - sysfs sysfs ro
99 98 0:53 / /sys/fs/cgroup ro - tmpfs tmpfs rw
100 99 0:33 /box /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
101 90 8:1 /b/rootfs/etc/x /etc/y rw - ext4 /dev/sda rw
102 90 0:25 /hilum/id/notify /run/notify ro - tmpfs tmpfs rw
103 92 0:5 /fuse /dev/fuse rw - devtmpfs udev rw
104 90 0:70 / /shm rw - tmpfs tmpfs rw
";

    fn spec(text: &str) -> Spec {
        crate::spec::parse(text.as_bytes()).unwrap()
    }

    fn found(document: &str) -> Vec<External> {
        let known = |destination: &str, bind| Known { destination: destination.into(), bind };
        let known = BTreeMap::from([
            (91, known("/proc", false)),
            (93, known("/my data", true)),
            (95, known("/my data/own", false)),
            (99, known("/sys/fs/cgroup", false)),
            (104, known("/var/shm", true)),
        ]);
        let hierarchies = BTreeMap::from([("0:33".to_string(), PathBuf::from("/sys/fs/cgroup/memory"))]);
        classify(&parse(TABLE), &spec(document), &known, &hierarchies)
    }

    #[test]
    fn what_comes_from_outside_is_told_from_what_is_the_containers_own() {
        let bind =
            |destination: &str, below: &str| Origin::Bind { destination: destination.into(), below: below.into() };
        let expected = [
            ("/my data", bind("/my data", "")),
            ("/my data/sub", bind("/my data", "sub")),
            ("/proc/kcore", Origin::Null),
            ("/sys/fs/cgroup/memory", Origin::Cgroup { mount: "/sys/fs/cgroup/memory".into(), whole: false }),
            ("/run/notify", Origin::Notify),
            ("/dev/fuse", Origin::Device),
            // A whole file system, and through a link of the image: known by what stands there, not by its root or path.
            ("/shm", bind("/var/shm", "")),
        ];
        let expected: Vec<External> =
            expected.into_iter().map(|(point, from)| External { point: point.into(), from }).collect();
        assert_eq!(found("{}"), expected);
    }

    #[test]
    fn namespaces_decide_about_cgroups_and_sysfs() {
        let points = |document: &str| found(document).into_iter().map(|it| it.point).collect::<Vec<_>>();
        let own = points(r#"{"linux": {"namespaces": [{"type": "cgroup"}, {"type": "network"}, {"type": "user"}]}}"#);
        assert!(!own.iter().any(|point| point.starts_with("/sys")), "{own:?}");
        let shared = points(r#"{"linux": {"namespaces": [{"type": "user"}, {"type": "network", "path": "/x"}]}}"#);
        assert!(shared.contains(&"/sys".to_string()), "{shared:?}");
    }

    #[test]
    fn a_restore_takes_sources_from_its_own_document() {
        let document = spec(r#"{"mounts": [{"destination": "/data/", "type": "bind", "source": "vol"}]}"#);
        let dir = std::env::temp_dir().join(format!("hilum-sources-{}", std::process::id()));
        fs::create_dir_all(dir.join("vol/sub")).unwrap();
        let cgroup = Cgroup::default();
        let sources = Sources { spec: &document, bundle: &dir, cgroup: &cgroup, notify: Path::new("/n") };
        let external = |point: &str, from| External { point: point.into(), from };
        let bind =
            |destination: &str, below: &str| Origin::Bind { destination: destination.into(), below: below.into() };
        assert_eq!(sources.of(&external("/data", bind("/data", ""))).unwrap(), dir.join("vol"));
        assert_eq!(sources.of(&external("/data/sub", bind("/data", "sub"))).unwrap(), dir.join("vol/sub"));
        assert_eq!(sources.of(&external("/proc/kcore", Origin::Null)).unwrap(), Path::new("/dev/null"));
        let error = sources.of(&external("/other", bind("/other", ""))).unwrap_err().to_string();
        assert!(error.starts_with("the checkpoint has a bind mount on /other, and config.json has none"), "{error}");
        let origin = Origin::Cgroup { mount: "/sys/fs/cgroup/memory".into(), whole: false };
        assert!(sources.of(&external("/sys/fs/cgroup/memory", origin)).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
