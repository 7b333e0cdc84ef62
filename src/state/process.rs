//! Which process: a pid alone may mean another one by the time it is used, a pid with its start time cannot.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use super::write_aside;
use crate::error::{Context, Error, Result};
use crate::privilege;
use crate::proc::{self, Stat};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    pub pid: i32,
    /// Clock ticks after boot (proc_pid_stat(5), field 22).
    pub start_time: u64,
}

impl Identity {
    pub fn of(pid: i32) -> Result<Self> {
        match read_stat(pid)? {
            Some(stat) => Ok(Self { pid, start_time: stat.start_time }),
            None => Err(Error::new(format!("process {pid} has ended"))),
        }
    }

    /// For callers, who wait for the file to appear (`--pid-file`).
    pub fn write_file(&self, path: Option<&str>) -> Result<()> {
        path.map_or(Ok(()), |path| write_aside(path.as_ref(), self.pid.to_string().as_bytes(), 0o644))
    }

    pub fn is_alive(&self) -> Result<bool> {
        Ok(self.alive()?.is_some())
    }

    /// `None`: it has ended. So has a zombie: it runs no more, and only waits for its parent.
    pub fn alive(&self) -> Result<Option<Stat>> {
        Ok(self.stat()?.filter(Stat::runs))
    }

    fn stat(&self) -> Result<Option<Stat>> {
        Ok(read_stat(self.pid)?.filter(|stat| stat.start_time == self.start_time))
    }

    /// Whether it has been sent SIGKILL and has not ended yet: a cgroup v1 that is frozen keeps it so.
    pub fn is_killed(&self) -> Result<bool> {
        const KILL: u64 = 1 << 8;
        let Some(status) = read(self.pid, "status")? else { return Ok(false) };
        let status = String::from_utf8_lossy(&status);
        let pending = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
        Ok(pending.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask & KILL != 0))
    }

    /// A descriptor that keeps meaning this process; `None` if it has ended.
    pub fn open(&self) -> Result<Option<OwnedFd>> {
        Ok(self.opened()?.and_then(|(pidfd, stat)| stat.runs().then_some(pidfd)))
    }

    /// The same, also of a zombie, which its parent can wait for.
    pub fn open_unreaped(&self) -> Result<Option<OwnedFd>> {
        Ok(self.opened()?.map(|(pidfd, _)| pidfd))
    }

    fn opened(&self) -> Result<Option<(OwnedFd, Stat)>> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // Compared after the descriptor is there: from now on the pid cannot change hands.
            Ok(pidfd) => Ok(self.stat()?.map(|stat| (pidfd, stat))),
            // EINVAL (not in the newest kernels): the number lives on as that of a session, but its process does not.
            Err(Errno::SRCH | Errno::INVAL) => Ok(None),
            Err(_) if !self.is_alive()? => Ok(None),
            Err(errno) => Err(privilege::forbidden(Error::from(errno).context(format!("pidfd_open {}", self.pid)))),
        }
    }

    /// The descriptor of what has been sent SIGKILL; `None` if it has ended before.
    pub fn kill(&self) -> Result<Option<OwnedFd>> {
        let Some(pidfd) = self.open()? else { return Ok(None) };
        match hilum_sys::signal::send(pidfd.as_fd(), Signal::KILL.as_raw()) {
            // Looked at a moment ago, and waited for by its parent since.
            Err(Errno::SRCH) => Ok(None),
            other => other
                .context(format!("kill process {}", self.pid))
                .map_err(|error| privilege::needs(error, CapabilitySet::KILL))
                .map(|()| Some(pidfd)),
        }
    }
}

fn read_stat(pid: i32) -> Result<Option<Stat>> {
    Ok(read(pid, "stat")?.and_then(|text| Stat::parse(&text)))
}

/// `None`: the process has ended.
fn read(pid: i32, name: &str) -> Result<Option<Vec<u8>>> {
    let path = format!("/proc/{pid}/{name}");
    match proc::read_piece(CWD, path.as_ref()) {
        Ok(text) => Ok(Some(text)),
        Err(Errno::NOENT | Errno::SRCH) => Ok(None), // the second one while it goes
        Err(e) => Err(e).at("read", path),
    }
}

/// The sealed copy of the init program, by its inode: whoever executes it is still the runtime's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitProgram {
    dev: u64,
    ino: u64,
}

impl InitProgram {
    pub fn of(file: &OwnedFd) -> Result<Self> {
        let stat = rustix::fs::fstat(file)?;
        Ok(Self { dev: stat.st_dev, ino: stat.st_ino })
    }

    /// `None`: the process runs no program any more, it is on its way out.
    pub fn is_run_by(&self, process: &Identity) -> Result<Option<bool>> {
        match rustix::fs::stat(format!("/proc/{}/exe", process.pid)) {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino) == (self.dev, self.ino))),
            // Hidden from a runtime that is not root (PR_SET_DUMPABLE), as the user's program may be from one without
            // CAP_SYS_PTRACE. It gives up its name when it executes.
            Err(Errno::ACCESS | Errno::PERM) => Ok(read_stat(process.pid)?.map(|stat| is_named_init(&stat))),
            Err(Errno::NOENT | Errno::SRCH) => Ok(None),
            Err(errno) => Err(Error::from(errno).context(format!("read /proc/{}/exe", process.pid))),
        }
    }
}

/// What any program may call itself, but whoever has another name is not the init.
pub fn is_named_init(stat: &Stat) -> bool {
    stat.comm.as_bytes() == hilum_init::NAME.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, kill_process};
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn a_pid_with_another_start_time_is_another_process() {
        let own = Identity::of(std::process::id() as i32).unwrap();
        assert!(own.is_alive().unwrap());
        assert!(own.open().unwrap().is_some());
        let other = Identity { start_time: own.start_time + 1, ..own };
        assert!(!other.is_alive().unwrap());
        assert!(other.open().unwrap().is_none());
    }
    #[test]
    fn a_leader_that_its_session_outlives_has_ended() {
        let script = "sleep 1000 >/dev/null & echo $!; read line";
        let mut leader = Command::new("setsid")
            .args(["sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let member = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let identity = Identity::of(leader.id() as i32).unwrap();
        leader.wait().unwrap(); // which closes its input first
        let opened = identity.open();
        kill_process(member, Signal::KILL).unwrap();
        assert!(opened.unwrap().is_none());
    }
}
