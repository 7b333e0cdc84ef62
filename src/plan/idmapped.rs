//! Idmapped mounts (mount_setattr(2)): seen through the mount, files have other owners than in their file system. The map is
//! that of a user namespace. A mount gets it once and while it is detached, from the parent: the kernel wants to be asked by
//! the root of the file system, which that of a user namespace is not.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use bumpalo::Bump;
use hilum_init::step::{Point, Step};
use hilum_sys::mount::{MountAttr, clone_tree, mount_setattr};
use hilum_sys::namespace::Kind;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{CWD, Mode, OFlags, open, statfs};
use rustix::io::Errno;

use super::namespace::Namespaces;
use super::options::{IDMAP, Options, RIDMAP};
use super::{Builder, IdMaps, Plan, Request, idmap};
use crate::error::{Context, Error, Result};
use crate::spec::config;

const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
const SINCE: &str = "5.12";

/// File systems by the number that statfs(2) has for them, and the first Linux that maps the ids of their mounts.
const FILE_SYSTEMS: &[(i64, &str, Option<&str>)] = &[
    (0xef53, "ext4", Some(SINCE)),
    (0x5846_5342, "xfs", Some(SINCE)),
    (0x4d44, "vfat", Some(SINCE)),
    (0x9123_683e, "btrfs", Some("5.15")),
    (0x7366_746e, "ntfs3", Some("5.15")),
    (0xf2f5_2010, "f2fs", Some("5.18")),
    (0xe0f5_e1e2, "erofs", Some("5.19")),
    (0x7371_7368, "squashfs", Some("6.2")),
    (0x0102_1994, "tmpfs", Some("6.3")),
    (0x00c3_6400, "ceph", Some("6.7")),
    (0x9584_58f6, "hugetlbfs", Some("6.9")),
    (0x6573_5546, "fuse", Some("6.12")),
    (0x794c_7630, "overlay", None),
    (0x6969, "nfs", None),
    (0x0102_1997, "9p", None),
    (0x9fa0, "proc", None),
    (0x6265_6572, "sysfs", None),
    (0x1cd1, "devpts", None),
    (0x1980_0202, "mqueue", None),
    (0x0027_e0eb, "cgroup", None),
    (0x6367_7270, "cgroup2", None),
];

/// The map of a mount.
#[derive(Debug)]
pub struct Idmap {
    user_ns: OwnedFd,
    pub recursive: bool,
}

pub fn is_asked_for(mount: &config::Mount) -> bool {
    let by_option = mount.options.iter().any(|option| option == IDMAP || option == RIDMAP);
    by_option || !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty()
}

/// What the mount asks for, by its own lists or, without them, by the options alone.
pub fn of(
    req: &Request<'_>,
    ns: &Namespaces,
    mount: &config::Mount,
    options: &Options,
    bind: bool,
    property: &dyn Fn(&str) -> String,
) -> Result<Option<Idmap>> {
    let listed = (!mount.uid_mappings.is_empty(), !mount.gid_mappings.is_empty());
    let name = if options.idmap == Some(true) { RIDMAP } else { IDMAP };
    let asked = match listed {
        (true, _) => property("uidMappings"),
        (false, true) => property("gidMappings"),
        (false, false) if options.idmap.is_some() => format!("{}: {name:?}", property("options")),
        (false, false) => return Ok(None),
    };
    let refuse = |why: &str| Error::new(format!("{asked}: {why}"));
    if !bind || options.remount {
        return Err(refuse("id-mapped mounts are only supported for bind-mounts").hint("bind a directory of the host"));
    }
    if req.rootless {
        return Err(refuse("id-mapped mounts are not supported for rootless containers")
            .hint("remove it, or run hilum as root of the host"));
    }
    if !is_known_to_kernel() {
        return Err(refuse(&format!("id-mapped mounts need Linux {SINCE} or newer, and this is {}", release())));
    }
    let maps = match listed {
        (true, true) => Some(IdMaps { uid: mount.uid_mappings.clone(), gid: mount.gid_mappings.clone() }),
        (false, false) => None,
        _ => {
            return Err(refuse("id-mapped mounts must have both uid and gid mappings specified")
                .hint("give uidMappings and gidMappings, or neither for those of the container's user namespace"));
        }
    };
    if let Some(maps) = &maps {
        idmap::check_ranges(&maps.uid, &property("uidMappings"))?;
        idmap::check_ranges(&maps.gid, &property("gidMappings"))?;
    }
    let user_ns = match (maps, ns.join(Kind::User)) {
        (Some(maps), _) => (req.user_namespace)(&maps).context(&asked)?,
        (None, Some(join)) => join.ns.try_clone().context(&asked)?,
        (None, None) if ns.is_new(Kind::User) => match IdMaps::of_container(&req.spec.linux) {
            Some(maps) => (req.user_namespace)(&maps).context(&asked)?,
            None => return Ok(None), // their own conflict
        },
        (None, None) if ns.is_private(Kind::User) => return Ok(None),
        (None, None) => {
            return Err(refuse("takes the mappings of the container's user namespace, and it has none")
                .hint("give the mount uidMappings and gidMappings, or the container a user namespace"));
        }
    };
    Ok(Some(Idmap { user_ns, recursive: options.idmap == Some(true) }))
}

