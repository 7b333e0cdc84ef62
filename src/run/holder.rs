//! A process that is there for its namespaces alone, until somebody has taken hold of them.

use hilum_init::step::Point;

use super::channel::Said;
use super::child::{Child, Start};
use super::{files, out_of_turn};
use crate::cgroup;
use crate::error::Result;
use crate::plan::Plan;

/// Starts it, has `take` do with its pid what it is there for once it is at the point, and ends it.
pub fn hold<T>(plan: &Plan<'_>, point: Point, take: impl FnOnce(i32) -> Result<T>) -> Result<T> {
    let program = files::init_program()?;
    let nowhere = cgroup::Entry::default();
    let start = Start { program: &program, cgroup: &nowhere, preserve: 0, knock: None };
    let mut child = Child::start(plan, start)?;
    let taken = child.next().and_then(|said| match said {
        Said::At(at) if at == point => take(child.pid()),
        said => Err(out_of_turn(&said)),
    });
    child.kill();
    taken
}
