//! GVariant's text format, in which annotations give the values of properties: `uint64 5`, `'text'`, `['a', 'b']`,
//! `@as []`, `(true, <1>)`. A number without a type is an int32, or a double if it has a point, as in GVariant.

use crate::dbus::{Value, first_type};
use crate::error::{Error, Result};

/// Deeper than any property.
const DEEPEST: usize = 8;
/// Of a signature: D-Bus has one byte for its length.
const LONGEST: usize = 255;

pub fn parse(text: &str) -> Result<Value> {
    let mut parser = Parser { rest: text };
    let value = bounded(parser.value(None, 0)?)?;
    match parser.space() {
        "" => Ok(value),
        rest => Err(Error::new(format!("{rest:?} is left over"))),
    }
}

/// What becomes a variant has its signature in front.
fn bounded(value: Value) -> Result<Value> {
    if value.signature().len() > LONGEST { Err(too_long()) } else { Ok(value) }
}

fn too_long() -> Error {
    Error::new(format!("a type is longer than {LONGEST} characters"))
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn space(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn take(&mut self, text: &str) -> bool {
        match self.space().strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `wanted`: the type that the value must have, where that is known.
    fn value(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        if depth > DEEPEST {
            return Err(Error::new("too deep"));
        }
        let Some(first) = self.space().chars().next() else {
            return Err(Error::new("a value is missing"));
        };
        let value = match first {
            '\'' | '"' => self.text(wanted)?,
            '[' => self.array(wanted, depth)?,
            '(' => self.tuple(wanted, depth)?,
            '<' => {
                self.take("<");
                let inner = bounded(self.value(None, depth + 1)?)?;
                self.expect(">")?;
                Value::variant(inner)
            }
            '@' => {
                self.take("@");
                let (signature, rest) = first_type(self.rest).ok_or_else(|| Error::new("@ without a type"))?;
                self.rest = rest;
                self.value(Some(signature), depth + 1)?
            }
            '{' => return Err(Error::new("no property of a unit is a dictionary")),
            'b' if self.rest.starts_with("b'") || self.rest.starts_with("b\"") => {
                self.take("b");
                let Value::Text(text) = self.text(Some("s"))? else { return Err(Error::new("a value is missing")) };
                // A byte string ends with a NUL, which is part of it.
                Value::bytes(&[text.as_bytes(), &[0]].concat())
            }
            _ => self.word(wanted, depth)?,
        };
        match wanted {
            Some(wanted) if value.signature() != wanted => {
                Err(Error::new(format!("{value} is of type {}, and not {wanted}", value.signature())))
            }
            _ => Ok(value),
        }
    }

    fn expect(&mut self, text: &str) -> Result<()> {
        if self.take(text) {
            Ok(())
        } else {
            Err(Error::new(format!("{text:?} is missing in front of {:?}", self.rest)))
        }
    }

    fn text(&mut self, wanted: Option<&str>) -> Result<Value> {
        let mut chars = self.rest.chars();
        let quote = chars.next();
        let mut text = String::new();
        loop {
            match chars.next() {
                None => return Err(Error::new("a string does not end")),
                c if c == quote => break,
                Some('\\') => text.push(escaped(&mut chars)?),
                Some(c) => text.push(c),
            }
        }
        self.rest = chars.as_str();
        if text.contains('\0') {
            return Err(Error::new("a string holds a NUL"));
        }
        Ok(match wanted {
            Some("o") => Value::Path(text),
            Some("g") if text.len() > LONGEST => return Err(too_long()),
            Some("g") => Value::Signature(text),
            _ => Value::Text(text),
        })
    }

    fn array(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        self.take("[");
        let mut element = wanted.and_then(|wanted| wanted.strip_prefix('a')).map(str::to_string);
        let mut values = Vec::new();
        while !self.take("]") {
            if !values.is_empty() {
                self.expect(",")?;
            }
            let value = self.value(element.as_deref(), depth + 1)?;
            // All are of the type of the first.
            element.get_or_insert_with(|| value.signature());
            values.push(value);
        }
        let element = element.ok_or_else(|| Error::new("an empty array needs its type, as in \"@as []\""))?;
        Ok(Value::Array(element, values))
    }

    fn tuple(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        self.take("(");
        let mut types = wanted.and_then(|wanted| wanted.strip_prefix('(')?.strip_suffix(')'));
        let mut values = Vec::new();
        while !self.take(")") {
            if !values.is_empty() {
                self.expect(",")?;
                if self.take(")") {
                    break;
                }
            }
            let first = types.and_then(first_type);
            types = first.map(|(_, rest)| rest);
            values.push(self.value(first.map(|(first, _)| first), depth + 1)?);
        }
        match values.is_empty() {
            true => Err(Error::new("a tuple is empty")),
            false => Ok(Value::Struct(values)),
        }
    }

    /// A number, a keyword, or the name of a type and a value of it.
    fn word(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        let end =
            self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let typed = match word {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "boolean" => "b",
            "byte" => "y",
            "int16" => "n",
            "uint16" => "q",
            "int32" | "handle" => "i",
            "uint32" => "u",
            "int64" => "x",
            "uint64" => "t",
            "double" => "d",
            "string" => "s",
            "objectpath" => "o",
            "signature" => "g",
            "" => return Err(Error::new(format!("{:?} is no value", self.rest))),
            _ => return number(word, wanted),
        };
        self.value(Some(typed), depth + 1)
    }
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Result<char> {
    Ok(match chars.next() {
        Some('u') => return by_code(chars, 4),
        Some('U') => return by_code(chars, 8),
        Some('a') => '\u{7}',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('v') => '\u{b}',
        Some(other) => other,
        None => return Err(Error::new("a string does not end")),
    })
}

fn by_code(chars: &mut std::str::Chars<'_>, digits: usize) -> Result<char> {
    let code: String = chars.by_ref().take(digits).collect();
    let found = u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits).and_then(char::from_u32);
    found.ok_or_else(|| Error::new("\\u and \\U are followed by four and by eight hexadecimal digits"))
}

fn number(word: &str, wanted: Option<&str>) -> Result<Value> {
    let digits = word.trim_start_matches(['+', '-']);
    let is_double = matches!(digits, "inf" | "infinity" | "nan")
        || digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.contains(['.', 'e'])
            && !digits.starts_with("0x");
    let default = if is_double { "d" } else { "i" };
    let wanted = wanted.unwrap_or(default);
    let fits = |value: Option<Value>| value.ok_or_else(|| Error::new(format!("{word:?} is no value of type {wanted}")));
    if wanted == "d" {
        return fits(word.parse().ok().map(Value::F64));
    }
    let whole = integer(word);
    fits(whole.and_then(|n| {
        Some(match wanted {
            "y" => Value::Byte(n.try_into().ok()?),
            "n" => Value::I16(n.try_into().ok()?),
            "q" => Value::U16(n.try_into().ok()?),
            "i" => Value::I32(n.try_into().ok()?),
            "u" => Value::U32(n.try_into().ok()?),
            "x" => Value::I64(n.try_into().ok()?),
            "t" => Value::U64(n.try_into().ok()?),
            _ => return None,
        })
    }))
}

/// Decimal, 0x… or 0….
fn integer(word: &str) -> Option<i128> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (digits, base) = match (digits.strip_prefix("0x"), digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (digits, 10),
    };
    let value = u64::from_str_radix(digits, base).ok().filter(|_| !digits.starts_with('+'))?;
    Some(if negative { -i128::from(value) } else { value.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_properties() {
        for (text, expected) in [
            ("true", Value::Bool(true)),
            (" uint64 123456789 ", Value::U64(123_456_789)),
            ("5", Value::I32(5)),
            ("-0x10", Value::I32(-16)),
            ("010", Value::I32(8)),
            ("1.5", Value::F64(1.5)),
            ("double 2", Value::F64(2.0)),
            ("byte 0xff", Value::Byte(255)),
            ("'inactive-or-failed'", Value::Text("inactive-or-failed".into())),
            (r#""a'b\n\u00e9""#, Value::Text("a'b\né".into())),
            ("objectpath '/a'", Value::Path("/a".into())),
            ("['a', 'b']", Value::texts(["a", "b"])),
            ("@as []", Value::texts([])),
            ("[uint32 1, 2]", Value::Array("u".into(), vec![Value::U32(1), Value::U32(2)])),
            (
                "@a(st) [('/dev/sda', 100)]",
                Value::Array("(st)".into(), vec![Value::Struct(vec!["/dev/sda".into(), 100u64.into()])]),
            ),
            ("(true, <'x'>)", Value::Struct(vec![true.into(), Value::variant("x")])),
            ("b'ab'", Value::bytes(b"ab\0")),
            ("@ay [1, 2]", Value::bytes(&[1, 2])),
        ] {
            assert_eq!(parse(text).map_err(|e| e.to_string()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_printed_can_be_parsed() {
        for text in
            ["uint64 5", "['a\\'b', '\\\\']", "@as []", "(byte 1, int16 -2, <@ay []>)", "[true, false]", "1.5", "5"]
        {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "a value is missing"),
            ("uint64", "a value is missing"),
            ("uint64 -1", "\"-1\" is no value of type t"),
            ("byte 256", "\"256\" is no value of type y"),
            ("9999999999", "\"9999999999\" is no value of type i"),
            ("word", "\"word\" is no value of type i"),
            ("'a", "a string does not end"),
            ("'a' 'b'", "\"'b'\" is left over"),
            ("[]", "an empty array needs its type, as in \"@as []\""),
            ("[1, 'a']", "'a' is of type s, and not i"),
            ("[1", "\",\" is missing in front of \"\""),
            ("@as [1]", "\"1\" is no value of type s"),
            ("uint32 'a'", "'a' is of type s, and not u"),
            ("{'a': 1}", "no property of a unit is a dictionary"),
            ("'\\u12'", "\\u and \\U are followed by four and by eight hexadecimal digits"),
            ("@ 1", "@ without a type"),
            ("()", "a tuple is empty"),
            (&"[".repeat(50), "too deep"),
            (&"<".repeat(50), "too deep"),
            (&format!("({})", "1, ".repeat(300)), "a type is longer than 255 characters"),
            (&format!("[<({})>]", "1, ".repeat(300)), "a type is longer than 255 characters"),
            (&format!("@g '{}'", "i".repeat(256)), "a type is longer than 255 characters"),
            (&"byte ".repeat(50), "too deep"),
            ("%", "\"%\" is no value"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), reason, "{text}");
        }
    }
}
