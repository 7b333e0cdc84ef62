//! A pod's sandbox: a process that makes the pod's namespaces and sets what is the whole pod's. It ends once they are
//! pinned; with a pid namespace it stays as that namespace's PID 1, as that one ends with it.

use std::path::Path;

use bumpalo::Bump;
use hilum_init::step::{Capabilities, Point, Step};
use hilum_sys::namespace::Kind;

use super::namespace::Namespaces;
use super::{Builder, IdMaps, Plan, enter_namespaces, memory_limit, options, process, sysctl, time_offsets};
use crate::error::Result;
use crate::spec::config::Spec;

pub struct Request<'s> {
    /// The pod in the terms of config.json: its namespaces, names, sysctls, id maps and limits.
    pub spec: &'s Spec,
    /// An empty directory: all that the reaper sees of the host's files.
    pub root: &'s Path,
    /// systemd makes the pod's cgroup, and the process waits for it.
    pub unit: bool,
}

pub fn plan<'a>(arena: &'a Bump, req: &Request<'_>) -> Result<Plan<'a>> {
    let spec = req.spec;
    let mut names = Builder::new(arena);
    let ns = Namespaces::plan(&spec.linux.namespaces, None, &mut names.conflicts);
    let id_maps = IdMaps::plan(&spec.linux, &ns, &mut names.conflicts);
    let offsets = names.part("linux.timeOffsets", |_| time_offsets(spec, &ns)).flatten();
    let (stage_one, new_net, reaps) = (ns.needs_stage_one(), ns.is_new(Kind::Net), ns.is_new(Kind::Pid));
    process::names(&mut names, spec, &ns);
    sysctl::plan(&mut names, spec, &ns);
    names.conflicts.check()?;
    let namespaces = ns.origins();

    let mut b = Builder::new(arena);
    b.push(if req.unit { Step::Wait(Point::Cgroup) } else { Step::EnterCgroup });
    // Whoever is in the pid namespace can see the reaper, and may be able to trace it: it must be nowhere that matters.
    let own = [Kind::Mount, Kind::Net, Kind::Ipc, Kind::Uts].into_iter().filter(|kind| !ns.is_private(*kind));
    let own = if reaps { own.fold(0, |flags, kind| flags | kind.flag()) } else { 0 };
    let clone_kinds = enter_namespaces(&mut b, ns, offsets, own);
    if new_net {
        b.push(Step::LoopbackUp);
    }
    b.append(names);
    if reaps {
        b.push(Step::Propagation { flags: options::MS_PRIVATE | options::MS_REC });
        b.push(Step::OpenRoot { path: b.text(req.root.as_os_str().as_encoded_bytes(), "root")?, recursive: false });
        b.push(Step::ReadonlyRoot);
        b.push(Step::Pivot { shared: false });
        b.push(Step::NewSession);
        b.push(Step::BoundingSet { keep: 0 });
        b.push(Step::Capabilities(Capabilities::default()));
        b.push(Step::NoNewPrivileges);
    }
    b.push(Step::Wait(Point::Ready));
    b.push(if reaps { Step::Reap } else { Step::End });
    b.conflicts.check()?;
    let memory_limit = memory_limit(spec);
    Ok(Plan { stage_one, id_maps, namespaces, memory_limit, ..Plan::of_steps(b, clone_kinds) })
}
