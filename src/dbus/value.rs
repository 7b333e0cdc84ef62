//! Values of D-Bus: their types, their bytes, and their text (as GVariant writes it).

use std::fmt;

/// Deeper than anything that systemd says or is told; the specification allows 32 arrays in 32 structures.
pub(super) const DEEPEST: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
    Path(String),
    Signature(String),
    /// The type of its elements, and these.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::U64(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.into())
    }
}

impl Value {
    pub fn variant(value: impl Into<Value>) -> Self {
        Value::Variant(Box::new(value.into()))
    }

    pub fn bytes(bytes: &[u8]) -> Self {
        Value::Array("y".into(), bytes.iter().copied().map(Value::Byte).collect())
    }

    pub fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Value::Array("s".into(), texts.into_iter().map(Value::from).collect())
    }

    /// A string, an object path or a signature; also inside of a variant.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Path(text) | Value::Signature(text) => Some(text),
            Value::Variant(inner) => inner.text(),
            _ => None,
        }
    }

    pub fn signature(&self) -> String {
        let fixed = match self {
            Value::Byte(_) => "y",
            Value::Bool(_) => "b",
            Value::I16(_) => "n",
            Value::U16(_) => "q",
            Value::I32(_) => "i",
            Value::U32(_) => "u",
            Value::I64(_) => "x",
            Value::U64(_) => "t",
            Value::F64(_) => "d",
            Value::Text(_) => "s",
            Value::Path(_) => "o",
            Value::Signature(_) => "g",
            Value::Variant(_) => "v",
            Value::Array(element, _) => return format!("a{element}"),
            Value::Struct(fields) => return format!("({})", fields.iter().map(Value::signature).collect::<String>()),
        };
        fixed.into()
    }

    /// Appends the bytes, in the order of this machine. Offsets count from the start of `out`, which is the message's or
    /// the body's; a body starts at a multiple of 8.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Value::Byte(value) => out.push(*value),
            Value::Bool(value) => put_number(out, &u32::from(*value).to_ne_bytes()),
            Value::I16(value) => put_number(out, &value.to_ne_bytes()),
            Value::U16(value) => put_number(out, &value.to_ne_bytes()),
            Value::I32(value) => put_number(out, &value.to_ne_bytes()),
            Value::U32(value) => put_number(out, &value.to_ne_bytes()),
            Value::I64(value) => put_number(out, &value.to_ne_bytes()),
            Value::U64(value) => put_number(out, &value.to_ne_bytes()),
            Value::F64(value) => put_number(out, &value.to_ne_bytes()),
            Value::Text(text) | Value::Path(text) => {
                put_number(out, &(text.len() as u32).to_ne_bytes());
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Value::Signature(text) => {
                out.push(text.len() as u8);
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Value::Variant(inner) => {
                Value::Signature(inner.signature()).put(out);
                inner.put(out);
            }
            Value::Struct(fields) => {
                pad(out, 8);
                fields.iter().for_each(|field| field.put(out));
            }
            Value::Array(element, values) => {
                pad(out, 4);
                let length_at = out.len();
                out.extend_from_slice(&[0; 4]);
                // Part of the array, and not of its length.
                pad(out, alignment(element));
                let start = out.len();
                values.iter().for_each(|value| value.put(out));
                let length = ((out.len() - start) as u32).to_ne_bytes();
                if let Some(room) = out.get_mut(length_at..length_at + 4) {
                    room.copy_from_slice(&length);
                }
            }
        }
    }
}

fn put_number(out: &mut Vec<u8>, bytes: &[u8]) {
    pad(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(super) fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

pub(super) fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'n' | b'q') => 2,
        Some(b'b' | b'i' | b'u' | b's' | b'o' | b'a') => 4,
        Some(b'x' | b't' | b'd' | b'(') => 8,
        _ => 1,
    }
}

/// The first complete type of a signature, and what is behind it. Dictionaries are not known here: no property of a unit
/// is one, and no answer that is read.
pub fn first_type(signature: &str) -> Option<(&str, &str)> {
    first_type_at(signature, 0)
}

fn first_type_at(signature: &str, depth: usize) -> Option<(&str, &str)> {
    if depth > DEEPEST {
        return None;
    }
    let end = match signature.bytes().next()? {
        b'y' | b'b' | b'n' | b'q' | b'i' | b'u' | b'x' | b't' | b'd' | b's' | b'o' | b'g' | b'v' => 1,
        b'a' => 1 + first_type_at(signature.get(1..)?, depth + 1)?.0.len(),
        b'(' => {
            let mut end = 1;
            while signature.as_bytes().get(end)? != &b')' {
                end += first_type_at(signature.get(end..)?, depth + 1)?.0.len();
            }
            if end == 1 {
                return None;
            }
            end + 1
        }
        _ => return None,
    };
    Some((signature.get(..end)?, signature.get(end..)?))
}

