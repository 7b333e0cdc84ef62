//! `criu swrk`: CRIU as a child of ours that serves one request, over a socket.

use std::ffi::CString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hilum_sys::mount::{MountAttr, mount_setattr};
use hilum_sys::namespace::{Kind, unshare};
use hilum_sys::signal::unblocked;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, FdFlags, fcntl_setfd, retry_on_intr};
use rustix::mount::{MountFlags, MountPropagationFlags, mount_bind_recursive, mount_change, mount_remount};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, SocketFlags,
    SocketType, recvmsg, send, socketpair,
};

use super::Directories;
use super::protocol::{self, Features, Response};
use crate::error::{Context, Error, Result};
use crate::program;

/// Larger than any answer: those of CRIU have a string or two.
const ROOM: usize = 64 << 10;
/// For questions that need no work.
const BOUND: Duration = Duration::from_secs(20);
/// Where distributions put it, if the caller's PATH does not say.
const ELSEWHERE: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Since this one: external pid namespaces, LSM labels and joined namespaces as hilum needs them.
const OLDEST: (u64, u64, u64) = (3, 16, 0);

/// A root file system as CRIU wants it for a restore: a mount point, in a mount namespace that nobody else sees, and that
/// goes with CRIU's end whatever happens.
pub struct Stage<'s> {
    pub dirs: &'s Directories,
    pub rootfs: &'s Path,
    pub mount_point: &'s Path,
    /// root.readonly: the one flag that CRIU takes from here and not from the checkpoint.
    pub readonly: bool,
    /// The name of the session keyring that the restored processes get.
    pub keyring: CString,
}

pub struct Client {
    socket: Option<OwnedFd>,
    child: Child,
}

impl Client {
    pub fn start() -> Result<Self> {
        let spawn = |mut command: Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().map_err(Error::from)
        };
        let (socket, child) = Self::connect(&[], spawn)?;
        Ok(Self { socket: Some(socket), child })
    }

    /// For a restore: with the caller's standard streams, and with `inherit` under the same numbers. Also answers with
    /// the directories as they are in that mount namespace: CRIU mounts things in them.
    pub fn start_on(stage: &Stage<'_>, inherit: &[BorrowedFd<'_>]) -> Result<(Self, Directories)> {
        // A namespace and a keyring are a thread's own; the rest of the runtime stays where it is.
        let spawn = |mut command: Command| {
            std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().spawn_scoped(scope, || {
                    stage.enter()?;
                    let dirs = stage.dirs.reopen()?;
                    Ok((command.spawn()?, dirs))
                });
                thread?.join().map_err(|_| Error::new("the thread has ended"))?
            })
        };
        let (socket, (child, dirs)) = Self::connect(inherit, spawn)?;
        Ok((Self { socket: Some(socket), child }, dirs))
    }

    /// Our end of the socket, and what `spawn` makes of the command that has the other.
    fn connect<T>(inherit: &[BorrowedFd<'_>], spawn: impl FnOnce(Command) -> Result<T>) -> Result<(OwnedFd, T)> {
        let program = find()?;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).context("socketpair")?;
        let mut command = Command::new(&program);
        unblocked(&mut command).arg("swrk").arg(theirs.as_raw_fd().to_string());
        let passed: Vec<BorrowedFd<'_>> = inherit.iter().copied().chain([theirs.as_fd()]).collect();
        for fd in &passed {
            fcntl_setfd(fd, FdFlags::empty())?;
        }
        let spawned = spawn(command);
        for fd in &passed {
            fcntl_setfd(fd, FdFlags::CLOEXEC)?;
        }
        Ok((ours, spawned.context(format!("start {}", program.display()))?))
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn send(&self, request: &[u8]) -> Result<()> {
        let socket = self.socket.as_ref().ok_or_else(|| Error::new("criu: no connection"))?;
        match retry_on_intr(|| send(socket, request, SendFlags::NOSIGNAL)) {
            // It has ended: its last words, which are read next, say why.
            Ok(_) | Err(Errno::PIPE) => Ok(()),
            Err(errno) => Err(errno).context("send a request to criu"),
        }
    }

    /// The next message, with the descriptor that came with it.
    pub fn next(&self, bound: Option<Duration>) -> Result<(Response, Option<OwnedFd>)> {
        let socket = self.socket.as_ref().ok_or_else(|| Error::new("criu: no connection"))?;
        let limit =
            bound.map(|bound| Timespec { tv_sec: bound.as_secs() as i64, tv_nsec: bound.subsec_nanos().into() });
        let mut ready = [PollFd::new(socket, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut ready, limit.as_ref())).context("poll")? == 0 {
            return Err(Error::new(format!("criu has not answered in {BOUND:?}")));
        }
        let mut buf = vec![0; ROOM];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            match recvmsg(socket, &mut [IoSliceMut::new(&mut buf)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                // It ended with a request of ours unread. That is told once, and before what it still had to say.
                Err(Errno::CONNRESET | Errno::INTR) => {}
                other => break other.context("receive from criu")?,
            }
        };
        if got.flags.contains(ReturnFlags::TRUNC) {
            return Err(Error::new("receive from criu: a message of more than its size"));
        }
        let fd = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        match buf.get(..got.bytes).unwrap_or_default() {
            [] => Err(Error::new("criu has ended without an answer")),
            bytes => Ok((Response::decode(bytes)?, fd)),
        }
    }

    /// Closes the connection, and waits for CRIU's end. It has answered, and has nothing left to do.
    pub fn end(mut self) -> Result<()> {
        self.socket = None;
        self.wait(BOUND)
    }

    fn wait(&mut self, bound: Duration) -> Result<()> {
        let deadline = Instant::now() + bound;
        while self.child.try_wait().context("wait for criu")?.is_none() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Err(Error::new(format!("criu has not ended {bound:?} after its answer")));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.socket = None;
        let _ = self.wait(BOUND);
    }
}

