//! Annotations `org.systemd.property.NAME`: properties that the unit is to have, as GVariant texts.

use std::collections::BTreeMap;

use super::gvariant;
use super::property::Property;
use crate::dbus::Value;
use crate::error::{Error, Result};

const KEY: &str = "org.systemd.property.";
const MICROSECONDS: u64 = 1_000_000;

pub fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let ours = annotations.iter().filter_map(|(key, text)| Some((key.strip_prefix(KEY)?, text)));
    ours.map(|(name, text)| property(name, text).map_err(|e| e.context(format!("annotation {KEY}{name}={text}"))))
        .collect()
}

fn property(name: &str, text: &str) -> Result<Property> {
    if name.len() < 3 {
        return Err(Error::new("name incorrect: too short"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(Error::new("name incorrect: contains non-alphabetic character"));
    }
    let value = gvariant::parse(text).map_err(|e| e.context("value parse error"))?;
    // Unit files have seconds where the bus has microseconds; so that both names can be given. (What ends in "USec" or
    // "FooBARSec" has no lower-case letter there.)
    match name.strip_suffix("Sec") {
        Some(stem) if stem.ends_with(|c: char| c.is_ascii_lowercase()) => {
            let value = microseconds(&value).ok_or_else(|| Error::new("value parse error: not a number of seconds"))?;
            Ok(Property::new(&format!("{stem}USec"), value))
        }
        _ => Ok(Property::new(name, value)),
    }
}

fn microseconds(seconds: &Value) -> Option<u64> {
    let whole = match *seconds {
        Value::Byte(value) => value.into(),
        Value::I16(value) => value.try_into().ok()?,
        Value::U16(value) => value.into(),
        Value::I32(value) => value.try_into().ok()?,
        Value::U32(value) => value.into(),
        Value::I64(value) => value.try_into().ok()?,
        Value::U64(value) => value,
        Value::F64(value) if value >= 0.0 => return Some((value * MICROSECONDS as f64) as u64),
        _ => return None,
    };
    whole.checked_mul(MICROSECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, text: &str) -> std::result::Result<Vec<String>, String> {
        let annotations = [(format!("{KEY}{name}"), text.to_string()), ("other".into(), "]".into())].into();
        properties(&annotations).map(|all| all.iter().map(Property::to_string).collect()).map_err(|e| e.to_string())
    }

    #[test]
    fn annotations_become_properties() {
        for (name, text, expected) in [
            ("TimeoutStopUSec", "uint64 123456789", "TimeoutStopUSec=uint64 123456789"),
            ("CollectMode", "'inactive-or-failed'", "CollectMode='inactive-or-failed'"),
            ("TimeoutStopSec", "5", "TimeoutStopUSec=uint64 5000000"),
            ("TimeoutStopSec", "1.5", "TimeoutStopUSec=uint64 1500000"),
            ("RuntimeMaxSec", "uint16 60", "RuntimeMaxUSec=uint64 60000000"),
            ("After", "['a.service', 'b.service']", "After=['a.service', 'b.service']"),
        ] {
            assert_eq!(parse(name, text), Ok(vec![expected.to_string()]));
        }
    }

    #[test]
    fn wrong_ones_are_named() {
        for (name, text, expected) in [
            ("Ab", "1", "org.systemd.property.Ab=1: name incorrect: too short"),
            ("A_bc", "1", "org.systemd.property.A_bc=1: name incorrect: contains non-alphabetic character"),
            ("Abc", "nonsense", "value parse error: \"nonsense\" is no value of type i"),
            ("TimeoutStopSec", "'5s'", "value parse error: not a number of seconds"),
            ("TimeoutStopSec", "-1", "value parse error: not a number of seconds"),
            ("TimeoutStopSec", "uint64 18446744073709551615", "value parse error: not a number of seconds"),
        ] {
            let error = parse(name, text).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
