//! Mounts, by descriptor from beginning to end: the source is a detached mount, the target was opened inside the root.

use core::ffi::CStr;

use hilum_sys::mount::{MountAttr, clone_tree, mount_setattr};
use hilum_sys::process::close_all;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, mkdirat, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, mount_remount, move_mount,
};
use rustix::path::DecInt;

use crate::copy_up::copy_up;
use crate::fail::{During, Fail, Result};
use crate::root::{Leaf, Root, is_directory, keep};
use crate::step::{Attr, Bind, Mount, Source, Strs};

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;
const MS_REC: u32 = 0x4000;
const MS_SLAVE: u32 = 1 << 19;
pub(crate) const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// A new file system on the target.
pub(crate) fn mount(root: &mut Root, it: &Mount<'_>) -> Result<()> {
    let fs = fsopen(it.fs.0, FsOpenFlags::FSOPEN_CLOEXEC).during("fsopen")?;
    if !it.source.0.is_empty() {
        fsconfig_set_string(fs.as_fd(), c"source", it.source.0).map_err(|errno| explained(&fs, errno))?;
    }
    if it.fs.0 == c"tmpfs" {
        keep_mode(root, it, &fs)?;
    }
    configure(&fs, it.options).and_then(|()| fsconfig_create(fs.as_fd())).map_err(|errno| explained(&fs, errno))?;
    // What is to be copied into it has to be written.
    let later = if it.copy_up { it.attr & MOUNT_ATTR_RDONLY } else { 0 };
    let attr = MountAttrFlags::from_bits_retain((it.attr & !later) as u32);
    let mount = fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attr).map_err(|errno| explained(&fs, errno))?;
    let target = root.directory(it.target.0, it.no_symlinks)?;
    // proc itself goes on /proc, and where a stale one already is; everything else must not land on a proc file.
    if it.fs.0 != c"proc" {
        refuse_proc(target.as_fd(), it.target.0)?;
    }
    if it.copy_up {
        copy_up(target.as_fd(), mount.as_fd())?;
    }
    for name in it.mount_points.iter() {
        // What fails here fails again where it is needed, and is told as a fault of that mount.
        let _ = mkdirat(mount.as_fd(), name, Mode::from_raw_mode(0o755));
    }
    attach(mount.as_fd(), target.as_fd())?;
    if later != 0 {
        set_attr(mount.as_fd(), &MountAttr { set: later, ..MountAttr::default() })?;
    }
    set_propagation(mount.as_fd(), it.propagation)?;
    root.has_mounted(it.target.0, mount.as_fd(), Some(it.fs.0))?;
    close_all([fs, mount, target]);
    Ok(())
}

/// A tmpfs over a directory of the image has its mode, unless config.json says another: as runc has it, and images rely
/// on (a /run or a /var/lib/secret that is not everybody's).
fn keep_mode(root: &Root, it: &Mount<'_>, fs: &OwnedFd) -> Result<()> {
    if it.options.iter().any(|option| option.to_bytes().starts_with(b"mode=")) {
        return Ok(());
    }
    // What is not there yet has no mode to keep; any other failure comes again, when the target is opened for the mount.
    let Ok(there) = root.find(it.target.0, OFlags::PATH, it.no_symlinks) else { return Ok(()) };
    let mode = fstat(&there)?.st_mode;
    let digit = |shift: u32| b'0' + (mode >> shift & 7) as u8;
    let text = [digit(9), digit(6), digit(3), digit(0), 0];
    let text = CStr::from_bytes_with_nul(&text).map_err(|_| Errno::INVAL)?;
    fsconfig_set_string(fs.as_fd(), c"mode", text).map_err(|errno| explained(fs, errno))
}

fn configure(fs: &OwnedFd, options: Strs<'_>) -> rustix::io::Result<()> {
    for option in options.iter() {
        match option.to_bytes().iter().position(|b| *b == b'=') {
            None => fsconfig_set_flag(fs.as_fd(), option)?,
            Some(at) => {
                let key = option.to_bytes().get(..at).unwrap_or_default();
                let value = option.to_bytes_with_nul().get(at + 1..).unwrap_or_default();
                let value = CStr::from_bytes_with_nul(value).map_err(|_| Errno::INVAL)?;
                fsconfig_set_string(fs.as_fd(), key, value)?;
            }
        }
    }
    Ok(())
}

/// The kernel's own sentence about what it did not like, which it keeps for whoever reads the descriptor.
fn explained(fs: &OwnedFd, errno: Errno) -> Fail {
    let mut log = [0; 200];
    let len = rustix::io::read(fs, &mut log).unwrap_or(0);
    let text = log.get(..len).unwrap_or_default();
    // `e ` before the text marks an error.
    Fail::quoting(errno, text.strip_prefix(b"e ").unwrap_or(text).trim_ascii_end())
}

