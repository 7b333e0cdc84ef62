//! Installing the seccomp filter, and handing over the descriptor at which its notifications are received.

use hilum_sys::memory::SharedWord;
use hilum_sys::{clone, process as sys};
use rustix::event::Timespec;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::nanosleep;

use crate::channel::tell_with_fd;
use crate::fail::{During, Result};
use crate::step::Message;

/// In the shared word: there is no listener.
const NONE: u32 = u32::MAX;

pub(crate) fn install(channel: BorrowedFd<'_>, flags: u32, program: &[u8]) -> Result<()> {
    if flags & sys::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        sys::seccomp_filter(flags, program).during("install the seccomp filter")?;
        return Ok(());
    }
    // Once the filter is there, any call of this process may be one that waits for whoever has the listener: it cannot
    // be this process that hands it over. A second one with the same descriptors does, whom the filter does not concern.
    let number = SharedWord::anonymous().during("map a page")?;
    let Some(courier) = clone::fork(clone::CLONE_FILES).during("fork")? else {
        sys::exit(deliver(channel, number));
    };
    let listener = sys::seccomp_filter(flags, program);
    let told = listener.as_ref().ok().and_then(Option::as_ref).map_or(NONE, |fd| fd.as_raw_fd() as u32 + 1);
    number.set(told);
    let delivered = retry_on_intr(|| waitpid(Pid::from_raw(courier), WaitOptions::empty()));
    listener.during("install the seccomp filter")?;
    match delivered.during("hand over the seccomp listener")? {
        Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
        _ => Err(rustix::io::Errno::PIPE).during("hand over the seccomp listener"),
    }
}

/// The courier: waits for the listener's number, and exits with what came of it.
fn deliver(channel: BorrowedFd<'_>, number: SharedWord) -> i32 {
    let pause = Timespec { tv_sec: 0, tv_nsec: 50_000 };
    // Nothing can be waited for that the filter might not forbid to say. Ten seconds are more than enough.
    for _ in 0..200_000 {
        match number.get() {
            0 => drop(nanosleep(&pause)),
            NONE => return 1,
            told => {
                let fd = sys::borrow((told - 1) as i32);
                return tell_with_fd(channel, Message::Listener, fd.as_fd()).map_or(1, |()| 0);
            }
        }
    }
    1
}
