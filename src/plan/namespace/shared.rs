//! What a container sets in a namespace that others live in: their host name, their sysctls.

use std::os::fd::AsFd;

use hilum_sys::namespace::{Kind, setns};

use super::{Join, Namespaces};
use crate::error::{Error, Result};
use crate::log;
use crate::plan::Builder;

impl Namespaces {
    /// Whether `property` still has to be set to `value`, where `read` says what it is. What others have is not changed
    /// without a warning; and what the container will not be allowed to change is refused.
    pub fn must_set(
        &self,
        b: &mut Builder<'_>,
        kind: Kind,
        (property, value): (&str, &str),
        read: impl FnOnce() -> Option<String> + Send,
    ) -> Result<bool> {
        let Some(join) = self.join(kind) else { return Ok(true) };
        let whose = format!("the joined {} namespace {}", kind.spec_name(), join.path);
        let Some(now) = inside(join, read) else {
            log::debug(|| format!("{property}: sets it for all in {whose}"));
            return Ok(true);
        };
        if now.split_whitespace().eq(value.split_whitespace()) {
            return Ok(false);
        }
        if !self.owned_by_container(kind) {
            return Err(Error::new(format!(
                "{property}: cannot change {now:?} to {value:?}: {whose} is owned by another user namespace"
            ))
            .hint("set it where that namespace was made, or join the user namespace that owns it, too"));
        }
        b.warnings.push(format!("{property}: changes {now:?} to {value:?} for all in {whose}"));
        Ok(true)
    }
}

/// Asks from inside. A thread of its own enters the namespace, and is gone with the answer; `None` where it may not enter.
fn inside(join: &Join, read: impl FnOnce() -> Option<String> + Send) -> Option<String> {
    std::thread::scope(|scope| {
        let enter_and_read = || setns(join.ns.as_fd(), join.kind.flag()).ok().and_then(|()| read());
        let thread = std::thread::Builder::new().spawn_scoped(scope, enter_and_read).ok()?;
        thread.join().ok().flatten()
    })
}
