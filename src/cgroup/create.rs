//! Making what a plan says: directories, controllers, values, the device filter. What fails half-way is taken back.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FileType, Mode, Uid};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::systemd::{self, Manager};
use super::{Cgroup, Directory, Entry, Plan, Version, file, host, resources};
use crate::error::{Context, Error, Result};
use crate::privilege;

impl Plan {
    /// Leaves out of `self.cgroup` the hierarchies that a rootless caller may not use and does not need.
    pub fn create(&mut self) -> Result<()> {
        if self.unit.is_some() {
            return self.in_use().collect();
        }
        let mut made = Made::default();
        let mut kept = Vec::new();
        for directory in &self.cgroup.directories {
            let opened = self.make(directory, &mut made).and_then(|()| self.entry.open(directory));
            match opened {
                Ok(inode) => kept.push(Directory { inode: Some(inode), ..directory.clone() }),
                Err(error) if self.may_do_without && is_permission(&error) => self.do_without(directory, error)?,
                Err(error) => return Err(error),
            }
        }
        let present = |w: &&resources::Write| kept.iter().any(|d| d.path == w.directory);
        resources::apply(self.writes.iter().filter(present))?;
        if let Some((directory, _)) = &self.devices {
            self.is_new = made.0.contains(directory);
        }
        made.keep();
        self.cgroup.directories = kept;
        Ok(())
    }

    /// Of each directory that is there already, whether somebody else is in it.
    pub fn in_use(&self) -> impl Iterator<Item = Result<()>> {
        let existing = self.cgroup.directories.iter().filter(|directory| directory.exists());
        existing.map(|it| it.refuse_if_a_pods(self.pod.as_deref()).and_then(|()| it.refuse_if_used()))
    }

    /// Says which pod it is for. By that a unit can be told from others of its name, should we be killed while systemd
    /// starts it.
    pub fn of_pod(&mut self, pod: &Path) {
        if let Some(planned) = &mut self.unit {
            planned.describe(&format!("hilum pod {}", pod.display()));
            self.cgroup.unit = Some(planned.unit.clone());
        }
        self.pod = Some(pod.into());
    }

    /// Has systemd start the unit for the process, which waits meanwhile, and does what systemd does not: the files.
    pub fn start_unit(&mut self, manager: &mut Manager, pid: i32) -> Result<()> {
        let Some(unit) = self.unit.take() else { return Ok(()) };
        if let Err(error) = unit.start(manager, pid) {
            // If there is one of this name, it is another's, and not to be stopped.
            self.cgroup = Cgroup::default();
            return Err(error);
        }
        let Some(directory) = self.cgroup.directories.first_mut() else { return Ok(()) };
        directory.inode = directory.current_inode();
        let directory = directory.clone();
        if unit.unit.is_slice() {
            self.cgroup.add(pid)?;
        }
        if !file::pids_below(&directory.path).at("read the processes of", &directory.path)?.contains(&pid) {
            return Err(systemd::misplaced(&unit.unit, pid, &directory.path));
        }
        // systemd has handed down those that it knows.
        self.enable_above(&directory, &Made::default())?;
        resources::apply(&self.writes)
    }

    /// Gives the cgroup to the user who is root in the container and may make cgroups below it, as systemd does. Only
    /// v2 can be delegated safely.
    pub fn delegate(&self, owner: u32) -> Result<()> {
        let Some(path) = self.cgroup.directories.first().filter(|_| self.cgroup.is_unified()).map(|d| &d.path) else {
            return Ok(());
        };
        // The kernel's own list of what the owner of a cgroup should own in it.
        let known = file::read(Path::new("/sys/kernel/cgroup/delegate"));
        let files = known.unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".into());
        for file in std::iter::once(path.clone()).chain(files.lines().map(|name| path.join(name))) {
            match rustix::fs::chown(&file, Some(Uid::from_raw(owner)), None) {
                Ok(()) | Err(Errno::NOENT) => {}
                // A user cannot give anything to another, and is the container's root mostly.
                Err(Errno::PERM) if self.rootless => return Ok(()),
                Err(errno) => return Err(errno).at("chown", &file),
            }
        }
        Ok(())
    }

    /// How the container's first process gets in by itself: not at all, if systemd puts it there.
    pub fn entry(&mut self) -> Entry {
        std::mem::take(&mut self.entry)
    }

