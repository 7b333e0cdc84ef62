//! From a bundle to a plan: what `create`, `run` and `plan` have in common, and in parts `restore`. Nothing is made here.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bumpalo::Bump;
use clap::ArgMatches;

use super::{Global, Systemd, text};
use crate::cgroup::{self, Driver, systemd};
use crate::conflict::Conflicts;
use crate::error::{Context, Result};
use crate::plan::seccomp::{self, Filter};
use crate::plan::{Plan, Request, SecurityModules, plan, rootfs};
use crate::pod::{Flags, Membership};
use crate::privilege::in_user_namespace;
use crate::resctrl;
use crate::run::{idmap, notify};
use crate::spec::{self, Document, config::Spec};
use crate::{log, state};

/// The id, if it is still to be had.
pub fn new_id<'a>(global: &Global, args: &'a ArgMatches) -> Result<&'a str> {
    let id = super::id(args)?;
    state::refuse_taken(&global.root, id)?;
    Ok(id)
}

/// Where the bundle is that the command line names.
pub fn bundle_path(args: &ArgMatches) -> &Path {
    Path::new(text(args, "bundle").filter(|path| !path.is_empty()).unwrap_or("."))
}

/// Whose namespaces the command line asks for.
pub fn membership_flags(args: &ArgMatches) -> Flags<'_> {
    Flags { pod: text(args, "pod"), join: text(args, "join") }
}

/// A bundle's directory, and what is in it.
pub struct Bundle {
    pub path: PathBuf,
    pub document: Document,
    /// root.path, found and absolute.
    pub rootfs: PathBuf,
}

impl Bundle {
    pub fn load(path: &Path, conflicts: &mut Conflicts) -> Result<Self> {
        let path = rootfs::real_directory(path).at("bundle", path)?;
        let timer = log::Timer::start();
        let document = spec::load(&path)?;
        timer.end(|| "load config.json".into());
        let rootfs = conflicts.note("root.path", rootfs::locate(&path, document.spec.root.as_ref()));
        Ok(Self { rootfs: rootfs.unwrap_or_else(|| path.clone()), path, document })
    }

    pub fn has_terminal(&self) -> bool {
        self.document.spec.process.as_ref().is_some_and(|process| process.terminal)
    }
}

/// The namespaces of a pod or another container, by name, written into the document as paths.
pub fn take_part(global: &Global, flags: Flags<'_>, id: &str, spec: &mut Spec) -> Result<Membership> {
    let membership = Membership::find(&global.pods(), &global.root, flags, spec)?;
    membership.apply(spec, id, global.systemd.is_some())?;
    Ok(membership)
}

/// Who makes the cgroup, and what there will be of it.
pub struct Surroundings {
    pub systemd: Option<(systemd::Manager, systemd::Facts)>,
    pub cgroup: cgroup::Plan,
}

impl Surroundings {
    /// An error, where there is no cgroup to be planned.
    pub fn plan(global: &Global, spec: &Spec, id: &str, conflicts: &mut Conflicts) -> Result<Self> {
        let host = cgroup::Host::detect()?;
        let systemd = connect(global, &host)?;
        let driver = Driver::of(systemd.as_ref(), &spec.annotations);
        let cgroup = cgroup::plan(&host, &spec.linux, id, global.rootless(), driver, conflicts)?;
        Ok(Self { systemd, cgroup })
    }

    pub fn warn(&self) {
        for warning in &self.cgroup.warnings {
            log::warn(warning);
        }
    }
}

/// Before anything is made: who cannot be reached cannot be asked for a cgroup.
pub fn connect(global: &Global, host: &cgroup::Host) -> Result<Option<(systemd::Manager, systemd::Facts)>> {
    let Some(whose) = global.systemd else { return Ok(None) };
    systemd::check_host(host)?;
    let mut manager = systemd::Manager::connect(&systemd::Bus::find(whose == Systemd::User)?)?;
    let facts = manager.facts()?;
    Ok(Some((manager, facts)))
}

