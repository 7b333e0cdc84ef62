//! A process's own attributes, where rustix has no call for them.

use core::ffi::CStr;

use linux_raw_sys::general::{
    __NR_clock_gettime, __NR_close_range, __NR_exit_group, __NR_fcntl, __NR_getcwd, __NR_keyctl, __NR_prlimit64,
    __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigtimedwait, __NR_seccomp, __NR_setgroups, CLOCK_REALTIME,
    F_SETFD, FD_CLOEXEC,
};
pub use linux_raw_sys::general::{SIGCHLD, SIGPIPE};
use rustix::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::Result;
use crate::raw::syscall;

/// No signal is blocked: the runtime in the foreground blocks them, and its children inherit that. (Handlers are gone by
/// CLONE_CLEAR_SIGHAND; what the runtime's caller ignores is its wish.)
pub fn unblock_signals() -> Result<()> {
    let mask: u64 = 0;
    // SAFETY: a mask of eight bytes, read only.
    unsafe {
        syscall(__NR_rt_sigprocmask, [2 /* SIG_SETMASK */, &raw const mask as usize, 0, 8, 0, 0])?
    };
    Ok(())
}

/// Nanoseconds since 1970. Other clocks have an offset in a time namespace (time_namespaces(7)), and two of these readings may
/// be of both sides of its border.
pub fn now() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: the kernel writes a timespec: 16 bytes.
    let read = unsafe { syscall(__NR_clock_gettime, [CLOCK_REALTIME as usize, &raw mut time as usize, 0, 0, 0, 0]) };
    read.map_or(0, |_| time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1]))
}

