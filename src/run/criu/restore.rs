//! The restore: the container's surroundings are made as at a creation, and CRIU makes its processes in them.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hilum_sys::namespace::Kind as Namespace;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::client::{Client, Stage};
use super::mounts::{self, External, Sources};
use super::options::{Options, Switches};
use super::protocol::Kind;
use super::stdio;
use super::{Directories, EXTERNAL_NET, EXTERNAL_PID, config_file, converse};
use crate::cgroup::{self, systemd::Manager};
use crate::conflict::Conflicts;
use crate::error::{Context, Error, Result};
use crate::plan::mount::clean;
use crate::plan::namespace::Namespaces;
use crate::run::console::Console;
use crate::run::destroy::half_undone;
use crate::run::{hooks, notify, run_poststop};
use crate::spec::{Document, config::Spec};
use crate::state::{Container, Identity, State, Status};

/// What the user asks for, besides the directories.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub switches: Switches,
    pub lsm_profile: Option<String>,
    pub lsm_mount_context: Option<String>,
}

/// What a checkpoint needs from outside, looked at before anything is made.
pub struct Checkpoint {
    externals: Vec<External>,
    streams: Vec<(i32, String)>,
    namespaces: Namespaces,
}

impl Checkpoint {
    pub fn load(dirs: &Directories, document: &Document) -> Result<Self> {
        let spec = &document.spec;
        super::refuse(spec)?;
        let list = &spec.linux.namespaces;
        let namespaces = Conflicts::none(|conflicts| Namespaces::plan(list, document.written, conflicts))?;
        let images = &dirs.images_path;
        Ok(Self { externals: mounts::load(images)?, streams: stdio::load(images)?, namespaces })
    }
}

pub struct Restore<'r> {
    pub checkpoint: &'r Checkpoint,
    pub spec: &'r Spec,
    /// The text of config.json, which is kept with the state.
    pub document: &'r [u8],
    pub dirs: &'r Directories,
    pub wish: &'r Wish,
    pub cgroup: &'r mut cgroup::Plan,
    pub systemd: Option<&'r mut Manager>,
    pub container: &'r Container,
    pub state: &'r mut State,
    pub console: Console,
    /// Hooks have seen the container: poststop must, too.
    pub hooks_ran: bool,
}

pub struct Restored {
    pub process: Identity,
    pub pidfd: OwnedFd,
    /// The terminal's master, if the caller is to hold it.
    pub terminal: Option<OwnedFd>,
}

