//! Whose systemd it is: in a user namespace, root may be the root of a machine with a systemd of its own, or a user who
//! has become root of a namespace and whose systemd is the user's.

use std::path::Path;

use super::super::file;

/// The user in whose session we are, as the host counts; none in a service of the host's.
pub fn session_owner() -> Option<u32> {
    let var = |name: &str| std::env::var(name).ok();
    let rootlesskit = || var("ROOTLESSKIT_PARENT_EUID")?.parse().ok();
    let cgroup = || slice_owner(&file::read(Path::new("/proc/self/cgroup")).ok()?);
    // A service that runs as the user, and has been told where the user's own systemd is.
    let directory = || var("XDG_RUNTIME_DIR")?.strip_prefix("/run/user/")?.parse().ok();
    rootlesskit().or_else(cgroup).or_else(directory)
}

/// Our uid as the host counts, for messages.
pub fn host_uid() -> u32 {
    let own = crate::privilege::user().as_raw();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    outside(&map, own).unwrap_or(own)
}

/// `0::/user.slice/user-1000.slice/…`
fn slice_owner(cgroups: &str) -> Option<u32> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.split('/').find_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok())
}

/// The lines of /proc/self/uid_map: first id inside, first id outside, how many.
fn outside(map: &str, uid: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse::<u32>().ok());
        let (inside, outside, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let offset = uid.checked_sub(inside).filter(|offset| *offset < count)?;
        outside.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_an_owner() {
        let session = "1:name=x:/user.slice/user-7.slice\n0::/user.slice/user-1000.slice/session-3.scope\n";
        assert_eq!(slice_owner(session), Some(1000));
        assert_eq!(slice_owner("0::/user.slice/user-0.slice/user@0.service/init.scope\n"), Some(0));
        assert_eq!(slice_owner("0::/system.slice/x.service\n"), None);
        assert_eq!(slice_owner("0::/user-x.slice\n"), None);
    }

    #[test]
    fn ids_are_mapped_to_those_outside() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(outside(map, 0), Some(1000));
        assert_eq!(outside(map, 5), Some(100_004));
        assert_eq!(outside(map, 70_000), None);
        assert_eq!(outside("0 0 4294967295\n", 12), Some(12));
        assert_eq!(outside("nonsense", 0), None);
    }
}
