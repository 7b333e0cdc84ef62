//! The kernel: its release, and the system calls that hilum makes, by making them where they cannot do anything.

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsopen};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::thread::CapabilitySet;

use super::{Check, Status};
use crate::error::{Context, Error, Result};
use crate::plan::idmapped;
use crate::{privilege, proc, run};

/// What the floor of hilum is.
const OLDEST: (u32, u32) = (5, 10);
const FORBIDDEN: &str =
    "a seccomp filter or a security module forbids it: run hilum where it may, such as in a privileged container";

pub fn checks() -> Vec<Check> {
    vec![
        release(&idmapped::release()),
        call("clone3", "with CLONE_INTO_CGROUP", hilum_sys::clone::probe()),
        call("openat2", "", open_root()),
        call("mount-api", "fsopen and its like", open_tmpfs()),
        call("close_range", "", hilum_sys::process::probe_close_range()),
        call("pidfd_open", "", pidfd_open(getpid(), PidfdFlags::empty()).map(drop)),
        mount_setattr(),
        Check::of("memfd", memfd(), Status::Missing, FORBIDDEN),
        keyrings(),
    ]
}

fn release(release: &str) -> Check {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => Check::ok("kernel", release),
        _ => Check::missing("kernel", release, format!("boot Linux {}.{} or newer", OLDEST.0, OLDEST.1)),
    }
}

fn call(name: &'static str, what: &str, probed: rustix::io::Result<()>) -> Check {
    let what = if what.is_empty() { "known to the kernel" } else { what };
    let known = probed.map(|()| what.to_string()).map_err(|errno| Error::from(errno).context(what));
    Check::of(name, known, Status::Missing, FORBIDDEN)
}

fn open_root() -> rustix::io::Result<()> {
    openat2(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::empty()).map(drop)
}

/// A file system that is not mounted anywhere, nor made yet.
fn open_tmpfs() -> rustix::io::Result<()> {
    match fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC) {
        // It is there, and for who may mount: who becomes root of a user namespace may.
        Err(Errno::PERM) if !privilege::missing(CapabilitySet::SYS_ADMIN).is_empty() => Ok(()),
        other => other.map(drop),
    }
}

fn mount_setattr() -> Check {
    match idmapped::is_known_to_kernel() {
        true => Check::ok("mount_setattr", "known to the kernel"),
        false => Check::optional(
            "mount_setattr",
            "not known to the kernel",
            "id-mapped mounts and recursive mount options (rro) need Linux 5.12 or newer",
        ),
    }
}

/// The program that enters a container is executed from there.
fn memfd() -> Result<String> {
    run::init_program()?;
    let sysctl = proc::read("/proc/sys/vm/memfd_noexec").map(|text| String::from_utf8_lossy(&text).trim().to_string());
    Ok(sysctl.map_or("programs may be in memory".into(), |value| {
        format!("programs may be in memory (vm.memfd_noexec is {value})")
    }))
}

fn keyrings() -> Check {
    match hilum_sys::process::probe_keyrings() {
        Err(Errno::NOSYS) => Check::optional(
            "keyrings",
            "the kernel has none",
            "nothing, as containers then have no caller's keys to be kept from (CONFIG_KEYS)",
        ),
        known => {
            let known = known.map(|()| "session keyrings can be made".to_string()).context("keyctl");
            Check::of("keyrings", known, Status::Missing, "give create and run --no-new-keyring, or allow keyctl(2)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_compared_by_its_numbers() {
        for (text, expected) in [
            ("5.10.0-28-amd64", Status::Ok),
            ("6.1", Status::Ok),
            ("10.0.0", Status::Ok),
            ("5.9.16", Status::Missing),
            ("4.19.0-5.10", Status::Missing),
            ("unknown", Status::Missing),
            ("", Status::Missing),
        ] {
            assert_eq!(release(text).status, expected, "{text}");
        }
    }
}
