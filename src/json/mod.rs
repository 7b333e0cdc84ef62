//! JSON that others have written: read, with the place of what is wrong.

mod place;

use serde::Deserialize;

use crate::error::{Error, Result};

/// With the property's path in the error: `process.args[1]: invalid type: integer 7, expected a string at line …`.
pub fn parse<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T> {
    let error = |line, column, what: String| match place::of(text, line, column).as_str() {
        "" => Error::new(what),
        place => Error::new(format!("{place}: {what}")),
    };
    // Once for all of it, and not for each string: an eighth of what `list` does.
    let text = std::str::from_utf8(text).map_err(|e| {
        let at = e.valid_up_to();
        error(1, at, format!("invalid unicode code point behind {at} bytes"))
    })?;
    serde_json::from_str(text).map_err(|e| error(e.line(), e.column(), e.to_string()))
}
