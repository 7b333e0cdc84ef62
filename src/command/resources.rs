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

#[derive(Clone, Copy)]
enum Unit {
    Number,
    Bytes,
    Text,
}

fn from_options(args: &ArgMatches) -> Result<Value> {
    let mut given = json!({});
    for (option, group, property, unit) in OPTIONS {
        let Some(text) = text(args, option) else { continue };
        let invalid = || Error::new(format!("invalid value for --{option}: {text:?}"));
        let value = match unit {
            Unit::Text => Some(text.into()),
            Unit::Number => text.parse::<i64>().ok().map(Value::from),
            Unit::Bytes => bytes(text).map(Value::from),
        };
        merge(&mut given, &json!({ *group: { *property: value.ok_or_else(invalid)? } }));
    }
    // Of a pod only.
    if let Some(text) = args.try_get_one::<String>("cpus").ok().flatten() {
        let quota = text.parse().ok().and_then(cpu_quota);
        let quota = quota.ok_or_else(|| Error::new(format!("invalid value for --cpus: {text:?}")))?;
        merge(&mut given, &json!({ "cpu": { "quota": quota, "period": CPU_PERIOD } }));
    }
    Ok(given)
}

/// linux.resources of the document, made if it is not there.
pub fn of_document(document: &mut Value) -> Result<&mut Value> {
    let object = |value: &mut Value| {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
    };
    let broken = || Error::new("config.json of the container's state: not an object");
    let linux = document.as_object_mut().ok_or_else(broken)?.entry("linux").or_insert(Value::Null);
    object(linux);
    let resources = linux.as_object_mut().ok_or_else(broken)?.entry("resources").or_insert(Value::Null);
    object(resources);
    Ok(resources)
}

/// Values that the kernel takes together: one of them alone is completed by what was so before.
pub fn complete(given: &mut Value, all: &Value) {
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
