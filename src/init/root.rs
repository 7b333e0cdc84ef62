//! The container's root file system as a descriptor, and the one way to reach a path in it: openat2(2) with
//! RESOLVE_IN_ROOT, so that no symbolic link of the image, nor one that is swapped in while this runs, leads out of it
//! (CVE-2021-30465, CVE-2024-45310).

use core::ffi::CStr;

use hilum_sys::mount::{MountAttr, clone_tree};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, mkdirat, mknodat, openat2, readlinkat_raw,
    statat,
};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount};

use crate::fail::{During, Fail, Result};
use crate::mount::{MOUNT_ATTR_RDONLY, PROC_SUPER_MAGIC, set_attr};
use crate::step::Fd;

const PATH_ROOM: usize = 4096;
/// How many symbolic links the kernel follows in one path; the same bound here.
const MAX_LINKS: usize = 40;

/// What the kernel shows of itself, and by which file system: below these are most masked and read-only paths.
const VIEWS: [(&CStr, &CStr, i64); 2] = [(c"/proc", c"proc", PROC_SUPER_MAGIC), (c"/sys", c"sysfs", SYSFS_MAGIC)];
const SYSFS_MAGIC: i64 = 0x6265_6572;

pub(crate) struct Root {
    dir: OwnedFd,
    /// What has been mounted on each of `VIEWS`.
    views: [Option<OwnedFd>; 2],
}

#[derive(Clone, Copy)]
pub(crate) enum Leaf<'f> {
    Directory,
    File,
    /// Which of these, this says: asked only where there is none yet.
    Like(BorrowedFd<'f>),
}

impl Leaf<'_> {
    fn is_directory(self) -> Result<bool> {
        match self {
            Leaf::Directory => Ok(true),
            Leaf::File => Ok(false),
            Leaf::Like(fd) => is_directory(fd),
        }
    }
}

pub(crate) fn is_directory(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Directory)
}

impl Root {
    fn of(dir: OwnedFd) -> Self {
        Self { dir, views: [None, None] }
    }

    /// The root file system as a mount of its own, at its own place (pivot_root(2) wants a mount point).
    pub(crate) fn mount(path: &CStr, recursive: bool) -> Result<Self> {
        let tree = clone_tree(CWD, path, recursive)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
        move_mount(tree.as_fd(), c"", CWD, path, flags)?;
        Ok(Self::of(tree))
    }

