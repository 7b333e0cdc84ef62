//! Network devices and their addresses (rtnetlink(7)), as far as a device is moved from one network namespace to another.
//!
//! Our own: five requests need no library, and those there are bring an executor or a type for each attribute of the kernel.

pub mod message;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use hilum_sys::namespace::{Kind, setns};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::error::{Context, Error, Result};
use message::{Answer, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Request, answers, attributes, u32_at};

// linux/rtnetlink.h, if_link.h, if_addr.h, if_arp.h.
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;
const IFA_F_PERMANENT: u32 = 0x80;
/// What somebody has asked for, and not what has become of the address: no check for duplicates, a home address,
/// temporary ones beside it, no route of its prefix, joined multicast groups.
const IFA_F_ASKED_FOR: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
const RT_SCOPE_UNIVERSE: u8 = 0;

/// `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK: usize = 16;
const ADDRESS: usize = 8;
/// The kernel's lists come in parts of no more.
const ROOM: usize = 64 << 10;
/// How often a list that changes while it is read is begun anew.
const TRIES: usize = 10;

/// A network namespace, held by its descriptor and by a socket in it.
#[derive(Debug)]
pub struct Network {
    ns: OwnedFd,
    socket: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub is_up: bool,
    pub is_loopback: bool,
}

/// An address of a device, as the kernel says and takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    /// Local and remote address, broadcast address, priority of the route: those that there are.
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Network {
    /// The caller's own.
    pub fn own() -> Result<Self> {
        const PATH: &str = "/proc/thread-self/ns/net";
        Ok(Self { ns: std::fs::File::open(PATH).at("open", PATH)?.into(), socket: socket()? })
    }

    /// A socket stays in the namespace that it was made in: a thread of its own goes there to make it, and ends.
    pub fn of(ns: OwnedFd) -> Result<Self> {
        let enter =
            || setns(ns.as_fd(), Kind::Net.flag()).context("enter the network namespace").and_then(|()| socket());
        let made = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, enter).context("start a thread")?;
            thread.join().unwrap_or_else(|_| Err(Error::new("a thread has panicked")))
        });
        Ok(Self { socket: made?, ns })
    }

    pub fn link(&self, name: &str) -> Result<Option<Link>> {
        let request = Request::new(RTM_GETLINK, NLM_F_ACK, &[0; LINK]).attribute(IFLA_IFNAME, &terminated(name));
        let mut found = None;
        match self.ask(request, |body| found = Link::read(body)) {
            Err(e) if e.detail().errno == Some(Errno::NODEV) => Ok(None),
            other => other.map(|_| found),
        }
    }

    /// Those that somebody has given it for good and that are valid everywhere: the kernel's own come by themselves.
    pub fn lasting_addresses(&self, index: u32) -> Result<Vec<Address>> {
        for _ in 0..TRIES {
            let mut found = Vec::new();
            let request = Request::new(RTM_GETADDR, NLM_F_DUMP, &[0; ADDRESS]);
            let is_reliable = self.ask(request, |body| found.extend(Address::read(body, index)))?;
            if is_reliable {
                return Ok(found);
            }
        }
        Err(Error::new("the addresses change all the time"))
    }

    pub fn add(&self, index: u32, address: &Address) -> Result<()> {
        let Address { family, prefix, flags, attributes } = address;
        let mut body = vec![*family, *prefix, 0, RT_SCOPE_UNIVERSE];
        body.extend(index.to_ne_bytes());
        let mut request = Request::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body);
        request = request.attribute(IFA_FLAGS, &flags.to_ne_bytes());
        for (kind, value) in attributes {
            request = request.attribute(*kind, value);
        }
        self.ask(request, |_| {}).map(drop)
    }

    pub fn set_up(&self, index: u32) -> Result<()> {
        self.ask(Request::new(RTM_NEWLINK, NLM_F_ACK, &change(index, IFF_UP)), |_| {}).map(drop)
    }

    /// The kernel sets it down, and takes its addresses.
    pub fn send_to(&self, index: u32, to: &Network, name: &str) -> Result<()> {
        let request = Request::new(RTM_NEWLINK, NLM_F_ACK, &change(index, 0))
            .attribute(IFLA_NET_NS_FD, &to.ns.as_raw_fd().to_ne_bytes())
            .attribute(IFLA_IFNAME, &terminated(name));
        self.ask(request, |_| {}).map(drop)
    }

    /// One request and all that comes of it; false if that is a list that has changed meanwhile.
    fn ask(&self, request: Request, mut item: impl FnMut(&[u8])) -> Result<bool> {
        send(&self.socket, &request.bytes(), SendFlags::empty()).context("ask the kernel by netlink")?;
        let mut room = vec![0; ROOM];
        let mut is_reliable = true;
        loop {
            let received = rustix::io::retry_on_intr(|| recv(&self.socket, room.as_mut_slice(), RecvFlags::TRUNC));
            let (len, whole) = received.context("receive the kernel's answer by netlink")?;
            if whole > len {
                return Err(Error::new("the kernel's answer by netlink is too long"));
            }
            for answer in answers(room.get(..len).unwrap_or_default()) {
                match answer? {
                    Answer::End { interrupted } => return Ok(is_reliable & !interrupted),
                    Answer::Item { body, interrupted } => {
                        is_reliable &= !interrupted;
                        item(body);
                    }
                }
            }
        }
    }
}