impl Idmap {
    /// `tree`: a detached copy of what is mounted at `source`.
    pub fn apply(&self, tree: BorrowedFd<'_>, source: &Path, property: &str) -> Result<()> {
        self.set(tree, self.recursive).map_err(|errno| {
            let at = if self.recursive { self.culprit(source, errno) } else { source.to_path_buf() };
            let error = Error::from(errno).context(format!("{property}: map the ids of {}", at.display())).path(&at);
            match errno {
                Errno::INVAL => error
                    .replace(format!("{property}: {}: {}", at.display(), cannot(&at)))
                    .hint("remove uidMappings, gidMappings and the option, or bind a directory of another file system"),
                Errno::PERM => error.hint("it is idmapped already, or its file system is another user namespace's"),
                _ => error,
            }
        })
    }

    fn set(&self, tree: BorrowedFd<'_>, recursive: bool) -> rustix::io::Result<()> {
        let userns = self.user_ns.as_raw_fd() as u64;
        mount_setattr(tree, recursive, &MountAttr { set: MOUNT_ATTR_IDMAP, userns, ..MountAttr::default() })
    }

    /// Which one of a tree of mounts it is that cannot.
    fn culprit(&self, source: &Path, errno: Errno) -> PathBuf {
        let cannot = |path: &PathBuf| {
            let Ok(tree) = clone_tree(CWD, &path_text(path), false) else { return false };
            self.set(tree.as_fd(), false) == Err(errno)
        };
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        let mut all = std::iter::once(source.to_path_buf()).chain(points.filter(|point| point.starts_with(source)));
        all.find(cannot).unwrap_or_else(|| source.to_path_buf())
    }
}

fn path_text(path: &Path) -> std::ffi::CString {
    std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap_or_default()
}

/// Why the file system there is not mapped.
fn cannot(path: &Path) -> String {
    let magic = statfs(path).map_or(0, |fs| fs.f_type);
    match FILE_SYSTEMS.iter().find(|(number, ..)| *number == magic) {
        Some((_, name, Some(since))) => {
            format!("mounts of {name} can be id-mapped with Linux {since} or newer, and this is {}", release())
        }
        Some((_, name, None)) => format!("mounts of {name} cannot be id-mapped"),
        None => format!("mounts of this file system (of type {magic:#x}) cannot be id-mapped by Linux {}", release()),
    }
}

/// Of the kernel.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// mount_setattr(2) came with this.
pub fn is_known_to_kernel() -> bool {
    let root = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    root.is_ok_and(|root| mount_setattr(root.as_fd(), false, &MountAttr::default()) != Err(Errno::NOSYS))
}

/// A process that is there for its user namespace alone: the parent writes the map, opens the namespace and ends it.
pub fn holder(arena: &Bump) -> Plan<'_> {
    let mut b = Builder::new(arena);
    b.push(Step::Unshare { kinds: Kind::User.flag() });
    b.push(Step::Wait(Point::IdMaps));
    Plan::of_steps(b, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_cannot_is_named_with_the_version_that_can() {
        assert_eq!(cannot(Path::new("/proc")), "mounts of proc cannot be id-mapped");
        if statfs("/dev/shm").is_ok_and(|fs| fs.f_type == 0x0102_1994) {
            let said = cannot(Path::new("/dev/shm"));
            assert!(
                said.starts_with("mounts of tmpfs can be id-mapped with Linux 6.3 or newer, and this is "),
                "{said}"
            );
        }
    }
}
