//! Properties of a unit: systemd.resource-control(5), under the names and types that D-Bus knows them by.
//!
//! Limits are made of the same writes that hilum does to the cgroup's files: what systemd does not know of the files it
//! may set to something else the next time that it looks (`systemctl daemon-reload`).

use std::fmt;

use super::super::device::{Kind, MKNOD, READ, Rule, Rules, WRITE};
use super::super::resources::Write;
use crate::dbus::Value;
use crate::error::{Error, Result};
use crate::spec::limits::SET;

/// What systemd takes for no limit.
const INFINITY: u64 = u64::MAX;
/// systemd counts processor time in percents: this many microseconds of each second.
const PERCENT: u64 = 10_000;
const SECOND: u64 = 1_000_000;
/// The versions of systemd with which these came.
const CPU_QUOTA_PERIOD: u32 = 242;
const CPUSETS: u32 = 244;
const CPU_IDLE: u32 = 252;
const OOM_POLICY_OF_SCOPES: u32 = 253;

#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    pub name: String,
    pub value: Value,
}

impl Property {
    pub fn new(name: &str, value: impl Into<Value>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// `a(sv)`, as all methods take properties.
    pub fn list(properties: &[Property]) -> Value {
        let pair = |p: &Property| Value::Struct(vec![p.name.as_str().into(), Value::variant(p.value.clone())]);
        Value::Array("(sv)".into(), properties.iter().map(pair).collect())
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// cpu.max in steps that systemd can express, upwards: it would write that anyway.
pub fn round(writes: &mut [Write]) -> Result<()> {
    // What `unified` says goes to the file as it is.
    for write in writes.iter_mut().filter(|w| w.file == "cpu.max" && w.property.starts_with("linux.resources.")) {
        if let (Some(quota), period) = cpu_max(write)? {
            write.value = format!("{} {period}", per_second(quota, period).saturating_mul(period) / SECOND);
        }
    }
    Ok(())
}

/// The limits that systemd knows too. It takes the last of several for the same thing, as a file does.
pub fn of_writes(writes: &[Write], version: u32) -> Result<Vec<Property>> {
    let idle = writes.iter().any(|w| w.file == "cpu.idle" && w.value.trim() == "1") && version >= CPU_IDLE;
    let mut properties = Vec::new();
    for write in writes {
        let mut add = |name: &str, value: Value| properties.push(Property::new(name, value));
        match write.file.as_str() {
            "memory.max" => add("MemoryMax", amount(write)?),
            "memory.high" => add("MemoryHigh", amount(write)?),
            "memory.low" => add("MemoryLow", amount(write)?),
            "memory.min" => add("MemoryMin", amount(write)?),
            "memory.swap.max" => add("MemorySwapMax", amount(write)?),
            "pids.max" => add("TasksMax", amount(write)?),
            // A weight of 0 is how systemd says idle, and any other ends it.
            "cpu.idle" if idle => add("CPUWeight", 0u64.into()),
            "cpu.weight" if !idle => add("CPUWeight", amount(write)?),
            "cpu.max" => {
                let (quota, period) = cpu_max(write)?;
                if version >= CPU_QUOTA_PERIOD {
                    add("CPUQuotaPeriodUSec", period.into());
                }
                add("CPUQuotaPerSecUSec", quota.map_or(INFINITY, |quota| per_second(quota, period)).into());
            }
            "cpuset.cpus" if version >= CPUSETS => add("AllowedCPUs", set(write)?),
            "cpuset.mems" if version >= CPUSETS => add("AllowedMemoryNodes", set(write)?),
            _ => {}
        }
    }
    Ok(properties)
}

/// What systemd does with the unit when the kernel kills in it. It can be said at the start only.
pub fn oom_policy(writes: &[Write], is_slice: bool, version: u32) -> Option<Property> {
    let group =
        writes.iter().rfind(|w| w.file == "memory.oom.group" && !is_slice && version >= OOM_POLICY_OF_SCOPES)?;
    match group.value.trim() {
        "0" => Some(Property::new("OOMPolicy", "continue")),
        "1" => Some(Property::new("OOMPolicy", "kill")),
        _ => None,
    }
}

/// The device rules, as near as systemd can say them and never narrower: hilum's own filter is attached beside or in the
/// place of systemd's, and is exact. What is for that one alone (an exception to what is allowed) is left out here.
pub fn of_devices(rules: &Rules) -> Vec<Property> {
    let Some(allowed) = rules.allowed() else {
        return vec![
            Property::new("DevicePolicy", "auto"),
            Property::new("DeviceAllow", Value::Array("(ss)".into(), Vec::new())),
        ];
    };
    let entries =
        allowed.iter().map(|rule| Value::Struct(vec![device(rule).as_str().into(), access(rule).as_str().into()]));
    vec![
        Property::new("DevicePolicy", "strict"),
        Property::new("DeviceAllow", Value::Array("(ss)".into(), entries.collect())),
    ]
}

/// systemd has no rule for one minor number of all majors.
fn device(rule: &Rule) -> String {
    let kind = if rule.kind == Kind::Block { "block" } else { "char" };
    match (rule.major, rule.minor) {
        (None, _) => format!("{kind}-*"),
        (Some(major), None) => format!("{kind}-{major}"),
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
    }
}

fn access(rule: &Rule) -> String {
    let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    letters.iter().filter(|(bit, _)| rule.access & bit != 0).map(|(_, letter)| letter).collect()
}

fn invalid(write: &Write) -> Error {
    Error::new(format!("{}: systemd cannot take {:?} for {}", write.property, write.value, write.file))
}

fn number(text: &str, write: &Write) -> Result<u64> {
    if text == "max" { Ok(INFINITY) } else { text.parse().map_err(|_| invalid(write)) }
}

fn amount(write: &Write) -> Result<Value> {
    Ok(number(write.value.trim(), write)?.into())
}

/// Quota (none is no limit) and period, in microseconds.
fn cpu_max(write: &Write) -> Result<(Option<u64>, u64)> {
    let words: Vec<&str> = write.value.split_whitespace().collect();
    let (quota, period) = match words.as_slice() {
        [quota] => (*quota, 100_000),
        [quota, period] => (*quota, number(period, write)?),
        _ => return Err(invalid(write)),
    };
    let quota = number(quota, write)?;
    if period == 0 || period == INFINITY {
        return Err(invalid(write));
    }
    Ok(((quota != INFINITY).then_some(quota), period))
}

fn per_second(quota: u64, period: u64) -> u64 {
    quota.saturating_mul(SECOND).div_ceil(period).div_ceil(PERCENT).saturating_mul(PERCENT)
}

/// `0-2,5` as the bits of a byte array, the lowest first.
fn set(write: &Write) -> Result<Value> {
    /// More than any kernel has processors.
    const MOST: u32 = 1 << 16;
    if write.value.len() > SET {
        return Err(invalid(write));
    }
    let mut bytes: Vec<u8> = Vec::new();
    for range in write.value.trim().split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bound = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n < MOST).ok_or_else(|| invalid(write));
        let (first, last) = (bound(first)?, bound(last)?);
        if first > last {
            return Err(invalid(write));
        }
        for bit in first..=last {
            let at = (bit / 8) as usize;
            if bytes.len() <= at {
                bytes.resize(at + 1, 0);
            }
            if let Some(byte) = bytes.get_mut(at) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    Ok(Value::bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::super::super::resources::Missing;
    use super::*;
    use crate::spec::config::DeviceRule;

    fn write(file: &str, value: &str) -> Write {
        Write {
            property: "linux.resources.x".into(),
            controller: String::new(),
            directory: "/c".into(),
            file: file.into(),
            value: value.into(),
            missing: Missing::Error,
            optional: false,
        }
    }

    fn texts(writes: &[(&str, &str)], version: u32) -> Vec<String> {
        let writes: Vec<Write> = writes.iter().map(|(file, value)| write(file, value)).collect();
        of_writes(&writes, version).unwrap().iter().map(Property::to_string).collect()
    }

    fn error(file: &str, value: &str) -> String {
        of_writes(&[write(file, value)], 257).unwrap_err().to_string()
    }

    #[test]
    fn files_and_their_properties() {
        for (file, value, expected) in [
            ("memory.max", "1048576", "MemoryMax=uint64 1048576"),
            ("memory.low", "max", "MemoryLow=uint64 18446744073709551615"),
            ("memory.high", "5\n", "MemoryHigh=uint64 5"),
            ("memory.min", "5", "MemoryMin=uint64 5"),
            ("memory.swap.max", "0", "MemorySwapMax=uint64 0"),
            ("pids.max", "10", "TasksMax=uint64 10"),
            ("cpu.weight", "79", "CPUWeight=uint64 79"),
            ("cpuset.cpus", "0-2,9", "AllowedCPUs=[byte 7, byte 2]"),
            ("cpuset.mems", "0", "AllowedMemoryNodes=[byte 1]"),
            ("cpuset.cpus", "\n", "AllowedCPUs=@ay []"),
        ] {
            assert_eq!(texts(&[(file, value)], 257), [expected]);
        }
        assert!(texts(&[("hugetlb.2MB.max", "5"), ("io.max", "8:0 rbps=1"), ("cpu.max.burst", "1")], 257).is_empty());
    }

    #[test]
    fn quotas_are_in_percents_rounded_up() {
        let quota = |value: &str| texts(&[("cpu.max", value)], 257);
        let both = |period: u64, per_second: u64| {
            [format!("CPUQuotaPeriodUSec=uint64 {period}"), format!("CPUQuotaPerSecUSec=uint64 {per_second}")]
        };
        assert_eq!(quota("50000 100000"), both(100_000, 500_000));
        assert_eq!(quota("5000"), both(100_000, 50_000));
        assert_eq!(quota("1234 10000"), both(10_000, 130_000));
        assert_eq!(quota("max 5000"), both(5_000, INFINITY));
        let mut writes =
            [write("cpu.max", "1234 10000"), write("cpu.max", "max 10000"), write("cpu.max", "5000 10000")];
        round(&mut writes).unwrap();
        assert_eq!(writes.map(|w| w.value), ["1300 10000", "max 10000", "5000 10000"]);
    }

    #[test]
    fn idle_is_a_weight_of_nothing() {
        assert_eq!(texts(&[("cpu.idle", "1"), ("cpu.weight", "5")], 252), ["CPUWeight=uint64 0"]);
        assert_eq!(texts(&[("cpu.idle", "0"), ("cpu.weight", "5")], 252), ["CPUWeight=uint64 5"]);
    }

    #[test]
    fn an_older_systemd_is_not_told_what_it_does_not_know() {
        assert_eq!(texts(&[("cpu.idle", "1"), ("cpu.weight", "5")], 251), ["CPUWeight=uint64 5"]);
        assert!(texts(&[("cpuset.cpus", "0"), ("cpuset.mems", "0")], 243).is_empty());
        assert_eq!(texts(&[("cpu.max", "5000")], 241), ["CPUQuotaPerSecUSec=uint64 50000"]);
        let group = [write("memory.oom.group", "1")];
        assert_eq!(oom_policy(&group, false, 252), None);
        assert_eq!(oom_policy(&group, true, 257), None);
        assert_eq!(oom_policy(&group, false, 253), Some(Property::new("OOMPolicy", "kill")));
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(error("memory.max", "5G"), "linux.resources.x: systemd cannot take \"5G\" for memory.max");
        for (file, value) in [
            ("cpu.max", "1 2 3"),
            ("cpu.max", "1 0"),
            ("cpu.max", "1 max"),
            ("cpuset.cpus", "3-1"),
            ("cpuset.cpus", "a"),
            ("cpuset.cpus", "99999999"),
            ("cpuset.cpus", "-1"),
        ] {
            assert!(error(file, value).contains("systemd cannot take"), "{file} {value}");
        }
    }

    type Short = (bool, &'static str, Option<i64>, Option<i64>, &'static str);

    fn devices(rules: &[Short]) -> Vec<String> {
        let rules: Vec<DeviceRule> = rules
            .iter()
            .map(|&(allow, kind, major, minor, access)| DeviceRule {
                allow,
                kind: kind.into(),
                major,
                minor,
                access: access.into(),
            })
            .collect();
        of_devices(&Rules::new(&rules, &[]).unwrap()).iter().map(Property::to_string).collect()
    }

    #[test]
    fn device_rules_as_systemd_has_them() {
        const USUAL: &str = "('char-*', 'm'), ('block-*', 'm'), ('/dev/char/1:3', 'rwm'), ('/dev/char/1:8', 'rwm'), \
            ('/dev/char/1:7', 'rwm'), ('/dev/char/5:0', 'rwm'), ('/dev/char/1:5', 'rwm'), ('/dev/char/1:9', 'rwm'), \
            ('char-136', 'rwm'), ('/dev/char/5:2', 'rwm')";
        assert_eq!(devices(&[]), ["DevicePolicy='strict'".into(), format!("DeviceAllow=[{USUAL}]")]);
        let some = devices(&[
            (true, "b", Some(8), None, "r"),
            (true, "c", None, Some(5), "w"),
            (true, "c", Some(10), Some(200), "rw"),
        ]);
        let own = "('block-8', 'r'), ('char-*', 'w'), ('/dev/char/10:200', 'rw')";
        assert!(some[1].starts_with(&format!("DeviceAllow=[{own}, ")), "{some:?}");
        // Taken away again: all of it, or a part that systemd cannot express.
        let gone = devices(&[(true, "b", Some(8), Some(1), "rw"), (false, "b", Some(8), None, "w")]);
        assert!(gone[1].starts_with("DeviceAllow=[('/dev/block/8:1', 'r'), "), "{gone:?}");
        let part = devices(&[(true, "b", Some(8), None, "rw"), (false, "b", Some(8), Some(1), "w")]);
        assert!(part[1].starts_with("DeviceAllow=[('block-8', 'rw'), "), "{part:?}");
        for all in
            [&[(true, "a", None, None, "rwm")][..], &[(true, "a", None, None, "rwm"), (false, "b", Some(8), None, "w")]]
        {
            assert_eq!(devices(all), ["DevicePolicy='auto'", "DeviceAllow=@a(ss) []"]);
        }
    }
}
