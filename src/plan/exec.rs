//! A process that joins a container: the same steps, with every namespace joined and nothing made.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use bumpalo::Bump;
use hilum_init::step::Step;
use hilum_sys::namespace::Kind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::thread::CapabilitySet;

use super::process::{self, Subject};
use super::seccomp::Filter;
use super::{Builder, Plan, SecurityModules, memory_limit, passwd};
use crate::error::{Context, Error, Kind as ErrorKind, Result};
use crate::privilege;
use crate::proc::Namespace;
use crate::spec::config::{Process, Spec};

pub struct Request<'s> {
    /// The container's document.
    pub spec: &'s Spec,
    pub process: &'s Process,
    pub id: &'s str,
    /// The container's first process, which is in the namespaces to join, and its pid.
    pub init: OwnedFd,
    pub pid: i32,
    /// The container's processes have a session keyring of their own.
    pub new_keyring: bool,
    pub seccomp: Option<&'s Filter<'s>>,
    /// The CPUs that it is to run on in the container's cgroup: process.execCPUAffinity.final.
    pub cpus: Option<&'s [u32]>,
}

pub fn plan<'a>(arena: &'a Bump, req: Request<'_>) -> Result<Plan<'a>> {
    let pid = req.pid;
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let kinds = joined(pid)?;
    let setgroups_denied = std::fs::read_to_string(proc.join("setgroups")).is_ok_and(|text| text.trim() == "deny");
    // The container's file as it is now, below the root that its processes see.
    let home = || passwd::home(&proc.join("root"), &[], &proc, req.process.user.uid);
    let subject = Subject {
        process: req.process,
        linux: &req.spec.linux,
        seccomp: req.seccomp,
        home: &home,
        extra_env: &[],
        setgroups_denied,
        modules: SecurityModules::detect(),
    };

    let mut b = Builder::new(arena);
    let container = req.spec.process.as_ref();
    process::oom_score(&mut b, req.process.oom_score_adj.or(container.and_then(|process| process.oom_score_adj)))?;
    b.push(Step::EnterCgroup);
    // What it was before, its parent's affinity has decided.
    if let Some(cpus) = req.cpus {
        let cpus = b.words(cpus);
        b.push(Step::Affinity { cpus });
    }
    // Before there is anybody in the container who could look (CVE-2016-9962).
    b.push(Step::NotDumpable);
    if kinds & Kind::Mount.flag() == 0 {
        let root = open(proc.join("root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let fd = b.pass(root.at("open", proc.join("root"))?);
        b.push(Step::EnterRoot { fd });
    }
    still_there(&req.init, pid)?;
    let fd = b.pass(req.init);
    if kinds != 0 {
        b.push(Step::Join { kind: kinds, fd });
    }
    if kinds & Kind::User.flag() != 0 {
        b.push(Step::BecomeRoot);
    }
    // Its parent is to be the runtime, and a pid namespace is entered by children only.
    b.push(Step::Fork { kinds: 0 });
    if req.new_keyring {
        b.push(Step::SessionKeyring { name: b.text(format!("_ses.{}", req.id), "id")?, label: None });
    }
    if req.process.terminal {
        let size = req.process.console_size.as_ref();
        let (rows, cols) = size.map_or((0, 0), |size| (size.height, size.width));
        b.push(Step::OpenRootInPlace { path: b.text("/", "/")? });
        b.push(Step::Console { bind: false, rows, cols });
    }
    b.push(Step::NewSession);
    let exec = process::prepare(&mut b, &subject);
    b.steps.extend(exec);
    b.conflicts.check()?;
    let memory_limit = memory_limit(req.spec);
    Ok(Plan { stage_one: true, memory_limit, ..Plan::of_steps(b, 0) })
}

/// The namespaces of the process that are not the caller's: setns(2) refuses to enter the user namespace that one is in.
fn joined(pid: i32) -> Result<u32> {
    let mut kinds = 0;
    for kind in Kind::ALL {
        // A kernel without this kind has it nowhere.
        let Ok(own) = Namespace::own(kind) else { continue };
        let its = Namespace::of_process(&pid.to_string(), kind);
        if its.map_err(|error| privilege::needs(error, CapabilitySet::SYS_PTRACE))? != own {
            kinds |= kind.flag();
        }
    }
    Ok(kinds)
}

/// What was read by number was this process's, if it has not ended since its descriptor was opened.
fn still_there(init: &OwnedFd, pid: i32) -> Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::from_borrowed_fd(init.as_fd(), PollFlags::IN)], Some(&now))? > 0;
    if ended {
        return Err(
            Error::new(format!("container not running: its process {pid} has ended")).with_kind(ErrorKind::NotRunning)
        );
    }
    Ok(())
}
