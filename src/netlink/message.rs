//! Messages of netlink(7): a header, the structure of their type, and attributes behind it, all aligned to four bytes.

use rustix::io::Errno;

use crate::error::{Error, Result};

pub const NLM_F_REQUEST: u16 = 0x1;
pub const NLM_F_ACK: u16 = 0x4;
pub const NLM_F_EXCL: u16 = 0x200;
pub const NLM_F_CREATE: u16 = 0x400;
pub const NLM_F_DUMP: u16 = 0x300;
/// What was listed has changed meanwhile.
pub const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;

/// A request while it is being written.
pub struct Request(Vec<u8>);

impl Request {
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4]; // its length, which comes last
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend([0; 8]); // no number, as there is one request at a time; and to the kernel
        bytes.extend(body);
        Self(bytes)
    }

    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        // Whoever calls has names, addresses and numbers.
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub fn bytes(mut self) -> Vec<u8> {
        let len = (self.0.len() as u32).to_ne_bytes();
        for (to, from) in self.0.iter_mut().zip(len) {
            *to = from;
        }
        self.0
    }
}

/// What the kernel says.
#[derive(Debug)]
pub enum Answer<'b> {
    /// The structure and the attributes; and whether the list that they are of is a reliable one.
    Item { body: &'b [u8], interrupted: bool },
    /// Of a request, or of a list; and whether that is a reliable one.
    End { interrupted: bool },
}

/// Each message of a datagram.
pub fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Result<Answer<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let Some((answer, len)) = one(bytes) else {
            bytes = &[];
            return Some(Err(Error::new("a netlink message that is cut off")));
        };
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(answer)
    })
}

fn one(bytes: &[u8]) -> Option<(Result<Answer<'_>>, usize)> {
    let len = u32_at(bytes, 0)? as usize;
    let (kind, flags) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?);
    let body = bytes.get(HEADER..len)?;
    let interrupted = flags & NLM_F_DUMP_INTR != 0;
    let answer = match kind {
        NLMSG_ERROR | NLMSG_DONE => match u32_at(body, 0).unwrap_or_default() as i32 {
            0 => Ok(Answer::End { interrupted }),
            errno => Err(Errno::from_raw_os_error(errno.saturating_neg().clamp(1, 4095)).into()),
        },
        _ => Ok(Answer::Item { body, interrupted }),
    };
    Some((answer, len))
}

/// Type and value of each, without the two bits that mark the byte order and nesting.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let found = (u16_at(bytes, 2)? & 0x3fff, bytes.get(4..len)?);
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(found)
    })
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let request = Request::new(16, NLM_F_ACK, &[1; 16]).attribute(3, b"eth0\0").attribute(4, &7u32.to_ne_bytes());
        let bytes = request.bytes();
        assert_eq!(bytes.len(), 16 + 16 + 12 + 8);
        let all: Vec<_> = answers(&bytes).collect();
        let [Ok(Answer::Item { body, interrupted: false })] = all.as_slice() else { panic!("{all:?}") };
        let found: Vec<_> = attributes(&body[16..]).collect();
        assert_eq!(found, [(3, &b"eth0\0"[..]), (4, &7u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn an_error_has_its_errno_and_what_is_cut_off_is_one() {
        let answer = |code: i32| Request::new(NLMSG_ERROR, 0, &code.to_ne_bytes()).bytes();
        assert!(matches!(answers(&answer(0)).next(), Some(Ok(Answer::End { interrupted: false }))));
        let interrupted = Request::new(NLMSG_DONE, NLM_F_DUMP_INTR, &[0; 4]).bytes();
        assert!(matches!(answers(&interrupted).next(), Some(Ok(Answer::End { interrupted: true }))));
        let error = answers(&answer(-19)).next().unwrap().unwrap_err();
        assert_eq!(error.detail().errno, Some(Errno::NODEV));
        let bytes = answer(0);
        for len in 1..bytes.len() {
            assert!(answers(&bytes[..len]).next().unwrap().is_err(), "{len}");
        }
        for bad in [&[0; 3][..], &[3, 0, 1, 0], &[200, 0, 1, 0, 5]] {
            assert_eq!(attributes(bad).count(), 0, "{bad:?}");
        }
    }
}
