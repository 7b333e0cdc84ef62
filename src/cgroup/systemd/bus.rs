//! Where systemd is reached: over a bus, or at a socket of its own.

use serde::{Deserialize, Serialize};

use super::owner;
use crate::dbus::{Endpoint, of_path};
use crate::error::{Error, Result};

const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
/// systemd's own socket, for root on a host without a bus.
const SYSTEM_PRIVATE: &str = "/run/systemd/private";

/// Which systemd: a host has one, and each user who is logged in has another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bus {
    pub user: bool,
    /// Where it was found when the container was created.
    pub address: String,
}

impl Bus {
    /// As the environment says.
    pub fn find(user: bool) -> Result<Bus> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let address = match (user, var("XDG_RUNTIME_DIR")) {
            (false, _) => var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|| SYSTEM_BUS.into()),
            (true, directory) => match (var("DBUS_SESSION_BUS_ADDRESS"), directory) {
                (Some(address), _) => address,
                (None, Some(directory)) => of_path(&format!("{directory}/bus")),
                (None, None) => {
                    return Err(Error::new(format!(
                        "the user's systemd cannot be found (uid {}): neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set",
                        owner::host_uid()
                    ))
                    .hint(USERS_WAY_OUT));
                }
            },
        };
        Ok(Bus { user, address })
    }

    /// Every place to try, and whether a bus is there.
    pub(super) fn places(&self) -> Vec<(Endpoint, bool)> {
        let mut places: Vec<_> = Endpoint::parse(&self.address).into_iter().map(|endpoint| (endpoint, true)).collect();
        // A bus that somebody named is the one that is meant.
        if self.address == SYSTEM_BUS && crate::privilege::user().is_root() {
            places.push((Endpoint::Path(SYSTEM_PRIVATE.into()), false));
        }
        places
    }
}

pub(super) const USERS_WAY_OUT: &str = "a user's systemd runs while the user is logged in, or always after `loginctl enable-linger`; \
    the bus comes with the package dbus-user-session; without it, leave out --systemd-cgroup";
pub(super) const SYSTEMS_WAY_OUT: &str = "see `systemctl status dbus`; without it, leave out --systemd-cgroup";
