//! linux.memoryPolicy: from which NUMA nodes the process gets its memory. What never makes sense is refused here, by the
//! rules of set_mempolicy(2); which nodes and modes there are, the kernel knows.

use hilum_init::step::Step;

use super::names::{self, Table};
use super::{Builder, bits};
use crate::error::{Error, Result};
use crate::spec::config::MemoryPolicy;

// linux/mempolicy.h
const DEFAULT: u32 = 0;
const PREFERRED: u32 = 1;
const LOCAL: u32 = 4;
const STATIC_NODES: u32 = 1 << 15;
const RELATIVE_NODES: u32 = 1 << 14;

pub const MODES: &Table = &[
    ("MPOL_DEFAULT", DEFAULT),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
    ("MPOL_PREFERRED", PREFERRED),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_LOCAL", LOCAL),
];

pub const FLAGS: &Table = &[
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", RELATIVE_NODES),
    ("MPOL_F_STATIC_NODES", STATIC_NODES),
];

pub fn plan(b: &mut Builder<'_>, config: &MemoryPolicy) -> Result<()> {
    let mode = names::number("linux.memoryPolicy.mode", MODES, &config.mode)?;
    let flags = names::flags("linux.memoryPolicy.flags", FLAGS, &config.flags)?;
    let nodes = bits::mask("linux.memoryPolicy.nodes", &config.nodes)?;
    check(&config.mode, mode, flags, nodes.is_empty())?;
    let nodes = b.words(&nodes);
    b.push(Step::MemoryPolicy { mode: mode | flags, nodes });
    Ok(())
}

fn check(name: &str, mode: u32, flags: u32, no_nodes: bool) -> Result<()> {
    let counting = flags & (STATIC_NODES | RELATIVE_NODES);
    let (property, why) = match mode {
        DEFAULT | LOCAL if !no_nodes => ("nodes", format!("{name} takes none")),
        DEFAULT | LOCAL if flags != 0 => ("flags", format!("{name} takes none")),
        _ if counting == STATIC_NODES | RELATIVE_NODES => {
            ("flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other".into())
        }
        PREFERRED if no_nodes && counting != 0 => ("nodes", "missing, and a flag says how to count them".into()),
        DEFAULT | LOCAL | PREFERRED => return Ok(()),
        _ if no_nodes => ("nodes", format!("missing, and {name} needs one at least")),
        _ => return Ok(()),
    };
    Err(Error::new(format!("linux.memoryPolicy.{property}: {why}")))
}

/// Its name; the flags are beside it in the same number.
pub fn name(mode: u32) -> &'static str {
    names::of(MODES, mode & !FLAGS.iter().fold(0, |bits, (_, flag)| bits | flag))
}
