//! What a process is: its session, identity, capabilities, limits, and the files of /proc that say so.

use core::ffi::CStr;

use hilum_sys::process as sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, openat2};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::fail::{During, Fail, Result};
use crate::step::{Capabilities, Strs, Words};

/// Until it executes, nobody in a joined namespace may ptrace this process or reach its descriptors (CVE-2016-9962).
/// Another identity undoes it where the sysctl fs.suid_dumpable is 1 (commit_creds), so it is done again behind each.
pub(crate) fn hide() -> Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// The ids of a user namespace's root; before its maps are written they have no number there.
pub(crate) fn become_root(proc: BorrowedFd<'_>) -> Result<()> {
    set_groups(proc, Words(&[]))?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).during("setgid 0")?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).during("setuid 0")?;
    hide()
}

/// A user namespace whose group map was written without privilege denies setgroups(2), even to drop groups
/// (user_namespaces(7)); what cannot be dropped there has no name in it either.
fn set_groups(proc: BorrowedFd<'_>, groups: Words<'_>) -> Result<()> {
    match sys::set_groups(groups.iter()) {
        Err(Errno::PERM) if groups.0.is_empty() && setgroups_denied(proc) => Ok(()),
        other => other.during("setgroups"),
    }
}

fn setgroups_denied(proc: BorrowedFd<'_>) -> bool {
    let mut text = [0; 8];
    let file = proc_open(proc, c"self/setgroups", OFlags::RDONLY);
    file.and_then(|file| rustix::io::read(file, &mut text)).is_ok_and(|len| text.get(..len) == Some(b"deny\n"))
}

/// A kernel without keyrings has nothing to inherit.
pub(crate) fn session_keyring(name: &CStr) -> Result<()> {
    match sys::join_session_keyring(name) {
        Err(Errno::NOSYS) => Ok(()),
        other => Ok(other?),
    }
}

pub(crate) fn new_session(terminal: Option<BorrowedFd<'_>>) -> Result<()> {
    rustix::process::setsid()?;
    let Some(terminal) = terminal else { return Ok(()) };
    rustix::process::ioctl_tiocsctty(terminal).during("make it the controlling terminal")?;
    rustix::stdio::dup2_stdin(terminal)?;
    rustix::stdio::dup2_stdout(terminal)?;
    Ok(rustix::stdio::dup2_stderr(terminal)?)
}

/// Until somebody wants it to end. Nothing that could be reached through this process stays open: those in the namespace
/// can see it.
pub(crate) fn reap() -> Result<()> {
    const SIGINT: u32 = 2;
    const SIGTERM: u32 = 15;
    let _ = rustix::thread::set_name(c"hilum:reaper");
    sys::ignore(sys::SIGCHLD)?;
    sys::close_range(0, u32::MAX)?;
    Ok(sys::wait_for_signal(&[SIGINT, SIGTERM])?)
}

/// So that the user can open /dev/stdout by name. A device of the host (a terminal that the runtime was called from,
/// /dev/null) keeps its owner; what cannot change hands (a pipe of another user namespace, a read-only file) too.
pub(crate) fn own_stdio(uid: u32, terminal: bool) -> Result<()> {
    for fd in 0..3 {
        let fd = sys::borrow(fd);
        let Ok(stat) = rustix::fs::fstat(fd) else { continue };
        let device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if (device && !terminal) || stat.st_uid == uid {
            continue;
        }
        match rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None) {
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

pub(crate) fn keep_bounding(keep: u64) -> Result<()> {
    for capability in 0..64 {
        let bit = 1 << capability;
        if keep & bit == 0 {
            match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
                // Behind the last one that this kernel knows.
                Err(Errno::INVAL) => break,
                other => other?,
            }
        }
    }
    Ok(())
}

/// The user id comes last: with it goes the right to change the others. Permitted capabilities stay, for the step that
/// sets them.
pub(crate) fn become_user(proc: BorrowedFd<'_>, uid: u32, gid: u32, groups: Words<'_>) -> Result<()> {
    // Root keeps them anyway.
    if uid != 0 {
        rustix::thread::set_keep_capabilities(true)?;
    }
    let gid = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).during("setgid")?;
    set_groups(proc, groups)?;
    let user = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(user, user, user).during("setuid")?;
    if uid != 0 {
        rustix::thread::set_keep_capabilities(false)?;
    }
    hide()
}

pub(crate) fn set_capabilities(it: &Capabilities) -> Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(it.effective),
        permitted: CapabilitySet::from_bits_retain(it.permitted),
        inheritable: CapabilitySet::from_bits_retain(it.inheritable),
    };
    rustix::thread::set_capabilities(None, sets).during("capset")?;
    for capability in 0..64 {
        let bit = 1 << capability;
        if it.ambient & bit != 0 {
            rustix::thread::configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(bit), true)
                .during("raise an ambient capability")?;
        }
    }
    Ok(())
}

/// A file below the host's /proc, through the descriptor that the parent opened before any namespace was joined: what a
/// container mounts over its own /proc is never asked (CVE-2019-16884, CVE-2025-52881).
pub(crate) fn proc_write(proc: BorrowedFd<'_>, path: &CStr, value: &[u8], unless_equal: bool) -> Result<()> {
    if unless_equal {
        let mut now = [0; 256];
        let len = rustix::io::read(proc_open(proc, path, OFlags::RDONLY)?, &mut now)?;
        if now.get(..len).unwrap_or_default().trim_ascii() == value.trim_ascii() {
            return Ok(());
        }
    }
    write_all(proc_open(proc, path, OFlags::WRONLY)?.as_fd(), value)
}

fn proc_open(proc: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    openat2(proc, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// In one write: files of /proc and of cgroups take each write for a whole value.
pub(crate) fn write_all(fd: BorrowedFd<'_>, value: &[u8]) -> Result<()> {
    match rustix::io::retry_on_intr(|| rustix::io::write(fd, value))? {
        len if len == value.len() => Ok(()),
        _ => Err(Fail::new(Errno::IO, "only a part was written")),
    }
}

/// The first candidate that is there and may be executed; else the most telling reason, as a shell finds it.
pub(crate) fn find_program<'a>(candidates: Strs<'a>) -> Result<&'a CStr> {
    let mut reason = Errno::NOENT;
    for path in candidates.iter() {
        let found = rustix::fs::stat(path).and_then(|stat| match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Err(Errno::ISDIR),
            _ => rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, AtFlags::EACCESS),
        });
        match found {
            Ok(()) => return Ok(path),
            Err(Errno::NOENT | Errno::NOTDIR) if reason != Errno::NOENT => {}
            Err(errno) => reason = errno,
        }
    }
    Err(reason.into())
}