impl Restore<'_> {
    /// On an error, nothing of it is left but the container's directory.
    pub fn restore(mut self) -> Result<Restored> {
        self.cgroup.create()?;
        self.state.cgroup = self.cgroup.cgroup.clone();
        let restored = self.work();
        restored.map_err(|error| match self.undo() {
            Ok(()) => error,
            Err(left) => half_undone(error, left, self.container, self.state),
        })
    }

    fn work(&mut self) -> Result<Restored> {
        self.container.save(self.state)?;
        self.container.save_document(self.document)?;
        let externals = self.sources()?;
        make_mount_points(self.spec, &self.state.rootfs, &self.state.bundle)?;
        let mount_point = self.container.path().join("criu-root");
        std::fs::create_dir(&mount_point).at("create", &mount_point)?;
        let process = self.processes(&mount_point, externals);
        std::fs::remove_dir(&mount_point).at("remove", &mount_point)?;
        process
    }

    /// What is bound where: CRIU's name of the mount, and the source.
    fn sources(&self) -> Result<Vec<(String, PathBuf)>> {
        let notify = notify::directory(self.container.path());
        let externals = &self.checkpoint.externals;
        if externals.iter().any(|it| it.from == mounts::Origin::Notify) {
            notify::prepare(&notify)?;
        }
        let cgroup = &self.state.cgroup;
        let sources = Sources { spec: self.spec, bundle: &self.state.bundle, cgroup, notify: &notify };
        externals.iter().map(|it| Ok((it.point.clone(), sources.of(it)?))).collect()
    }

    fn processes(&mut self, mount_point: &Path, externals: Vec<(String, PathBuf)>) -> Result<Restored> {
        let keyring = CString::new(format!("_ses.{}", self.state.id)).map_err(|_| Error::new("the id holds a NUL"))?;
        let readonly = self.spec.root.as_ref().is_some_and(|root| root.readonly);
        let stage = Stage { dirs: self.dirs, rootfs: &self.state.rootfs, mount_point, readonly, keyring };
        let namespaces = &self.checkpoint.namespaces;
        let joins = |kind| namespaces.join(kind).map(|join| join.ns.as_fd());
        let passed: Vec<BorrowedFd<'_>> = [Namespace::Net, Namespace::Pid].into_iter().filter_map(joins).collect();
        let (client, dirs) = Client::start_on(&stage, &passed)?;
        self.enter_cgroup(client.pid())?;
        let facts = Facts {
            root: mount_point,
            externals,
            streams: &self.checkpoint.streams,
            namespaces,
            cgroup_roots: cgroup_roots(client.pid())?,
            config_file: config_file(self.state),
        };
        let options = plan(dirs.options(), self.wish, facts);
        let mut terminal = None;
        let answer =
            converse(&client, Kind::Restore, &options, |script, response, fd| match (script, response.pid, fd) {
                ("setup-namespaces", Some(pid), _) => self.namespaces_are_there(pid),
                ("post-restore", Some(pid), _) => self.record(pid, true),
                ("orphan-pts-master", _, Some(master)) => {
                    terminal = self.console.deliver(master)?;
                    Ok(())
                }
                _ => Ok(()),
            });
        let ended = client.end();
        let answer = answer.map_err(|error| self.dirs.explain(error))?;
        ended?;
        let pid = answer.pid.ok_or_else(|| Error::new("criu does not say which process it has restored"))?;
        let number = Pid::from_raw(pid).ok_or_else(|| Error::new("criu names no process"))?;
        // It is our child: until we have waited for it, the number means no other process.
        let pidfd = pidfd_open(number, PidfdFlags::empty()).context(format!("pidfd_open {pid}"))?;
        self.record(pid, true)?;
        Ok(Restored { process: Identity::of(pid)?, pidfd, terminal })
    }

    /// What CRIU makes is where CRIU itself is.
    fn enter_cgroup(&mut self, pid: i32) -> Result<()> {
        match self.systemd.as_deref_mut() {
            None => self.state.cgroup.add(pid)?,
            Some(manager) => {
                let started = self.cgroup.start_unit(manager, pid);
                self.state.cgroup = self.cgroup.cgroup.clone();
                started?;
                self.container.save(self.state)?;
            }
        }
        let entry = self.cgroup.entry();
        self.cgroup.install_device_filter(&entry)
    }

    /// The namespaces are made, and nothing is in them yet: what hooks wait for, such as those that set up a network.
    fn namespaces_are_there(&mut self, pid: i32) -> Result<()> {
        self.record(pid, false)?;
        if self.spec.linux.namespaces.iter().any(|ns| ns.kind == "network" && ns.path.is_empty()) {
            loopback_up(pid).context("bring up the loopback interface")?;
        }
        let of = &self.spec.hooks;
        self.hooks_ran = self.hooks_ran || !(of.prestart.is_empty() && of.create_runtime.is_empty());
        hooks::run("prestart", &of.prestart, self.state, Status::Creating, pid)?;
        hooks::run("createRuntime", &of.create_runtime, self.state, Status::Creating, pid)
    }

    fn record(&mut self, pid: i32, ready: bool) -> Result<()> {
        self.state.process = Some(Identity::of(pid)?);
        self.state.ready = ready;
        self.container.save(self.state)
    }

    fn undo(&mut self) -> Result<()> {
        let cgroup = &self.cgroup.cgroup;
        cgroup.signal_all(Signal::KILL).and_then(|()| cgroup.remove())?;
        if self.hooks_ran {
            run_poststop(self.state);
        }
        Ok(())
    }
}

/// CRIU leaves the network namespace empty. In a thread of its own, which enters it.
fn loopback_up(pid: i32) -> Result<()> {
    let path = format!("/proc/{pid}/ns/net");
    let ns = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at("open", &path)?;
    let enter = || {
        hilum_sys::namespace::setns(ns.as_fd(), Namespace::Net.flag())?;
        hilum_sys::socket::loopback_up().map_err(Error::from)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, enter)?;
        thread.join().map_err(|_| Error::new("the thread has ended"))?
    })
}

struct Facts<'f> {
    root: &'f Path,
    externals: Vec<(String, PathBuf)>,
    streams: &'f [(i32, String)],
    namespaces: &'f Namespaces,
    cgroup_roots: Vec<(String, String)>,
    config_file: Option<String>,
}

