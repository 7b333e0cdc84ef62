//! How the runtime itself starts: without what Rust's standard library does before `main` (it reads /proc/self/maps and
//! sets up signal stacks: a tenth of a millisecond), but for the part that is needed.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};

use crate::process::{SIGCHLD, SIGPIPE, borrow, default_action, ignore};

/// Defines the C library's `main`, which calls the function and exits with what it returns.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
            $crate::start::prepare();
            $main()
        }

        /// Instead of the static C library's function of this name (elf/dl-origin.c), which asks /proc/self/exe where the program
        /// is, before `main`: a twentieth of the time of `state`, for shared objects beside it, of which there are none. -1 is
        /// its answer when that is not known.
        #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
        #[unsafe(no_mangle)]
        pub extern "C" fn _dl_get_origin() -> *const u8 {
            ::core::ptr::without_provenance(usize::MAX)
        }
    };
}

/// A closed standard stream becomes /dev/null, or the next file that is opened would be taken for it. Children can be
/// waited for again, if the caller ignores SIGCHLD, which is inherited. A log that nobody reads any more is an error of
/// write(2), and no end half-way.
pub fn prepare() {
    let mut streams = [0, 1, 2].map(|fd| PollFd::from_borrowed_fd(borrow(fd), PollFlags::empty()));
    // Where RLIMIT_NOFILE allows none of them, nothing can be done about it.
    let _ = poll(&mut streams, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    for stream in streams {
        if stream.revents().contains(PollFlags::NVAL) {
            // The lowest free number is this one. It must stay open for good.
            let _ = open(c"/dev/null", OFlags::RDWR, Mode::empty()).map(core::mem::forget);
        }
    }
    default_action(SIGCHLD);
    let _ = ignore(SIGPIPE);
}
