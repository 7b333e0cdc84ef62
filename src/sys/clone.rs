//! New processes: clone3(2), as a plain fork and as "start this program there".

use core::ffi::CStr;

use linux_raw_sys::general::{
    __NR_clone3, __NR_execveat, __NR_exit, __NR_fcntl, AT_EMPTY_PATH, CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP,
    CLONE_PIDFD, CLONE_VFORK, CLONE_VM, F_SETFD,
};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;

use crate::Result;
use crate::namespace::ANY_KIND;
use crate::raw::syscall;

/// `struct clone_args` of linux/sched.h, as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const SIGCHLD: u64 = 17;
pub const CLONE_PARENT: u64 = linux_raw_sys::general::CLONE_PARENT as u64;
/// The child has the same descriptor table, not a copy.
pub const CLONE_FILES: u64 = linux_raw_sys::general::CLONE_FILES as u64;

/// What a caller may ask for: shared memory or signal handlers (CLONE_VM, CLONE_THREAD…) would need a stack, and addresses
/// that nobody gives.
const CHOICE: u64 = CLONE_PARENT | CLONE_FILES | ANY_KIND as u64;

impl CloneArgs {
    fn new(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Self {
        let flags = flags & CHOICE;
        // With CLONE_PARENT the exit signal is the parent's own, and must not be given (clone(2)).
        let exit_signal = if flags & CLONE_PARENT != 0 { 0 } else { SIGCHLD };
        let mut args = Self { flags, exit_signal, ..Self::default() };
        if let Some(cgroup) = cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd() as u64;
        }
        args
    }
}

/// A fork: `None` in the child, its pid (as the caller's pid namespace numbers it) in the parent.
///
/// For the init program only, which has one thread and no heap: in a program with either, a forked child must not
/// touch what another thread held.
pub fn fork(flags: u64) -> Result<Option<i32>> {
    let args = CloneArgs::new(flags, None);
    // SAFETY: clone3 reads `args`, of the given size; without CLONE_VM the child has its own copy of everything.
    let pid = unsafe { syscall(__NR_clone3, [&raw const args as usize, size_of::<CloneArgs>(), 0, 0, 0, 0])? };
    Ok((pid != 0).then_some(pid as i32))
}

