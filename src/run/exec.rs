//! The parent's side of a process that joins a container.

use std::os::fd::OwnedFd;

use hilum_init::step::{Point, Step};
use hilum_sys::schedule::set_affinity;

use super::channel::Said;
use super::child::{self, Child};
use super::console::Console;
use super::handover::Handover;
use super::{Created, compile, files, no_agent, out_of_turn, questions, steps_after_ready};
use crate::cgroup::Cgroup;
use crate::error::{Context, Result};
use crate::plan::Plan;
use crate::plan::seccomp::Filter;
use crate::state::{Identity, State};

pub struct Exec<'e> {
    pub plan: &'e Plan<'e>,
    /// Where the process runs before it is in the cgroup: process.execCPUAffinity.initial.
    pub cpus: Option<&'e [u32]>,
    pub cgroup: &'e Cgroup,
    pub seccomp: Option<&'e Filter<'e>>,
    pub preserve: u32,
    pub console: Console,
    /// Who receives the seccomp listener, what it is told besides, and of which container.
    pub agent: Option<Handover>,
    pub agent_metadata: &'e str,
    pub state: &'e State,
}

impl Exec<'_> {
    /// Up to the point where the process is ready to execute; on an error, nothing of it is left.
    pub fn create(&self) -> Result<Created> {
        if let Some(cpus) = self.cpus {
            // The child inherits it, and may be made in the cgroup (CLONE_INTO_CGROUP). The runtime stays there: the
            // specification speaks of the "runtime parent process".
            set_affinity(cpus.iter().copied())
                .context("set the CPUs of process.execCPUAffinity.initial")
                .map_err(|error| error.hint("one of them must be online, and in the cpuset of the runtime's cgroup"))?;
        }
        let program = files::init_program()?;
        let cgroup = self.cgroup.entry()?;
        let start = child::Start { program: &program, cgroup: &cgroup, preserve: self.preserve, knock: None };
        let mut child = Child::start(self.plan, start)?;
        match self.converse(&mut child) {
            Ok((process, terminal)) => Ok(Created::new(child, process, terminal, steps_after_ready(&self.plan.steps))),
            Err(error) => {
                child.kill();
                Err(error)
            }
        }
    }

    fn converse(&self, child: &mut Child<'_>) -> Result<(Identity, Option<OwnedFd>)> {
        let seccomp = compile(self.seccomp)?;
        // As in a creation (answer_ahead); the last question has to wait for what the caller does.
        let is_first = questions(self.plan).next() == Some(&Step::Wait(Point::Seccomp));
        let is_answered = is_first && child.channel().answer(&seccomp).is_ok();
        let mut terminal = None;
        loop {
            match child.next()? {
                Said::Forked(pid) => self.state.resctrl.as_ref().map_or(Ok(()), |groups| groups.join(pid))?,
                Said::At(Point::Seccomp) if is_answered => {}
                Said::At(Point::Seccomp) => child.channel().answer(&seccomp)?,
                Said::Terminal(master) => terminal = self.console.deliver(master)?,
                Said::Listener(listener) => {
                    let status = self.state.status()?;
                    let state = self.state.document(status, self.state.pid(status));
                    let agent = self.agent.as_ref().ok_or_else(no_agent)?;
                    agent.send_listener(listener, child.pid(), self.agent_metadata, &state)?;
                }
                Said::At(Point::Ready) => return Ok((Identity::of(child.pid())?, terminal)),
                said => return Err(out_of_turn(&said)),
            }
        }
    }
}
