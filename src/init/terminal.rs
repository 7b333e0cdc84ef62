//! The container's terminal: a pseudo terminal of its own devpts.

use hilum_sys::mount::clone_tree;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags, fstat, fstatfs};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::fail::{During, Fail, Result};
use crate::root::{Leaf, Root};

const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// Master and slave. The master must be the real multiplexer, and the slave is asked of it, not opened by a name that
/// an image or a sibling can swap (CVE-2025-52565).
pub(crate) fn open(root: &Root, rows: u16, cols: u16) -> Result<(OwnedFd, OwnedFd)> {
    let master = root
        .find(c"/dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY, true)
        .during("open /dev/pts/ptmx (a terminal needs a devpts mount on /dev/pts)")?;
    let stat = fstat(&master)?;
    let is_ptmx = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(5, 2)
        && fstatfs(&master)?.f_type as i64 == DEVPTS_SUPER_MAGIC;
    if !is_ptmx {
        return Err(Fail::new(Errno::NODEV, "/dev/pts/ptmx is not a devpts multiplexer"));
    }
    unlockpt(&master).during("unlock the terminal")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags).during("open the terminal's slave")?;
    if (rows, cols) != (0, 0) {
        tcsetwinsize(&slave, Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 })?;
    }
    Ok((master, slave))
}

pub(crate) fn bind(root: &Root, slave: BorrowedFd<'_>) -> Result<()> {
    let tree = clone_tree(slave, c"", false).during("clone the terminal's mount")?;
    let console = root.find_or_make(c"/dev/console", Leaf::File, true)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree.as_fd(), c"", console.as_fd(), c"", flags)?)
}
