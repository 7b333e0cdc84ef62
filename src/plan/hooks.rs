//! Hooks: which of them the child runs, and where it waits while the parent runs the others.

use hilum_init::step::{Hook, Point, Step, Strs};

use super::{Builder, Request};
use crate::error::{Error, Result};
use crate::spec::config;

/// prestart and createRuntime run in the runtime's namespaces, createContainer in the container's; all once the mounts
/// are there and before pivot_root (config.md, "POSIX-platform Hooks").
pub fn before_pivot(b: &mut Builder<'_>, req: &Request<'_>) {
    let hooks = &req.spec.hooks;
    if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
        b.push(Step::Wait(Point::RuntimeHooks));
    }
    in_container(b, "createContainer", &hooks.create_container);
}

pub fn before_exec(b: &mut Builder<'_>, req: &Request<'_>) {
    in_container(b, "startContainer", &req.spec.hooks.start_container);
}

fn in_container(b: &mut Builder<'_>, name: &str, hooks: &[config::Hook]) {
    for (index, hook) in hooks.iter().enumerate() {
        let property = format!("hooks.{name}[{index}]");
        b.part(&property, |b| {
            // args is what execv(3) takes, with the program's name first; absent, the path is that name.
            let args = match hook.args.is_empty() {
                true => b.texts(&[&hook.path], &property)?,
                false => b.texts(&hook.args, &property)?,
            };
            let env: Strs<'_> = b.texts(&hook.env, &property)?;
            let step = Step::Hook(Hook {
                name: b.text(&property, &property)?,
                path: b.text(&hook.path, &property)?,
                args,
                env,
                timeout_secs: u32::try_from(hook.timeout.unwrap_or(0)).unwrap_or(u32::MAX),
            });
            b.push(step);
            Ok(())
        });
    }
}

/// Every hook of the document can be started and ended.
pub fn check(b: &mut Builder<'_>, hooks: &config::Hooks) {
    for (name, hooks) in hooks.by_name() {
        for (index, hook) in hooks.iter().enumerate() {
            b.part(format_args!("hooks.{name}[{index}]"), |_| check_one(&format!("hooks.{name}[{index}]"), hook));
        }
    }
}

fn check_one(property: &str, hook: &config::Hook) -> Result<()> {
    if !hook.path.starts_with('/') {
        // Which `/` that is depends on the kind (config.md, "POSIX-platform Hooks").
        return Err(Error::new(format!("{property}.path: {:?} is not absolute", hook.path)).hint("give it from /"));
    }
    if let Some(bad) = hook.env.iter().find(|entry| !entry.contains('=') || entry.starts_with('=')) {
        return Err(Error::new(format!("{property}.env: {bad:?} is not NAME=VALUE")));
    }
    if hook.timeout.is_some_and(|timeout| timeout <= 0) {
        return Err(Error::new(format!("{property}.timeout: must be greater than zero")));
    }
    Ok(())
}
