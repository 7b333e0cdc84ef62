//! linux.resources from the command line: limits as options, or a document of them.

use clap::ArgMatches;
use serde_json::{Map, Value, json};

use super::text;
use crate::error::{Context, Error, Result};
use crate::spec::amount::{CPU_PERIOD, bytes, cpu_quota};
use crate::spec::config::Resources;
use crate::spec::{self, merge};

pub fn parse(resources: &Value) -> Result<Resources> {
    spec::parse(resources.to_string().as_bytes()).context("linux.resources")
}

/// What the options say, or the document that they name. Device rules are nobody's to change.
pub fn given(args: &ArgMatches) -> Result<Value> {
    let mut given = match text(args, "resources") {
        Some(path) => spec::load_part(path.as_ref())?,
        None => from_options(args)?,
    };
    if let Value::Object(resources) = &mut given {
        resources.remove("devices");
    }
    // What of it is wrong is said with the path of the property.
    parse(&given)?;
    Ok(given)
}

/// Options, where they stand in linux.resources, and what they are.
const OPTIONS: &[(&str, &str, &str, Unit)] = &[
    ("blkio-weight", "blockIO", "weight", Unit::Number),
    ("cpu-period", "cpu", "period", Unit::Number),
    ("cpu-quota", "cpu", "quota", Unit::Number),
    ("cpu-burst", "cpu", "burst", Unit::Number),
    ("cpu-share", "cpu", "shares", Unit::Number),
    ("cpu-rt-period", "cpu", "realtimePeriod", Unit::Number),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime", Unit::Number),
    ("cpu-idle", "cpu", "idle", Unit::Number),
    ("cpuset-cpus", "cpu", "cpus", Unit::Text),
    ("cpuset-mems", "cpu", "mems", Unit::Text),
    ("memory", "memory", "limit", Unit::Bytes),
    ("memory-reservation", "memory", "reservation", Unit::Bytes),
    ("memory-swap", "memory", "swap", Unit::Bytes),
    ("pids-limit", "pids", "limit", Unit::Number),
];

/// Of a pod and what is in it: a quota, and a period.
const CPUS: &str = "cpus";

#[derive(Clone, Copy)]
enum Unit {
    Number,
    Bytes,
    Text,
}

fn from_options(args: &ArgMatches) -> Result<Value> {
    // Only a pod's commands have all of them.
    values(|option| args.try_get_one::<String>(option).ok().flatten().map(String::as_str))
}

/// `memory=64m,cpuset-cpus=0-1,3,cpus=0.5`: the same options in one word.
pub fn from_word(word: &str) -> Result<Value> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for part in word.split(',') {
        match (part.split_once('='), pairs.last_mut()) {
            (Some((name, value)), _) => pairs.push((name.trim(), value.into())),
            // A list of processors has commas of its own.
            (None, Some((_, value))) => value.extend([",", part]),
            (None, None) => return Err(Error::new(format!("{part:?} is no limit")).hint("write it as memory=64m")),
        }
    }
    for (name, _) in &pairs {
        let known = || OPTIONS.iter().map(|(option, ..)| *option).chain([CPUS]);
        if !known().any(|option| option == *name) {
            let hint = format!("there are {}", known().collect::<Vec<_>>().join(", "));
            return Err(Error::new(format!("{name:?} is no limit")).hint(hint));
        }
    }
    values(|option| pairs.iter().rfind(|(name, _)| *name == option).map(|(_, value)| value.as_str()))
}

fn values<'v>(get: impl Fn(&str) -> Option<&'v str>) -> Result<Value> {
    let mut given = json!({});
    for (option, group, property, unit) in OPTIONS {
        let Some(text) = get(option) else { continue };
        let invalid = || Error::new(format!("invalid value for --{option}: {text:?}"));
        let value = match unit {
            Unit::Text => Some(text.into()),
            Unit::Number => text.parse::<i64>().ok().map(Value::from),
            Unit::Bytes => bytes(text).map(Value::from),
        };
        merge(&mut given, &json!({ *group: { *property: value.ok_or_else(invalid)? } }));
    }
    if let Some(text) = get(CPUS) {
        let quota = text.parse().ok().and_then(cpu_quota);
        let quota = quota.ok_or_else(|| {
            Error::new(format!("invalid value for --cpus: {text:?}")).hint("give a number, 0.01 at the least")
        })?;
        merge(&mut given, &json!({ "cpu": { "quota": quota, "period": CPU_PERIOD } }));
    }
    Ok(given)
}

/// Puts into the document what is given; and returns what has to be written then, which may be more.
pub fn change(document: &mut Value, given: &mut Value) -> Result<Resources> {
    let resources = of_document(document)?;
    merge(resources, given);
    complete(given, resources);
    parse(given)
}

/// linux.resources of the document, made if it is not there.
fn of_document(document: &mut Value) -> Result<&mut Value> {
    let object = |value: &mut Value| {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
    };
    let broken = || Error::new("linux.resources: not an object");
    let linux = document.as_object_mut().ok_or_else(broken)?.entry("linux").or_insert(Value::Null);
    object(linux);
    let resources = linux.as_object_mut().ok_or_else(broken)?.entry("resources").or_insert(Value::Null);
    object(resources);
    Ok(resources)
}

/// Values that the kernel takes together: one of them alone is completed by what was so before.
fn complete(given: &mut Value, all: &Value) {
    for (one, group, other) in [("quota", "cpu", "period"), ("period", "cpu", "quota"), ("swap", "memory", "limit")] {
        let has = |property: &str| given.get(group).and_then(|group| group.get(property)).is_some_and(|v| !v.is_null());
        if has(one) && !has(other) {
            let before = all.get(group).and_then(|group| group.get(other)).cloned().unwrap_or(Value::Null);
            merge(given, &json!({ group: { other: before } }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_changes_and_pairs_are_completed() {
        let mut all = json!({"cpu": {"quota": 5, "period": 9}, "memory": {"limit": 100}, "devices": [1]});
        let mut given = json!({"cpu": {"quota": 7, "shares": null}, "memory": {"swap": 300}});
        merge(&mut all, &given);
        assert_eq!(
            all,
            json!({"cpu": {"quota": 7, "period": 9, "shares": null}, "memory": {"limit": 100, "swap": 300}, "devices": [1]})
        );
        complete(&mut given, &all);
        assert_eq!(
            given,
            json!({"cpu": {"quota": 7, "shares": null, "period": 9}, "memory": {"swap": 300, "limit": 100}})
        );
    }
}
