//! `pod create`: everything that can be rejected is, then the directory, then what it names.

use bumpalo::Bump;
use hilum_sys::namespace::Kind;

use super::{FILE, Phase, Pod, Pods, ROOT, Reaper, pin};
use crate::cgroup::{self, Driver, Host, systemd};
use crate::cni::{Network, conf_dirs};
use crate::error::{Context, Error, Result};
use crate::plan::sandbox;
use crate::run::sandbox::Sandbox;
use crate::spec::config::{Linux, Spec};
use crate::state::{self, Identity, Locked};
use crate::{log, plan};

/// What is asked for.
pub struct Wish {
    pub name: String,
    /// The pod in the terms of config.json.
    pub spec: Spec,
    /// Bytes of /dev/shm, if the pod shares ipc.
    pub shm_size: Option<u64>,
    /// The name of a CNI network to attach it to.
    pub cni: Option<String>,
    pub rootless: bool,
}

/// The interface that a CNI network gives the pod.
const INTERFACE: &str = "eth0";

type Systemd<'s> = Option<&'s mut (systemd::Manager, systemd::Facts)>;

/// What it is made of, while it is made.
struct Making<'m> {
    dir: &'m Locked,
    pod: &'m mut Pod,
    plan: &'m plan::Plan<'m>,
    cgroup: &'m mut cgroup::Plan,
    systemd: Systemd<'m>,
    host: &'m Host,
    rootless: bool,
}

pub fn make(pods: &Pods, wish: Wish, host: &Host, systemd: Systemd<'_>) -> Result<Pod> {
    pin::check_rights()?;
    let driver = Driver::of(systemd.as_deref(), &wish.spec.annotations);
    let mut cgroup = cgroup::plan_parent(host, &wish.spec.linux, &wish.name, wish.rootless, driver)?;
    let path = pods.0.join(&wish.name);
    cgroup.of_pod(&path);
    for warning in &cgroup.warnings {
        log::warn(warning);
    }
    // Nothing has happened to the network yet.
    let network = match &wish.cni {
        Some(network) => {
            Some(Network::load(network, &conf_dirs())?.attachment(&network_id(&wish.name)?, INTERFACE, &[])?)
        }
        None => None,
    };
    let root = path.join(ROOT);
    let arena = Bump::new();
    let request = sandbox::Request { spec: &wish.spec, root: &root, unit: cgroup.cgroup.unit.is_some() };
    let plan = sandbox::plan(&arena, &request)?;
    plan.log();

    let mut pod = Pod {
        name: wish.name,
        created: log::now(),
        phase: Phase::Creating,
        spec: wish.spec,
        namespaces: Default::default(),
        cgroup: cgroup.cgroup.clone(),
        reaper: None,
        shm_size: wish.shm_size,
        network,
    };
    state::prepare_root(&pods.0)?;
    let taken = || Error::new(format!("pod {} exists already", pod.name)).path(&path);
    let dir = Locked::create(&path, FILE)?.ok_or_else(taken)?;
    let rootless = wish.rootless;
    let making = Making { dir: &dir, pod: &mut pod, plan: &plan, cgroup: &mut cgroup, systemd, host, rootless };
    match making.make() {
        Ok(()) => Ok(pod),
        Err(error) => {
            if let Err(e) = pod.remove(dir, true) {
                log::warn(&format!("undo: {e}"));
            }
            Err(error)
        }
    }
}

/// Plugins know an attachment by this, on the whole host; two directories of pods may have one of the same name.
fn network_id(name: &str) -> Result<String> {
    let mut random = [0; 4];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).context("getrandom")?;
    Ok(format!("hilum-{}-{:08x}", name.replace('+', "_"), u32::from_ne_bytes(random)))
}

impl Making<'_> {
    fn make(mut self) -> Result<()> {
        // Who finds the directory finds what has to be undone.
        self.dir.save(FILE, &self.pod)?;
        pin::prepare(self.dir.path())?;
        // What fails has undone itself, and what is there now is another's.
        self.cgroup.create().inspect_err(|_| self.pod.cgroup = cgroup::Cgroup::default())?;
        self.pod.cgroup = self.cgroup.cgroup.clone();
        self.pod.cgroup.label(self.dir.path());
        self.dir.save(FILE, &self.pod)?;
        if let Some(size) = self.pod.shm_size {
            pin::mount_shm(self.dir.path(), size)?;
        }
        self.sandbox()?;
        if let Some(network) = &mut self.pod.network {
            // A plugin may outlive us, and is not to do its work behind the back of a `pod rm`.
            let _lent = self.dir.lend()?;
            network.add(&pin::path(self.dir.path(), Kind::Net))?;
        }
        self.pod.phase = Phase::Ready;
        self.dir.save(FILE, &self.pod)
    }

    fn sandbox(&mut self) -> Result<()> {
        let reaps = self.pod.shares(Kind::Pid);
        // Planned before the manager is lent to the sandbox.
        let mut reaper_unit = match (reaps, self.systemd.as_deref()) {
            (true, Some(systemd)) => Some(self.reaper_unit(systemd)?),
            _ => None,
        };
        let Self { dir, pod, plan, cgroup, systemd, .. } = self;
        let systemd = systemd.as_deref_mut().map(|(manager, _)| manager);
        let sandbox = Sandbox { plan, cgroup, systemd, reaps };
        sandbox.make(|cgroup, manager, pid| {
            pod.cgroup = cgroup.clone();
            pod.namespaces = pin::pin(dir.path(), pod.kinds(), pid)?.into_iter().collect();
            if reaps {
                let process = Identity::of(pid)?;
                let own = match (&mut reaper_unit, manager) {
                    (Some(unit), Some(manager)) => {
                        // With a process in the slice itself, its controllers cannot be handed down to a scope.
                        let aside = pod.cgroup.split_off("making", pid)?;
                        unit.start_unit(manager, pid)?;
                        aside.remove()?;
                        unit.cgroup.clone()
                    }
                    _ => pod.cgroup.split_off("reaper", pid).context("the reaper's cgroup")?,
                };
                pod.reaper = Some(Reaper { process, cgroup: own });
            }
            dir.save(FILE, pod)
        })
    }

    /// A slice has no processes of its own, so the reaper gets a scope.
    fn reaper_unit(&self, systemd: &(systemd::Manager, systemd::Facts)) -> Result<cgroup::Plan> {
        let cgroups_path = self.pod.cgroup.path_below("", &format!("{}-reaper", self.pod.name))?;
        let spec = Spec { linux: Linux { cgroups_path, ..Linux::default() }, ..Spec::default() };
        let driver = Driver::of(Some(systemd), &spec.annotations);
        cgroup::plan_parent(self.host, &spec.linux, &self.pod.name, self.rootless, driver)
    }
}
