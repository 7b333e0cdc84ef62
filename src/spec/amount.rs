//! Amounts as people write them.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

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

/// The CPU period that a number of processors is turned into a part of, in microseconds: the kernel's own default.
pub const CPU_PERIOD: u64 = 100_000;

/// The kernel takes no quota below a millisecond, and what would become 0 means no limit.
const LEAST_CPU_QUOTA: i64 = 1000;

/// The quota of so many processors' time: 0.01 of one, or more.
pub fn cpu_quota(cpus: f64) -> Option<i64> {
    let quota = (cpus * CPU_PERIOD as f64) as i64;
    (cpus < 1e6 && quota >= LEAST_CPU_QUOTA).then_some(quota)
}

/// A number of bytes, or a text as [`bytes`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub i64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Amount;
        impl Visitor<'_> for Amount {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, such as 65536 or 64m")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                bytes(text)
                    .map(Bytes)
                    .ok_or_else(|| E::custom(format!("{text:?} is not a number of bytes, such as 64m")))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Bytes, E> {
                Ok(Bytes(number))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Bytes, E> {
                i64::try_from(number).map(Bytes).map_err(|_| E::custom(format!("{number} bytes are too many")))
            }
        }
        d.deserialize_any(Amount)
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
    fn processors_are_a_part_of_the_period() {
        assert_eq!(cpu_quota(0.5), Some(50_000));
        assert_eq!(cpu_quota(2.0), Some(200_000));
        assert_eq!(cpu_quota(0.01), Some(1000));
        for bad in [0.0, 0.000_001, 0.0099, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(cpu_quota(bad), None, "{bad}");
        }
    }
}
