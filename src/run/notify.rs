//! sd_notify(3) for the container: a socket of its own in place of the host's. That it is ready is passed on, nothing else.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use super::start::address_in;
use crate::error::{Context, Error, Result};
use crate::plan::rootfs::NOTIFY_INSIDE;

const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify.sock";

/// The service manager's socket, if there is one.
pub fn host_socket() -> Option<String> {
    std::env::var("NOTIFY_SOCKET").ok().filter(|path| !path.is_empty())
}

pub fn directory(container: &Path) -> PathBuf {
    container.join(DIRECTORY)
}

/// What the container's process is told.
pub fn announce(env: &mut Vec<String>) {
    env.retain(|entry| !entry.starts_with("NOTIFY_SOCKET="));
    env.push(format!("NOTIFY_SOCKET={NOTIFY_INSIDE}/{SOCKET}"));
}

pub fn prepare(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir).at("create", dir)
}

/// Listens for the container, if it was created with a service manager's socket and there is one still.
pub fn listen(container: &Path) -> Result<Option<Notify>> {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory(container);
    let Some(host) = host_socket().filter(|_| dir.exists()) else {
        return Ok(None);
    };
    let path = dir.join(SOCKET);
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).context("socket")?;
    let (address, _dir) = address_in(&dir, SOCKET)?;
    bind(&socket, &address).at("bind", &path).map_err(Error::on_disk)?;
    // The container's user, whoever that is, may send.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).at("chmod", &path)?;
    Ok(Some(Notify { socket: socket.into(), host }))
}

pub struct Notify {
    socket: UnixDatagram,
    host: String,
}

impl Notify {
    /// Until the container is ready, or has ended.
    pub fn forward(&self, pidfd: &OwnedFd, pid: i32) -> Result<()> {
        forward_readiness(&self.socket, pidfd, pid, &self.host)
    }

    pub fn forward_in_background(self, pidfd: &OwnedFd, pid: i32) -> Result<()> {
        let pidfd = pidfd.try_clone()?;
        std::thread::Builder::new().spawn(move || {
            if let Err(e) = self.forward(&pidfd, pid) {
                crate::log::warn(&format!("NOTIFY_SOCKET: {e}"));
            }
        })?;
        Ok(())
    }
}

/// Waits for READY=1 and passes it on, with the container's process as the main one. Ends without it if the process does.
fn forward_readiness(socket: &UnixDatagram, pidfd: &OwnedFd, pid: i32, host: &str) -> Result<()> {
    let out = UnixDatagram::unbound().context("open a socket for NOTIFY_SOCKET")?;
    loop {
        let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::new(pidfd, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).context("poll")?;
        let [message, ended] = fds.map(|fd| !fd.revents().is_empty());
        if message {
            let mut buf = [0; 4096];
            let len = socket.recv(&mut buf).context("receive from the container's notify socket")?;
            let text = String::from_utf8_lossy(buf.get(..len).unwrap_or_default()).into_owned();
            if text.lines().any(|line| line == "READY=1") {
                for message in [format!("MAINPID={pid}\n"), "READY=1\n".to_string()] {
                    send(&out, message.as_bytes(), host)?;
                }
                return Ok(());
            }
        } else if ended {
            return Ok(());
        }
    }
}

/// An address that starts with `@` is an abstract one (sd_notify(3)).
fn send(socket: &UnixDatagram, message: &[u8], host: &str) -> Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let address = match host.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(host),
    };
    let sent = address.and_then(|address| socket.send_to_addr(message, &address));
    sent.map(drop).at("send to NOTIFY_SOCKET", host)
}