/// What is asked for, beside the document.
pub struct Wish<'w> {
    pub id: &'w str,
    pub no_pivot: bool,
    pub new_keyring: bool,
    /// For the environment: LISTEN_FDS and the like.
    pub extra_env: Vec<String>,
    pub wait_for_start: bool,
    /// Of a pod or another container.
    pub shm: Option<&'w OwnedFd>,
    pub bare: &'w dyn Fn() -> Option<OwnedFd>,
}

/// All that is known before anything is made.
pub struct Prepared<'p> {
    pub bundle: &'p Bundle,
    pub surroundings: Result<Surroundings>,
    pub resctrl: Option<resctrl::Plan>,
    pub seccomp: Option<&'p Filter<'p>>,
    pub request: &'p Request<'p>,
    pub plan: Plan<'p>,
    /// Those of the plan, too.
    pub conflicts: Conflicts,
}

/// `then` gets what has been prepared, and makes the container or prints it.
pub fn prepare<T>(
    global: &Global,
    mut bundle: Bundle,
    wish: Wish<'_>,
    then: impl FnOnce(Prepared<'_>) -> Result<T>,
) -> Result<T> {
    let timer = log::Timer::start();
    let mut conflicts = Conflicts::default();
    let notify_dir = notify_dir(&mut bundle.document.spec, &global.root.join(wish.id));
    let spec = &bundle.document.spec;
    let surroundings = Surroundings::plan(global, spec, wish.id, &mut conflicts);
    let rdt = spec.linux.intel_rdt.as_ref();
    let resctrl = rdt.and_then(|rdt| conflicts.note("linux.intelRdt", resctrl::plan(rdt, wish.id)));
    let seccomp = spec.linux.seccomp.as_ref().and_then(|config| seccomp::plan(config, &mut conflicts));
    let cgroup = surroundings.as_ref().ok().map(|it| match global.rootless() {
        true => it.cgroup.cgroup.within_reach(),
        false => it.cgroup.cgroup.clone(),
    });
    let arena = Bump::new();
    let for_mounts = idmap::ForMounts::default();
    let mut request = Request {
        spec,
        written: bundle.document.written,
        id: wish.id,
        bundle: &bundle.path,
        rootfs: &bundle.rootfs,
        no_pivot: wish.no_pivot,
        new_keyring: wish.new_keyring,
        extra_env: wish.extra_env,
        notify_dir,
        wait_for_start: wish.wait_for_start,
        seccomp: seccomp.as_ref(),
        shm: wish.shm,
        bare: Some(wish.bare),
        user_namespace: &|maps| for_mounts.get(maps),
        cgroup: cgroup.as_ref(),
        rootless: global.rootless(),
        in_user_namespace: in_user_namespace(),
        setgroups_denied: setgroups_denied(spec),
        modules: SecurityModules::detect(),
    };
    let mut plan = plan(&arena, &request);
    if !plan.conflicts.is_empty() && request.bare.take().is_some() {
        // An unbindable mount, say, can only be copied with its whole namespace.
        plan = self::plan(&arena, &request);
    }
    conflicts.append(std::mem::take(&mut plan.conflicts));
    timer.end(|| "plan".into());
    then(Prepared {
        bundle: &bundle,
        surroundings,
        resctrl,
        seccomp: seccomp.as_ref(),
        request: &request,
        plan,
        conflicts,
    })
}

/// Where the container's own notify socket will be, if the caller has one: a bind mount shows it to the container.
fn notify_dir(spec: &mut Spec, container: &Path) -> Option<PathBuf> {
    notify::host_socket()?;
    spec.linux.namespaces.iter().find(|ns| ns.kind == "mount")?;
    if let Some(process) = &mut spec.process {
        notify::announce(&mut process.env);
    }
    Some(notify::directory(container))
}

/// In a user namespace whose group map was written without privilege, now or by whoever made ours.
fn setgroups_denied(spec: &Spec) -> bool {
    let new_user = spec.linux.namespaces.iter().any(|ns| ns.kind == "user" && ns.path.is_empty());
    (new_user && idmap::denies_setgroups(&spec.linux.gid_mappings))
        || (in_user_namespace()
            && std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny"))
}