fn plan(base: Options, wish: &Wish, facts: Facts<'_>) -> Options {
    let mut inherit = facts.streams.to_vec();
    for (kind, name) in [(Namespace::Net, EXTERNAL_NET), (Namespace::Pid, EXTERNAL_PID)] {
        inherit.extend(facts.namespaces.join(kind).map(|join| (join.ns.as_raw_fd(), name.to_string())));
    }
    let mut join = Vec::new();
    for kind in [Namespace::Ipc, Namespace::Uts, Namespace::Time] {
        // The file that was verified, and not what may be under its path by now.
        let file = |fd: i32| format!("/proc/{}/fd/{fd}", std::process::id());
        join.extend(facts.namespaces.join(kind).map(|join| (kind.proc_name(), file(join.ns.as_raw_fd()))));
    }
    let external = |(name, source): &(String, PathBuf)| format!("mnt[{name}]:{}", source.display());
    Options {
        root: facts.root.display().to_string(),
        switches: wish.switches,
        external: facts.externals.iter().map(external).collect(),
        inherit,
        join,
        cgroup_roots: facts.cgroup_roots,
        config_file: facts.config_file,
        lsm_profile: wish.lsm_profile.clone(),
        lsm_mount_context: wish.lsm_mount_context.clone(),
        sibling: true,
        ..base
    }
}

/// Where a process is, in each hierarchy: its controllers, and the cgroup's path.
fn cgroup_roots(pid: i32) -> Result<Vec<(String, String)>> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path).at("read", &path)?;
    let line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?.to_string(), parts.next()?.to_string()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// A creation makes what is missing of the mount points in the root file system, and so does a restore, which may be one
/// of an image that no container has run from yet. What is on a tmpfs comes with the checkpoint.
fn make_mount_points(spec: &Spec, rootfs: &Path, bundle: &Path) -> Result<()> {
    for (index, mount) in spec.mounts.iter().enumerate() {
        let destination = clean(&mount.destination);
        let below = |other: &&crate::spec::config::Mount| {
            let above = clean(&other.destination);
            above != destination && Path::new(&destination).starts_with(above)
        };
        // The last mount above it is what it lies in.
        let above = spec.mounts.iter().take(index).rev().find(below);
        let (root, target) = match above {
            None => (rootfs.to_path_buf(), destination.as_str()),
            Some(bind) if bind.is_bind() => {
                let above = clean(&bind.destination);
                (bundle.join(&bind.source), destination.strip_prefix(&above).unwrap_or(&destination))
            }
            Some(_) => continue,
        };
        let directory = !mount.is_bind() || bundle.join(&mount.source).is_dir();
        let c_path = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::new("a NUL in a path"));
        hilum_init::make_mount_point(&c_path(&root)?, &c_path(Path::new(target))?, directory)
            .map_err(Error::from)
            .context(format!("make the mount point {destination} in {}", root.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_the_place_of_what_was_outside() {
        let streams = [(1, "pipe:[7]".to_string())];
        let namespaces = Namespaces::default();
        let facts = Facts {
            root: Path::new("/run/x/criu-root"),
            externals: vec![("/data".into(), "/srv/data".into())],
            streams: &streams,
            namespaces: &namespaces,
            cgroup_roots: vec![("memory".into(), "/x".into())],
            config_file: Some("/c".into()),
        };
        let wish = Wish { lsm_profile: Some("apparmor:p".into()), ..Wish::default() };
        let expected = Options {
            root: "/run/x/criu-root".into(),
            external: vec!["mnt[/data]:/srv/data".into()],
            inherit: vec![(1, "pipe:[7]".into())],
            cgroup_roots: vec![("memory".into(), "/x".into())],
            config_file: Some("/c".into()),
            lsm_profile: Some("apparmor:p".into()),
            sibling: true,
            ..Options::default()
        };
        assert_eq!(plan(Options::default(), &wish, facts), expected);
    }

    #[test]
    fn mount_points_are_made_where_a_creation_makes_them() {
        let dir = std::env::temp_dir().join(format!("hilum-points-{}", std::process::id()));
        for sub in ["rootfs", "vol"] {
            std::fs::create_dir_all(dir.join(sub)).unwrap();
        }
        std::fs::write(dir.join("file"), "").unwrap();
        let text = r#"{"mounts": [
            {"destination": "/dev", "type": "tmpfs"}, {"destination": "/dev/pts", "type": "devpts"},
            {"destination": "/data", "type": "bind", "source": "vol"}, {"destination": "/data/proc", "type": "proc"},
            {"destination": "/etc/f", "options": ["rbind"], "source": "file"}]}"#;
        let spec: Spec = crate::spec::parse(text.as_bytes()).unwrap();
        make_mount_points(&spec, &dir.join("rootfs"), &dir).unwrap();
        assert!(dir.join("rootfs/dev").is_dir() && !dir.join("rootfs/dev/pts").exists());
        assert!(dir.join("rootfs/data").is_dir() && dir.join("vol/proc").is_dir());
        assert!(dir.join("rootfs/etc/f").is_file());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