    /// v2's device rules, which are a program. Verifying it takes the kernel a while, so this is apart: the child can
    /// set up the container meanwhile, and no program but ours runs before both are done.
    pub fn install_device_filter(&self, entry: &Entry) -> Result<()> {
        match &self.devices {
            Some((directory, rules)) if self.cgroup.directories.iter().any(|d| d.path == *directory) => {
                let attached = match &entry.v2 {
                    Some(cgroup) => rules.attach(directory, cgroup.as_fd(), self.is_new),
                    None => {
                        let cgroup = file::open_directory(directory).at("open", directory)?;
                        rules.attach(directory, cgroup.as_fd(), self.is_new)
                    }
                };
                if self.rootless { Ok(()) } else { attached.context("linux.resources.devices") }
            }
            _ => Ok(()),
        }
    }

    fn do_without(&self, directory: &Directory, cause: Error) -> Result<()> {
        let needed = self.writes.iter().find(|w| w.directory == directory.path && !w.optional);
        match (needed, directory.version) {
            (None, _) => Ok(()),
            (Some(_), Version::V2) => {
                Err(cause.context("rootless needs no limits + no cgrouppath when no permission is granted for cgroups"))
            }
            (Some(write), Version::V1) => Err(cause
                .context(format!("cannot set {} limit: container could not join or create cgroup", write.controller))),
        }
    }

    fn make(&self, directory: &Directory, made: &mut Made) -> Result<()> {
        let path = &directory.path;
        let mut is_new = made.mkdir(path, &directory.mount).at("mkdir", path).map_err(refused)?;
        if !is_new {
            // In any hierarchy, before something is done to what was there.
            self.in_use().collect::<Result<()>>()?;
            // Nobody is in it, but another state may name it, whose removal would then kill ours: a new one has another inode.
            // A user may be allowed this one alone, and where there are others below, it stays.
            if !self.rootless && rustix::fs::rmdir(path).is_ok() {
                is_new = made.mkdir(path, &directory.mount).at("mkdir", path).map_err(refused)?;
            }
        }
        // As it is there, no command for another one can remove those above it any more.
        if !self.enable.is_empty() && directory.version == Version::V2 {
            self.enable_above(directory, made)?;
        }
        if !is_new {
            // Otherwise the failure would come too late to do without it.
            let procs = path.join("cgroup.procs");
            rustix::fs::access(&procs, Access::WRITE_OK).at("write", &procs)?;
        }
        if self.cgroup.is_unified() {
            self.check_type(path)?;
        }
        if directory.is_v1_cpuset() {
            self.fill_cpuset(directory, is_new)?;
        }
        Ok(())
    }

    /// A v2 controller has files in a cgroup only if every cgroup above hands it down, which may have been made for this one.
    fn enable_above(&self, directory: &Directory, made: &Made) -> Result<()> {
        let below = directory.path.parent().and_then(|p| p.strip_prefix(&directory.mount).ok());
        let mut path = directory.mount.clone();
        let mut names = below.unwrap_or(Path::new("")).components();
        loop {
            let control = path.join("cgroup.subtree_control");
            if made.0.contains(&path) {
                self.check_type(&path)?;
            }
            let enabled = file::read(&control).at("read", &control)?;
            let is_off = |c: &&String| !enabled.split_whitespace().any(|e| e == c.as_str());
            let missing: Vec<String> = self.enable.iter().filter(is_off).map(|c| format!("+{c}")).collect();
            if !missing.is_empty() && file::write(&control, &missing.join(" ")).is_err() {
                // One by one: some may not be ours to give, and whether that matters shows when a value is written.
                for controller in &missing {
                    let _ = file::write(&control, controller);
                }
            }
            match names.next() {
                Some(name) => path.push(name),
                None => return Ok(()),
            }
        }
    }

    /// Below a cgroup that has processes, only controllers that can work by threads are possible.
    fn check_type(&self, path: &Path) -> Result<()> {
        let kind = file::read(&path.join("cgroup.type")).unwrap_or_default();
        let state = match kind.trim() {
            "domain invalid" => "an invalid state",
            "threaded" => "threaded mode",
            "domain threaded" => "domain threaded mode",
            _ => return Ok(()),
        };
        let threaded = ["cpu", "cpuset", "pids", "perf_event", "cgroup"];
        if self.writes.iter().any(|w| !threaded.contains(&w.controller.as_str())) {
            let path = path.display();
            return Err(Error::new(format!(
                "cannot enter cgroupv2 \"{path}\" with domain controllers -- it is in {state}"
            ))
            .hint("a cgroup above it is threaded, or has processes of its own: choose another linux.cgroupsPath"));
        }
        if kind.trim() == "domain invalid" {
            let _ = file::write(&path.join("cgroup.type"), "threaded");
        }
        Ok(())
    }

