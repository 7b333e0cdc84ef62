//! Names in config.json that stand for numbers of the kernel.

use crate::error::{Error, Result};

pub type Table = [(&'static str, u32)];

pub fn all(table: &Table) -> Vec<&'static str> {
    table.iter().map(|(name, _)| *name).collect()
}

pub fn number(property: &str, table: &Table, name: &str) -> Result<u32> {
    table.iter().find(|(known, _)| *known == name).map(|(_, number)| *number).ok_or_else(|| {
        let known = all(table).join(", ");
        match name {
            "" => Error::new(format!("{property}: missing")).hint(format!("it is one of {known}")),
            _ => Error::new(format!("{property}: unknown value {name:?}")).hint(format!("known are {known}")),
        }
    })
}

pub fn flags(property: &str, table: &Table, names: &[String]) -> Result<u32> {
    let flag = |(i, name): (usize, &String)| number(&format!("{property}[{i}]"), table, name);
    names.iter().enumerate().map(flag).try_fold(0, |flags, flag| Ok(flags | flag?))
}

/// The name of a number, if it has one.
pub fn of(table: &Table, number: u32) -> &'static str {
    table.iter().find(|(_, known)| *known == number).map(|(name, _)| *name).unwrap_or_default()
}

/// The names of the flags among these bits.
pub fn of_flags(table: &Table, bits: u32) -> impl Iterator<Item = &'static str> {
    table.iter().filter(move |(_, flag)| bits & flag != 0).map(|(name, _)| *name)
}
