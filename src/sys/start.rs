//! How the runtime itself starts: without what Rust's standard library does before `main` (it reads /proc/self/maps and
//! sets up signal stacks: a tenth of a millisecond), but for the part that is needed.

use linux_raw_sys::general::{__NR_fcntl, F_GETFD};
use rustix::fs::{Mode, OFlags, open};

use crate::process::{SIGCHLD, SIGPIPE, default_action, ignore};
use crate::raw::syscall;

/// Defines the C library's `main`, which calls the function and exits with what it returns.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
            $crate::start::prepare();
            $main()
        }
    };
}

/// A closed standard stream becomes /dev/null, or the next file that is opened would be taken for it. Children can be
/// waited for again, if the caller ignores SIGCHLD, which is inherited. A log that nobody reads any more is an error of
/// write(2), and no end half-way.
pub fn prepare() {
    for fd in 0..3 {
        // SAFETY: no pointers.
        if unsafe { syscall(__NR_fcntl, [fd, F_GETFD as usize, 0, 0, 0, 0]) }.is_err() {
            // The lowest free number is this one. It must stay open for good.
            let _ = open(c"/dev/null", OFlags::RDWR, Mode::empty()).map(core::mem::forget);
        }
    }
    default_action(SIGCHLD);
    let _ = ignore(SIGPIPE);
}