    /// No process can enter a v1 cpuset without processors and memory nodes, and a new one has none.
    fn fill_cpuset(&self, directory: &Directory, is_new: bool) -> Result<()> {
        let above = directory.path.parent().unwrap_or(&directory.mount);
        for name in ["cpuset.cpus", "cpuset.mems"] {
            let given = self.writes.iter().any(|w| w.directory == directory.path && w.file == name);
            match given || is_new {
                true => {
                    let value = inherit(above, name, &directory.mount)?;
                    if !given {
                        fill(&directory.path.join(name), &value)?;
                    }
                }
                false => _ = inherit(&directory.path, name, &directory.mount)?,
            }
        }
        Ok(())
    }
}

/// The cpuset's value, taken from the one above if it has none.
pub(super) fn inherit(directory: &Path, name: &str, mount: &Path) -> Result<String> {
    let path = directory.join(name);
    let value = file::read(&path).at("read", &path)?;
    match directory.parent() {
        Some(parent) if value.trim().is_empty() && directory != mount => {
            let value = inherit(parent, name, mount)?;
            fill(&path, &value)?;
            Ok(value)
        }
        _ => Ok(value),
    }
}

fn fill(path: &Path, value: &str) -> Result<()> {
    file::write(path, value.trim()).at(&format!("write {:?} to", value.trim()), path)
}

fn is_permission(error: &Error) -> bool {
    matches!(error.detail().errno, Some(Errno::PERM | Errno::ACCESS | Errno::ROFS))
}

/// What stands in the way of a cgroup, or of a value in one.
pub(super) fn refused(error: Error) -> Error {
    match error.detail().errno {
        Some(Errno::ROFS) => {
            error.hint("the cgroup file system is mounted read-only, as it is in a container that is not privileged")
        }
        Some(Errno::AGAIN) => error.hint("cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached"),
        _ => privilege::needs(error, CapabilitySet::DAC_OVERRIDE | CapabilitySet::SYS_ADMIN),
    }
}

/// The directories that we made, removed again unless forgotten.
#[derive(Default)]
pub(super) struct Made(Vec<PathBuf>);

impl Made {
    pub(super) fn keep(&mut self) {
        self.0.clear();
    }

    /// Makes a cgroup and those above it, and says whether it is new.
    pub(super) fn mkdir(&mut self, path: &Path, mount: &Path) -> rustix::io::Result<bool> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                self.0.push(path.to_path_buf());
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(Errno::NOENT) => match path.parent() {
                Some(parent) if path != mount && parent != mount => {
                    self.mkdir(parent, mount)?;
                    // Again: another command may have removed it, empty as it was.
                    self.mkdir(path, mount)
                }
                _ => Err(Errno::NOENT),
            },
            Err(errno) => Err(errno),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = rustix::fs::rmdir(path);
        }
    }
}

impl Directory {
    /// A cgroup that someone else uses is not the container's to limit, freeze or kill.
    pub(super) fn refuse_if_used(&self) -> Result<()> {
        let path = &self.path;
        match file::pids_below(path) {
            Ok(pids) if !pids.is_empty() => {
                let count = pids.len();
                return Err(Error::new(format!("container's cgroup is not empty: {count} process(es) found"))
                    .path(path)
                    .hint(format!("they are in {}", path.display())));
            }
            Ok(_) => {}
            Err(errno) => return Err(errno).at("read the processes of", path),
        }
        if self.is_frozen()? {
            return Err(Error::new("container's cgroup unexpectedly frozen")
                .path(path)
                .hint(format!("it is {}", path.display())));
        }
        Ok(())
    }

    pub(super) fn is_v1_cpuset(&self) -> bool {
        self.version == Version::V1 && self.controllers.iter().any(|c| c == "cpuset")
    }

    pub(super) fn current_inode(&self) -> Option<u64> {
        inode_of(&self.path)
    }

    pub(super) fn exists(&self) -> bool {
        rustix::fs::lstat(&self.path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    /// Whether it may well be there, in a hierarchy that is not mounted where we are.
    pub(super) fn is_out_of_sight(&self) -> bool {
        let is_known = self.inode.is_some() && self.current_inode().is_none();
        is_known && !host::is_cgroup_file_system(&self.mount) && host::has_hierarchy(self)
    }
}

/// `None`: it is gone.
pub(super) fn inode_of(cgroup: &Path) -> Option<u64> {
    rustix::fs::stat(cgroup).ok().map(|stat| stat.st_ino)
}