/// A copy of what is mounted elsewhere, on the target.
pub(crate) fn bind(root: &mut Root, it: &Bind<'_>) -> Result<()> {
    match it.source {
        Source::Tree { fd, .. } => drop(bind_tree(root, it, hilum_sys::process::borrow(fd))?),
        Source::Path(path) => {
            let made = clone_tree(CWD, path.0, it.recursive).during("open the source")?;
            let target = bind_tree(root, it, made.as_fd())?;
            close_all([made, target]);
        }
    }
    Ok(())
}

/// The answer is the target.
fn bind_tree(root: &mut Root, it: &Bind<'_>, tree: BorrowedFd<'_>) -> Result<OwnedFd> {
    let target = root.find_or_make(it.target.0, Leaf::Like(tree), it.no_symlinks)?;
    refuse_proc(target.as_fd(), it.target.0)?;

    let attr = mount_attr(it.attr);
    let early = attr == MountAttr::default() || try_attr(tree, &attr).during("set the mount's flags")?;
    if it.recursive_attr != Attr::default() {
        set_tree_attr(tree, it.recursive_attr)?;
    }
    if let Err(fail) = attach(tree, target.as_fd()) {
        // As mount(2) would have it, and as the clients know it; move_mount(2) says EINVAL.
        return Err(match (is_directory(tree)?, is_directory(target.as_fd())?) {
            (true, false) => Fail::new(Errno::NOTDIR, "the source is a directory, the target is not"),
            (false, true) => Fail::new(Errno::NOTDIR, "the target is a directory, the source is not"),
            _ => fail,
        });
    }
    if !early {
        set_attr(tree, &attr)?;
    }
    if let Source::Tree { .. } = it.source {
        // It comes from the host's mount namespace: as the kernel does with what a user namespace copies of that,
        // nothing goes back.
        set_propagation(tree, MS_SLAVE | MS_REC)?;
    }
    set_propagation(tree, it.propagation)?;
    root.has_mounted(it.target.0, tree, None)?;
    Ok(target)
}

fn set_tree_attr(tree: BorrowedFd<'_>, attr: Attr) -> Result<()> {
    mount_setattr(tree, true, &mount_attr(attr)).during("set the flags of all mounts (Linux 5.12)")
}

fn mount_attr(attr: Attr) -> MountAttr {
    MountAttr { set: attr.set, clear: attr.clear, ..MountAttr::default() }
}

fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags).during("attach")
}

/// A link in the image may lead a mount onto a file of /proc, where it would hide or fake what a later step writes
/// (CVE-2019-16884, CVE-2025-52881). Only a target that says /proc may end there.
fn refuse_proc(target: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let says_proc = path.to_bytes().starts_with(b"/proc/");
    if !says_proc && fstatfs(target)?.f_type as i64 == PROC_SUPER_MAGIC {
        return Err(Fail::new(Errno::PERM, "the target leads into /proc"));
    }
    Ok(())
}

pub(crate) fn remount(root: &Root, target: &CStr, attr: Attr, recursive: bool, propagation: u32) -> Result<()> {
    let target = root.find(target, OFlags::PATH, true)?;
    match recursive {
        true => set_tree_attr(target.as_fd(), attr)?,
        false => set_attr(target.as_fd(), &mount_attr(attr))?,
    }
    set_propagation(target.as_fd(), propagation)
}

/// Each flag as mount_setattr(2), mount(2) and statfs(2) know it. A strict access time is what is there without the flags
/// of the other two kinds, so statfs has none for it.
const REMOUNT_FLAGS: &[(u64, u32, u64)] = &[
    (MOUNT_ATTR_RDONLY, 1, 1),
    (0x2, 2, 2),
    (0x4, 4, 4),
    (0x8, 8, 8),
    (0x10, 0x400, 0x400),       // noatime
    (0x20, 1 << 24, 0),         // strictatime
    (0x80, 0x800, 0x800),       // nodiratime
    (0x20_0000, 0x100, 0x2000), // nosymfollow
];

/// mount_setattr, if the kernel has it (Linux 5.12); only then can a mount get its flags before it is attached.
fn try_attr(mount: BorrowedFd<'_>, attr: &MountAttr) -> rustix::io::Result<bool> {
    match mount_setattr(mount, false, attr) {
        Err(Errno::NOSYS) => Ok(false),
        other => other.map(|()| true),
    }
}

/// Flags of an attached mount: mount_setattr, or a remount, which needs all flags at once.
pub(crate) fn set_attr(mount: BorrowedFd<'_>, attr: &MountAttr) -> Result<()> {
    if try_attr(mount, attr)? {
        return Ok(());
    }
    let old = fstatfs(mount)?.f_flags as u64;
    let (set, clear) = (attr.set, attr.clear);
    let flags =
        REMOUNT_FLAGS.iter().filter(|(attr, _, stat)| set & attr != 0 || (old & stat != 0 && clear & attr == 0));
    let flags = flags.fold(0, |flags, (_, ms, _)| flags | ms);
    let flags = MountFlags::BIND | MountFlags::from_bits_retain(flags);
    mount_remount(ProcPath::of(mount).text()?, flags, c"")?;
    Ok(())
}

