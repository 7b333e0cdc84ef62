//! What no document of people or clients comes near. More is refused before it costs memory and time, or the kernel.

use std::fs::File;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::retry_on_intr;

use super::config::Spec;
use crate::error::{Context, Error, Result};

/// Bytes of a document.
pub const LARGEST: u64 = 16 << 20;
/// Objects in it: the smallest one, `{}`, becomes many times its size in memory.
const OBJECTS: usize = 100_000;
/// Entries of a list or a map that each become something. (The kernel's own limit on the mounts of a namespace, host
/// mounts and all, is 100,000: fs.mount-max.)
pub const ENTRIES: usize = 10_000;
/// Bytes of a list of processors or memory nodes: every second one of the 8192 that a kernel has is 24 KiB.
pub const SET: usize = 32 << 10;
/// The kernel's NGROUPS_MAX.
const GROUPS: usize = 65_536;

/// A regular file: a pipe or a device would be waited for.
pub fn open_file(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).at("open", path)?);
    match file.metadata().at("stat", path)?.is_file() {
        true => Ok(file),
        false => Err(Error::new(format!("{}: not a regular file", path.display())).path(path)),
    }
}

/// No more of it than `most`, whatever it is a file of.
pub fn read(file: impl AsFd, path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    read_into(&mut text, file, path, most).map(|()| text)
}

/// The same, into what was used for another file before.
pub fn read_into(text: &mut Vec<u8>, file: impl AsFd, path: &Path, most: u64) -> Result<()> {
    text.clear();
    // Most documents fit in: they come with one read, and one for the end, without a question for the size.
    text.reserve(8 << 10);
    while retry_on_intr(|| rustix::io::read(&file, spare_capacity(text))).at("read", path)? > 0 {
        if text.len() as u64 > most {
            return Err(Error::new(format!("{}: larger than {} MiB", path.display(), most >> 20)).path(path));
        }
        if text.len() == text.capacity() {
            text.reserve(text.len());
        }
    }
    Ok(())
}

/// Told by the braces, also those in strings: there is nothing yet that could tell them apart.
pub fn check_objects(text: &[u8]) -> Result<()> {
    // A usual document is too short for so many, and need not be read for it.
    match text.len() > OBJECTS && text.iter().filter(|byte| **byte == b'{').count() > OBJECTS {
        true => Err(Error::new(format!("has more than {OBJECTS} objects"))),
        false => Ok(()),
    }
}

/// Of everything that becomes a step, a write or a rule. What is executed has a limit of bytes, the kernel's.
pub fn check_entries(spec: &Spec) -> Result<()> {
    let (linux, hooks) = (&spec.linux, spec.hooks.by_name());
    let mut lists = vec![
        ("mounts", spec.mounts.len()),
        ("linux.sysctl", linux.sysctl.len()),
        ("linux.namespaces", linux.namespaces.len()),
        ("linux.devices", linux.devices.len()),
        ("linux.netDevices", linux.net_devices.len()),
        ("linux.maskedPaths", linux.masked_paths.len()),
        ("linux.readonlyPaths", linux.readonly_paths.len()),
    ];
    if let Some(process) = &spec.process {
        lists.push(("process.rlimits", process.rlimits.len()));
        let groups = process.user.additional_gids.len();
        refuse("process.user.additionalGids", groups, GROUPS)?;
    }
    if let Some(resources) = &linux.resources {
        lists.extend([
            ("linux.resources.devices", resources.devices.len()),
            ("linux.resources.hugepageLimits", resources.hugepage_limits.len()),
            ("linux.resources.rdma", resources.rdma.len()),
            ("linux.resources.unified", resources.unified.len()),
        ]);
        if let Some(network) = &resources.network {
            lists.push(("linux.resources.network.priorities", network.priorities.len()));
        }
        if let Some(block_io) = &resources.block_io {
            lists.extend([
                ("linux.resources.blockIO.weightDevice", block_io.weight_device.len()),
                ("linux.resources.blockIO.throttleReadBpsDevice", block_io.throttle_read_bps_device.len()),
                ("linux.resources.blockIO.throttleWriteBpsDevice", block_io.throttle_write_bps_device.len()),
                ("linux.resources.blockIO.throttleReadIOPSDevice", block_io.throttle_read_iops_device.len()),
                ("linux.resources.blockIO.throttleWriteIOPSDevice", block_io.throttle_write_iops_device.len()),
            ]);
        }
    }
    if let Some(rdt) = &linux.intel_rdt {
        lists.push(("linux.intelRdt.schemata", rdt.schemata.len()));
    }
    if let Some(seccomp) = &linux.seccomp {
        lists.push(("linux.seccomp.syscalls", seccomp.syscalls.len()));
    }
    lists.iter().try_for_each(|(property, len)| refuse(property, *len, ENTRIES))?;
    hooks.iter().try_for_each(|(name, hooks)| refuse(&format!("hooks.{name}"), hooks.len(), ENTRIES))
}

fn refuse(property: &str, len: usize, most: usize) -> Result<()> {
    match len > most {
        true => Err(Error::new(format!("{property}: has {len} entries, and {most} are the limit"))),
        false => Ok(()),
    }
}
