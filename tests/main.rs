//! The command line, as a user: needs root. One binary, so that it links once.
//!
//! `HILUM_UNDER_TEST=runc cargo test --test cli` runs the same assertions against runc, the oracle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod common;

mod apparmor;
mod architecture;
mod bare;
mod cgroups;
mod checkpoint;
mod cli;
mod cni;
mod completions;
mod crash;
mod crowd;
mod descriptors;
mod devices;
mod errors;
mod exec;
mod hooks;
mod hostile;
mod idmap;
mod inspect;
mod join;
mod kill;
mod library;
mod lifecycle;
mod limits;
mod manifest;
mod manual;
mod members;
mod messages;
mod mount_ns;
mod mounts;
mod namespaces;
mod net_devices;
mod notify;
mod ns;
mod plan;
mod pods;
mod pods_gc;
mod pods_ops;
mod pods_race;
mod pods_seen;
mod pods_update;
mod process;
mod races;
mod random;
mod refused;
mod reliability_page;
mod resctrl;
mod resources;
mod rootfs;
mod rootless;
mod scheduling;
mod seccomp;
mod security;
mod setup;
mod soak;
mod spec;
mod spec_page;
mod systemd;
mod terminal;
mod unified;
mod userns;
mod walkthrough;
