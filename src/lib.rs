//! hilum: an OCI container runtime.
//!
//! A command loads config.json ([`spec`]), makes a [`plan`] of it, and carries it out ([`run`]); what it leaves behind is
//! in [`state`] and in the container's [`cgroup`]. A [`pod`] is what several containers share. The process inside the container is the program of the `hilum-init`
//! crate, which walks the plan.
#![forbid(unsafe_code)]

pub mod cgroup;
pub mod cli;
pub mod cni;
pub mod command;
pub mod conflict;
pub mod dbus;
pub mod error;
pub mod log;
pub mod netlink;
pub mod plan;
pub mod pod;
pub mod privilege;
pub mod proc;
pub mod program;
pub mod resctrl;
pub mod run;
pub mod spec;
pub mod state;
