//! Signals as a descriptor to read (signalfd(2)), for the process that waits on others.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use linux_raw_sys::general::{__NR_rt_sigprocmask, __NR_signalfd4};
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::Result;
use crate::process::{SIGPIPE, unblock_signals};
use crate::raw::syscall;

const SFD_CLOEXEC: usize = 0o2_000_000;
const SFD_NONBLOCK: usize = 0o4_000;
/// `struct signalfd_siginfo`, of which the first word is the signal's number.
const RECORD: usize = 128;

pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks every signal of this process (but SIGKILL and SIGSTOP, which cannot be) and makes them readable here.
    /// Processes started afterwards inherit the block, unless they are [`unblocked`].
    pub fn all() -> Result<Self> {
        // What is ignored and blocked comes all the same, and this one is about a write of our own.
        let mask = !(1u64 << (SIGPIPE - 1));
        let mask = &raw const mask as usize;
        // SAFETY: a mask of eight bytes, read only, in both calls.
        unsafe {
            syscall(__NR_rt_sigprocmask, [2 /* SIG_SETMASK */, mask, 0, 8, 0, 0])?;
            let fd = syscall(__NR_signalfd4, [usize::MAX, mask, 8, SFD_CLOEXEC | SFD_NONBLOCK, 0, 0])?;
            Ok(Self(OwnedFd::from_raw_fd(fd as i32)))
        }
    }

    /// The next signal's number, if one has come.
    pub fn next(&self) -> Result<Option<i32>> {
        let mut record = [0u8; RECORD];
        match rustix::io::read(&self.0, &mut record) {
            Ok(RECORD) => {
                let [a, b, c, d, ..] = record;
                Ok(Some(i32::from_ne_bytes([a, b, c, d])))
            }
            Ok(_) | Err(crate::Errno::AGAIN | crate::Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A program that is to start without the block, if there is one: with what runs between fork and exec, the standard library
/// takes longer to start it (posix_spawn(3) is not used then).
pub fn unblocked(command: &mut Command) -> &mut Command {
    let mut blocked = 0u64;
    // SAFETY: a mask of eight bytes, which the kernel fills; nothing is changed.
    let asked = unsafe { syscall(__NR_rt_sigprocmask, [0, 0, &raw mut blocked as usize, 8, 0, 0]) };
    if asked.is_ok() && blocked == 0 {
        return command;
    }
    // SAFETY: what runs between fork and exec is one system call.
    unsafe { command.pre_exec(|| Ok(unblock_signals()?)) }
}

/// kill(2) through a pidfd, with any signal number (real-time ones included).
pub fn send(pidfd: rustix::fd::BorrowedFd<'_>, signal: i32) -> Result<()> {
    use linux_raw_sys::general::__NR_pidfd_send_signal;
    // SAFETY: no siginfo; the kernel makes it up as kill(2) would.
    unsafe { syscall(__NR_pidfd_send_signal, [pidfd.as_raw_fd() as usize, signal as usize, 0, 0, 0, 0])? };
    Ok(())
}
