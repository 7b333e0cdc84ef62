//! `pod rm`.

use clap::ArgMatches;

use crate::command::{Global, texts};
use crate::error::{Error, Kind, Result};
use crate::pod::{alive, remove_directory};
use crate::run::destroy;
use crate::state::{Access, Container, Status};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let force = args.get_flag("force");
    let mut failed = None;
    // One that cannot be removed is no reason to keep the others.
    for name in texts(args, "pod") {
        super::check_name(&name)?;
        if let Err(error) = remove(global, &name, force).map_err(|e| e.context(format!("pod {name}"))) {
            if let Some(earlier) = failed.replace(error) {
                crate::log::complain(&earlier.to_string());
            }
        }
    }
    failed.map_or(Ok(0), Err)
}

pub fn remove(global: &Global, name: &str, force: bool) -> Result<()> {
    let (dir, pod) = match global.pods().open(name, Access::Exclusive) {
        Err(e) if e.kind() == Kind::NotFound && force => return Ok(()),
        other => other?,
    };
    let members = global.pods().members(name)?;
    let running: Vec<_> = alive(&members)?.into_iter().map(|member| member.id.as_str()).collect();
    if !force && !running.is_empty() {
        return Err(Error::new(format!("it has containers that are not stopped: {}", running.join(", ")))
            .hint("stop them, or use pod rm --force"));
    }
    for member in &members {
        let Some(root) = member.dir.parent() else { continue };
        let (container, state) = match Container::open(root, &member.id) {
            Err(e) if e.kind() == Kind::NotFound => continue,
            other => other?,
        };
        match state {
            // By now it may be another one of the same name.
            Some(state) if state.pod.as_ref().is_some_and(|pod| pod.dir == dir.path()) => {
                let status = state.status()?;
                if !force && status != Status::Stopped {
                    return Err(Error::new(format!("its container {} is {}", member.id, status.name())));
                }
                destroy(container, &state)?;
            }
            Some(_) => {}
            // A command was killed before it made it, or when it was gone already.
            None => container.remove(&member.id, None)?,
        }
    }
    match pod {
        Some(pod) => pod.remove(dir, force),
        None => remove_directory(dir),
    }
}
