//! The system call instruction itself.

use rustix::io::Errno;

/// # Safety
/// The arguments must be what the call `number` takes, pointers valid for as long as the kernel uses them.
#[cfg(target_arch = "x86_64")]
pub unsafe fn syscall(number: u32, args: [usize; 6]) -> Result<usize, Errno> {
    let mut ret = number as isize;
    let [a, b, c, d, e, f] = args;
    // SAFETY: the caller answers for the arguments; the instruction itself changes rcx and r11 only.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") ret,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    check(ret)
}

/// # Safety
/// The arguments must be what the call `number` takes, pointers valid for as long as the kernel uses them.
#[cfg(target_arch = "aarch64")]
pub unsafe fn syscall(number: u32, args: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = args;
    let mut ret = a as isize;
    // SAFETY: the caller answers for the arguments; the kernel keeps all registers but x0.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number as usize,
            inlateout("x0") ret,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    check(ret)
}

/// The kernel returns an error as its negated number, of which there are 4095.
pub(crate) fn check(ret: isize) -> Result<usize, Errno> {
    if (-4095..0).contains(&ret) { Err(Errno::from_raw_os_error(-ret as i32)) } else { Ok(ret as usize) }
}
