//! A failure, small enough to be built without a heap: an errno, and a few words where the step does several things.

use rustix::io::Errno;

pub(crate) type Result<T> = core::result::Result<T, Fail>;

#[derive(Clone, Copy)]
pub(crate) struct Fail {
    pub(crate) errno: Errno,
    detail: [u8; Self::ROOM],
    len: usize,
}

impl Fail {
    const ROOM: usize = 240;

    pub(crate) fn new(errno: Errno, detail: &[u8]) -> Self {
        let mut fail = Self {
            errno,
            detail: [0; Self::ROOM],
            len: 0,
        };
        for (to, from) in fail.detail.iter_mut().zip(detail) {
            *to = *from;
            fail.len += 1;
        }
        fail
    }

    pub(crate) fn detail(&self) -> &[u8] {
        self.detail.get(..self.len).unwrap_or_default()
    }
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::new(errno, b"")
    }
}

/// Says which of a step's calls failed.
pub(crate) trait During<T> {
    fn during(self, what: &str) -> Result<T>;
}

impl<T> During<T> for core::result::Result<T, Errno> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|errno| Fail::new(errno, what.as_bytes()))
    }
}
