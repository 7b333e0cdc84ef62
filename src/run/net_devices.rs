//! linux.netDevices, carried out: devices of the host's move to the container's network namespace, with their lasting
//! addresses, and are up there. What belongs to the device itself (MTU, hardware address, queues) the kernel keeps.

use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::log;
use crate::netlink::{Address, Link, Network};
use crate::plan::net_device::{Move, NUMBER};

/// Numbers that are tried for a name with `%d`.
const NUMBERS: u32 = 1000;

/// Devices that have moved. Both namespaces stay for as long as this does, so that there is a way back: until the user's
/// program runs, which could put another device in the place of one of them.
#[derive(Debug)]
pub struct Moved {
    host: Network,
    container: Network,
    devices: Vec<Device>,
}

#[derive(Debug)]
struct Device {
    /// On the host.
    name: String,
    inside: String,
    was_up: bool,
    addresses: Vec<Address>,
}

impl Moved {
    /// All of them, or none. `pid`: a process in the container's network namespace.
    pub fn all(moves: &[Move], pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/ns/net");
        let ns = std::fs::File::open(&path).at("open", path)?;
        let container = Network::of(ns.into()).context("linux.netDevices")?;
        let mut it = Self { host: Network::own().context("linux.netDevices")?, container, devices: Vec::new() };
        for one in moves {
            if let Err(error) = it.take(one) {
                it.give_back();
                let Move { device, name } = one;
                return Err(error.context(format!("linux.netDevices[{device:?}]: move it to the container as {name}")));
            }
        }
        Ok(it)
    }

    fn take(&mut self, one: &Move) -> Result<()> {
        let link = self.host.link(&one.device)?.ok_or_else(|| Error::new("the host has it no more"))?;
        let inside = self.free_name(one)?;
        let addresses = self.host.lasting_addresses(link.index).context("list its addresses")?;
        let sent = self.host.send_to(link.index, &self.container, &inside);
        // What has moved and could not be renamed is away, too.
        let is_away = sent.is_ok() || self.host.link(&one.device)?.is_none();
        if is_away {
            let name_inside = if sent.is_ok() { &inside } else { &one.device };
            self.devices.push(Device {
                name: one.device.clone(),
                inside: name_inside.clone(),
                was_up: link.is_up,
                addresses: addresses.clone(),
            });
        }
        sent.map_err(|e| match e.detail().errno {
            Some(Errno::INVAL) => e.hint("the kernel ties some kinds of devices, bridges for one, to their namespace"),
            _ => e,
        })?;
        arrive(&self.container, &inside, &addresses, true)
    }

    fn free_name(&self, one: &Move) -> Result<String> {
        let is_free = |name: &str| self.container.link(name).map(|link| link.is_none());
        if !one.is_numbered() {
            return match is_free(&one.name)? {
                true => Ok(one.name.clone()),
                false => Err(Error::new("the container's network namespace has a device of this name")
                    .hint("give linux.netDevices another name, or one with %d for a number")),
            };
        }
        for number in 0..NUMBERS {
            let name = one.name.replace(NUMBER, &number.to_string());
            if is_free(&name)? {
                return Ok(name);
            }
        }
        Err(Error::new("no number is free"))
    }

    /// After a creation has failed, as they were. Errors are logged: there is another one already.
    pub fn give_back(self) {
        for device in self.devices.iter().rev() {
            if let Err(e) = self.give_one_back(device) {
                log::warn(&format!("undo: network device {}: {e}", device.name));
            }
        }
    }

    fn give_one_back(&self, device: &Device) -> Result<()> {
        let Device { name, inside, was_up, addresses } = device;
        let link = self.container.link(inside)?.ok_or_else(|| Error::new("it is in the container no more"))?;
        self.container.send_to(link.index, &self.host, name).context("move it back to the host")?;
        arrive(&self.host, name, addresses, *was_up)
    }
}

/// A device that has moved is down and has no addresses. Its number may be another.
fn arrive(network: &Network, name: &str, addresses: &[Address], up: bool) -> Result<()> {
    let Link { index, .. } = network.link(name)?.ok_or_else(|| Error::new("it has not arrived"))?;
    for address in addresses {
        network.add(index, address).context("give it its address again")?;
    }
    if up { network.set_up(index).context("set it up") } else { Ok(()) }
}
