//! linux.resources from the command line: limits as options, or a document of them.

use clap::ArgMatches;
use serde_json::{Map, Value, json};

use super::text;
use crate::error::{Context, Error, Result};
use crate::spec;
use crate::spec::config::Resources;

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

/// The period that --cpus is a part of, in microseconds: the kernel's own.
const PERIOD: f64 = 100_000.0;

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
        let cpus = text.parse().ok().filter(|cpus: &f64| *cpus > 0.0 && *cpus < 1e6);
        let cpus = cpus.ok_or_else(|| Error::new(format!("invalid value for --cpus: {text:?}")))?;
        merge(&mut given, &json!({ "cpu": { "quota": (cpus * PERIOD) as i64, "period": PERIOD as u64 } }));
    }
    Ok(given)
}

/// `512m`, `1.5G`, `64MiB`, `-1`: powers of 1024, whatever is written behind the letter.
pub fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: f64 = number.parse().ok()?;
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let bytes = number * 1024_f64.powi(power);
    (bytes < i64::MAX as f64).then_some(bytes as i64)
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

/// What is given replaces what is there; null leaves it.
pub fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (_, Value::Null) => {}
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
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
    fn sizes_have_units_of_1024() {
        for (text, expected) in
            [("-1", -1), ("0", 0), ("4096", 4096), ("1k", 1024), ("1.5M", 1_572_864), ("2GiB", 2 << 30), ("7b", 7)]
        {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for bad in ["", "m", "-2", "1x", "1.2.3m", "9999999999999p"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

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
