//! Which cgroup hierarchies this host has, where they are mounted, and where in them a container belongs.

use std::cell::OnceCell;
use std::path::{Component, Path, PathBuf};

use super::{Directory, Version, file};
use crate::error::{Context, Error, Result};

const USUAL_MOUNT: &str = "/sys/fs/cgroup";
const CGROUP_SUPER_MAGIC: u32 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: u32 = 0x6367_7270;

/// The v1 hierarchies that a container joins, as runc does.
const CONTROLLERS: [&str; 15] = [
    "cpuset",
    "devices",
    "memory",
    "cpu",
    "cpuacct",
    "pids",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "freezer",
    "rdma",
    "misc",
    "name=systemd",
];

#[derive(Debug, Default)]
pub struct Host {
    hierarchies: Vec<Hierarchy>,
    /// /proc/self/cgroup, read when a relative path asks for it.
    own: OnceCell<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Hierarchy {
    version: Version,
    controllers: Vec<String>,
    mount: PathBuf,
    /// The cgroup that one sees at `mount`; none if that was not looked up.
    root: Option<PathBuf>,
}

/// Whether v2 is all that is mounted at the usual place.
pub fn host_is_unified() -> bool {
    rustix::fs::statfs(USUAL_MOUNT).is_ok_and(|fs| fs.f_type as u32 == CGROUP2_SUPER_MAGIC)
}

pub(super) fn is_cgroup_file_system(mount: &Path) -> bool {
    let magic = rustix::fs::statfs(mount).map(|fs| fs.f_type as u32);
    matches!(magic, Ok(CGROUP_SUPER_MAGIC | CGROUP2_SUPER_MAGIC))
}

/// Whether the kernel has the hierarchy of a directory, mounted or not.
pub(super) fn has_hierarchy(directory: &Directory) -> bool {
    let own = file::read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    own_cgroup(&own, directory.version, &directory.controllers).is_some()
}

impl Host {
    pub fn detect() -> Result<Host> {
        let mut host = if host_is_unified() {
            let mount = PathBuf::from(USUAL_MOUNT);
            let unified = Hierarchy { version: Version::V2, controllers: Vec::new(), mount, root: None };
            Host { hierarchies: vec![unified], own: OnceCell::new() }
        } else {
            Host::of(&mountinfo()?)
        };
        for hierarchy in host.hierarchies.iter_mut().filter(|h| h.version == Version::V2) {
            let path = hierarchy.mount.join("cgroup.controllers");
            let text = file::read(&path).at("read", &path)?;
            hierarchy.controllers = text.split_whitespace().map(str::to_string).collect();
        }
        Ok(host)
    }

    /// With the hierarchies of a mountinfo (proc_pid_mountinfo(5)); the controllers of v2 are not among what it says.
    pub fn of(mountinfo: &str) -> Host {
        Host { hierarchies: parse_mountinfo(mountinfo), own: OnceCell::new() }
    }

    /// Whether v2 is all there is.
    pub fn is_unified(&self) -> bool {
        matches!(self.hierarchies.as_slice(), [Hierarchy { version: Version::V2, .. }])
    }

    pub fn is_empty(&self) -> bool {
        self.hierarchies.is_empty()
    }

    /// The container's directory in each hierarchy. With `lenient` those are left out that cannot be told.
    pub(super) fn directories(&self, place: &Place, lenient: bool) -> Result<Vec<Directory>> {
        let mut directories = Vec::new();
        for hierarchy in &self.hierarchies {
            let below = match place {
                Place::Absolute(path) => path.clone(),
                Place::Relative(path) => match self.parent(hierarchy) {
                    Ok(parent) => parent.join(path),
                    Err(_) if lenient => continue,
                    Err(error) => return Err(error),
                },
            };
            directories.push(Directory {
                version: hierarchy.version,
                controllers: hierarchy.controllers.clone(),
                path: hierarchy.mount.join(below),
                mount: hierarchy.mount.clone(),
                inode: None,
            });
        }
        Ok(directories)
    }

    /// Removes the cgroup of that name at the root of each hierarchy, unless there is something in it.
    pub fn remove_if_empty(&self, name: &str) {
        for hierarchy in &self.hierarchies {
            let _ = rustix::fs::rmdir(hierarchy.mount.join(name));
        }
    }

    /// The directory of a cgroup that systemd names, on a host with v2 alone.
    pub(super) fn unified_directory(&self, cgroup: &Path) -> Result<Directory> {
        let Some(hierarchy) = self.hierarchies.first().filter(|_| self.is_unified()) else {
            return Err(Error::new("the host's cgroups are not those of v2 alone"));
        };
        Ok(Directory {
            version: hierarchy.version,
            controllers: hierarchy.controllers.clone(),
            path: hierarchy.mount.join(hierarchy.relative(cgroup)?),
            mount: hierarchy.mount.clone(),
            inode: None,
        })
    }