/// GVariant's text format.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |f: &mut fmt::Formatter<'_>, text: &str| {
            f.write_str("'")?;
            for c in text.chars() {
                if matches!(c, '\'' | '\\') { write!(f, "\\{c}")? } else { write!(f, "{c}")? }
            }
            f.write_str("'")
        };
        let list = |f: &mut fmt::Formatter<'_>, values: &[Value]| {
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{value}")?;
            }
            Ok(())
        };
        match self {
            Value::Byte(value) => write!(f, "byte {value}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::I16(value) => write!(f, "int16 {value}"),
            Value::U16(value) => write!(f, "uint16 {value}"),
            Value::I32(value) => write!(f, "{value}"),
            Value::U32(value) => write!(f, "uint32 {value}"),
            Value::I64(value) => write!(f, "int64 {value}"),
            Value::U64(value) => write!(f, "uint64 {value}"),
            Value::F64(value) => write!(f, "{value:?}"),
            Value::Text(text) => quoted(f, text),
            Value::Path(text) => f.write_str("objectpath ").and_then(|()| quoted(f, text)),
            Value::Signature(text) => f.write_str("signature ").and_then(|()| quoted(f, text)),
            Value::Variant(inner) => write!(f, "<{inner}>"),
            Value::Array(element, values) if values.is_empty() => write!(f, "@a{element} []"),
            Value::Array(_, values) => {
                f.write_str("[")?;
                list(f, values)?;
                f.write_str("]")
            }
            Value::Struct(fields) => {
                f.write_str("(")?;
                list(f, fields)?;
                f.write_str(if fields.len() == 1 { ",)" } else { ")" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::Reader;
    use super::*;

    fn put(values: &[Value]) -> Vec<u8> {
        let mut out = Vec::new();
        values.iter().for_each(|value| value.put(&mut out));
        out
    }

    fn reader(bytes: &[u8]) -> Reader<'_> {
        Reader { bytes, at: 0, big_endian: cfg!(target_endian = "big") }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn bytes_are_those_of_the_specification() {
        // "Marshaling": a string has a length, its bytes and a NUL; numbers are aligned to their own size.
        assert_eq!(put(&["foo".into()]), b"\x03\0\0\0foo\0");
        assert_eq!(put(&[Value::Byte(1), Value::U64(2)]), b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
        // The padding in front of the first element does not count.
        let array = Value::Array("x".into(), vec![Value::I64(5)]);
        assert_eq!(put(&[array]), b"\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0");
        assert_eq!(put(&[Value::Array("(ss)".into(), vec![])]), b"\0\0\0\0\0\0\0\0");
        assert_eq!(put(&[Value::variant(true)]), b"\x01b\0\0\x01\0\0\0");
        let property = Value::Struct(vec!["A".into(), Value::variant(7)]);
        assert_eq!(put(&[property]), b"\x01\0\0\0A\0\x01t\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0");
    }

    fn all() -> Vec<Value> {
        vec![
            Value::Byte(200),
            true.into(),
            Value::I16(-2),
            Value::U16(3),
            Value::I32(-4),
            Value::U32(5),
            Value::I64(-6),
            Value::U64(u64::MAX),
            Value::F64(1.5),
            "text".into(),
            Value::Path("/a".into()),
            Value::Signature("a(ss)".into()),
            Value::bytes(&[1, 2, 3]),
            Value::Struct(vec![Value::Byte(1), Value::variant("x")]),
            Value::Array("(st)".into(), vec![Value::Struct(vec!["a".into(), 1.into()]); 2]),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let signature: String = all().iter().map(Value::signature).collect();
        assert_eq!(signature, "ybnqiuxtdsogay(yv)a(st)");
        let bytes = put(&all());
        assert_eq!(reader(&bytes).values(&signature), Some(all()));
        // Cut off anywhere it is refused, and does not make anybody panic.
        for end in 0..bytes.len() {
            assert_eq!(reader(&bytes[..end]).values(&signature), None, "{end}");
        }
    }

    #[test]
    fn the_other_byte_order_is_read_too() {
        let bytes = if cfg!(target_endian = "big") { [4, 0, 0, 0] } else { [0, 0, 0, 4] };
        let mut reader = Reader { bytes: &bytes, at: 0, big_endian: cfg!(target_endian = "little") };
        assert_eq!(reader.values("u"), Some(vec![Value::U32(4)]));
    }

    #[test]
    fn types_are_found_and_nonsense_is_not() {
        assert_eq!(first_type("a(sa(sv))u"), Some(("a(sa(sv))", "u")));
        assert_eq!(first_type("ssu"), Some(("s", "su")));
        for bad in ["", "a", "(", "(s", "()", "a{sv}", "z", &"a".repeat(100), &"(".repeat(100)] {
            assert_eq!(first_type(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_length_beyond_the_message_is_refused() {
        assert_eq!(reader(&[255, 255, 255, 255, 0]).values("s"), None);
        assert_eq!(reader(&[255, 255, 255, 127, 0]).values("ay"), None);
        assert_eq!(reader(&[1, 0, 0, 0, 0xff, 0]).values("s"), None, "not UTF-8");
    }

    #[test]
    fn texts_are_those_of_gvariant() {
        let text = |value: Value| value.to_string();
        assert_eq!(text(Value::texts(["a'b", "c\\"])), r"['a\'b', 'c\\']");
        assert_eq!(text(Value::texts([])), "@as []");
        assert_eq!(text(Value::bytes(&[3])), "[byte 3]");
        assert_eq!(text(Value::Struct(vec![Value::variant(1)])), "(<uint64 1>,)");
    }
}
