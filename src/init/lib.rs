//! The program that becomes the container's process: it receives the plan, walks it step by step, and executes.
//!
//! It decides nothing but what only the file system can answer, has no heap, never logs and never formats: a failure is
//! the step's number, an errno and a few words for the parent, which holds the same list and writes the message.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod channel;
mod copy_up;
mod device;
mod fail;
mod hook;
mod mount;
mod process;
mod root;
mod seccomp;
pub mod step;
mod terminal;
mod views;
mod walk;

pub use walk::main;

use core::ffi::CStr;

/// What the process is called until it executes.
pub const NAME: &CStr = c"hilum:init";

/// Makes what is missing of a mount point in a root file system in which nothing is mounted: for a restore, in which
/// another program does the mounting.
pub fn make_mount_point(rootfs: &CStr, path: &CStr, directory: bool) -> rustix::io::Result<()> {
    let leaf = if directory { root::Leaf::Directory } else { root::Leaf::File };
    let made = root::Root::open(rootfs).and_then(|root| root.find_or_make(path, leaf, false));
    made.map(drop).map_err(|fail| fail.errno)
}

/// What the message says before its steps: the descriptors that exist only once the parent has begun to act.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Header<'a> {
    /// The socket to the parent.
    pub channel: step::Fd,
    /// A shared page into which the number of the current step goes, for the case that this process dies in it.
    pub progress: step::Fd,
    /// For `--debug`: an empty file to which the time is appended at first and after each step, up to the point Ready,
    /// or to where it is limited; -1 without.
    pub clock: step::Fd,
    /// The listening socket at which `start` will knock; -1 where none is needed.
    pub start: step::Fd,
    /// The container's open lists of threads (cgroup v1) of the hierarchies that are not entered by the clone itself.
    #[serde(borrow)]
    pub cgroups: step::Words<'a>,
    /// How many descriptors behind the standard ones the container's process keeps.
    pub preserve: u32,
}