/// Whether there is clone3(2) with CLONE_INTO_CGROUP (Linux 5.7). Asked with a signal and a cgroup that cannot be, which the
/// kernel refuses with EINVAL before it makes anything; an older one says E2BIG.
pub fn probe() -> Result<()> {
    let args = CloneArgs { flags: CLONE_INTO_CGROUP, exit_signal: u64::MAX, cgroup: u64::MAX, ..CloneArgs::default() };
    // SAFETY: clone3 reads `args`, of the given size.
    match unsafe { syscall(__NR_clone3, [&raw const args as usize, size_of::<CloneArgs>(), 0, 0, 0, 0]) } {
        Ok(_) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A started program: its pid and a descriptor that keeps meaning it when the pid is reused.
pub struct Spawned {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// What the child needs between clone and exec, shared with it (CLONE_VM).
#[repr(C)]
struct Launch {
    program: i32,
    argv: *const *const u8,
    envp: *const *const u8,
    inherit: *const RawFd,
    inherit_len: usize,
    errno: i32,
}

/// Starts `program` (an executable file, by descriptor) with one argument and no environment in a process with the given new namespaces
/// and, if asked, in a v2 cgroup. Only `inherit` of the caller's close-on-exec descriptors stay open in it.
///
/// The child shares the caller's memory until it executes, as after vfork(2): nothing is copied, which makes this the
/// cheapest start there is (a quarter of a fork's cost at 2 MiB resident).
pub fn spawn(
    program: BorrowedFd<'_>,
    argv: [&CStr; 2],
    inherit: &[RawFd],
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Spawned> {
    let [name, arg] = argv;
    let argv = [name.as_ptr().cast::<u8>(), arg.as_ptr().cast(), core::ptr::null()];
    let envp = [core::ptr::null()];
    let mut launch = Launch {
        program: program.as_raw_fd(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        inherit: inherit.as_ptr(),
        inherit_len: inherit.len(),
        errno: 0,
    };
    let mut stack = [0u128; 512];
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs::new(flags, cgroup);
    args.flags |= (CLONE_VM | CLONE_VFORK | CLONE_PIDFD) as u64 | CLONE_CLEAR_SIGHAND;
    args.pidfd = &raw mut pidfd as u64;
    args.stack = stack.as_mut_ptr() as u64;
    args.stack_size = size_of_val(&stack) as u64;
    // SAFETY: CLONE_VFORK suspends this thread until the child has executed or ended, so `launch`, `stack` and what
    // they point to outlive the child's use of them; the child runs on `stack` and never returns.
    let pid = unsafe { clone3_and_run(&args, launch_program, &raw mut launch)? };
    // SAFETY: the kernel has put a new descriptor there, which nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // The child wrote `errno` behind the compiler's back.
    // SAFETY: `launch` is alive and aligned.
    match unsafe { (&raw const launch.errno).read_volatile() } {
        0 => Ok(Spawned { pid, pidfd }),
        errno => {
            let _ = rustix::process::waitid(
                rustix::process::WaitId::PidFd(rustix::fd::AsFd::as_fd(&pidfd)),
                rustix::process::WaitIdOptions::EXITED,
            );
            Err(Errno::from_raw_os_error(errno))
        }
    }
}

/// The child's few instructions: pass the descriptors on, execute. System calls only.
extern "C" fn launch_program(launch: *mut Launch) -> ! {
    // SAFETY: see `spawn`: everything that `launch` points to is alive while the parent is suspended, and the calls
    // get what they take.
    unsafe {
        let it = &mut *launch;
        for i in 0..it.inherit_len {
            // Descriptors are a copy of the parent's table (no CLONE_FILES), so this flag changes in the child alone.
            let fd = *it.inherit.add(i);
            let _ = syscall(__NR_fcntl, [fd as usize, F_SETFD as usize, 0, 0, 0, 0]);
        }
        let empty = c"".as_ptr() as usize;
        let result = syscall(
            __NR_execveat,
            [it.program as usize, empty, it.argv as usize, it.envp as usize, AT_EMPTY_PATH as usize, 0],
        );
        if let Err(errno) = result {
            (&raw mut it.errno).write_volatile(errno.raw_os_error());
        }
        let _ = syscall(__NR_exit, [127, 0, 0, 0, 0, 0]);
    }
    loop {
        core::hint::spin_loop();
    }
}

/// # Safety
/// `args` must give the child a stack of its own, and `arg` must stay valid for as long as `entry` uses it.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3_and_run(args: &CloneArgs, entry: extern "C" fn(*mut Launch) -> !, arg: *mut Launch) -> Result<i32> {
    let ret: isize;
    // SAFETY: the parent continues behind the label with its registers intact but rax, rcx, r11; the child, on its own
    // stack (aligned by the array's type), calls `entry` and never comes back.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") __NR_clone3 as usize => ret,
            in("rdi") args,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") entry,
            in("r13") arg,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    crate::raw::check(ret).map(|pid| pid as i32)
}

/// # Safety
/// `args` must give the child a stack of its own, and `arg` must stay valid for as long as `entry` uses it.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3_and_run(args: &CloneArgs, entry: extern "C" fn(*mut Launch) -> !, arg: *mut Launch) -> Result<i32> {
    let ret: isize;
    // SAFETY: as on x86_64.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            in("x8") __NR_clone3 as usize,
            inlateout("x0") args as *const CloneArgs as usize => ret,
            in("x1") size_of::<CloneArgs>(),
            in("x21") entry,
            in("x20") arg,
        );
    }
    crate::raw::check(ret).map(|pid| pid as i32)
}
