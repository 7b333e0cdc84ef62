//! The plan carried out: the parent's side of creating a container.

pub mod bare;
pub mod channel;
mod child;
pub mod console;
pub mod criu;
mod destroy;
pub mod exec;
mod failure;
mod files;
mod filters;
pub mod foreground;
pub mod handover;
mod holder;
pub mod hooks;
pub mod idmap;
pub mod net_devices;
pub mod notify;
pub mod sandbox;
pub mod shm;
pub mod start;

use std::os::fd::OwnedFd;

use hilum_init::step::{Point, Step};

use crate::cgroup;
use crate::error::{Context, Error, Result};
use crate::log::Timer;
use crate::plan::seccomp::Filter;
use crate::plan::{Plan, describe};
use crate::resctrl;
use crate::spec::config::Hooks;
use crate::state::{Container, Identity, InitProgram, State, Status, StepNames};
use channel::{Channel, Said};
use child::Child;
use console::Console;
use destroy::half_undone;
pub use destroy::{await_end, destroy, forget};
pub use failure::stopped;
pub use files::init_program;
use handover::Handover;
use net_devices::Moved;

/// What the parent works with while it creates a container.
pub struct Creation<'c> {
    pub plan: &'c Plan<'c>,
    /// The text of config.json, which is kept with the state.
    pub document: &'c [u8],
    pub cgroup: &'c mut cgroup::Plan,
    /// Who makes the cgroup, if not we.
    pub systemd: Option<&'c mut cgroup::systemd::Manager>,
    pub resctrl: Option<&'c resctrl::Plan>,
    pub seccomp: Option<&'c Filter<'c>>,
    pub hooks: &'c Hooks,
    pub preserve: u32,
    pub wait_for_start: bool,
    /// The caller has nothing to do between the creation and the execution.
    pub go_ahead: bool,
    pub container: &'c Container,
    pub state: &'c mut State,
    pub console: Console,
    /// Who receives the seccomp listener, and what it is told besides.
    pub agent: Option<Handover>,
    pub agent_metadata: &'c str,
    /// Hooks have seen the container: poststop must, too.
    pub hooks_ran: bool,
    /// Devices of the host's that the container has got.
    pub net_devices: Option<Moved>,
}

/// A process that has done all but to execute.
pub struct Created {
    pub channel: Channel,
    pub process: Identity,
    pub pidfd: OwnedFd,
    /// The terminal's master, if the caller is to hold it.
    pub terminal: Option<OwnedFd>,
    /// What goes back to the host, should the creation be undone.
    pub net_devices: Option<Moved>,
    /// It has been let go already.
    went_ahead: bool,
    /// What is left for it to do, by name.
    steps: StepNames,
}

impl Created {
    /// For a caller who cannot use it after all.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        child::wait(&self.pidfd);
    }

    fn new(child: Child<'_>, process: Identity, terminal: Option<OwnedFd>, steps: StepNames) -> Self {
        let (channel, pidfd) = child.into_parts();
        Self { channel, process, pidfd, terminal, net_devices: None, went_ahead: false, steps }
    }

    /// Lets the process execute, and returns once it has. `state` is for the hooks that run before.
    pub fn execute(&self, state: Option<&State>) -> Result<()> {
        if !self.went_ahead {
            self.channel.go()?;
        }
        start::await_exec(&self.channel, &self.steps, state)
    }
}