    /// Below which cgroup a relative path starts, relative to the mount.
    fn parent(&self, hierarchy: &Hierarchy) -> Result<PathBuf> {
        let text = match self.own.get() {
            Some(text) => text,
            None => {
                let text = file::read(Path::new("/proc/self/cgroup")).at("read", "/proc/self/cgroup")?;
                self.own.get_or_init(|| text)
            }
        };
        let Some(own) = own_cgroup(text, hierarchy.version, &hierarchy.controllers) else {
            let mount = hierarchy.mount.display();
            return Err(Error::new(format!("/proc/self/cgroup does not name the own cgroup of {mount}")));
        };
        let own = hierarchy.relative(Path::new(own))?;
        if hierarchy.version == Version::V1 || self.hierarchies.len() > 1 {
            return Ok(own);
        }
        // In v2 a cgroup with processes, as the caller's own is, cannot give controllers to those below it.
        let parent = own.parent().unwrap_or(Path::new("")).to_path_buf();
        // systemd takes all below this for its own services.
        if parent == Path::new("system.slice") { Ok("machine.slice/machine-hilum.slice".into()) } else { Ok(parent) }
    }
}

impl Hierarchy {
    /// The path below the mount of a cgroup named as /proc/self/cgroup does.
    fn relative(&self, cgroup: &Path) -> Result<PathBuf> {
        let plain = cgroup.strip_prefix("/").unwrap_or(cgroup);
        let root = match &self.root {
            Some(root) => root.clone(),
            // Unless we are in a container without a cgroup namespace, the mount shows the whole hierarchy.
            None if self.mount.join(plain).exists() => PathBuf::from("/"),
            None => {
                let seen = parse_mountinfo(&mountinfo()?).into_iter().find(|h| h.mount == self.mount);
                seen.and_then(|h| h.root).unwrap_or_else(|| "/".into())
            }
        };
        match cgroup.strip_prefix(&root) {
            Ok(below) if below.components().all(|c| matches!(c, Component::Normal(_))) => Ok(below.to_path_buf()),
            _ => Err(Error::new(format!(
                "the cgroup {} is outside of {}, which is mounted on {}",
                cgroup.display(),
                root.display(),
                self.mount.display()
            ))
            .hint("an absolute linux.cgroupsPath is below the mount point")),
        }
    }
}

/// linux.cgroupsPath, checked.
#[derive(Debug, PartialEq)]
pub enum Place {
    /// Below the mount point of each hierarchy.
    Absolute(PathBuf),
    /// Below (v1) or beside (v2) the cgroup that we are in ourselves.
    Relative(PathBuf),
}

impl Place {
    pub fn parse(cgroups_path: &str, id: &str) -> Result<Place> {
        let path = Path::new(if cgroups_path.is_empty() { id } else { cgroups_path });
        let mut clean = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                Component::Normal(name) => clean.push(name),
                Component::ParentDir => return Err(invalid(cgroups_path, "\"..\" is not allowed")),
            }
        }
        if clean.as_os_str().is_empty() {
            return Err(invalid(cgroups_path, "names no cgroup of the container's own"));
        }
        if cgroups_path.contains('\0') {
            return Err(invalid(cgroups_path, "holds a null byte"));
        }
        Ok(if path.is_absolute() { Place::Absolute(clean) } else { Place::Relative(clean) })
    }
}

fn invalid(path: &str, why: &str) -> Error {
    Error::new(format!("linux.cgroupsPath {path:?}: {why}")).hint("give the path of a cgroup, such as /pods/web")
}

fn mountinfo() -> Result<String> {
    file::read_list(Path::new("/proc/self/mountinfo")).at("read", "/proc/self/mountinfo")
}

/// `36 31 0:39 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids`
fn parse_mountinfo(text: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in text.lines() {
        let Some((mount, fs)) = line.split_once(" - ") else {
            continue;
        };
        let mut mount = mount.split(' ').skip(3);
        let (Some(root), Some(mount)) = (mount.next(), mount.next()) else {
            continue;
        };
        let mut fs = fs.split(' ');
        let version = match fs.next() {
            Some("cgroup") => Version::V1,
            Some("cgroup2") => Version::V2,
            _ => continue,
        };
        let options = fs.nth(1).unwrap_or_default();
        let controllers: Vec<String> = match version {
            Version::V1 => options.split(',').filter(|o| CONTROLLERS.contains(o)).map(str::to_string).collect(),
            Version::V2 => Vec::new(),
        };
        if version == Version::V1 && controllers.is_empty() {
            continue;
        }
        let (mount, root) = (unescape(mount), unescape(root));
        let new = Hierarchy { version, controllers, mount: mount.into(), root: Some(root.into()) };
        match found.iter_mut().find(|old| old.version == new.version && old.controllers == new.controllers) {
            None => found.push(new),
            // One hierarchy can be mounted in many places. The usual one is preferred, and what is on top there.
            Some(old) if new.mount == old.mount || new.is_usual() && !old.is_usual() => *old = new,
            Some(_) => {}
        }
    }
    found
}

impl Hierarchy {
    fn is_usual(&self) -> bool {
        self.mount.starts_with(USUAL_MOUNT)
    }
}

