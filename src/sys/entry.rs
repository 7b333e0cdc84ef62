//! The init program's entry: what the C library would do before `main`, which here is next to nothing.
#![no_std]
#![no_main]

use core::ffi::{CStr, c_char};

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x0, sp",
    "bl {start}",
    "brk 1",
    start = sym start,
);

/// `stack` is what the kernel left there: the number of arguments, then pointers to them (System V ABI).
extern "C" fn start(stack: *const *const c_char) -> ! {
    // SAFETY: the kernel puts at least one argument there, each NUL-ended.
    let plan = unsafe {
        let count = stack.cast::<usize>().read();
        if count < 2 { c"" } else { CStr::from_ptr(stack.add(2).read()) }
    };
    let _ = hilum_sys::process::unblock_signals();
    // The runtime ignores it, and CLONE_CLEAR_SIGHAND leaves it so.
    hilum_sys::process::default_action(hilum_sys::process::SIGPIPE);
    hilum_sys::process::exit(hilum_init::main(plan))
}

/// Unreachable by construction (nothing in the program panics on any input), but the language wants it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    hilum_sys::process::exit(125)
}

/// What the compiler calls for copies and comparisons.
mod memory {
    /// # Safety
    /// As memcpy(3).
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        // SAFETY: the caller gives `len` bytes on both sides.
        unsafe { forward(to, from, len) };
        to
    }

    /// # Safety
    /// As memmove(3).
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        if (to as usize).wrapping_sub(from as usize) >= len {
            // SAFETY: as the caller's; front to back, a byte is read before it is overwritten.
            unsafe { forward(to, from, len) };
            return to;
        }
        for i in (0..len).rev() {
            // SAFETY: as above, back to front. Volatile, lest the compiler finds a memmove in this loop.
            unsafe { to.add(i).write_volatile(from.add(i).read()) }
        }
        to
    }

    /// # Safety
    /// As memset(3).
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
        // SAFETY: the caller gives `len` bytes.
        unsafe { fill(to, value as u8, len) };
        to
    }

    /// # Safety
    /// `len` bytes on both sides; where they overlap, `to` is below `from`.
    #[cfg(target_arch = "x86_64")]
    unsafe fn forward(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: the instruction copies just these bytes, upwards (the ABI keeps the direction flag clear).
        unsafe {
            core::arch::asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") len => _,
                options(nostack, preserves_flags));
        }
    }

    /// # Safety
    /// `len` bytes at `to`.
    #[cfg(target_arch = "x86_64")]
    unsafe fn fill(to: *mut u8, value: u8, len: usize) {
        // SAFETY: the instruction writes just these bytes.
        unsafe {
            core::arch::asm!("rep stosb", inout("rdi") to => _, in("al") value, inout("rcx") len => _,
                options(nostack, preserves_flags));
        }
    }

    /// # Safety
    /// `len` bytes on both sides; where they overlap, `to` is below `from`.
    #[cfg(not(target_arch = "x86_64"))]
    unsafe fn forward(to: *mut u8, from: *const u8, len: usize) {
        for i in 0..len {
            // SAFETY: as the caller's. Volatile, lest the compiler finds a memcpy in this loop.
            unsafe { to.add(i).write_volatile(from.add(i).read()) }
        }
    }

    /// # Safety
    /// `len` bytes at `to`.
    #[cfg(not(target_arch = "x86_64"))]
    unsafe fn fill(to: *mut u8, value: u8, len: usize) {
        for i in 0..len {
            // SAFETY: as the caller's. Volatile, lest the compiler finds a memset in this loop.
            unsafe { to.add(i).write_volatile(value) }
        }
    }

    /// # Safety
    /// As memcmp(3).
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
        for i in 0..len {
            // SAFETY: the caller gives `len` bytes on both sides.
            let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
            if x != y {
                return i32::from(x) - i32::from(y);
            }
        }
        0
    }

    /// # Safety
    /// As memcmp(3).
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
        // SAFETY: as the caller's.
        unsafe { memcmp(a, b, len) }
    }

    /// # Safety
    /// As strlen(3).
    #[unsafe(no_mangle)]
    unsafe extern "C" fn strlen(text: *const u8) -> usize {
        let mut len = 0;
        // SAFETY: the caller's string ends with a NUL.
        while unsafe { text.add(len).read_volatile() } != 0 {
            len += 1;
        }
        len
    }
}
