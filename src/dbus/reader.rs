//! Values out of the bytes of a message.

use super::value::{DEEPEST, Value, alignment, first_type};

/// Takes values out of bytes that somebody else has made: whatever they are, the worst is `None`.
pub(super) struct Reader<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) at: usize,
    pub(super) big_endian: bool,
}

impl Reader<'_> {
    /// The values of a signature, all of it.
    pub(super) fn values(&mut self, mut signature: &str) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (first, rest) = first_type(signature)?;
            values.push(self.value(first, 0)?);
            signature = rest;
        }
        Some(values)
    }

    fn value(&mut self, signature: &str, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        Some(match signature.bytes().next()? {
            b'y' => Value::Byte(u8::from_ne_bytes(self.number()?)),
            b'b' => Value::Bool(self.u32()? != 0),
            b'n' => Value::I16(i16::from_ne_bytes(self.number()?)),
            b'q' => Value::U16(u16::from_ne_bytes(self.number()?)),
            b'i' => Value::I32(i32::from_ne_bytes(self.number()?)),
            b'u' => Value::U32(self.u32()?),
            b'x' => Value::I64(i64::from_ne_bytes(self.number()?)),
            b't' => Value::U64(u64::from_ne_bytes(self.number()?)),
            b'd' => Value::F64(f64::from_ne_bytes(self.number()?)),
            b's' => Value::Text(self.string()?),
            b'o' => Value::Path(self.string()?),
            b'g' => Value::Signature(self.short_string()?),
            b'v' => {
                let signature = self.short_string()?;
                let (first, rest) = first_type(&signature)?;
                Value::Variant(Box::new(self.value(first, depth + 1).filter(|_| rest.is_empty())?))
            }
            b'a' => {
                let element = signature.get(1..)?;
                let length = self.u32()? as usize;
                self.align(alignment(element));
                let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
                let mut values = Vec::new();
                while self.at < end {
                    values.push(self.value(element, depth + 1)?);
                }
                Value::Array(element.into(), values)
            }
            b'(' => {
                self.align(8);
                let mut inside = signature.get(1..signature.len() - 1)?;
                let mut fields = Vec::new();
                while !inside.is_empty() {
                    let (first, rest) = first_type(inside)?;
                    fields.push(self.value(first, depth + 1)?);
                    inside = rest;
                }
                Value::Struct(fields)
            }
            _ => return None,
        })
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_ne_bytes(self.number()?))
    }

    pub(super) fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    /// In the order of this machine.
    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N);
        let mut bytes: [u8; N] = self.take(N)?.try_into().ok()?;
        if self.big_endian != cfg!(target_endian = "big") {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn string(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    fn short_string(&mut self) -> Option<String> {
        let [length] = self.number()?;
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Option<String> {
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_string();
        (self.take(1)? == [0]).then_some(text)
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}