/// Blocks these signals, and waits for one of them. So even PID 1 of a namespace gets a signal that it has no handler
/// for: what is blocked is never discarded (signal(7), pid_namespaces(7)).
pub fn wait_for_signal(signals: &[u32]) -> Result<()> {
    let mask: u64 = signals.iter().fold(0, |mask, signal| mask | 1 << (signal - 1));
    // SAFETY: a mask of eight bytes, read only.
    unsafe {
        syscall(__NR_rt_sigprocmask, [0 /* SIG_BLOCK */, &raw const mask as usize, 0, 8, 0, 0])?;
    }
    loop {
        // SAFETY: the same mask; no information is asked for, and no time limit.
        match unsafe { syscall(__NR_rt_sigtimedwait, [&raw const mask as usize, 0, 0, 8, 0, 0]) } {
            Err(crate::Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Of a child, the kernel then reaps it, one that is inherited too (SIGCHLD; sigaction(2), NOTES).
pub fn ignore(signal: u32) -> Result<()> {
    set_action(signal, 1)
}

/// Gives a signal its default action again, in case the caller ignores it: that would be inherited.
pub fn default_action(signal: u32) {
    let _ = set_action(signal, 0);
}

/// SIG_DFL is 0, SIG_IGN is 1.
fn set_action(signal: u32, handler: usize) -> Result<()> {
    let action = [handler, 0, 0, 0]; // struct kernel_sigaction: no flags, no restorer, empty mask
    // SAFETY: an action of the kernel's layout and size (8 bytes of mask), read only; no handler is an address.
    unsafe { syscall(__NR_rt_sigaction, [signal as usize, action.as_ptr() as usize, 0, 8, 0, 0])? };
    Ok(())
}

/// linux/seccomp.h
const SECCOMP_SET_MODE_FILTER: usize = 1;
pub const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 1 << 3;

/// Installs a seccomp program, an array of `struct sock_filter`; with SECCOMP_FILTER_FLAG_NEW_LISTENER the kernel
/// answers with the descriptor that receives the notifications.
pub fn seccomp_filter(flags: u32, program: &[u8]) -> Result<Option<OwnedFd>> {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const u8,
    }
    let len = u16::try_from(program.len() / 8).map_err(|_| crate::Errno::TOOBIG)?;
    let prog = Program { len, filter: program.as_ptr() };
    // SAFETY: the kernel copies `len` instructions of eight bytes from `filter`, and checks them itself.
    let fd =
        unsafe { syscall(__NR_seccomp, [SECCOMP_SET_MODE_FILTER, flags as usize, &raw const prog as usize, 0, 0, 0])? };
    let listener = flags & SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
    // SAFETY: with that flag the result is a new descriptor that nobody else knows.
    Ok(listener.then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

/// Whether the kernel has these SECCOMP_FILTER_FLAG_*: it looks at them first, and fails with EINVAL, or then at the
/// program, which is not there, and fails with EFAULT (seccomp(2), NOTES).
pub fn knows_seccomp_flags(flags: u32) -> bool {
    // SAFETY: numbers and a null pointer, which the kernel refuses to read.
    let result = unsafe { syscall(__NR_seccomp, [SECCOMP_SET_MODE_FILTER, flags as usize, 0, 0, 0, 0]) };
    result == Err(crate::Errno::FAULT)
}

/// Joins the session keyring of this name, or a new one where there is none that the caller may search
/// (keyctl_join_session_keyring(3)).
pub fn join_session_keyring(name: &CStr) -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    const KEYCTL_SETPERM: usize = 5;
    /// Everything for who possesses it; its owner may view, read, search and link it (keyrings(7)).
    const PERMISSIONS: usize = 0x3f1b_0000;
    // SAFETY: a NUL-ended name, read only.
    let id = unsafe { syscall(__NR_keyctl, [KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr() as usize, 0, 0, 0, 0])? };
    // A new one cannot be searched, so that a process which is to join it would get another.
    // SAFETY: numbers only.
    match unsafe { syscall(__NR_keyctl, [KEYCTL_SETPERM, id, PERMISSIONS, 0, 0, 0]) } {
        // Joined, and somebody else's.
        Ok(_) | Err(crate::Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether the kernel has keyrings, by an operation that it does not have.
pub fn probe_keyrings() -> Result<()> {
    // SAFETY: numbers only.
    match unsafe { syscall(__NR_keyctl, [u32::MAX as usize, 0, 0, 0, 0, 0]) } {
        Ok(_) | Err(crate::Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Takes over a descriptor that was inherited by number, and marks it close-on-exec. EBADF when it is not open.
pub fn adopt(fd: RawFd) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(crate::Errno::BADF);
    }
    // SAFETY: no pointers.
    unsafe { syscall(__NR_fcntl, [fd as usize, F_SETFD as usize, FD_CLOEXEC as usize, 0, 0, 0])? };
    take(fd)
}

/// The same of one that is closed before anything is executed.
pub fn take(fd: RawFd) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(crate::Errno::BADF);
    }
    // SAFETY: it was inherited for this, and the message gives each number to one owner. One that is not open makes each
    // call that it is used for fail with EBADF.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes what a step has opened. Numbers that follow each other, as those of descriptors that were opened one after another do,
/// take one system call: some twenty less for a `run`.
pub fn close_all(fds: impl IntoIterator<Item = OwnedFd>) {
    let mut run: Option<(u32, u32)> = None;
    for number in fds.into_iter().map(|fd| fd.into_raw_fd() as u32) {
        run = match run {
            Some((first, last)) if number == last + 1 => Some((first, number)),
            Some((first, last)) if number + 1 == first => Some((number, last)),
            other => {
                other.inspect(close_run);
                Some((number, number))
            }
        };
    }
    run.inspect(close_run);
}

/// Of the descriptors of `close_all`, some that follow each other.
fn close_run(&(first, last): &(u32, u32)) {
    // Forbidden by a filter, perhaps; and somebody may wait for their end.
    if close_range(first, last).is_err() {
        for number in first..=last {
            // SAFETY: `close_all` owned it, and it is not closed yet.
            drop(unsafe { OwnedFd::from_raw_fd(number as i32) });
        }
    }
}

/// A descriptor of the caller that stays open for the life of this process. One that is not open makes the call that it
/// is used for fail with EBADF; a negative number is none that could be.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    let fd = if fd < 0 { RawFd::MAX } else { fd };
    // SAFETY: -1 is the one number that the type rules out.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Whether there is close_range(2), by a range that ends before it begins.
pub fn probe_close_range() -> Result<()> {
    match close_range(1, 0) {
        Ok(()) | Err(crate::Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Closes the descriptors `first` to `last` (close_range(2), Linux 5.9).
pub fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: no pointers. Owners of the closed descriptors must not use them again; this is called before exec.
    unsafe { syscall(__NR_close_range, [first as usize, last as usize, 0, 0, 0, 0])? };
    Ok(())
}

pub fn exit(code: i32) -> ! {
    // SAFETY: does not return, unless a seccomp filter forbids even that; then an illegal instruction ends the process.
    unsafe {
        let _ = syscall(__NR_exit_group, [code as usize, 0, 0, 0, 0, 0]);
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("ud2", options(noreturn));
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("udf #0", options(noreturn));
    }
}

/// setgroups(2), of any number of groups.
pub fn set_groups(groups: impl Iterator<Item = u32> + Clone) -> Result<()> {
    let count = groups.clone().count();
    let mut pages = crate::memory::Scratch::new(count.div_ceil(size_of::<usize>() / 4))?;
    for (slot, group) in pages.bytes_mut().chunks_exact_mut(4).zip(groups) {
        slot.copy_from_slice(&group.to_ne_bytes());
    }
    // SAFETY: an array of `count` ids, read only.
    unsafe { syscall(__NR_setgroups, [count, pages.bytes().as_ptr() as usize, 0, 0, 0, 0])? };
    Ok(())
}

/// A limit by its number: the kernel may know more than the library.
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = [soft, hard];
    // SAFETY: a `struct rlimit64`, read only.
    unsafe { syscall(__NR_prlimit64, [0, resource as usize, limit.as_ptr() as usize, 0, 0, 0])? };
    Ok(())
}

/// getcwd(2) answers with `(unreachable)…` for a directory that is not below the process's root.
pub fn cwd_is_below_root() -> Result<bool> {
    let mut buf = [0u8; 4096];
    // SAFETY: a buffer of the given size, which the kernel fills.
    let result = unsafe { syscall(__NR_getcwd, [buf.as_mut_ptr() as usize, buf.len(), 0, 0, 0, 0]) };
    match result {
        Ok(_) => Ok(buf.first() == Some(&b'/')),
        Err(crate::Errno::NOENT) => Ok(false), // removed meanwhile
        Err(errno) => Err(errno),
    }
}