    pub(crate) fn attach(tree: Fd) -> Result<Self> {
        let tree = keep(hilum_sys::process::take(tree)?.as_fd())?;
        move_mount(tree.as_fd(), c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(Self::of(tree))
    }

    pub(crate) fn open(path: &CStr) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::of(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// What `path` is in the container; `no_symlinks` where a link on the way would be an attack.
    pub(crate) fn find(&self, path: &CStr, flags: OFlags, no_symlinks: bool) -> rustix::io::Result<OwnedFd> {
        let links = if no_symlinks { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::NO_MAGICLINKS };
        resolve(self.dir.as_fd(), path, flags, links)
    }

    /// To be called for each mount: its target, itself, attached, and its file system, if that is known.
    pub(crate) fn has_mounted(&mut self, target: &CStr, mount: BorrowedFd<'_>, fs: Option<&CStr>) -> Result<()> {
        for ((view, name, magic), kept) in VIEWS.iter().zip(&mut self.views) {
            if target == *view {
                // In anything else, a symbolic link may lead out of it.
                let is_it = match fs {
                    Some(fs) => fs == *name,
                    None => fstatfs(mount)?.f_type as i64 == *magic,
                };
                *kept = if is_it { Some(keep(mount)?) } else { None };
            }
        }
        Ok(())
    }

    /// What a path that is to be masked or made read-only is. Below /proc and /sys it is looked for in what was mounted there: if
    /// somebody else can write to the image, the name may lead elsewhere by now, where there is nothing to hide
    /// (CVE-2023-27561).
    pub(crate) fn find_covered(&self, path: &CStr) -> rustix::io::Result<OwnedFd> {
        for ((view, ..), kept) in VIEWS.iter().zip(&self.views) {
            let below = path.to_bytes_with_nul().strip_prefix(view.to_bytes()).and_then(|it| it.strip_prefix(b"/"));
            // `..` may lead out of it, too; and of "/proc/", nothing but the NUL is left.
            let below =
                below.filter(|it| it.len() > 1 && !path.to_bytes().split(|b| *b == b'/').any(|part| part == b".."));
            if let (Some(below), Some(mount)) = (below, kept) {
                let below = CStr::from_bytes_with_nul(below).map_err(|_| Errno::INVAL)?;
                return resolve(mount.as_fd(), below, OFlags::PATH, ResolveFlags::NO_MAGICLINKS);
            }
        }
        self.find(path, OFlags::PATH, false)
    }

    pub(crate) fn directory(&self, path: &CStr, no_symlinks: bool) -> Result<OwnedFd> {
        self.find_or_make(path, Leaf::Directory, no_symlinks)
    }

    /// Opens `path`, and makes what is missing of it. A dangling link is followed, inside the root, as the kernel would
    /// if its target were there.
    pub(crate) fn find_or_make(&self, path: &CStr, leaf: Leaf<'_>, no_symlinks: bool) -> Result<OwnedFd> {
        match self.find(path, OFlags::PATH, no_symlinks) {
            Err(Errno::NOENT) => {}
            Err(Errno::LOOP) if no_symlinks => {
                return Err(Fail::new(Errno::LOOP, "a symbolic link of the image would redirect it"));
            }
            other => return other.during("open the target"),
        }
        let mut wanted = PathBuf::new(path.to_bytes())?;
        for _ in 0..MAX_LINKS {
            match self.make(&mut wanted, leaf, no_symlinks)? {
                Made::All(fd) => return Ok(fd),
                Made::MetLink => {}
            }
        }
        Err(Errno::LOOP.into())
    }

    /// One pass over the components. At a dangling link, puts its target in its place for the next pass.
    fn make(&self, path: &mut PathBuf, leaf: Leaf<'_>, no_symlinks: bool) -> Result<Made> {
        let (mut parent, mut end) = self.deepest(path, no_symlinks)?;
        while let Some((start, stop)) = path.component(end) {
            end = stop;
            let last = path.component(stop).is_none();
            let name = path.name(start, stop)?;
            let made = match !last || leaf.is_directory()? {
                true => mkdirat(parent.as_fd(), name, Mode::from_raw_mode(0o755)),
                false => mknodat(parent.as_fd(), name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
            };
            match made {
                Ok(()) => {}
                // Where links are refused, one that somebody has just made is, too: by what opens it below.
                Err(Errno::EXIST) if !no_symlinks && path.splice_link(parent.as_fd(), start, stop)? => {
                    return Ok(Made::MetLink);
                }
                Err(Errno::EXIST) => {} // a sibling made it first
                Err(errno) => return Err(errno).during("create the target"),
            }
            drop(parent); // its number is the next one's
            parent = self.find(path.prefix(stop)?, OFlags::PATH, no_symlinks).during("open what was created")?;
        }
        Ok(Made::All(parent))
    }

    /// The last directory on the way that is there, and where it ends in the path.
    fn deepest(&self, path: &mut PathBuf, no_symlinks: bool) -> Result<(OwnedFd, usize)> {
        let mut end = path.len;
        loop {
            end = path.before(end);
            let above = if end == 0 { c"." } else { path.prefix(end)? };
            match self.find(above, OFlags::PATH, no_symlinks) {
                Err(Errno::NOENT) if end > 0 => {}
                other => return Ok((other.during("open a part of the target")?, end)),
            }
        }
    }

    pub(crate) fn make_readonly(&self) -> Result<()> {
        set_attr(self.dir.as_fd(), &MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() })
    }

    /// pivot_root(2), NOTES: with `.` for both, the old root ends up on top of the new one, and goes with one umount.
    pub(crate) fn pivot(&self, shared: bool) -> Result<()> {
        let old = rustix::fs::open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::process::fchdir(self.dir.as_fd())?;
        rustix::process::pivot_root(c".", c".")?;
        rustix::process::fchdir(old.as_fd())?;
        if shared {
            mount_change(c".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
                .during("untie the old root from the host's mounts")?;
        }
        unmount(c".", UnmountFlags::DETACH).during("unmount the old root")?;
        rustix::process::chdir(c"/")?;
        Ok(())
    }

    /// Where pivot_root cannot work (the host's root is an initramfs).
    pub(crate) fn move_over(&self) -> Result<()> {
        rustix::process::fchdir(self.dir.as_fd())?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(self.dir.as_fd(), c"", CWD, c"/", flags)?;
        self.chroot()
    }

    pub(crate) fn chroot(&self) -> Result<()> {
        enter(self.dir.as_fd())
    }
}

fn resolve(root: BorrowedFd<'_>, path: &CStr, flags: OFlags, links: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    loop {
        // EAGAIN: something on the way was renamed meanwhile, and the kernel cannot tell that `..` stayed inside.
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT | links) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// For later steps, and out of the way of these: what they open has numbers that follow each other (`close_all`).
pub(crate) fn keep(fd: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    match fcntl_dupfd_cloexec(fd, 24) {
        // Beyond RLIMIT_NOFILE.
        Err(Errno::INVAL) => fcntl_dupfd_cloexec(fd, 3),
        other => other,
    }
}

/// Makes the directory the root of this process.
pub(crate) fn enter(dir: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(dir)?;
    rustix::process::chroot(c".")?;
    rustix::process::chdir(c"/")?;
    Ok(())
}

enum Made {
    All(OwnedFd),
    MetLink,
}

/// A path that can be cut and spliced, without a heap. Always starts with a slash, always has room for a NUL.
struct PathBuf {
    bytes: [u8; PATH_ROOM],
    len: usize,
    cut: [u8; PATH_ROOM],
}

impl PathBuf {
    fn new(path: &[u8]) -> Result<Self> {
        let mut it = Self { bytes: [0; PATH_ROOM], len: 0, cut: [0; PATH_ROOM] };
        it.push(path)?;
        Ok(it)
    }

    fn push(&mut self, part: &[u8]) -> Result<()> {
        let end = self.len + part.len();
        // One byte stays free for the NUL.
        let room = self.bytes.get_mut(self.len..end).filter(|_| end < PATH_ROOM).ok_or(Errno::NAMETOOLONG)?;
        room.copy_from_slice(part);
        self.len = end;
        Ok(())
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The next component behind `from`: where it starts and where it stops.
    fn component(&self, from: usize) -> Option<(usize, usize)> {
        let rest = self.text().get(from..)?;
        let start = from + rest.iter().position(|b| *b != b'/')?;
        let length = self.text().get(start..)?.iter().position(|b| *b == b'/');
        Some((start, length.map_or(self.len, |length| start + length)))
    }

    /// Where the component before the last one of these bytes stops.
    fn before(&self, end: usize) -> usize {
        let text = self.text().get(..end).unwrap_or_default();
        let last = text.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
        let slash = text.get(..last).unwrap_or_default().iter().rposition(|b| *b == b'/').unwrap_or(0);
        text.get(..slash).unwrap_or_default().iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1)
    }

    fn cut(&mut self, start: usize, stop: usize) -> Result<&CStr> {
        let from = self.bytes.get(start..stop).ok_or(Errno::INVAL)?;
        self.cut.get_mut(..from.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(from);
        *self.cut.get_mut(from.len()).ok_or(Errno::NAMETOOLONG)? = 0;
        Ok(CStr::from_bytes_until_nul(&self.cut).map_err(|_| Errno::INVAL)?)
    }

    fn prefix(&mut self, stop: usize) -> Result<&CStr> {
        self.cut(0, stop)
    }

    fn name(&mut self, start: usize, stop: usize) -> Result<&CStr> {
        self.cut(start, stop)
    }

    /// If the component is a symbolic link in `parent`, replaces it by where the link points: from the root, or from the
    /// directory that the link is in.
    fn splice_link(&mut self, parent: BorrowedFd<'_>, start: usize, stop: usize) -> Result<bool> {
        let name = self.name(start, stop)?;
        let kind = FileType::from_raw_mode(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        if kind != FileType::Symlink {
            return Ok(false);
        }
        let mut link = [0; PATH_ROOM];
        let len = readlinkat_raw(parent, name, &mut link)?;
        let link = link.get(..len).unwrap_or_default();
        let mut spliced =
            Self::new(if link.first() == Some(&b'/') { b"" } else { self.text().get(..start).unwrap_or_default() })?;
        spliced.push(b"/")?;
        spliced.push(link)?;
        spliced.push(self.text().get(stop..).unwrap_or_default())?;
        *self = spliced;
        Ok(true)
    }
}
