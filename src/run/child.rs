//! The init program at work: started with its plan, and listened to until it is done or has failed.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use hilum_init::Header;
use hilum_init::step::{Point, Words};
use hilum_sys::memory::SharedWord;
use hilum_sys::process::close_all;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{pread, retry_on_intr};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid,
};

use super::channel::{Channel, Said};
use super::{failure, files};
use crate::cgroup;
use crate::error::{Context, Error, Result};
use crate::log::{self, Timer};
use crate::plan::{Plan, describe};

/// What the init program needs besides its plan.
pub struct Start<'s> {
    /// The sealed copy of the program itself.
    pub program: &'s OwnedFd,
    pub cgroup: &'s cgroup::Entry,
    /// Descriptors of the caller, behind the standard ones, that it keeps.
    pub preserve: u32,
    /// The listening socket at which `start` will knock.
    pub knock: Option<OwnedFd>,
}

pub struct Child<'p> {
    plan: &'p Plan<'p>,
    channel: Channel,
    /// The number of the step that it is at.
    progress: SharedWord,
    /// For `--debug`: when it began, and was done with each step.
    clock: Option<OwnedFd>,
    /// The process that goes on: stage one until it has forked, and then its child.
    pid: i32,
    pidfd: OwnedFd,
    is_stage_one: bool,
    /// What stage two has said before stage one told its pid.
    early: Option<Said>,
}

impl<'p> Child<'p> {
    pub fn start(plan: &'p Plan<'p>, start: Start<'_>) -> Result<Self> {
        let clock = log::debugs().then(files::clock).transpose()?;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).context("socketpair")?;
        let (progress, progress_file) = files::progress()?;
        let knock = start.knock;
        let lists = &start.cgroup.lists;
        let numbers: Vec<u8> = lists.iter().flat_map(|fd| (fd.as_raw_fd() as u32).to_ne_bytes()).collect();
        let header = Header {
            channel: theirs.as_raw_fd(),
            progress: progress_file.as_raw_fd(),
            clock: clock.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            start: knock.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            cgroups: Words(&numbers),
            preserve: start.preserve,
        };
        let message = files::plan(&header, &plan.steps)?;

        let mut inherit = vec![theirs.as_raw_fd(), progress_file.as_raw_fd(), message.as_raw_fd()];
        inherit.extend(3..3 + start.preserve as i32);
        inherit.extend(knock.iter().chain(&clock).map(AsRawFd::as_raw_fd));
        inherit.extend(lists.iter().chain(&plan.fds).map(AsRawFd::as_raw_fd));
        let number = std::ffi::CString::new(message.as_raw_fd().to_string()).unwrap_or_default();
        let timer = Timer::start();
        let spawned = hilum_sys::clone::spawn(
            start.program.as_fd(),
            [c"hilum-init", &number],
            &inherit,
            plan.clone_kinds.into(),
            start.cgroup.v2.as_ref().map(AsFd::as_fd),
        )
        .map_err(|errno| failure::spawn(errno, plan))?;
        timer.end(|| "clone, and execute the init program".into());
        // The other end of the channel must be the child's alone: its end is how we learn of the child's.
        close_all([theirs, progress_file, message]);
        Ok(Self {
            plan,
            channel: Channel::new(ours),
            progress,
            clock,
            pid: spawned.pid,
            pidfd: spawned.pidfd,
            is_stage_one: plan.stage_one,
            early: None,
        })
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    pub fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    pub fn into_parts(self) -> (Channel, OwnedFd) {
        (self.channel, self.pidfd)
    }

    /// What it says next. That it has failed, or ended without a word, is an error.
    pub fn next(&mut self) -> Result<Said> {
        let timer = Timer::start();
        let said = self.listen()?;
        timer.end(|| format!("wait for the init program, which {}", said.in_words()));
        if matches!(said, Said::At(Point::Ready)) {
            self.tell_times();
        }
        Ok(said)
    }

    fn tell_times(&self) {
        let Some(clock) = &self.clock else { return };
        let mut stamps = vec![0; (self.plan.steps.len() + 1) * size_of::<u64>()];
        let length = pread(clock, &mut stamps, 0).unwrap_or(0);
        stamps.truncate(length);
        let times = stamps.chunks_exact(size_of::<u64>()).flat_map(<[u8; 8]>::try_from).map(u64::from_ne_bytes);
        for (index, (begin, end)) in times.clone().zip(times.skip(1)).enumerate() {
            let step = || self.plan.steps.get(index).map(describe).unwrap_or_default();
            log::took(Duration::from_nanos(end.saturating_sub(begin)), || format!("step {index}: {}", step()));
        }
    }

    fn listen(&mut self) -> Result<Said> {
        loop {
            if let Some(said) = self.early.take_if(|_| !self.is_stage_one) {
                return Ok(said);
            }
            if self.is_stage_one && !self.has_word()? {
                return Err(self.ended_silently());
            }
            match self.channel.next()? {
                Said::Forked(pid) => {
                    self.follow(pid)?;
                    return Ok(Said::Forked(pid));
                }
                // Stage one itself asks for its cgroup and its id maps only.
                said @ Said::At(point) if self.is_stage_one && !matches!(point, Point::Cgroup | Point::IdMaps) => {
                    self.early = Some(said);
                }
                Said::Failed { step, errno, detail } => {
                    return Err(failure::step(self.plan.steps.get(step), errno, &detail));
                }
                Said::Executing | Said::Nothing => return Err(self.ended_silently()),
                said => return Ok(said),
            }
        }
    }

    /// Waits for what stage one says next. False: it has ended, and what it has forked, which holds the channel as well, would
    /// wait for us.
    fn has_word(&self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.channel, PollFlags::IN), PollFd::new(&self.pidfd, PollFlags::IN)];
        retry_on_intr(|| poll(&mut fds, None)).context("wait for the init program")?;
        let [channel, _] = &mut fds;
        if !channel.revents().is_empty() {
            return Ok(true);
        }
        // Its last words came before its end.
        channel.clear_revents();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        Ok(retry_on_intr(|| poll(std::slice::from_mut(channel), Some(&now))).context("wait for the init program")? > 0)
    }

    pub fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(self.pidfd.as_fd()), options).is_ok_and(|status| status.is_some())
    }

    /// Waits for its end, and says what it was doing.
    pub fn ended_silently(&self) -> Error {
        failure::silent(self.plan, self.progress.get() as usize, wait(&self.pidfd))
    }

    /// The child of our child has us as its parent (CLONE_PARENT): its pid cannot be reused before we have waited for it.
    fn follow(&mut self, pid: i32) -> Result<()> {
        let number = Pid::from_raw(pid).ok_or_else(|| Error::new("the init program reported no pid"))?;
        let pidfd = pidfd_open(number, PidfdFlags::empty()).context("pidfd_open")?;
        wait(&self.pidfd);
        (self.pid, self.pidfd, self.is_stage_one) = (pid, pidfd, false);
        Ok(())
    }

    /// Ends it. What it has forked and not told of sees the end of the channel, and ends itself.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        wait(&self.pidfd);
        let _ = shutdown(&self.channel, Shutdown::Both);
    }
}

/// Waits for a child's end.
pub fn wait(pidfd: &OwnedFd) -> Option<WaitIdStatus> {
    retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)).ok().flatten()
}
