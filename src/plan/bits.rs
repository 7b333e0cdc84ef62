//! Lists of CPUs and of memory nodes, as `0-3,7`: the kernel takes them as masks, with a bit for each.

use hilum_init::step::Words;

use crate::error::{Error, Result};
use crate::spec::limits::SET;

/// Above what any kernel counts to: a list must not make the runtime allocate what it likes.
const MAX: u32 = 0xffff;

/// The mask of a list, as long as its highest number needs; the lowest word first. Empty, for an empty list. Blanks and
/// empty parts are allowed, as with runc.
pub fn mask(property: &str, list: &str) -> Result<Vec<u32>> {
    let number = |text: &str| {
        let number: Option<u32> = Some(text.trim()).filter(|text| !text.starts_with('+')).and_then(|t| t.parse().ok());
        let number = number.ok_or_else(|| {
            Error::new(format!("{property}: {text:?} in {list:?} is not a number")).hint("write numbers as 0-3,7")
        })?;
        match number {
            0..=MAX => Ok(number),
            _ => Err(Error::new(format!("{property}: {number} is above {MAX}"))),
        }
    };
    if list.len() > SET {
        return Err(Error::new(format!("{property}: has {} bytes, and {SET} are the limit", list.len())));
    }
    let mut words = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(Error::new(format!("{property}: {part:?} is a range that ends before it begins")));
        }
        words.resize(words.len().max(last as usize / 32 + 1), 0);
        for bit in first..=last {
            if let Some(word) = words.get_mut(bit as usize / 32) {
                *word |= 1 << (bit % 32);
            }
        }
    }
    if words.is_empty() && !list.is_empty() {
        return Err(Error::new(format!("{property}: {list:?} names none")).hint("write numbers as 0-3,7"));
    }
    Ok(words)
}

/// The list of a mask.
pub fn list(mask: Words<'_>) -> String {
    let bits = mask
        .iter()
        .zip(0u32..)
        .flat_map(|(word, at)| (0..32).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 32 + bit));
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for bit in bits {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == bit => *last = bit,
            _ => ranges.push((bit, bit)),
        }
    }
    let range = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(words: &[u32]) -> String {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        list(Words(&bytes))
    }

    #[test]
    fn a_list_is_a_mask_of_the_size_that_it_needs() {
        for (text, expected) in [
            ("", vec![]),
            ("0", vec![1]),
            ("0-3,7", vec![0x8f]),
            ("7, 0 - 3,", vec![0x8f]),
            ("31-32", vec![1 << 31, 1]),
            ("0-63", vec![u32::MAX; 2]),
        ] {
            assert_eq!(mask("p", text).unwrap(), expected, "{text:?}");
        }
        let large = mask("p", "1024-1027,5000").unwrap();
        assert_eq!((large.len(), large[32], large[156]), (157, 0xf, 1 << 8));
        assert_eq!(mask("p", "65535").unwrap().len(), 2048);
    }

    #[test]
    fn a_mask_is_a_list_again() {
        for text in ["", "0", "0-3,7", "31-32", "0-63", "1,3,5", "1024-1027,5000"] {
            assert_eq!(back(&mask("p", text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_list_is_told() {
        for (text, expected) in [
            ("x", "p: \"x\" in \"x\" is not a number"),
            ("1-", "p: \"\" in \"1-\" is not a number"),
            ("-1", "p: \"\" in \"-1\" is not a number"),
            ("+1", "p: \"+1\" in \"+1\" is not a number"),
            ("1-2-3", "p: \"2-3\" in \"1-2-3\" is not a number"),
            ("0-99999999999", "p: \"99999999999\" in "),
            ("0-4294967295", "p: 4294967295 is above 65535"),
            ("3-1", "p: \"3-1\" is a range that ends before it begins"),
            (" , ", "p: \" , \" names none"),
        ] {
            let said = mask("p", text).unwrap_err().to_string();
            assert!(said.starts_with(expected), "{text:?}: {said}");
        }
    }
}
