//! When config.json was written: what it says of processes was true then.

use std::fs::File;
use std::time::{Duration, SystemTime};

use rustix::fs::fstatfs;

/// File systems that take their times from the clock of another machine (linux/magic.h).
const FOREIGN: &[u32] = &[
    0x6969,      // nfs
    0xff53_4d42, // cifs
    0xfe53_4d42, // smb2
    0x0102_1997, // 9p
    0x6573_5546, // fuse, and so virtiofs
    0x00c3_6400, // ceph
    0x5346_414f, // afs
];

#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub at: SystemTime,
    /// How far off that may be.
    slack: Duration,
}

impl Written {
    /// `None` where it is not known by this machine's clock.
    pub fn of(file: &File) -> Option<Self> {
        let at = file.metadata().ok()?.modified().ok()?;
        // Truncated on purpose: the kernel's magic numbers have 32 bits, and the field's type differs by architecture.
        let foreign = FOREIGN.contains(&(fstatfs(file).ok()?.f_type as u32));
        (!foreign).then(|| Self::at(at))
    }

    /// The kernel's clock for files is some milliseconds behind; and there are file systems that count in seconds, or in
    /// two of them.
    pub fn at(at: SystemTime) -> Self {
        let whole = match at.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.subsec_nanos() == 0,
            Err(before) => before.duration().subsec_nanos() == 0,
        };
        Self { at, slack: if whole { Duration::from_secs(2) } else { Duration::from_millis(100) } }
    }

    /// Whether this happened later, so that who wrote the file could not know of it.
    pub fn is_before(&self, time: SystemTime) -> bool {
        time.duration_since(self.at).is_ok_and(|later| later > self.slack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_in_seconds_may_be_two_of_them_off() {
        let day = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        let exact = day + Duration::from_nanos(1);
        let after = |ms| exact + Duration::from_millis(ms);
        for (written, late, expected) in
            [(exact, 99, false), (exact, 101, true), (day, 1999, false), (day, 2001, true), (after(5000), 0, false)]
        {
            assert_eq!(Written::at(written).is_before(after(late)), expected, "{written:?} {late}");
        }
    }
}
