//! Messages: a header with typed fields, then the body.

use super::reader::Reader;
use super::value::{Value, pad};

/// Longer ones are not from systemd.
const LONGEST: usize = 1 << 20;
/// The part of the header that every message has, with the length of its fields.
const FIXED: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Call = 1,
    Return = 2,
    Error = 3,
    Signal = 4,
}

/// A method call, and whom it is for.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    pub destination: &'c str,
    pub path: &'c str,
    pub interface: &'c str,
    pub member: &'c str,
    pub body: &'c [Value],
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub kind: Kind,
    pub serial: u32,
    pub reply_to: u32,
    pub member: String,
    pub error: String,
    /// What could be read of it: a body with dictionaries is left out.
    pub body: Vec<Value>,
}

impl Call<'_> {
    /// Peers without a bus between them know of no destinations.
    pub(super) fn encode(&self, serial: u32, through_a_bus: bool) -> Vec<u8> {
        let mut fields = vec![
            field(1, Value::Path(self.path.into())),
            field(2, self.interface.into()),
            field(3, self.member.into()),
        ];
        if through_a_bus {
            fields.push(field(6, self.destination.into()));
        }
        encode(Kind::Call, serial, fields, self.body)
    }
}

pub(super) fn field(code: u8, value: Value) -> Value {
    Value::Struct(vec![Value::Byte(code), Value::variant(value)])
}

pub fn encode(kind: Kind, serial: u32, mut fields: Vec<Value>, body: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.iter().for_each(|value| value.put(&mut bytes));
    if !body.is_empty() {
        fields.push(field(8, Value::Signature(body.iter().map(Value::signature).collect())));
    }
    let order = if cfg!(target_endian = "big") { b'B' } else { b'l' };
    let mut out = vec![order, kind as u8, 0, 1];
    Value::U32(bytes.len() as u32).put(&mut out);
    Value::U32(serial).put(&mut out);
    Value::Array("(yv)".into(), fields).put(&mut out);
    pad(&mut out, 8);
    out.extend_from_slice(&bytes);
    out
}

/// What has come is something else.
#[derive(Debug, PartialEq, Eq)]
pub struct NoMessage;

/// How long the first message is, as soon as that can be told.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, NoMessage> {
    if bytes.len() < FIXED {
        return Ok(None);
    }
    let Some((mut reader, body)) = start(bytes) else { return Err(NoMessage) };
    reader.at = 12;
    let fields = reader.u32().ok_or(NoMessage)? as usize;
    match (FIXED + fields.min(LONGEST)).next_multiple_of(8) + body.min(LONGEST) {
        length if length <= LONGEST => Ok(Some(length)),
        _ => Err(NoMessage),
    }
}

/// The reader, and the length of the body.
fn start(bytes: &[u8]) -> Option<(Reader<'_>, usize)> {
    let big_endian = match bytes {
        [b'l', _, _, 1, ..] => false,
        [b'B', _, _, 1, ..] => true,
        _ => return None,
    };
    let mut reader = Reader { bytes, at: 4, big_endian };
    let body = reader.u32()? as usize;
    Some((reader, body))
}

/// Reads one whole message.
pub fn decode(bytes: &[u8]) -> Option<Message> {
    let (mut reader, _) = start(bytes)?;
    let kind = [Kind::Call, Kind::Return, Kind::Error, Kind::Signal];
    let kind = kind.into_iter().find(|kind| bytes.get(1) == Some(&(*kind as u8)))?;
    let mut message = Message {
        kind,
        serial: reader.u32()?,
        reply_to: 0,
        member: String::new(),
        error: String::new(),
        body: Vec::new(),
    };
    let mut signature = String::new();
    let fields = reader.values("a(yv)")?;
    let [Value::Array(_, fields)] = fields.as_slice() else { return None };
    for field in fields {
        let Value::Struct(parts) = field else { return None };
        let [Value::Byte(code), value] = parts.as_slice() else { return None };
        let text = value.text().unwrap_or_default().to_string();
        match code {
            3 => message.member = text,
            4 => message.error = text,
            5 => {
                let Value::Variant(inner) = value else { return None };
                let Value::U32(serial) = **inner else { return None };
                message.reply_to = serial;
            }
            8 => signature = text,
            _ => {}
        }
    }
    reader.align(8);
    message.body = reader.values(&signature).unwrap_or_default();
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        body: &[],
    };

    #[test]
    #[cfg(target_endian = "little")]
    fn hello_has_the_bytes_that_every_bus_knows() {
        let expected = b"l\x01\0\x01\0\0\0\0\x01\0\0\0m\0\0\0\
            \x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0\
            \x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0\
            \x03\x01s\0\x05\0\0\0Hello\0\0\0\
            \x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0";
        assert_eq!(CALL.encode(1, true), expected);
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let body = [Value::U32(1), Value::Path("/job/1".into()), "x.scope".into(), "done".into()];
        let bytes = Call { body: &body, ..CALL }.encode(7, false);
        assert_eq!(length(&bytes), Ok(Some(bytes.len())));
        let message = decode(&bytes).unwrap();
        assert_eq!((message.kind, message.serial, message.member.as_str()), (Kind::Call, 7, "Hello"));
        assert_eq!(message.body, body);
        assert_eq!(length(&bytes[..FIXED - 1]), Ok(None));
        for end in 0..bytes.len() {
            let cut = decode(&bytes[..end]);
            assert!(cut.is_none_or(|message| message.body.is_empty()), "{end}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(length(b"HTTP/1.1 400 Bad Request"), Err(NoMessage));
        let mut huge = CALL.encode(1, true);
        huge[4..8].copy_from_slice(&[255; 4]);
        assert_eq!(length(&huge), Err(NoMessage));
        let mut fields = CALL.encode(1, true);
        fields[12..16].copy_from_slice(&[255; 4]);
        assert_eq!(length(&fields), Err(NoMessage));
    }
}
