//! Where in a JSON document something is, as people write it: `linux.resources.devices[0].type`.

use std::fmt::Write as _;

/// An object or an array that has begun and not ended, and what of it was read last.
enum Open<'a> {
    Object(Option<&'a [u8]>),
    Array(Option<usize>),
}

/// The value that a reader was at, who is there: `line` counts from 1, `column` the bytes read of it. Empty for the whole.
///
/// Once more through the text, and only when there is an error to report: to keep the place in mind while values are made
/// (as serde_path_to_error does) makes the code for every type of config.json three times as large.
pub fn of(text: &[u8], line: usize, column: usize) -> String {
    let start: usize = text.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let read = text.get(..start.saturating_add(column)).unwrap_or(text);
    let (mut opened, mut string, mut at) = (Vec::new(), None, 0);
    while let Some(byte) = read.get(at) {
        match byte {
            b'"' => {
                let end = end_of_string(read, at + 1);
                begin_value(&mut opened);
                string = read.get(at + 1..end);
                at = end;
            }
            // What comes after a key; the key was a value until now.
            b':' => {
                if let Some(Open::Object(key)) = opened.last_mut() {
                    *key = string;
                }
            }
            b'[' | b'{' => {
                begin_value(&mut opened);
                opened.push(if *byte == b'[' { Open::Array(None) } else { Open::Object(None) });
            }
            b']' | b'}' => _ = opened.pop(),
            b',' => {
                if let Some(Open::Array(Some(nth))) = opened.last_mut() {
                    *nth += 1;
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => begin_value(&mut opened),
        }
        at += 1;
    }
    path(&opened)
}

/// The index of the quote that ends it, or of the end.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    loop {
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn begin_value(opened: &mut [Open<'_>]) {
    if let Some(Open::Array(nth @ None)) = opened.last_mut() {
        *nth = Some(0);
    }
}

fn path(opened: &[Open<'_>]) -> String {
    let mut path = String::new();
    for open in opened {
        match open {
            Open::Object(Some(key)) => {
                let dot = if path.is_empty() { "" } else { "." };
                _ = write!(path, "{dot}{}", String::from_utf8_lossy(key));
            }
            Open::Array(Some(nth)) => _ = write!(path, "[{nth}]"),
            // Nothing of it has been read.
            Open::Object(None) | Open::Array(None) => {}
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_that_of_the_value_that_was_read_last() {
        let text = "{\n \"a\": [1, {\"b\\\"\": [], \"c\": {} }, \"x,]\"],\n \"d\": 7 }";
        for (line, column, expected) in [
            (1, 1, ""),
            (2, 4, ""),
            (2, 5, "a"),
            (2, 7, "a"),
            (2, 8, "a[0]"),
            (2, 11, "a[1]"),
            (2, 18, "a[1].b\\\""),
            (2, 19, "a[1].b\\\""),
            (2, 28, "a[1].c"),
            (2, 31, "a[1]"),
            (2, 37, "a[2]"),
            (2, 39, "a"),
            (3, 7, "d"),
            (3, 9, ""),
            (9, 9, ""),
        ] {
            assert_eq!(of(text.as_bytes(), line, column), expected, "{line}:{column}");
        }
    }
}
