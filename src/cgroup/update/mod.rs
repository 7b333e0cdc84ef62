//! Other limits for cgroups that are in use: all of them or none, in an order that trips none on the way.

#[cfg(test)]
mod tests;
mod value;

use rustix::io::Errno;

use super::file::Writer;
use super::resources::{self, Write};
use super::{Cgroup, Directory};
use crate::conflict::Conflicts;
use crate::error::{Error, Result};
use crate::log;
use crate::spec::config::Resources;
use value::{InUse, Way, amount, before, current, is_set, set, way};

/// What is to change in one cgroup.
pub struct Update<'c> {
    cgroup: &'c Cgroup,
    /// For the message: `pod web`, `container app`.
    whose: String,
    steps: Vec<Step>,
}

struct Step {
    write: Write,
    way: Way,
}

/// What has been changed, with the values that were there before, in the order in which they were replaced.
#[derive(Default)]
pub struct Done<'c>(Vec<(&'c Cgroup, Write)>);

impl<'c> Update<'c> {
    pub fn new(cgroup: &'c Cgroup, whose: impl Into<String>, resources: &Resources) -> Result<Self> {
        let mut writes = Conflicts::none(|conflicts| resources::writes(cgroup, resources, conflicts))?;
        let changed = |directory: &&Directory| writes.iter().any(|write| write.directory == directory.path);
        cgroup.directories.iter().filter(changed).try_for_each(Directory::refuse_out_of_sight)?;
        if let Some(unit) = &cgroup.unit {
            unit.round(&mut writes)?;
        }
        let ways: Vec<Way> = writes.iter().map(|write| way(write, &writes)).collect();
        let steps = writes.into_iter().zip(ways).map(|(write, way)| Step { write, way });
        Ok(Self { cgroup, whose: whose.into(), steps: steps.collect() })
    }

    /// The same for what others are in: a set of processors that is replaced by another must have both on the way.
    pub fn of_parent(cgroup: &'c Cgroup, whose: impl Into<String>, resources: &Resources) -> Result<Self> {
        let mut it = Self::new(cgroup, whose, resources)?;
        let mut both = Vec::new();
        for Step { write, .. } in it.steps.iter().filter(|step| step.way == Way::Lower && is_set(&step.write.file)) {
            let (old, new) = (set(&current(write).unwrap_or_default()), set(&write.value));
            if !new.is_subset(&old) {
                let value: Vec<String> = old.union(&new).map(u32::to_string).collect();
                both.push(Step { write: Write { value: value.join(","), ..write.clone() }, way: Way::Raise });
            }
        }
        it.steps.extend(both);
        Ok(it)
    }

    /// Refuses limits that are exceeded already: v1 would refuse some of them half-way, and v2 would kill.
    pub fn refuse_exceeded(&self) -> Result<()> {
        for write in self.steps.iter().filter(|step| step.way == Way::Lower).map(|step| &step.write) {
            let Some(InUse { what, used, cache }) = InUse::of(write) else { continue };
            if amount(&write.value) < used {
                let cached = if cache > 0 { format!(", beside {cache} of page cache") } else { String::new() };
                return Err(Error::new(format!(
                    "{}: {}: {used} {what} are in use{cached}, and the limit would be {}",
                    self.whose,
                    write.property,
                    write.value.trim()
                ))
                .hint("nothing was changed"));
            }
        }
        Ok(())
    }

    fn run(&'c self, way: Way, done: &mut Done<'c>) -> Result<()> {
        let steps: Vec<&Write> = self.steps.iter().filter(|step| step.way == way).map(|step| &step.write).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let whose = |error: Error| if self.whose.is_empty() { error } else { error.context(self.whose.as_str()) };
        if let Some(unit) = &self.cgroup.unit {
            // From here on systemd may write them, too.
            done.0.extend(steps.iter().flat_map(|write| before(write)).map(|write| (self.cgroup, write)));
            unit.update(&steps.iter().map(|write| (*write).clone()).collect::<Vec<_>>()).map_err(whose)?;
        }
        let mut writer = Writer::default();
        let mut again = Vec::new();
        let mut apply = |write: &Write, again: Option<&mut Vec<Write>>| {
            let old = before(write);
            match (write.run(&mut writer), again) {
                (Err(Errno::INVAL), Some(again)) => again.push(write.clone()),
                (result, _) => {
                    write.explain(result).map_err(whose)?;
                    done.0.extend(old.into_iter().map(|write| (self.cgroup, write)));
                }
            }
            Ok(())
        };
        // Values that are bound to each other have no order that is right for all changes: see resources::apply.
        for write in &steps {
            apply(write, Some(&mut again))?;
        }
        again.iter().try_for_each(|write| apply(write, None))
    }
}

/// The parent and those in it: first it gets more, then they get less; then it gets less, and they get more. What fails is
/// the end, and what was done by then is undone.
pub fn apply<'c>(parent: Option<&'c Update<'c>>, children: &'c [Update<'c>]) -> Result<Done<'c>> {
    let mut done = Done::default();
    let order = parent.map(|it| (it, Way::Raise)).into_iter();
    let order = order.chain(children.iter().map(|it| (it, Way::Lower)));
    let order = order.chain(parent.map(|it| (it, Way::Lower)));
    let mut order = order.chain(children.iter().map(|it| (it, Way::Raise)));
    match order.try_for_each(|(update, way)| update.run(way, &mut done)) {
        Ok(()) => Ok(done),
        Err(error) => {
            done.undo();
            Err(error)
        }
    }
}

impl Done<'_> {
    /// Backwards: what is passed on the way has been valid before.
    pub fn undo(self) {
        let Self(mut old) = self;
        let exceeded = |write: &Write| InUse::of(write).is_some_and(|it| amount(&write.value) < it.used);
        // v2 would kill for it, whoever writes it.
        old.retain(|(_, write)| {
            let keep = !exceeded(write);
            if !keep {
                log::warn(&format!("undo: {write}: not done, as more is in use by now"));
            }
            keep
        });
        for (index, (cgroup, _)) in old.iter().enumerate().rev() {
            let Some(unit) = &cgroup.unit else { continue };
            let same = |at: &(&Cgroup, Write)| std::ptr::eq(at.0, *cgroup);
            // Once for each.
            if old.iter().skip(index + 1).any(same) {
                continue;
            }
            let writes: Vec<Write> = old.iter().rev().filter(|at| same(at)).map(|(_, write)| write.clone()).collect();
            if let Err(error) = unit.update(&writes) {
                log::warn(&format!("undo: {error}"));
            }
        }
        let mut writer = Writer::default();
        let mut failed = Vec::new();
        for write in old.iter().rev().map(|(_, write)| write) {
            if write.run(&mut writer).is_err() {
                failed.push(write);
            }
        }
        for write in failed {
            if let Err(error) = write.explain(write.run(&mut writer)) {
                log::warn(&format!("undo: {error}"));
            }
        }
    }
}
