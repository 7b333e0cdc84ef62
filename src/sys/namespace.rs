//! Namespaces: setns(2), unshare(2), and what nsfs says about a descriptor (ioctl_nsfs(2)).

use linux_raw_sys::general::{
    __NR_ioctl, __NR_setns, __NR_unshare, CLONE_FS, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS,
    CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER, CLONE_NEWUTS,
};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Result;
use crate::raw::syscall;

/// Every CLONE_NEW… flag.
pub(crate) const ANY_KIND: u32 = CLONE_NEWUSER
    | CLONE_NEWNS
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWIPC
    | CLONE_NEWUTS
    | CLONE_NEWCGROUP
    | CLONE_NEWTIME;

/// The kinds of namespace, by the names that they have under /proc/PID/ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    User,
    Mount,
    Pid,
    Net,
    Ipc,
    Uts,
    Cgroup,
    Time,
}

impl Kind {
    pub const ALL: [Kind; 8] =
        [Kind::User, Kind::Mount, Kind::Pid, Kind::Net, Kind::Ipc, Kind::Uts, Kind::Cgroup, Kind::Time];

    /// The CLONE_NEW… flag, which is also what NS_GET_NSTYPE answers.
    pub const fn flag(self) -> u32 {
        match self {
            Kind::User => CLONE_NEWUSER,
            Kind::Mount => CLONE_NEWNS,
            Kind::Pid => CLONE_NEWPID,
            Kind::Net => CLONE_NEWNET,
            Kind::Ipc => CLONE_NEWIPC,
            Kind::Uts => CLONE_NEWUTS,
            Kind::Cgroup => CLONE_NEWCGROUP,
            Kind::Time => CLONE_NEWTIME,
        }
    }

    pub fn from_flag(flag: u32) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.flag() == flag)
    }

    /// The name under /proc/PID/ns.
    pub const fn proc_name(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Mount => "mnt",
            Kind::Pid => "pid",
            Kind::Net => "net",
            Kind::Ipc => "ipc",
            Kind::Uts => "uts",
            Kind::Cgroup => "cgroup",
            Kind::Time => "time",
        }
    }

    /// The name in config.json.
    pub const fn spec_name(self) -> &'static str {
        match self {
            Kind::Mount => "mount",
            Kind::Net => "network",
            other => other.proc_name(),
        }
    }
}

/// Moves the calling thread (its future children, for pid) into the namespace, which must be of this kind; or into the
/// namespaces of these kinds of the process that a pidfd stands for (Linux 5.8).
pub fn setns(ns: BorrowedFd<'_>, flag: u32) -> Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall(__NR_setns, [ns.as_raw_fd() as usize, flag as usize, 0, 0, 0, 0])? };
    Ok(())
}

/// Only namespace flags: sharing of files or memory between threads stays as it is.
pub fn unshare(flags: u32) -> Result<()> {
    // SAFETY: no pointers; without CLONE_FILES or CLONE_FS no other thread's view changes.
    unsafe { syscall(__NR_unshare, [(flags & ANY_KIND) as usize, 0, 0, 0, 0, 0])? };
    Ok(())
}

/// A root directory, working directory and umask of the calling thread's own, without which it cannot enter another mount
/// namespace.
pub fn unshare_fs() -> Result<()> {
    // SAFETY: no pointers; other threads keep what was shared.
    unsafe { syscall(__NR_unshare, [CLONE_FS as usize, 0, 0, 0, 0, 0])? };
    Ok(())
}

/// Of the file system that namespaces are files of (statfs(2)).
pub const NSFS_MAGIC: i64 = 0x6e73_6673;

// _IO(0xb7, n) of linux/nsfs.h.
const NS_GET_USERNS: usize = 0xb701;
const NS_GET_PARENT: usize = 0xb702;
const NS_GET_NSTYPE: usize = 0xb703;

fn ioctl(ns: BorrowedFd<'_>, request: usize) -> Result<usize> {
    // SAFETY: these three requests take no argument.
    unsafe { syscall(__NR_ioctl, [ns.as_raw_fd() as usize, request, 0, 0, 0, 0]) }
}

/// Which kind of namespace this descriptor is; ENOTTY when it is none.
pub fn kind(ns: BorrowedFd<'_>) -> Result<u32> {
    Ok(ioctl(ns, NS_GET_NSTYPE)? as u32)
}

/// The user namespace that owns this one; EPERM when it is not the caller's or a descendant of it.
pub fn owner(ns: BorrowedFd<'_>) -> Result<OwnedFd> {
    let fd = ioctl(ns, NS_GET_USERNS)?;
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The parent of a user or pid namespace; EPERM at the caller's own.
pub fn parent(ns: BorrowedFd<'_>) -> Result<OwnedFd> {
    let fd = ioctl(ns, NS_GET_PARENT)?;
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Whether a pid namespace still has its PID 1. ENOTTY before Linux 6.11.
pub fn has_init(pid_ns: BorrowedFd<'_>) -> Result<bool> {
    // _IOR(0xb7, 6, int): the pid, in the caller's namespace, of a process of that one.
    const NS_GET_PID_FROM_PIDNS: usize = 0x8004_b706;
    // SAFETY: the argument is a pid, by value.
    match unsafe { syscall(__NR_ioctl, [pid_ns.as_raw_fd() as usize, NS_GET_PID_FROM_PIDNS, 1, 0, 0, 0]) } {
        Ok(_) => Ok(true),
        Err(crate::Errno::SRCH) => Ok(false),
        Err(errno) => Err(errno),
    }
}
