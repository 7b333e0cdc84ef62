//! linux.resources as writes to cgroup files. The values are computed in `v1` and `v2`; here is where they go.

use std::fmt;
use std::path::PathBuf;

use rustix::io::Errno;

use super::create::refused;
use super::file::Writer;
use super::{Cgroup, Directory, Version, v1, v2};
use crate::conflict::Conflicts;
use crate::error::{Context, Error, Result};
use crate::spec::config::{Cpu, Rdma, Resources};

/// One value for one cgroup file.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The property of config.json that asks for it.
    pub property: String,
    pub controller: String,
    pub directory: PathBuf,
    pub file: String,
    pub value: String,
    pub missing: Missing,
    /// Its failure is no error: devices of a rootless container, who may not touch them anyway.
    pub optional: bool,
}

/// What it means that the file is not there.
#[derive(Clone, Debug, PartialEq)]
pub enum Missing {
    Error,
    /// The kernel does without; so does the container.
    Skip,
    /// Another file of the same directory takes the setting, as another value.
    Instead(String, String),
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write {:?} to {} ({})", self.value, self.directory.join(&self.file).display(), self.property)
    }
}

/// Where the functions of `v1` and `v2` put what they compute.
#[derive(Default)]
pub(super) struct Out(Vec<Write>);

impl Out {
    pub(super) fn write(&mut self, property: &str, file: &str, value: impl ToString) {
        self.push(property, file, value.to_string(), Missing::Error);
    }

    pub(super) fn write_if_there(&mut self, property: &str, file: &str, value: impl ToString) {
        self.push(property, file, value.to_string(), Missing::Skip);
    }

    pub(super) fn push(&mut self, property: &str, file: &str, value: String, missing: Missing) {
        self.0.push(Write {
            property: property.to_string(),
            controller: String::new(),
            directory: PathBuf::new(),
            file: file.to_string(),
            value,
            missing,
            optional: false,
        });
    }
}

type Lower<T> = fn(&mut Out, &T) -> Result<()>;

/// Every write that the resources ask for, in the order in which they are done; devices aside.
pub(super) fn writes(cgroup: &Cgroup, resources: &Resources, conflicts: &mut Conflicts) -> Vec<Write> {
    let mut all = Vec::new();
    let mut add = |property: &str, writes: Result<Vec<Write>>| {
        all.extend(conflicts.note(format_args!("linux.resources.{property}"), writes).unwrap_or_default());
    };
    let r = resources;
    if let Some(memory) = &r.memory {
        add("memory", lower(cgroup, ["memory", "memory"], v1::memory, v2::memory, memory));
    }
    if let Some(cpu) = &r.cpu {
        add("cpu", lower(cgroup, ["cpu", "cpu"], v1::cpu, v2::cpu, cpu));
        add("cpu", lower(cgroup, ["cpuset", "cpuset"], cpuset, cpuset, cpu));
    }
    if let Some(pids) = &r.pids {
        add("pids", lower(cgroup, ["pids", "pids"], v2::pids, v2::pids, pids));
    }
    if let Some(io) = &r.block_io {
        add("blockIO", lower(cgroup, ["blkio", "io"], v1::blkio, v2::io, io));
    }
    let pages = r.hugepage_limits.as_slice();
    add("hugepageLimits", lower(cgroup, ["hugetlb", "hugetlb"], v1::hugetlb, v2::hugetlb, pages));
    match &r.network {
        None => {}
        Some(network) if cgroup.is_unified() => add("network", v2::network(network).map(|()| Vec::new())),
        Some(network) => {
            add("network", lower(cgroup, ["net_cls", "-"], v1::net_cls, v1::net_cls, network));
            add("network", lower(cgroup, ["net_prio", "-"], v1::net_prio, v1::net_prio, network));
        }
    }
    let rdma: Vec<(String, Rdma)> = r.rdma.clone().into_iter().collect();
    add("rdma", lower(cgroup, ["rdma", "rdma"], self::rdma, self::rdma, rdma.as_slice()));
    add("unified", v2::unified(cgroup, &r.unified));
    all
}

