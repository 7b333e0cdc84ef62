//! The kernel's side of hilum: one typed function for each call that `rustix` does not have, and every `unsafe` block
//! of the project.
//!
//! Usable without the standard library, because the init program that enters a container has none; what only the
//! parent needs is behind the `std` feature.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod clone;
pub mod exec;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod process;
pub mod raw;
pub mod schedule;
pub mod socket;

#[cfg(feature = "std")]
pub mod bpf;
#[cfg(feature = "std")]
pub mod signal;
#[cfg(feature = "std")]
pub mod start;

pub use rustix::io::Errno;
pub type Result<T> = core::result::Result<T, Errno>;
