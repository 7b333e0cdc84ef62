//! A D-Bus client for the few calls that systemd is asked: connect, call, wait for a signal, each with a deadline.
//!
//! Our own, since no library fits a runtime. rustbus has no bound on authentication (it spins for ever on a peer that
//! hangs up meanwhile), opens its socket without close-on-exec, and names the uid of its own user namespace, which the
//! bus refuses; zbus brings some sixty crates and threads of its own, and no other thread may run when the container's
//! process is cloned; libdbus cannot be linked statically on Debian.
//!
//! The format is that of the D-Bus Specification: "Message Protocol", "Authentication Protocol", "Server Addresses".

mod address;
mod connection;
pub mod message;
#[cfg(test)]
pub mod peer;
mod reader;
mod value;

pub use address::{Endpoint, of_path};
pub use connection::{Connection, Failure};
pub use message::{Call, Message};
pub use value::{Value, first_type};
