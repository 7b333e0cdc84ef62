//! The parent's side of a process that joins a container.

use hilum_init::step::Point;

use super::channel::Said;
use super::child::{self, Child};
use super::console::Console;
use super::{Created, compile, files, out_of_turn, steps_after_ready};
use crate::cgroup;
use crate::error::Result;
use crate::plan::Plan;
use crate::plan::seccomp::Filter;
use crate::state::Identity;

pub struct Exec<'e> {
    pub plan: &'e Plan<'e>,
    pub cgroup: cgroup::Entry,
    pub seccomp: Option<&'e Filter<'e>>,
    pub preserve: u32,
    pub console: Console,
}

impl Exec<'_> {
    /// Up to the point where the process is ready to execute; on an error, nothing of it is left.
    pub fn create(self) -> Result<Created> {
        let program = files::init_program()?;
        let Self { plan, cgroup, preserve, .. } = self;
        let mut child = Child::start(plan, child::Start { program: &program, cgroup, preserve, knock: None })?;
        match converse(&mut child, self.seccomp, &self.console) {
            Ok((process, terminal)) => Ok(Created::new(child, process, terminal, steps_after_ready(&plan.steps))),
            Err(error) => {
                child.kill();
                Err(error)
            }
        }
    }
}

fn converse(
    child: &mut Child<'_>,
    seccomp: Option<&Filter<'_>>,
    console: &Console,
) -> Result<(Identity, Option<std::os::fd::OwnedFd>)> {
    let seccomp = compile(seccomp)?;
    let mut terminal = None;
    loop {
        match child.next()? {
            Said::Forked(_) => {}
            Said::At(Point::Seccomp) => child.channel().answer(&seccomp)?,
            Said::Terminal(master) => terminal = console.deliver(master)?,
            Said::At(Point::Ready) => return Ok((Identity::of(child.pid())?, terminal)),
            said => return Err(out_of_turn(&said)),
        }
    }
}
