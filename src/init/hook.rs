//! Hooks that run in the container's namespaces: createContainer and startContainer. (The parent runs the others.)

use hilum_sys::memory::SharedWord;
use hilum_sys::{clone, exec, process as sys};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::DecInt;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use crate::channel::ask;
use crate::fail::{During, Fail, Result};
use crate::step::{Hook, Point};

pub(crate) fn run(channel: BorrowedFd<'_>, it: &Hook<'_>) -> Result<()> {
    let state = ask(channel, Point::HookState)?;
    // A file and no pipe: however long the state is, and whether or not the hook reads it, nobody waits.
    let input = memfd_create(c"state", MemfdFlags::CLOEXEC)?;
    crate::process::write_all(input.as_fd(), state.bytes())?;
    seek(&input, SeekFrom::Start(0))?;
    let output = memfd_create(c"output", MemfdFlags::CLOEXEC)?;

    // Told beside the exit code, as a hook may exit with any.
    let failed = SharedWord::anonymous().during("map a page")?;
    match clone::fork(0).during("fork")? {
        None => {
            let errno = match execute(it, input.as_fd(), output.as_fd()) {
                Ok(never) => match never {},
                Err(errno) => errno,
            };
            failed.set(errno.raw_os_error() as u32);
            sys::exit(1)
        }
        Some(pid) => wait(pid, it.timeout_secs, &output, failed),
    }
}

fn execute(
    it: &Hook<'_>,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> core::result::Result<core::convert::Infallible, Errno> {
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(output)?;
    // What the caller left open for the container is none of a hook's business.
    sys::close_range(3, u32::MAX)?;
    exec::execve(it.path.0, it.args.iter(), it.env.iter())
}

fn wait(pid: i32, timeout_secs: u32, output: &OwnedFd, failed: SharedWord) -> Result<()> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let timeout = Timespec { tv_sec: i64::from(timeout_secs), tv_nsec: 0 };
    let timeout = (timeout_secs > 0).then_some(&timeout);
    let ended = retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], timeout))? > 0;
    if !ended {
        pidfd_send_signal(&pidfd, Signal::KILL)?;
    }
    let status = retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
    if !ended {
        return Err(Fail::new(Errno::TIMEDOUT, "killed after its timeout"));
    }
    if failed.get() != 0 {
        return Err(Fail::new(Errno::from_raw_os_error(failed.get() as i32), "execute it"));
    }
    let (how, number) = match status.map(|s| (s.exit_status(), s.terminating_signal())) {
        Some((Some(0), _)) => return Ok(()),
        Some((Some(code), _)) => (&b"exit status "[..], code),
        Some((None, signal)) => (&b"killed by signal "[..], signal.unwrap_or_default()),
        None => (&b"ended, status "[..], -1),
    };
    let mut words = [0; 160];
    let words = last_words(output, &mut words);
    let number = DecInt::new(number);
    let mut text = [0; 240];
    let parts = how.iter().chain(number.as_bytes()).chain(b", output: ").chain(words);
    let len = text.iter_mut().zip(parts).map(|(to, from)| *to = *from).count();
    Err(Fail::quoting(Errno::CANCELED, text.get(..len).unwrap_or_default()))
}

/// The end of what it printed.
fn last_words<'b>(output: &OwnedFd, buf: &'b mut [u8; 160]) -> &'b [u8] {
    let len = rustix::fs::fstat(output).map_or(0, |stat| stat.st_size as u64);
    let from = len.saturating_sub(buf.len() as u64);
    let len = rustix::io::pread(output, &mut buf[..], from).unwrap_or(0);
    buf.get(..len).unwrap_or_default().trim_ascii()
}