impl Link {
    pub fn read(body: &[u8]) -> Option<Self> {
        let flags = u32_at(body, 8)?;
        Some(Self { index: u32_at(body, 4)?, is_up: flags & IFF_UP != 0, is_loopback: flags & IFF_LOOPBACK != 0 })
    }
}

impl Address {
    /// If it is one of this device's, to last, and valid everywhere.
    pub fn read(body: &[u8], of: u32) -> Option<Self> {
        let &[family, prefix, flags, scope, ..] = body else { return None };
        let all: Vec<_> = attributes(body.get(ADDRESS..)?).collect();
        // The whole flags, of which the structure has the first eight.
        let whole = all.iter().find(|(kind, _)| *kind == IFA_FLAGS).and_then(|(_, value)| u32_at(value, 0));
        let flags = whole.unwrap_or(flags.into());
        if u32_at(body, 4)? != of || scope != RT_SCOPE_UNIVERSE || flags & IFA_F_PERMANENT == 0 {
            return None;
        }
        let kept = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_RT_PRIORITY];
        let attributes = all.iter().filter(|(kind, _)| kept.contains(kind));
        let attributes = attributes.map(|(kind, value)| (*kind, value.to_vec())).collect();
        Some(Self { family, prefix, flags: flags & IFA_F_ASKED_FOR, attributes })
    }
}

/// `struct ifinfomsg` that sets these flags, and changes no others.
fn change(index: u32, flags: u32) -> Vec<u8> {
    let numbers = [0, index, flags, flags];
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn socket() -> Result<OwnedFd> {
    // NETLINK_ROUTE is 0, the default.
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).context("open a netlink socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_known_by_its_flag_and_no_other_is_there() {
        let own = Network::own().unwrap();
        let lo = own.link("lo").unwrap().unwrap();
        assert!(lo.is_loopback && lo.index > 0);
        assert_eq!(own.link("no-such-device").unwrap(), None);
        // 127.0.0.1 and ::1 are of this host alone.
        assert_eq!(own.lasting_addresses(lo.index).unwrap(), []);
    }

    #[test]
    fn an_address_keeps_what_somebody_has_asked_for() {
        let body = |scope: u8, flags: u32| {
            let mut bytes = vec![2, 24, flags as u8, scope, 7, 0, 0, 0];
            for (kind, value) in [(1u16, [10, 0, 0, 2]), (2, [10, 0, 0, 1]), (3, *b"x:1\0"), (8, flags.to_ne_bytes())] {
                bytes.extend(8u16.to_ne_bytes());
                bytes.extend(kind.to_ne_bytes());
                bytes.extend(value);
            }
            bytes
        };
        let address = Address::read(&body(0, 0x80 | 0x200 | 0x40), 7).unwrap();
        let attributes = vec![(1, vec![10, 0, 0, 2]), (2, vec![10, 0, 0, 1])];
        assert_eq!(address, Address { family: 2, prefix: 24, flags: 0x200, attributes });
        // Of another device, of the link alone, for a time.
        assert_eq!(Address::read(&body(0, 0x80), 8), None);
        assert_eq!(Address::read(&body(253, 0x80), 7), None);
        assert_eq!(Address::read(&body(0, 0), 7), None);
    }
}
