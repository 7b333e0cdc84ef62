//! Writing the id maps of a new user namespace (user_namespaces(7)).

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::process::Command;

use bumpalo::Bump;
use hilum_init::step::Point;
use hilum_sys::signal::unblocked;
use rustix::fs::{Mode, OFlags, open};

use super::holder::hold;
use crate::error::{Context, Error, Result};
use crate::plan::{IdMaps, idmapped};
use crate::spec::config::IdMapping;

/// Whether the map is the one line that the kernel takes from anybody: the caller's own id.
fn is_own(maps: &[IdMapping], own: u32) -> bool {
    matches!(maps, [map] if map.host_id == own && map.size == 1)
}

/// Whether setgroups(2) will be denied there: that is the price of a group map that was written without privilege.
pub fn denies_setgroups(gid_maps: &[IdMapping]) -> bool {
    !rustix::process::geteuid().is_root() && is_own(gid_maps, rustix::process::getegid().as_raw())
}

pub fn write(pid: i32, maps: &IdMaps) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    if root || is_own(&maps.uid, rustix::process::geteuid().as_raw()) {
        put(pid, "uid_map", &IdMaps::lines(&maps.uid), "linux.uidMappings")?;
    } else {
        helper("newuidmap", pid, &maps.uid, "linux.uidMappings", "/etc/subuid")?;
    }
    if denies_setgroups(&maps.gid) {
        put(pid, "setgroups", "deny", "linux.gidMappings")?;
    }
    if root || is_own(&maps.gid, rustix::process::getegid().as_raw()) {
        put(pid, "gid_map", &IdMaps::lines(&maps.gid), "linux.gidMappings")
    } else {
        helper("newgidmap", pid, &maps.gid, "linux.gidMappings", "/etc/subgid")
    }
}

/// The user namespaces whose maps mounts get (plan/idmapped.rs), one for each map.
#[derive(Default)]
pub struct ForMounts(RefCell<Vec<(IdMaps, OwnedFd)>>);

impl ForMounts {
    pub fn get(&self, maps: &IdMaps) -> Result<OwnedFd> {
        let mut made = self.0.borrow_mut();
        if let Some((_, user_ns)) = made.iter().find(|(of, _)| of == maps) {
            return Ok(user_ns.try_clone()?);
        }
        let user_ns = make(maps)?;
        made.push((maps.clone(), user_ns.try_clone()?));
        Ok(user_ns)
    }
}

/// It needs no process once it is open.
fn make(maps: &IdMaps) -> Result<OwnedFd> {
    let arena = Bump::new();
    let plan = idmapped::holder(&arena);
    hold(&plan, Point::IdMaps, |pid| map_and_open(pid, maps))
}

fn map_and_open(pid: i32, maps: &IdMaps) -> Result<OwnedFd> {
    const WHAT: &str = "its user namespace";
    put(pid, "uid_map", &IdMaps::lines(&maps.uid), WHAT)?;
    put(pid, "gid_map", &IdMaps::lines(&maps.gid), WHAT)?;
    let path = format!("/proc/{pid}/ns/user");
    open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at("open", path)
}

fn put(pid: i32, file: &str, text: &str, property: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).at(&format!("{property}: write"), path)
}

/// The set-uid programs of shadow, which let a user map the ranges that the administrator gave.
fn helper(program: &str, pid: i32, maps: &[IdMapping], property: &str, ranges: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for map in maps {
        command.args([map.container_id, map.host_id, map.size].map(|id| id.to_string()));
    }
    let output = match unblocked(&mut command).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::new(format!("{property}: {program} is not installed"))
                .hint("install it (the package uidmap), or map only your own id"));
        }
        other => other.context(format!("{property}: run {program}"))?,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!("{property}: {program}: {}", said.trim())).hint(format!("see the ranges in {ranges}")))
}
