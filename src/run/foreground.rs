//! A container in the foreground: its signals, its terminal, its exit code.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hilum_sys::signal::{SignalFd, send};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait, waitpid};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::error::{Context, Error, Result};
use crate::state::Identity;

const SIGCHLD: i32 = 17;
const SIGURG: i32 = 23;
const SIGWINCH: i32 = 28;

/// Holds the container's process until it ends, and answers with the code to exit with.
///
/// `signals` must have been blocked before the process was let go, or one that comes early ends the runtime instead.
pub fn hold(process: &Identity, pidfd: &OwnedFd, signals: &SignalFd, terminal: Option<OwnedFd>) -> Result<i32> {
    let mut relay = terminal.map(Relay::new).transpose()?;
    let pid = Pid::from_raw(process.pid).ok_or_else(|| Error::new("no process"))?;
    let mut code = None;
    loop {
        let mut events = [PollFlags::empty(); 4];
        {
            let mut fds = vec![PollFd::new(pidfd, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            if let Some(relay) = &relay {
                relay.watch(&mut fds);
            }
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other.context("poll")?,
            };
            for (event, fd) in events.iter_mut().zip(&fds) {
                *event = fd.revents();
            }
        }
        let [ended, signalled, ..] = events;
        if let Some(relay) = &mut relay {
            relay.carry(&events[2..])?;
        }
        // Behind its end, a signal is for nobody, and the one of the end is told by the descriptor.
        if !signalled.is_empty() && ended.is_empty() {
            while let Some(signal) = signals.next().context("read a signal")? {
                match signal {
                    // As a subreaper, this process inherits the container's orphans, too.
                    SIGCHLD => code = reap(pid)?.or(code),
                    _ => forward(signal, pidfd.as_fd(), relay.as_ref())?,
                }
            }
        }
        if !ended.is_empty() {
            if let Some(relay) = &mut relay {
                relay.drain();
            }
            let waited = match code {
                Some(code) => return Ok(code),
                None => waitpid(Some(pid), WaitOptions::empty()).context("wait")?,
            };
            return Ok(waited.map_or(1, |(_, status)| exit_code(status)));
        }
    }
}

/// 128 and the signal's number, as shells say it.
fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(1)
}

fn forward(signal: i32, pidfd: BorrowedFd<'_>, relay: Option<&Relay>) -> Result<()> {
    match signal {
        SIGWINCH => relay.map_or(Ok(()), Relay::resize),
        // Of use to the language runtimes that send it to themselves, and to nobody else.
        SIGURG => Ok(()),
        _ => match send(pidfd, signal) {
            Err(Errno::SRCH) => Ok(()),
            other => other.context(format!("forward signal {signal}")),
        },
    }
}

/// Waits for all children that have ended. The code of the container's process, if that was one of them.
fn reap(container: Pid) -> Result<Option<i32>> {
    let mut code = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == container => code = Some(exit_code(status)),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(errno) => return Err(errno).context("wait"),
        }
    }
}

/// Bytes between our own terminal (or whatever the standard streams are) and the container's.
struct Relay {
    master: OwnedFd,
    /// As our terminal was before it was made raw.
    restore: Option<Termios>,
    stdin_open: bool,
    /// What was read last from stdin has not ended with a newline.
    in_line: bool,
    master_open: bool,
    /// Read from stdin and not yet taken by the container's terminal.
    pending: Vec<u8>,
}

impl Relay {
    fn new(master: OwnedFd) -> Result<Self> {
        let stdin = rustix::stdio::stdin();
        let restore = match isatty(stdin) {
            true => Some(tcgetattr(stdin).context("tcgetattr")?),
            false => None,
        };
        rustix::io::ioctl_fionbio(&master, true).context("make the terminal non-blocking")?;
        let it = Self { master, restore, stdin_open: true, in_line: false, master_open: true, pending: Vec::new() };
        if let Some(termios) = &it.restore {
            let mut raw = termios.clone();
            raw.make_raw();
            // Output is the container's terminal's work; a lone newline on ours still returns the carriage.
            raw.output_modes = termios.output_modes;
            tcsetattr(stdin, OptionalActions::Now, &raw).context("make the terminal raw")?;
            it.resize()?;
        }
        Ok(it)
    }

    fn resize(&self) -> Result<()> {
        match tcgetwinsize(rustix::stdio::stdin()) {
            Ok(size) => tcsetwinsize(&self.master, size).context("resize the container's terminal"),
            Err(_) => Ok(()), // not a terminal: no size to pass on
        }
    }

    fn watch<'f>(&'f self, fds: &mut Vec<PollFd<'f>>) {
        let stdin = if self.stdin_open && self.pending.is_empty() { PollFlags::IN } else { PollFlags::empty() };
        let mut master = if self.master_open { PollFlags::IN } else { PollFlags::empty() };
        if !self.pending.is_empty() {
            master |= PollFlags::OUT;
        }
        // A descriptor that is done still reports its hang-up, which would make the loop spin.
        if self.master_open {
            fds.push(PollFd::new(&self.master, master));
        }
        if !stdin.is_empty() {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), stdin));
        }
    }

    /// In the order of `watch`.
    fn carry(&mut self, events: &[PollFlags]) -> Result<()> {
        let mut events = events.iter().copied();
        let mut event = |watched: bool| events.next().filter(|_| watched).unwrap_or(PollFlags::empty());
        let master = if self.master_open { event(true) } else { PollFlags::empty() };
        let stdin = event(self.stdin_open && self.pending.is_empty());
        if master.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.master_open = self.output()?;
        }
        if !stdin.is_empty() {
            let mut buf = [0; 8192];
            match rustix::io::read(rustix::stdio::stdin(), &mut buf) {
                Ok(0) => {
                    self.stdin_open = false;
                    // What a terminal's user types at the end of input: once to send off a line that has no newline, and
                    // once where a line would begin (termios(3), VEOF).
                    self.pending.extend_from_slice(if self.in_line { &[4, 4] } else { &[4] });
                }
                Ok(len) => {
                    self.pending.extend_from_slice(buf.get(..len).unwrap_or_default());
                    self.in_line = self.pending.last() != Some(&b'\n');
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => self.stdin_open = false,
            }
        }
        if !self.pending.is_empty() {
            match rustix::io::write(&self.master, &self.pending) {
                Ok(len) => drop(self.pending.drain(..len)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.pending.clear(),
            }
        }
        Ok(())
    }

    /// Whether there may be more. EIO is how a terminal says that its last user is gone.
    fn output(&self) -> Result<bool> {
        let mut buf = [0; 8192];
        match rustix::io::read(&self.master, &mut buf) {
            Ok(0) | Err(Errno::IO) => Ok(false),
            Ok(len) => {
                put(buf.get(..len).unwrap_or_default())?;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(errno) => Err(errno).context("read from the container's terminal"),
        }
    }

    /// What was written before the end is still to be read.
    fn drain(&mut self) {
        let mut buf = [0; 8192];
        while let Ok(len @ 1..) = rustix::io::read(&self.master, &mut buf) {
            if put(buf.get(..len).unwrap_or_default()).is_err() {
                break;
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(termios) = &self.restore {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, termios);
        }
    }
}

fn put(bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("write to stdout")
}
