//! A failure, small enough to be built without a heap: an errno, and a few words where the step does several things.

use hilum_sys::memory::Scratch;
use rustix::io::Errno;

pub(crate) type Result<T> = core::result::Result<T, Fail>;

pub(crate) struct Fail {
    pub(crate) errno: Errno,
    detail: Detail,
}

enum Detail {
    Words(&'static str),
    /// What somebody else said: the kernel, a hook.
    Text {
        pages: Scratch,
        len: usize,
    },
}

impl Fail {
    /// What fits into the message to the parent, with room for the rest of it.
    const ROOM: usize = 240;

    pub(crate) fn new(errno: Errno, words: &'static str) -> Self {
        let detail = Detail::Words(words);
        Self { errno, detail }
    }

    pub(crate) fn quoting(errno: Errno, text: &[u8]) -> Self {
        let text = text.get(..Self::ROOM).unwrap_or(text);
        let Ok(mut pages) = Scratch::new(Self::ROOM / size_of::<usize>()) else {
            return errno.into();
        };
        for (to, from) in pages.bytes_mut().iter_mut().zip(text) {
            *to = *from;
        }
        let detail = Detail::Text { pages, len: text.len() };
        Self { errno, detail }
    }

    pub(crate) fn detail(&self) -> &[u8] {
        match &self.detail {
            Detail::Words(words) => words.as_bytes(),
            Detail::Text { pages, len } => pages.bytes().get(..*len).unwrap_or_default(),
        }
    }
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::new(errno, "")
    }
}

/// Says which of a step's calls failed.
pub(crate) trait During<T> {
    fn during(self, what: &'static str) -> Result<T>;
}

impl<T> During<T> for core::result::Result<T, Errno> {
    fn during(self, what: &'static str) -> Result<T> {
        self.map_err(|errno| Fail::new(errno, what))
    }
}
