//! What the suite has tried, and what came of it: a file for each, for a page that is made of them.

use super::{json, rounds};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// One row of such a page. On drop, also of a test that fails, it is written to the directory that
/// HILUM_RELIABILITY names, if it names one. What was tried and did not survive has failed its test.
pub struct Tally {
    part: &'static str,
    what: String,
    tried: AtomicU64,
    survived: AtomicU64,
    left: AtomicU64,
    since: Instant,
}

impl Tally {
    /// `part` is the table ("Attacks", "Crash points"…), `what` the row, with a name that no other row of it has.
    pub fn of(part: &'static str, what: &str) -> Tally {
        let zero = AtomicU64::default;
        Tally { part, what: what.into(), tried: zero(), survived: zero(), left: zero(), since: Instant::now() }
    }

    /// Before each attempt.
    pub fn tries(&self) {
        self.tried.fetch_add(1, Ordering::Relaxed);
    }

    /// After the checks of an attempt.
    pub fn survives(&self) {
        self.survived.fetch_add(1, Ordering::Relaxed);
    }

    /// Processes, mounts, cgroups, pins and files that a sweep has found.
    pub fn leaves(&self, things: usize) {
        self.left.fetch_add(things as u64, Ordering::Relaxed);
    }

    pub fn tried(&self) -> u64 {
        self.tried.load(Ordering::Relaxed)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Some(dir) = std::env::var_os("HILUM_RELIABILITY") else { return };
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let row = json!({
            "part": self.part,
            "what": self.what,
            "form": if rounds(0, 1) == 1 { "long" } else { "short" },
            "tried": load(&self.tried),
            "survived": load(&self.survived),
            "left": load(&self.left),
            "seconds": self.since.elapsed().as_secs_f64(),
        });
        let name: String =
            format!("{} {}", self.part, self.what).chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let file = Path::new(&dir).join(format!("{name}.json"));
        let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&file, row.to_string()));
        if let Err(e) = written {
            eprintln!("{}: {e}", file.display());
        }
    }
}