/// A descriptor as the path that the older calls want. Used before pivot_root only, while /proc is still the host's.
struct ProcPath([u8; 32]);

impl ProcPath {
    fn of(fd: BorrowedFd<'_>) -> Self {
        const PREFIX: &[u8] = b"/proc/self/fd/";
        let mut text = [0; 32];
        let digits = DecInt::from_fd(fd);
        let parts = PREFIX.iter().chain(digits.as_bytes());
        for (to, from) in text.iter_mut().zip(parts) {
            *to = *from;
        }
        Self(text)
    }

    fn text(&self) -> Result<&CStr> {
        CStr::from_bytes_until_nul(&self.0).map_err(|_| Errno::NAMETOOLONG.into())
    }
}

/// Of an attached mount: what it is attached below may just have made it shared.
fn set_propagation(mount: BorrowedFd<'_>, flags: u32) -> Result<()> {
    if flags == 0 {
        return Ok(());
    }
    let attr = MountAttr { propagation: u64::from(flags & !MS_REC), ..MountAttr::default() };
    match mount_setattr(mount, flags & MS_REC != 0, &attr) {
        Err(Errno::NOSYS) => {}
        other => return other.during("set the propagation"),
    }
    propagation(ProcPath::of(mount).text()?, flags)
}

pub(crate) fn propagation(path: &CStr, flags: u32) -> Result<()> {
    Ok(mount_change(path, MountPropagationFlags::from_bits_retain(flags))?)
}

/// The mount that holds `path` has its root somewhere above: the first directory that can be changed is it.
pub(crate) fn private_parent(path: &CStr) -> Result<()> {
    let mut dir = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        rustix::process::fchdir(dir.as_fd())?;
        match mount_change(c".", MountPropagationFlags::PRIVATE) {
            Err(Errno::INVAL) => {}
            other => {
                rustix::process::chdir(c"/")?;
                return Ok(other?);
            }
        }
        let above = rustix::fs::openat(dir.as_fd(), c"..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let (stat, stat_above) = (fstat(&dir)?, fstat(&above)?);
        if (stat.st_dev, stat.st_ino) == (stat_above.st_dev, stat_above.st_ino) {
            return Err(Fail::new(Errno::INVAL, "hilum's own root directory is not a mount, as in a chroot"));
        }
        dir = above;
    }
}

/// What is there, bound on itself and read-only.
pub(crate) fn readonly_path(root: &Root, path: &CStr) -> Result<()> {
    let target = match root.find_covered(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other?,
    };
    let tree = clone_tree(target.as_fd(), c"", true)?;
    let attr = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    let early = try_attr(tree.as_fd(), &attr)?;
    attach(tree.as_fd(), target.as_fd())?;
    if !early {
        set_attr(tree.as_fd(), &attr)?;
    }
    close_all([tree, target]);
    Ok(())
}

/// What covers masked paths: /dev/null over a file, one empty read-only tmpfs over all directories.
#[derive(Default)]
pub(crate) struct Masks {
    null: Option<OwnedFd>,
    empty: Option<OwnedFd>,
}

impl Masks {
    pub(crate) fn cover(&mut self, root: &Root, path: &CStr) -> Result<()> {
        let target = match root.find_covered(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other?,
        };
        self.cover_at(target)
    }

    pub(crate) fn cover_at(&mut self, target: OwnedFd) -> Result<()> {
        let directory = is_directory(target.as_fd())?;
        let cover = match (directory, &self.empty, &self.null) {
            (true, Some(empty), _) => clone_tree(empty.as_fd(), c"", false)?,
            // Attached first, cloned afterwards: before Linux 6.15 a detached mount cannot be cloned.
            (true, None, _) => empty_tmpfs()?,
            (false, _, Some(null)) => clone_tree(null.as_fd(), c"", false)?,
            (false, _, None) => {
                let null = self.null.insert(keep(host_null()?.as_fd())?);
                clone_tree(null.as_fd(), c"", false)?
            }
        };
        attach(cover.as_fd(), target.as_fd())?;
        match directory && self.empty.is_none() {
            true => self.empty = Some(cover),
            false => close_all([cover, target]),
        }
        Ok(())
    }
}

/// The host's /dev/null, and nothing that an image put in its place (CVE-2025-31133).
fn host_null() -> Result<OwnedFd> {
    let null = open(c"/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .during("open the host's /dev/null")?;
    let stat = fstat(&null)?;
    let is_null =
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null { Ok(null) } else { Err(Fail::new(Errno::NODEV, "the host's /dev/null is not the null device")) }
}

fn empty_tmpfs() -> Result<OwnedFd> {
    let fs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(fs.as_fd(), c"source", c"tmpfs")?;
    fsconfig_set_string(fs.as_fd(), c"size", c"4k")?;
    fsconfig_create(fs.as_fd())?;
    Ok(fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?)
}
