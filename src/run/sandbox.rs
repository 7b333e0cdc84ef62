//! A pod's sandbox, made: the conversation with the process that makes it.

use hilum_init::step::Point;

use super::channel::Said;
use super::child::{self, Child, Start};
use super::{failure, files, idmap, out_of_turn};
use crate::cgroup::systemd::Manager;
use crate::cgroup::{self, Cgroup};
use crate::error::Result;
use crate::plan::Plan;

pub struct Sandbox<'s> {
    pub plan: &'s Plan<'s>,
    /// Made already, unless systemd makes it.
    pub cgroup: &'s mut cgroup::Plan,
    pub systemd: Option<&'s mut Manager>,
    /// The process stays, as the reaper of its pid namespace.
    pub reaps: bool,
}

impl Sandbox<'_> {
    /// `ready` is called with the pid of the process that is in all the namespaces, which waits until it returns.
    pub fn make(mut self, ready: impl FnOnce(&Cgroup, Option<&mut Manager>, i32) -> Result<()>) -> Result<()> {
        let program = files::init_program()?;
        let entry = self.cgroup.entry();
        let start = Start { program: &program, cgroup: &entry, preserve: 0, knock: None };
        let mut child = Child::start(self.plan, start)?;
        self.accompany(&mut child, ready).inspect_err(|_| child.kill())
    }

    fn accompany(
        &mut self,
        child: &mut Child<'_>,
        ready: impl FnOnce(&Cgroup, Option<&mut Manager>, i32) -> Result<()>,
    ) -> Result<()> {
        loop {
            match child.next()? {
                Said::At(Point::Cgroup) => {
                    if let Some(manager) = self.systemd.as_deref_mut() {
                        self.cgroup.start_unit(manager, child.pid())?;
                    }
                }
                Said::At(Point::IdMaps) => {
                    if let Some(maps) = &self.plan.id_maps {
                        idmap::write(child.pid(), maps)?;
                    }
                }
                Said::Forked(_) => continue,
                Said::At(Point::Ready) => break,
                said => return Err(out_of_turn(&said)),
            }
            child.channel().go()?;
        }
        let pinned = ready(&self.cgroup.cgroup, self.systemd.as_deref_mut(), child.pid());
        let pinned = pinned.and_then(|()| child.channel().go());
        // Then what failed is only what there is nobody for any more.
        if pinned.is_err() && child.has_ended() {
            return Err(child.ended_silently());
        }
        pinned?;
        // It closes the channel when it has nothing more to say: to end, or to reap.
        match child.channel().next()? {
            Said::Nothing if self.reaps && !child.has_ended() => {}
            Said::Nothing if self.reaps => return Err(child.ended_silently()),
            Said::Nothing => drop(child::wait(child.pidfd())),
            Said::Failed { step, errno, detail } => {
                return Err(failure::step(self.plan.steps.get(step), errno, &detail));
            }
            said => return Err(out_of_turn(&said)),
        }
        Ok(())
    }
}