impl Creation<'_> {
    /// Up to the point where the process is ready; on an error, nothing of it is left but the container's directory.
    pub fn create(mut self) -> Result<Created> {
        let timer = Timer::start();
        self.cgroup.create()?;
        timer.end(|| "make the cgroup".into());
        self.state.cgroup = self.cgroup.cgroup.clone();
        let created = self.start_process();
        created.map_err(|error| match self.undo() {
            Ok(()) => error,
            Err(left) => half_undone(error, left, self.container, self.state),
        })
    }

    fn start_process(&mut self) -> Result<Created> {
        // In the file is what was planned, should we be killed; here, what there is to undo.
        self.state.resctrl = None;
        self.state.resctrl = self.resctrl.map(resctrl::Plan::create).transpose()?;
        if self.systemd.is_none() {
            self.delegate()?;
        }
        let program = files::init_program()?;
        self.state.init = Some(InitProgram::of(&program)?);
        let entry = self.cgroup.entry();
        let start = child::Start {
            program: &program,
            cgroup: &entry,
            preserve: self.preserve,
            knock: if self.wait_for_start { Some(start::listen_in(self.container.path())?) } else { None },
        };
        let mut child = Child::start(self.plan, start)?;
        match self.accompany(&mut child, &entry) {
            Ok((process, terminal, went_ahead)) => {
                let steps = self.state.steps_after_start.clone();
                let net_devices = self.net_devices.take();
                Ok(Created { went_ahead, net_devices, ..Created::new(child, process, terminal, steps) })
            }
            Err(error) => {
                child.kill();
                Err(failure::for_want_of_memory(error, self.plan.memory_limit, &self.cgroup.cgroup))
            }
        }
    }

    /// The child works beside us from here on.
    fn accompany(&mut self, child: &mut Child<'_>, entry: &cgroup::Entry) -> Result<(Identity, Option<OwnedFd>, bool)> {
        if !self.plan.stage_one {
            self.record(child.pid())?;
        }
        if self.systemd.is_none() {
            self.cgroup.install_device_filter(entry)?;
        }
        let ahead = self.answer_ahead(child)?;
        let (process, terminal) = self.converse(child, entry, &ahead)?;
        Ok((process, terminal, ahead.ready))
    }

    /// What has an answer already is asked without a wait, which saves two changes of context for each question.
    fn answer_ahead(&self, child: &Child<'_>) -> Result<Ahead> {
        let mut ahead = Ahead::default();
        // Not behind a fork: the process would be on its way before we have been told which one it is.
        if self.plan.stage_one {
            return Ok(ahead);
        }
        let mut questions = questions(self.plan).peekable();
        if questions.next_if_eq(&&Step::Wait(Point::Seccomp)).is_some() {
            // It may have failed by now: then its last words, which are read next, say why, and not a broken pipe.
            ahead.seccomp = child.channel().answer(&compile(self.seccomp)?).is_ok();
        }
        // Who waits for a listener is to have it before anything runs.
        let may_go = self.go_ahead && !self.seccomp.is_some_and(Filter::notifies);
        ahead.ready = may_go && questions.next() == Some(&Step::Wait(Point::Ready)) && child.channel().go().is_ok();
        Ok(ahead)
    }

    /// The container's first process is known, and so is what to undo should this one be killed. Written while the child
    /// is at work, as is the document, which `exec` and `update` go by.
    fn record(&mut self, pid: i32) -> Result<()> {
        self.state.process = Some(Identity::of(pid)?);
        self.state.resctrl.as_ref().map_or(Ok(()), |groups| groups.join(pid))?;
        self.container.save(self.state)?;
        self.container.save_document(self.document)
    }

    fn converse(
        &mut self,
        child: &mut Child<'_>,
        entry: &cgroup::Entry,
        ahead: &Ahead,
    ) -> Result<(Identity, Option<OwnedFd>)> {
        let mut terminal = None;
        // Compiled while the child mounts, unless it waits for something else first.
        let waits = self.plan.id_maps.is_some() || self.systemd.is_some() || ahead.seccomp;
        let mut seccomp = if waits { Vec::new() } else { compile(self.seccomp)? };
        loop {
            match child.next()? {
                Said::At(Point::Cgroup) => {
                    self.start_unit(child.pid())?;
                    child.channel().go()?;
                    self.cgroup.install_device_filter(entry)?;
                    if self.plan.id_maps.is_none() {
                        seccomp = compile(self.seccomp)?;
                    }
                }
                Said::At(Point::IdMaps) => {
                    if let Some(maps) = &self.plan.id_maps {
                        idmap::write(child.pid(), maps)?;
                    }
                    child.channel().go()?;
                    seccomp = compile(self.seccomp)?;
                }
                Said::Forked(pid) => self.record(pid)?,
                Said::At(Point::NetDevices) => {
                    self.net_devices = Some(Moved::all(&self.plan.net_devices, child.pid())?);
                    child.channel().go()?;
                }
                Said::At(Point::RuntimeHooks) => {
                    self.hooks_ran = true;
                    let (hooks, pid) = (self.hooks, child.pid());
                    hooks::run("prestart", &hooks.prestart, self.state, Status::Creating, pid)?;
                    hooks::run("createRuntime", &hooks.create_runtime, self.state, Status::Creating, pid)?;
                    child.channel().go()?;
                }
                Said::At(Point::HookState) => {
                    self.hooks_ran = true;
                    let pid = inner_pid(child.pid())?;
                    child.channel().answer(&hooks::document(self.state, Status::Creating, pid)?)?;
                }
                Said::At(Point::Seccomp) if ahead.seccomp => {}
                Said::At(Point::Seccomp) => child.channel().answer(&seccomp)?,
                Said::Terminal(master) => terminal = self.console.deliver(master)?,
                Said::Listener(listener) => {
                    let state = self.state.document(Status::Creating, child.pid());
                    let agent = self.agent.as_ref().ok_or_else(no_agent)?;
                    agent.send_listener(listener, child.pid(), self.agent_metadata, &state)?;
                }
                Said::At(Point::Ready) => {
                    let process = self.state.process.ok_or_else(|| Error::new("no process"))?;
                    self.state.steps_after_start = steps_after_ready(&self.plan.steps);
                    self.state.ready = true;
                    if self.wait_for_start {
                        self.container.save(self.state)?;
                    }
                    return Ok((process, terminal));
                }
                said => return Err(out_of_turn(&said)),
            }
        }
    }

    fn delegate(&self) -> Result<()> {
        self.plan.cgroup_owner.map_or(Ok(()), |owner| self.cgroup.delegate(owner))
    }

    fn start_unit(&mut self, pid: i32) -> Result<()> {
        if let Some(manager) = self.systemd.as_deref_mut() {
            let timer = Timer::start();
            let started = self.cgroup.start_unit(manager, pid);
            self.state.cgroup = self.cgroup.cgroup.clone();
            started?;
            timer.end(|| "have systemd make the cgroup".into());
            self.delegate()?;
        }
        // Now it is known which directory is the container's.
        self.container.save(self.state)
    }

    fn undo(&mut self) -> Result<()> {
        if let Some(moved) = self.net_devices.take() {
            moved.give_back();
        }
        let cgroup = &self.cgroup.cgroup;
        let removed = cgroup.signal_all(rustix::process::Signal::KILL).and_then(|()| cgroup.remove());
        let groups = self.state.resctrl.as_ref();
        removed.and(groups.map_or(Ok(()), resctrl::Groups::remove))?;
        if self.hooks_ran {
            run_poststop(self.state);
        }
        Ok(())
    }
}

