//! linux.uidMappings and gidMappings: the lines of /proc/PID/uid_map and gid_map (user_namespaces(7)).

use hilum_sys::namespace::Kind;

use super::namespace::Namespaces;
use crate::conflict::Conflicts;
use crate::error::{Error, Result};
use crate::spec::config::{IdMapping, Linux};

/// The kernel's limit on lines.
const MOST: usize = 340;
/// Its limit on their text: a page.
const LONGEST: usize = 4096;

#[derive(Clone, Debug, PartialEq)]
pub struct IdMaps {
    pub uid: Vec<IdMapping>,
    pub gid: Vec<IdMapping>,
}

impl IdMaps {
    pub fn plan(linux: &Linux, ns: &Namespaces, conflicts: &mut Conflicts) -> Option<Self> {
        let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
        if !ns.is_new(Kind::User) {
            // A joined user namespace has its maps; clients repeat them (the CRI does), and nobody can change them.
            if mapped && !ns.is_private(Kind::User) {
                let error = Error::new(
                    "linux.uidMappings: user namespace mappings specified, but user namespace isn't enabled in the config",
                );
                let error = error.hint("add {\"type\": \"user\"} to linux.namespaces");
                conflicts.note::<()>("linux.uidMappings", Err(error));
            }
            return None;
        }
        for (maps, property) in [(&linux.uid_mappings, "linux.uidMappings"), (&linux.gid_mappings, "linux.gidMappings")]
        {
            conflicts.note(property, check(maps, property));
        }
        Some(Self { uid: linux.uid_mappings.clone(), gid: linux.gid_mappings.clone() })
    }

    /// Those of a new user namespace, if they can be written.
    pub fn of_container(linux: &Linux) -> Option<Self> {
        let good = check(&linux.uid_mappings, "").and_then(|()| check(&linux.gid_mappings, "")).is_ok();
        good.then(|| Self { uid: linux.uid_mappings.clone(), gid: linux.gid_mappings.clone() })
    }

    /// What an id of the container is on the host.
    pub fn host_id(maps: &[IdMapping], id: u32) -> Option<u32> {
        maps.iter().find_map(|map| {
            let offset = id.checked_sub(map.container_id).filter(|offset| *offset < map.size)?;
            map.host_id.checked_add(offset)
        })
    }

    /// `container host size`, a line each.
    pub fn lines(maps: &[IdMapping]) -> String {
        maps.iter().map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size)).collect()
    }
}

fn check(maps: &[IdMapping], property: &str) -> Result<()> {
    if maps.is_empty() {
        return Err(Error::new(format!("{property}: user namespaces enabled, but no mapping found"))
            .hint("map at least the container's id 0"));
    }
    check_ranges(maps, property)?;
    if !maps.iter().any(|map| map.container_id == 0) {
        return Err(Error::new(format!("{property}: nothing is mapped to the container's id 0, which sets it up"))
            .hint("add a line with containerID 0"));
    }
    Ok(())
}

/// Whether the kernel takes them.
pub(super) fn check_ranges(maps: &[IdMapping], property: &str) -> Result<()> {
    if maps.len() > MOST {
        return Err(Error::new(format!("{property}: {} lines, and the kernel takes {MOST}", maps.len())));
    }
    for (index, map) in maps.iter().enumerate() {
        let ends = [map.container_id, map.host_id].map(|start| start.checked_add(map.size));
        if map.size == 0 || ends.contains(&None) {
            return Err(Error::new(format!(
                "{property}[{index}]: {} ids from {} to {} are not a range of ids",
                map.size, map.container_id, map.host_id
            )));
        }
    }
    let text = IdMaps::lines(maps).len();
    if text >= LONGEST {
        return Err(Error::new(format!(
            "{property}: {text} bytes as the kernel reads it, which takes less than {LONGEST}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn only_ranges_that_include_root_are_taken() {
        assert!(check(&[map(0, 100_000, 65_536)], "p").is_ok());
        for bad in [vec![], vec![map(0, 1, 0)], vec![map(0, u32::MAX, 2)], vec![map(1, 1000, 1)]] {
            assert!(check(&bad, "p").is_err(), "{bad:?}");
        }
        assert!(check(&vec![map(0, 1, 1); MOST + 1], "p").is_err());
    }

    #[test]
    fn ids_of_the_container_are_found_on_the_host() {
        let maps = [map(0, 1000, 1), map(1, 100_000, 9)];
        assert_eq!(
            [0, 1, 9, 10].map(|id| IdMaps::host_id(&maps, id)),
            [Some(1000), Some(100_000), Some(100_008), None]
        );
    }

    #[test]
    fn lines_are_what_the_kernel_reads() {
        assert_eq!(IdMaps::lines(&[map(0, 1000, 1), map(1, 100_000, 9)]), "0 1000 1\n1 100000 9\n");
    }
}
