//! Capability names and numbers (capabilities(7), linux/capability.h).

use rustix::thread::CapabilitySet;

/// In the order of their numbers.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What this process could give: its bounding set. Five lists name the same ones, each of which is a system call.
#[derive(Default)]
pub struct Bounding {
    asked: u64,
    there: u64,
}

impl Bounding {
    pub fn has(&mut self, number: u32) -> bool {
        let bit = 1 << number;
        if self.asked & bit == 0 {
            self.asked |= bit;
            let one = CapabilitySet::from_bits_retain(bit);
            if rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false) {
                self.there |= bit;
            }
        }
        self.there & bit != 0
    }
}

/// The mask of the names, and those among them that are unknown or not available.
pub fn mask(names: &[String], mut available: impl FnMut(u32) -> bool) -> (u64, Vec<&str>) {
    let mut unknown = Vec::new();
    let mask = names.iter().fold(0, |mask, name| match NAMES.iter().position(|known| known == name) {
        Some(number) if available(number as u32) => mask | 1 << number,
        _ => {
            unknown.push(name.as_str());
            mask
        }
    });
    (mask, unknown)
}

pub fn names_of(mask: u64) -> Vec<&'static str> {
    NAMES.iter().enumerate().filter(|(number, _)| mask & 1 << number != 0).map(|(_, name)| *name).collect()
}

/// What this kernel knows, for `features`.
pub fn names() -> Vec<&'static str> {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap");
    let last = last.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(NAMES.len() - 1);
    NAMES.iter().take(last + 1).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_holds_what_is_known_and_available_and_the_rest_is_reported() {
        let names: Vec<_> = ["CAP_KILL", "CAP_NONSENSE", "CAP_BPF"].map(String::from).into();
        assert_eq!(mask(&names, |_| true), (1 << 5 | 1 << 39, vec!["CAP_NONSENSE"]));
        assert_eq!(mask(&names, |number| number == 5), (1 << 5, vec!["CAP_NONSENSE", "CAP_BPF"]));
    }
}