/// The kernel writes a space, tab, newline and backslash as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte as char);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

/// `4:memory:/path`, or `0::/path` for v2.
fn own_cgroup<'a>(text: &'a str, version: Version, names: &[String]) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let same = match version {
            Version::V1 => controllers.split(',').any(|c| names.iter().any(|name| name == c)),
            Version::V2 => controllers.is_empty(),
        };
        same.then_some(path)
    })
}

#[cfg(test)]
impl Host {
    /// A host that exists in the test only.
    pub(super) fn fake(mountinfo: &str, v2_controllers: &[&str], own: &str) -> Host {
        let mut hierarchies = parse_mountinfo(mountinfo);
        for hierarchy in hierarchies.iter_mut().filter(|h| h.version == Version::V2) {
            hierarchy.controllers = v2_controllers.iter().map(|c| c.to_string()).collect();
        }
        Host { hierarchies, own: OnceCell::from(own.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
30 31 0:29 / /var/lib/x/cpu rw - cgroup cgroup rw,cpu,cpuacct
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd
34 31 0:31 / /sys/fs/cgroup/other rw - cgroup cgroup rw,name=other
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const OWN: &str = "5:name=systemd:/user.slice\n2:cpu,cpuacct:/a/b\n0::/user.slice/s.scope\n";

    fn paths(host: &Host, cgroups_path: &str) -> Vec<String> {
        let place = Place::parse(cgroups_path, "id").unwrap();
        host.directories(&place, false).unwrap().iter().map(|d| d.path.display().to_string()).collect()
    }

    fn v2(root: &str, own: &str) -> Host {
        Host::fake(&format!("41 31 0:38 {root} /cg rw - cgroup2 cgroup2 rw\n"), &["pids"], own)
    }

    #[test]
    fn finds_each_hierarchy_once_where_it_is_usually_mounted() {
        let found = parse_mountinfo(V1);
        let mounts: Vec<_> = found.iter().map(|h| h.mount.to_str().unwrap()).collect();
        assert_eq!(mounts, ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"]);
        assert_eq!(found[0].controllers, ["cpu", "cpuacct"]);
    }

    #[test]
    fn an_absolute_path_is_below_the_mount_point() {
        let host = Host::fake(V1, &[], OWN);
        let expected = ["/sys/fs/cgroup/cpu,cpuacct/x/y", "/sys/fs/cgroup/systemd/x/y", "/sys/fs/cgroup/unified/x/y"];
        assert_eq!(paths(&host, "/x//./y/"), expected);
    }

    #[test]
    fn a_relative_path_is_below_the_own_cgroup_in_v1_and_hybrid() {
        let host = Host::fake(V1, &[], OWN);
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct/a/b/id",
            "/sys/fs/cgroup/systemd/user.slice/id",
            "/sys/fs/cgroup/unified/user.slice/s.scope/id",
        ];
        assert_eq!(paths(&host, ""), expected);
        assert_eq!(paths(&host, "c/d")[0], "/sys/fs/cgroup/cpu,cpuacct/a/b/c/d");
    }

    #[test]
    fn a_relative_path_is_beside_the_own_cgroup_in_v2() {
        assert_eq!(paths(&v2("/", "0::/a/b\n"), ""), ["/cg/a/id"]);
        assert_eq!(paths(&v2("/", "0::/a\n"), "c/d"), ["/cg/c/d"]);
        assert_eq!(paths(&v2("/", "0::/\n"), ""), ["/cg/id"]);
        assert_eq!(paths(&v2("/", "0::/system.slice/x.service\n"), ""), ["/cg/machine.slice/machine-hilum.slice/id"]);
    }

    #[test]
    fn what_is_mounted_may_be_a_part_of_the_hierarchy() {
        assert_eq!(paths(&v2("/docker/abc", "0::/docker/abc/x/y\n"), ""), ["/cg/x/id"]);
        assert_eq!(paths(&v2("/docker/abc", "0::/docker/abc\n"), ""), ["/cg/id"]);
        let place = Place::parse("", "id").unwrap();
        for (root, own) in [("/docker/abc", "0::/docker\n"), ("/", "0::/../x\n"), ("/../y", "0::/\n")] {
            let error = v2(root, own).directories(&place, false).unwrap_err().to_string();
            assert!(error.starts_with("the cgroup /"), "{error}");
            assert!(v2(root, own).directories(&place, true).unwrap().is_empty());
        }
    }

    #[test]
    fn a_path_cannot_leave_the_mount_point() {
        for path in ["/../../x", "..", "a/../b", "/a/.."] {
            let error = Place::parse(path, "id").unwrap_err().message();
            assert_eq!(error, format!("linux.cgroupsPath {path:?}: \"..\" is not allowed"));
        }
        for path in ["/", ".", "//./", "a\0b"] {
            assert!(Place::parse(path, "id").unwrap_err().to_string().starts_with("linux.cgroupsPath"), "{path}");
        }
    }

    #[test]
    fn mountinfo_escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c\x"), r"/a b\c\x");
    }
}
