//! Bringing an interface up, which is an ioctl on any socket.

use linux_raw_sys::general::__NR_ioctl;
use rustix::fd::{AsFd, AsRawFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::Result;
use crate::raw::syscall;

/// Sets IFF_UP on the loopback interface of the calling process's network namespace (netdevice(7)), which is new: of the flags that
/// can be changed the interface has none yet.
pub fn loopback_up() -> Result<()> {
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: u16 = 1;
    #[repr(C)]
    struct IfReq {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let fd = socket.as_fd().as_raw_fd() as usize;
    let mut request = IfReq { name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", flags: IFF_UP, rest: [0; 22] };
    // SAFETY: the request reads a `struct ifreq` of 40 bytes.
    unsafe { syscall(__NR_ioctl, [fd, SIOCSIFFLAGS, &raw mut request as usize, 0, 0, 0])? };
    Ok(())
}
