//! CRIU's RPC (images/rpc.proto in its sources), as far as hilum uses it. Protobuf's wire format by hand: numbers and byte
//! strings, each behind the number of its field. A library would be larger than this, and so would its schema.

use super::options::Options;
use crate::error::{Error, Result};

/// `criu_req_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
    FeatureCheck = 9,
    Version = 10,
}

/// What this kernel lets CRIU do (`criu_features`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// To see which pages have been written to since the last dump.
    pub mem_track: bool,
}

/// A message in the making.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// int32, uint32, enum. A negative number is extended to 64 bits.
    pub fn number(&mut self, field: u32, value: i64) {
        self.varint(u64::from(field) << 3);
        self.varint(value as u64);
    }

    /// Absent means false.
    pub fn flag(&mut self, field: u32, value: bool) {
        if value {
            self.number(field, 1);
        }
    }

    pub fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    pub fn message(&mut self, field: u32, value: Message) {
        self.bytes(field, &value.0);
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

fn request(kind: Kind) -> Message {
    let mut message = Message::default();
    message.number(1, kind as i64);
    message
}

/// `criu_req` to dump or restore.
pub fn work(kind: Kind, options: &Options) -> Vec<u8> {
    let mut message = request(kind);
    message.message(2, options.encode());
    message.into_bytes()
}

/// The answer to a notification.
pub fn notified(success: bool) -> Vec<u8> {
    let mut message = request(Kind::Notify);
    message.number(3, i64::from(success));
    message.into_bytes()
}

pub fn version() -> Vec<u8> {
    request(Kind::Version).into_bytes()
}

pub fn feature_check() -> Vec<u8> {
    let mut features = Message::default();
    features.flag(1, true);
    let mut message = request(Kind::FeatureCheck);
    message.message(5, features);
    message.into_bytes()
}

/// `criu_resp`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub kind: u64,
    pub success: bool,
    /// Of the restored process.
    pub pid: Option<i32>,
    /// The stage that CRIU is at.
    pub script: Option<String>,
    pub errno: i32,
    pub features: Features,
    /// Major, minor, sublevel.
    pub version: Option<(u64, u64, u64)>,
}

impl Response {
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut it = Self::default();
        for field in fields(bytes)? {
            match field {
                (1, Value::Number(kind)) => it.kind = kind,
                (2, Value::Number(success)) => it.success = success != 0,
                (4, Value::Bytes(restore)) => {
                    for field in fields(restore)? {
                        if let (1, Value::Number(pid)) = field {
                            it.pid = Some(pid as i32);
                        }
                    }
                }
                (5, Value::Bytes(notify)) => {
                    for field in fields(notify)? {
                        match field {
                            (1, Value::Bytes(script)) => it.script = Some(String::from_utf8_lossy(script).into_owned()),
                            (2, Value::Number(pid)) => it.pid = Some(pid as i32),
                            _ => {}
                        }
                    }
                }
                (7, Value::Number(errno)) => it.errno = errno as i32,
                (8, Value::Bytes(features)) => {
                    for field in fields(features)? {
                        if let (1, Value::Number(value)) = field {
                            it.features.mem_track = value != 0;
                        }
                    }
                }
                (10, Value::Bytes(version)) => {
                    let (mut major, mut minor, mut sublevel) = (0, 0, 0);
                    for field in fields(version)? {
                        match field {
                            (1, Value::Number(value)) => major = value,
                            (2, Value::Number(value)) => minor = value,
                            (4, Value::Number(value)) => sublevel = value,
                            _ => {}
                        }
                    }
                    it.version = Some((major, minor, sublevel));
                }
                _ => {}
            }
        }
        Ok(it)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>> {
    let broken = || Error::new("criu answered with a message that is broken");
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = take_varint(&mut rest).ok_or_else(broken)?;
        let value = match key & 7 {
            0 => Value::Number(take_varint(&mut rest).ok_or_else(broken)?),
            1 => Value::Bytes(take(&mut rest, 8).ok_or_else(broken)?),
            2 => {
                let len = take_varint(&mut rest).ok_or_else(broken)?;
                Value::Bytes(take(&mut rest, len).ok_or_else(broken)?)
            }
            5 => Value::Bytes(take(&mut rest, 4).ok_or_else(broken)?),
            _ => return Err(broken()),
        };
        found.push(((key >> 3) as u32, value));
    }
    Ok(found)
}

fn take<'m>(rest: &mut &'m [u8], len: u64) -> Option<&'m [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = left;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_as_protobuf_writes_them() {
        let mut inner = Message::default();
        inner.text(2, "testing");
        let mut message = Message::default();
        message.number(1, 150);
        message.number(2, -1);
        message.flag(3, false);
        message.message(37, inner);
        let expected: &[u8] = &[
            0x08, 0x96, 0x01, // field 1: 150
            0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, // field 2: -1
            0xaa, 0x02, 9, 0x12, 7, b't', b'e', b's', b't', b'i', b'n', b'g', // field 37, with field 2 in it
        ];
        assert_eq!(message.into_bytes(), expected);
    }

    #[test]
    fn a_response_is_read_and_what_is_unknown_in_it_passed_over() {
        let mut notify = Message::default();
        notify.text(1, "post-restore");
        notify.number(2, 4242);
        let mut message = Message::default();
        message.number(1, 6);
        message.number(2, 1);
        message.message(5, notify);
        message.text(9, "a message of later versions");
        message.number(700, 7);
        let response = Response::decode(&message.into_bytes()).unwrap();
        let expected = Response {
            kind: 6,
            success: true,
            pid: Some(4242),
            script: Some("post-restore".into()),
            ..Response::default()
        };
        assert_eq!(response, expected);
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_message() {
        let mut message = Message::default();
        message.number(1, 300);
        message.text(5, "x");
        let bytes = message.into_bytes();
        for len in 0..bytes.len() {
            let whole = len == 0 || len == 3;
            assert_eq!(fields(&bytes[..len]).is_ok(), whole, "{len}");
        }
        for bad in
            [&[0x08][..], &[0x0b, 1], &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &[0xff; 11]]
        {
            assert!(Response::decode(bad).is_err(), "{bad:?}");
        }
    }
}