impl Stage<'_> {
    fn enter(&self) -> Result<()> {
        unshare(Kind::Mount.flag()).context("unshare the mount namespace")?;
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", flags).context("untie the mounts from the host's")?;
        mount_bind_recursive(self.rootfs, self.mount_point).at("mount the root file system on", self.mount_point)?;
        if self.readonly {
            make_readonly(self.mount_point).at("make read-only", self.mount_point)?;
        }
        match hilum_sys::process::join_session_keyring(&self.keyring) {
            // A kernel without keyrings has nothing to inherit.
            Ok(()) | Err(Errno::NOSYS) => Ok(()),
            Err(errno) => Err(errno).context("join a new session keyring"),
        }
    }
}

fn make_readonly(mount_point: &Path) -> rustix::io::Result<()> {
    let mount = open(mount_point, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let set = u64::from(MountFlags::RDONLY.bits());
    match mount_setattr(mount.as_fd(), false, &MountAttr { set, ..MountAttr::default() }) {
        // Before Linux 5.12; what is not named is cleared.
        Err(Errno::NOSYS) => {
            let kept = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            let kept = MountFlags::from_bits_truncate(rustix::fs::statvfs(mount_point)?.f_flag.bits() as u32) & kept;
            mount_remount(mount_point, MountFlags::BIND | MountFlags::RDONLY | kept, c"")
        }
        other => other,
    }
}

/// Where CRIU is, and its version: an error if there is none, or one too old.
pub fn version() -> Result<(PathBuf, String)> {
    let program = find()?;
    let client = Client::start()?;
    client.send(&protocol::version())?;
    let (answer, _) = client.next(Some(BOUND))?;
    let version = answer.version.ok_or_else(|| Error::new("criu does not tell its version"))?;
    client.end()?;
    check_version(version)?;
    let (major, minor, sublevel) = version;
    Ok((program, format!("{major}.{minor}.{sublevel}")))
}

/// What there is of CRIU: an error if there is none, or one too old.
pub fn probe() -> Result<Features> {
    version()?;
    // Each connection serves one question in the versions that are in use.
    let client = Client::start()?;
    client.send(&protocol::feature_check())?;
    let (answer, _) = client.next(Some(BOUND)).context("ask criu for its features")?;
    client.end()?;
    Ok(answer.features)
}

fn check_version(version: (u64, u64, u64)) -> Result<()> {
    if version < OLDEST {
        let ((major, minor, sublevel), (wanted, wanted_minor, _)) = (version, OLDEST);
        return Err(Error::new(format!("criu {major}.{minor}.{sublevel} is too old"))
            .hint(format!("install criu {wanted}.{wanted_minor} or newer")));
    }
    Ok(())
}

/// `criu check`: what CRIU itself says about this kernel; `None` if that is nothing.
pub fn complaint() -> Option<String> {
    let output = rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC).ok()?;
    let output = std::fs::File::from(output);
    let mut command = Command::new(find().ok()?);
    unblocked(&mut command)
        .arg("check")
        .stdin(Stdio::null())
        .stdout(output.try_clone().ok()?)
        .stderr(output.try_clone().ok()?);
    let mut client = Client { socket: None, child: command.spawn().ok()? };
    client.wait(BOUND).ok()?;
    if client.child.try_wait().ok()??.success() {
        return None;
    }
    let mut text = vec![0; ROOM];
    let len = std::os::unix::fs::FileExt::read_at(&output, &mut text, 0).ok()?;
    let text = String::from_utf8_lossy(text.get(..len)?).into_owned();
    let errors = super::errors_of(&text);
    Some(if errors.is_empty() { text.trim().to_string() } else { errors })
}

fn find() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = program::find("criu", &path).or_else(|| program::find("criu", ELSEWHERE.as_ref()));
    found.ok_or_else(|| {
        Error::new("criu is not installed: it is nowhere on PATH")
            .hint("install the package criu: 3.16 or newer, and new enough for this kernel")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_version_is_refused_by_name() {
        assert!(check_version((3, 16, 0)).is_ok() && check_version((4, 0, 0)).is_ok());
        let error = check_version((3, 15, 2)).unwrap_err().to_string();
        assert_eq!(error, "criu 3.15.2 is too old; install criu 3.16 or newer");
    }
}
