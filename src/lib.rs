//! hilum: an OCI container runtime, and the library that it is made of.
//!
//! [`Runtime`] makes containers of bundles, with the same states as the commands of the command line:
//!
//! ```no_run
//! # fn main() -> hilum::Result<()> {
//! let runtime = hilum::Runtime::new("/run/hilum")?;
//! let container = runtime.create("web", "/srv/web")?; // a bundle: config.json and a root file system
//! container.start()?;
//! let code = container.wait()?;
//! container.delete(false)?;
//! # Ok(())
//! # }
//! ```
//!
//! An [`Error`] says in one line what was attempted, on what, what the kernel said, and what to do about it.
//!
//! What is documented here follows semantic versioning. The other modules, which the program, its tests and the fuzzing
//! use, do not: a command loads config.json (`spec`), makes a `plan` of it, and carries it out (`run`); what it leaves
//! behind is in `state` and in the container's `cgroup`. A `pod` is what several containers share. The process inside the
//! container is the program of the `hilum-init` crate, which walks the plan. `docs/architecture.md` goes on from there, and
//! `cargo doc --document-private-items` has all of them.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod error;
mod runtime;

pub use error::{Error, Result};
pub use runtime::{Container, Runtime};
pub use state::Status;

#[doc(hidden)]
pub mod cgroup;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod cni;
#[doc(hidden)]
pub mod command;
#[doc(hidden)]
pub mod conflict;
#[doc(hidden)]
pub mod dbus;
#[doc(hidden)]
pub mod fault;
#[doc(hidden)]
pub mod json;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod netlink;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod pod;
#[doc(hidden)]
pub mod privilege;
#[doc(hidden)]
pub mod proc;
#[doc(hidden)]
pub mod program;
#[doc(hidden)]
pub mod resctrl;
#[doc(hidden)]
pub mod run;
#[doc(hidden)]
pub mod spec;
#[doc(hidden)]
pub mod state;
