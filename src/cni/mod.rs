//! Networks by the Container Network Interface: the runtime's side of the specification 1.1, as its library libcni has
//! it, for networks of the versions 0.3.0 to 1.1.0.
//!
//! A network is a file of /etc/cni/net.d with a chain of plugins: programs that are told by their environment and
//! standard input what to do to a network namespace.
//!
//! ```no_run
//! # use std::path::Path;
//! # fn main() -> hilum::error::Result<()> {
//! use hilum::cni::{Network, conf_dirs};
//!
//! let network = Network::load("mynet", &conf_dirs())?;
//! // Nothing has happened yet. Who writes this down first can undo whatever comes.
//! let mut attachment = network.attachment("web-1", "eth0", &[])?;
//! attachment.add(Path::new("/run/netns/web"))?;
//! println!("{:?}", attachment.ips());
//! attachment.del(Some(Path::new("/run/netns/web")))?; // again and again, if need be
//! # Ok(())
//! # }
//! ```

mod attachment;
mod network;
mod plugin;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

pub use attachment::{Attachment, Ip};
pub use network::Network;

/// Where networks are defined. NETCONFPATH overrides it, as for cnitool.
const CONF_DIR: &str = "/etc/cni/net.d";
/// Where plugins are: where their own releases go, and where Debian has them. CNI_PATH overrides it, as for cnitool.
const PLUGIN_DIRS: &[&str] = &["/opt/cni/bin", "/usr/lib/cni"];

/// The directories with the networks of this host.
pub fn conf_dirs() -> Vec<PathBuf> {
    directories(std::env::var_os("NETCONFPATH")).unwrap_or_else(|| vec![CONF_DIR.into()])
}

/// The directories with plugins, if there are any.
pub fn plugin_dirs() -> Vec<PathBuf> {
    cni_path().unwrap_or_else(|| PLUGIN_DIRS.iter().map(PathBuf::from).collect())
}

fn cni_path() -> Option<Vec<PathBuf>> {
    directories(std::env::var_os("CNI_PATH"))
}

/// A list of directories, as PATH is one. Empty is as good as unset.
fn directories(list: Option<OsString>) -> Option<Vec<PathBuf>> {
    let dirs: Vec<_> = std::env::split_paths(&list?).filter(|dir| !dir.as_os_str().is_empty()).collect();
    (!dirs.is_empty()).then_some(dirs)
}
