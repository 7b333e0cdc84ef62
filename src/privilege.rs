//! What hilum itself may do, and who it is that forbids something: the kernel says no more than EPERM.

use std::sync::OnceLock;

use rustix::fs::stat;
use rustix::io::Errno;
use rustix::process::{Uid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::error::Error;
use crate::proc;

/// Says what is missing, if it failed because hilum may not do what takes these capabilities.
pub fn needs(error: Error, needed: CapabilitySet) -> Error {
    let missing = missing(needed);
    match error.detail().errno {
        Some(Errno::PERM | Errno::ACCESS) if !missing.is_empty() => {
            error.hint(format!("hilum lacks {}, which this needs", missing.join(" and ")))
        }
        Some(Errno::PERM) if in_user_namespace() => {
            error.hint("hilum runs in a user namespace, where the kernel allows less")
        }
        Some(Errno::PERM) => error.hint("a seccomp filter, a security module or the owner of a namespace forbids it"),
        _ => error,
    }
}

/// The same of what takes no capability.
pub fn forbidden(error: Error) -> Error {
    needs(error, CapabilitySet::empty())
}

/// Those of these capabilities that hilum does not hold.
pub fn missing(needed: CapabilitySet) -> Vec<String> {
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    needed.difference(held).iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}

/// Who runs this: nothing here changes that.
pub fn user() -> Uid {
    static ANSWER: OnceLock<Uid> = OnceLock::new();
    *ANSWER.get_or_init(geteuid)
}

/// The initial user namespace has its number from the kernel (linux/nsfs.h), and maps every id to itself (user_namespaces(7)).
/// The number is asked for first, which is one system call and not three; one that maps all ids alike is no other to us.
pub fn in_user_namespace() -> bool {
    const USER_NS_INIT_INO: u64 = 0xEFFF_FFFD;
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let is_initial = stat("/proc/self/ns/user").is_ok_and(|stat| stat.st_ino == USER_NS_INIT_INO);
        let maps_all =
            |text: &[u8]| String::from_utf8_lossy(text).split_ascii_whitespace().eq(["0", "0", "4294967295"]);
        !is_initial && proc::read("/proc/self/uid_map").is_ok_and(|text| !maps_all(&text))
    })
}