/// Computes the writes for the hierarchy that has the controller: in a hybrid layout each is in one or the other.
fn lower<T: ?Sized>(
    cgroup: &Cgroup,
    [name1, name2]: [&str; 2],
    v1: Lower<T>,
    v2: Lower<T>,
    what: &T,
) -> Result<Vec<Write>> {
    let with = |version, name: &str| -> Option<&Directory> {
        cgroup.directories.iter().find(|d| d.version == version && d.controllers.iter().any(|c| c == name))
    };
    let place = with(Version::V1, name1).or_else(|| with(Version::V2, name2));
    let v1_layout = place.map_or(!cgroup.is_unified(), |p| p.version == Version::V1);
    let (name, lower) = if v1_layout { (name1, v1) } else { (name2, v2) };
    let mut out = Out::default();
    lower(&mut out, what)?;
    let Some(place) = place else {
        return match out.0.iter().find(|w| w.missing != Missing::Skip) {
            None => Ok(Vec::new()),
            Some(write) => Err(Error::new(format!(
                "{}: cannot write {}: the cgroup controller {name:?} is not available",
                write.property, write.file
            ))),
        };
    };
    for write in &mut out.0 {
        write.controller = name.to_string();
        write.directory = place.path.clone();
    }
    Ok(out.0)
}

fn cpuset(out: &mut Out, cpu: &Cpu) -> Result<()> {
    if !cpu.cpus.is_empty() {
        out.write("linux.resources.cpu.cpus", "cpuset.cpus", &cpu.cpus);
    }
    if !cpu.mems.is_empty() {
        out.write("linux.resources.cpu.mems", "cpuset.mems", &cpu.mems);
    }
    Ok(())
}

fn rdma(out: &mut Out, devices: &[(String, Rdma)]) -> Result<()> {
    for (device, limits) in devices {
        let mut line = device.clone();
        if let Some(handles) = limits.hca_handles {
            line += &format!(" hca_handle={handles}");
        }
        if let Some(objects) = limits.hca_objects {
            line += &format!(" hca_object={objects}");
        }
        out.write("linux.resources.rdma", "rdma.max", line);
    }
    Ok(())
}

/// What is accepted and has no effect, as a person should know.
pub(super) fn warnings(resources: &Resources) -> Vec<String> {
    let Some(memory) = &resources.memory else { return Vec::new() };
    [
        (memory.kernel.is_some(), "linux.resources.memory.kernel: ignored, the kernel has dropped it"),
        (memory.kernel_tcp.is_some(), "linux.resources.memory.kernelTCP: ignored, the kernel has dropped it"),
        (memory.use_hierarchy == Some(false), "linux.resources.memory.useHierarchy: ignored, there is always one"),
    ]
    .into_iter()
    .filter(|(is_there, _)| *is_there)
    .map(|(_, text)| text.to_string())
    .collect()
}

/// Values bound to each other (quota and burst, memory and memory+swap, period and quota of the parent) have no order
/// that is right for raising and for lowering them: what the kernel finds invalid is tried again after the others.
pub(super) fn apply<'a>(writes: impl IntoIterator<Item = &'a Write>) -> Result<()> {
    let mut writer = Writer::default();
    let mut again = Vec::new();
    for write in writes {
        match write.run(&mut writer) {
            Err(Errno::INVAL) => again.push(write),
            result => write.explain(result)?,
        }
    }
    for write in again {
        write.explain(write.run(&mut writer))?;
    }
    Ok(())
}

impl Write {
    pub(super) fn run(&self, writer: &mut Writer) -> rustix::io::Result<()> {
        match (writer.write(&self.directory.join(&self.file), &self.value), &self.missing) {
            (Err(Errno::NOENT), Missing::Skip) => Ok(()),
            (Err(Errno::NOENT), Missing::Instead(file, value)) => writer.write(&self.directory.join(file), value),
            (result, _) => result,
        }
    }

    fn is_idle(&self) -> bool {
        super::file::read(&self.directory.join("cpu.idle")).is_ok_and(|text| text.trim() == "1")
    }

    pub(super) fn explain(&self, result: rustix::io::Result<()>) -> Result<()> {
        let Err(errno) = result else { return Ok(()) };
        if self.optional {
            return Ok(());
        }
        let path = match &self.missing {
            Missing::Instead(file, _) if errno == Errno::NOENT => self.directory.join(file),
            _ => self.directory.join(&self.file),
        };
        let error = Err(errno).at(&format!("write {:?} to", self.value), &path).context(self.property.as_str());
        error.map_err(|e| match errno {
            Errno::NOENT if self.directory.join("cgroup.controllers").exists() => e.hint(format!(
                "the controller {:?} may not be enabled in cgroup.subtree_control above, or the kernel is too old",
                self.controller
            )),
            Errno::BUSY if self.file == "memory.limit_in_bytes" => {
                let usage = super::file::read(&self.directory.join("memory.usage_in_bytes")).unwrap_or_default();
                e.hint(format!("the memory in use is {} bytes", usage.trim()))
            }
            Errno::INVAL if matches!(self.file.as_str(), "cpu.shares" | "cpu.weight") && self.is_idle() => {
                e.hint("the cgroup is idle, and has no weight: set cpu.idle to 0, too")
            }
            _ => refused(e),
        })
    }
}