/// The questions that were answered before they are asked.
#[derive(Default)]
struct Ahead {
    seccomp: bool,
    ready: bool,
}

/// What the child will ask, in this order.
fn questions<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = &'p Step<'p>> {
    plan.steps.iter().filter(|step| matches!(step, Step::Wait(_) | Step::Hook(_)))
}

fn compile(filter: Option<&Filter<'_>>) -> Result<Vec<u8>> {
    let Some(filter) = filter else { return Ok(Vec::new()) };
    let timer = Timer::start();
    let program = filters::program(filter).context("linux.seccomp")?;
    timer.end(|| "compile linux.seccomp, or find it compiled".into());
    Ok(program)
}

fn no_agent() -> Error {
    Error::new("a seccomp listener that nobody has asked for")
}

fn out_of_turn(said: &Said) -> Error {
    Error::new(format!("the init program said {said:?} out of turn"))
}

/// A hook that fails after the container's end cannot be undone: it is reported, and the others run (config.md).
pub fn run_poststop(state: &State) {
    for hook in &state.poststop {
        if let Err(e) = hooks::run("poststop", std::slice::from_ref(hook), state, Status::Stopped, 0) {
            crate::log::warn(&e.to_string());
        }
    }
}

/// A container whose poststart hook has failed does not go on (runtime.md, "Lifecycle").
pub fn run_poststart(state: &State) -> Result<()> {
    let Some(process) = state.process.filter(|_| !state.poststart.is_empty()) else {
        return Ok(());
    };
    let ran = hooks::run("poststart", &state.poststart, state, Status::Running, process.pid);
    if ran.is_err() {
        if let Err(e) = process.kill() {
            crate::log::warn(&e.to_string());
        }
    }
    ran
}

/// By name, for `start`, which has no plan.
fn steps_after_ready(steps: &[Step<'_>]) -> StepNames {
    let ready = steps.iter().position(|step| *step == Step::Wait(Point::Ready));
    let first = ready.unwrap_or(steps.len());
    StepNames { first, names: steps.iter().skip(first).map(describe).collect() }
}

/// The pid that the container's process has in its own pid namespace, which is the last of the list (proc_pid_status(5)).
pub fn inner_pid(pid: i32) -> Result<i32> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).at("read", &path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    Ok(line.and_then(|line| line.split_whitespace().last()).and_then(|pid| pid.parse().ok()).unwrap_or(pid))
}
