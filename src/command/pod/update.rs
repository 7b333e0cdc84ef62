//! `pod update`: other limits for a pod and its containers, all of them or none.

use std::collections::BTreeMap;

use clap::ArgMatches;
use serde_json::Value;

use super::{check_name, pod_name};
use crate::cgroup::update::{Update, apply};
use crate::command::resources::{change, from_word, given};
use crate::command::{Global, texts};
use crate::error::{Context, Error, Result};
use crate::pod::{Member, Pod};
use crate::spec::config::Resources;
use crate::spec::{self, merge};
use crate::state::{Access, Container, Locked, State, Status, document_text};

/// A container whose limits change, locked.
struct Change {
    container: Container,
    state: State,
    resources: Resources,
    /// Its document, before and then.
    old: Vec<u8>,
    new: Vec<u8>,
}

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    let mut given = given(args)?;
    let mut wanted = wanted(args)?;
    if given.as_object().is_none_or(|given| given.is_empty()) && wanted.is_empty() {
        return Err(Error::new("no limit is given").hint("hilum pod update --help lists them"));
    }
    let (dir, mut pod) = global.pods().load(name, Access::Exclusive)?;
    let mut document = serde_json::to_value(&pod.spec).map_err(|e| Error::new(e.to_string()))?;
    let resources = change(&mut document, &mut given)?;
    pod.spec = spec::parse(document.to_string().as_bytes())?;

    let followed = followed(&pod, &resources);
    let mut changes = Vec::new();
    for member in global.pods().members(name)? {
        match wanted.remove(&member.id) {
            Some(mut given) => {
                let named = |e: Error| e.context(format!("container {}", member.id));
                changes.push(Change::load(&member, &mut given, &followed).map_err(named)?);
            }
            None if followed != Resources::default() && member.is_alive()? => {
                changes.push(Change::load(&member, &mut Value::Null, &followed)?);
            }
            None => {}
        }
    }
    if let Some(id) = wanted.keys().next() {
        return Err(Error::new(format!("pod {name} has no container {id}")));
    }
    carry_out(&pod, &resources, &followed, &dir, &changes)?;
    Ok(0)
}

/// What `--container` says, for each that it names.
fn wanted(args: &ArgMatches) -> Result<BTreeMap<String, Value>> {
    let mut wanted = BTreeMap::new();
    for text in texts(args, "container") {
        let what = || format!("--container {text}");
        let (id, limits) = text
            .split_once(':')
            .ok_or_else(|| Error::new("not ID:LIMIT=VALUE,..").hint("write it as app:memory=64m,cpus=0.5"))
            .with_context(what)?;
        check_name(id).with_context(what)?;
        merge(wanted.entry(id.to_string()).or_insert(Value::Null), &from_word(limits).with_context(what)?);
    }
    Ok(wanted)
}

/// In version 1 a cpuset without a choice of its own has a copy of the one above, which then cannot shrink by itself.
fn followed(pod: &Pod, resources: &Resources) -> Resources {
    let mut followed = Resources::default();
    if let Some(cpu) =
        resources.cpu.as_ref().filter(|cpu| pod.cgroup.copies_cpuset() && !(cpu.cpus.is_empty() && cpu.mems.is_empty()))
    {
        let to = followed.cpu.get_or_insert_default();
        (to.cpus, to.mems) = (cpu.cpus.clone(), cpu.mems.clone());
    }
    followed
}

impl Change {
    fn load(member: &Member, given: &mut Value, followed: &Resources) -> Result<Self> {
        let gone = || Error::new("it does not run");
        let root = member.dir.parent().ok_or_else(gone)?;
        let (container, state) = Container::load(root, &member.id)?;
        match state.status()? {
            status @ (Status::Stopped | Status::Creating) => {
                return Err(gone().hint(format!("it is {}", status.name())));
            }
            Status::Created | Status::Running | Status::Paused => {}
        }
        let old = document_text(container.path())?;
        let mut document: Value = spec::parse(&old)?;
        let mut resources = if given.is_null() { Resources::default() } else { change(&mut document, given)? };
        if let Some(follow) = &followed.cpu {
            let chosen = |property: &str| {
                let chosen = document.pointer(&format!("/linux/resources/cpu/{property}")).and_then(Value::as_str);
                chosen.is_some_and(|chosen| !chosen.is_empty())
            };
            let cpu = resources.cpu.get_or_insert_default();
            if !chosen("cpus") {
                cpu.cpus.clone_from(&follow.cpus);
            }
            if !chosen("mems") {
                cpu.mems.clone_from(&follow.mems);
            }
        }
        let new = if given.is_null() { old.clone() } else { document.to_string().into_bytes() };
        Ok(Self { container, state, resources, old, new })
    }
}

fn carry_out(pod: &Pod, resources: &Resources, followed: &Resources, dir: &Locked, changes: &[Change]) -> Result<()> {
    let whose = format!("pod {}", pod.name);
    let parent = Update::of_parent(&pod.cgroup, &whose, resources)?;
    let mut children = Vec::new();
    for change in changes {
        let whose = format!("container {}", change.state.id);
        children.push(Update::new(&change.state.cgroup, &whose, &change.resources).context(whose)?);
    }
    if let Some(reaper) = &pod.reaper {
        children.push(Update::new(&reaper.cgroup, format!("the reaper of {whose}"), followed)?);
    }
    // All of it is looked at before any of it is done.
    [&parent].into_iter().chain(&children).try_for_each(Update::refuse_exceeded)?;
    let done = apply(Some(&parent), &children)?;
    let saved = save(pod, dir, changes);
    if saved.is_err() {
        done.undo();
        for change in changes {
            let _ = change.container.save_document(&change.old);
        }
    }
    saved
}

fn save(pod: &Pod, dir: &Locked, changes: &[Change]) -> Result<()> {
    for change in changes.iter().filter(|change| change.new != change.old) {
        change.container.save_document(&change.new)?;
    }
    pod.save(dir)
}
