//! linux.netDevices: devices of the host's that are moved to the container's network namespace. The parent does it, at the
//! point `NetDevices`.

use std::collections::BTreeMap;

use hilum_sys::namespace::Kind;

use super::Request;
use super::namespace::Namespaces;
use crate::conflict::Conflicts;
use crate::error::{Context, Error, Result};
use crate::netlink::Network;
use crate::spec::config::NetDevice;

/// With its NUL, what the kernel has room for (netdevice(7)).
const IFNAMSIZ: usize = 16;
/// What the kernel replaces by a number.
pub const NUMBER: &str = "%d";

/// A device of the host's, and its name in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub device: String,
    /// With `%d` in it: the first such name that is free.
    pub name: String,
}

impl Move {
    pub fn is_numbered(&self) -> bool {
        self.name.contains(NUMBER)
    }
}

/// Those with a name of their own first, so that no number is theirs.
pub fn plan(req: &Request<'_>, ns: &Namespaces, conflicts: &mut Conflicts) -> Vec<Move> {
    let devices = &req.spec.linux.net_devices;
    if devices.is_empty() {
        return Vec::new();
    }
    conflicts.note("linux.netDevices", check_namespace(req, ns));
    let host = conflicts.note("linux.netDevices", Network::own());
    let mut moves = Vec::new();
    for (device, NetDevice { name }) in devices {
        let property = format!("linux.netDevices[{device:?}]");
        let name = if name.is_empty() { device } else { name };
        let checked = check_names(device, name, &property)
            .and_then(|()| check_unique(device, name, devices, &property))
            .and_then(|()| host.as_ref().map_or(Ok(()), |host| check_device(host, device, &property)));
        if conflicts.note(&property, checked).is_some() {
            moves.push(Move { device: device.clone(), name: name.clone() });
        }
    }
    moves.sort_by_key(Move::is_numbered);
    moves
}

fn check_namespace(req: &Request<'_>, ns: &Namespaces) -> Result<()> {
    if !ns.is_private(Kind::Net) {
        return Err(Error::new("linux.netDevices: the container has no network namespace of its own")
            .hint("add {\"type\": \"network\"} to linux.namespaces"));
    }
    if req.rootless {
        return Err(Error::new("linux.netDevices: only the host's root can move a device of the host's")
            .hint("remove it, or run hilum as root of the host"));
    }
    Ok(())
}

fn check_names(device: &str, name: &str, property: &str) -> Result<()> {
    if !is_name(device) || device.contains('%') {
        return Err(Error::new(format!("{property}: {device:?} is not the name of a network device")));
    }
    let numbered = name.matches('%').count();
    if !is_name(name) || numbered > 1 || (numbered == 1 && !name.contains(NUMBER)) {
        return Err(Error::new(format!("{property}.name: {name:?} cannot be the name of a network device"))
            .hint("up to 15 bytes without spaces, slashes and colons; with %d for a number, if any will do"));
    }
    Ok(())
}

/// As the kernel judges it.
fn is_name(name: &str) -> bool {
    let strange = |c: char| matches!(c, '/' | ':' | '\0') || c.is_ascii_whitespace() || c == '\x0b';
    !name.is_empty() && name.len() < IFNAMSIZ && !matches!(name, "." | "..") && !name.contains(strange)
}

fn check_unique(device: &str, name: &str, all: &BTreeMap<String, NetDevice>, property: &str) -> Result<()> {
    let is_inside =
        |(other, it): &(&String, &NetDevice)| if it.name.is_empty() { *other == name } else { it.name == name };
    let other = all.iter().take_while(|(other, _)| other.as_str() < device).find(is_inside);
    match other {
        Some((other, _)) if !name.contains(NUMBER) => Err(Error::new(format!(
            "{property}.name: {name:?} is the name of linux.netDevices[{other:?}] in the container, too"
        ))
        .hint("give one of them another name, or names with %d")),
        _ => Ok(()),
    }
}

fn check_device(host: &Network, device: &str, property: &str) -> Result<()> {
    match host.link(device).context(property)? {
        None => Err(Error::new(format!("{property}: the host has no network device {device:?}"))
            .hint("ip link lists those that it has")),
        Some(link) if link.is_loopback => {
            Err(Error::new(format!("{property}: a loopback device cannot leave its network namespace"))
                .hint("remove it: the container has one of its own"))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_kernel_takes() {
        for good in ["eth0", "a", "exactly15bytes_", "net%d", "%d"] {
            check_names("eth0", good, "p").unwrap();
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "sixteen_bytes_16", "%", "a%s", "%d%d", "%x%d", "a\0"] {
            assert!(check_names("eth0", bad, "p").is_err(), "{bad:?}");
        }
        assert!(check_names("eth%d", "eth0", "p").is_err());
    }

    #[test]
    fn a_name_is_given_once_and_a_pattern_as_often_as_you_like() {
        let all = |name: &str| {
            let named = |name: &str| NetDevice { name: name.into() };
            BTreeMap::from([("a".to_string(), named(name)), ("b".to_string(), named(name)), ("c".into(), named(""))])
        };
        check_unique("a", "x", &all("x"), "p").unwrap();
        assert!(check_unique("b", "x", &all("x"), "p").is_err());
        assert!(check_unique("c", "c", &all("c"), "p").is_err());
        check_unique("b", "x%d", &all("x%d"), "p").unwrap();
    }
}
