//! All that is wrong with a config.json, and not only the first: what does not depend on a part that has failed is looked
//! at, too. `create` reports the first, `plan` all of them.

use std::fmt;

use crate::error::{Error, Result};

#[derive(Debug, Default)]
pub struct Conflicts {
    /// In the order in which they are found.
    kept: Vec<Conflict>,
    dropped: usize,
}

/// Nobody reads more of them, and a document may have one for each of its lines.
pub const MOST: usize = 1000;

#[derive(Debug)]
pub struct Conflict {
    /// Where in config.json, or which option.
    pub property: String,
    pub error: Error,
}

impl Conflicts {
    /// What there is of a part; or nothing, and the error is kept, with the property that the part is made of.
    pub fn note<T>(&mut self, property: impl fmt::Display, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(|| Conflict::new(property.to_string(), error))).ok()
    }

    pub fn append(&mut self, others: Conflicts) {
        self.dropped += others.dropped;
        others.kept.into_iter().for_each(|other| self.add(|| other));
    }

    fn add(&mut self, conflict: impl FnOnce() -> Conflict) {
        if self.kept.len() < MOST {
            self.kept.push(conflict());
        } else {
            self.dropped += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many there are beyond those that are kept.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The first, for those who go no further then.
    pub fn check(&mut self) -> Result<()> {
        if self.kept.is_empty() { Ok(()) } else { Err(self.kept.remove(0).error) }
    }

    /// What `look` finds, if there is no conflict.
    pub fn none<T>(look: impl FnOnce(&mut Conflicts) -> T) -> Result<T> {
        let mut conflicts = Conflicts::default();
        let found = look(&mut conflicts);
        conflicts.check().map(|()| found)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Conflict> {
        self.kept.iter()
    }
}

impl Conflict {
    /// The error may begin with something more exact: `mounts[3].options` of `mounts[3]`, or an option.
    fn new(property: String, error: Error) -> Self {
        let message = error.message();
        let exact = message.split(' ').next().unwrap_or_default().trim_end_matches(':');
        let is_more = exact.starts_with(&property) || exact.starts_with("--");
        // A name in quotes may hold spaces.
        let exact = Some(exact).filter(|exact| is_more && exact.matches('"').count() % 2 == 0).map(String::from);
        Self { property: exact.unwrap_or(property), error }
    }

    /// What is wrong, without the property.
    pub fn message(&self) -> String {
        let message = self.error.message();
        message.strip_prefix(&self.property).unwrap_or(&message).trim_start_matches([':', ' ']).to_string()
    }

    /// What to do about it.
    pub fn fix(&self) -> String {
        let hint = self.error.detail().hint.clone();
        hint.unwrap_or_else(|| format!("correct {}, or remove it", self.property))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_has_the_property_as_exactly_as_its_error_says_it() {
        let mut conflicts = Conflicts::default();
        let no = |text: &str| Err::<(), _>(Error::new(text).hint("do"));
        assert_eq!(conflicts.note("mounts[3]", no("mounts[3].options: \"x\" is not: supported")), None);
        assert_eq!(conflicts.note("mounts[4]", no("mount proc on /proc: why")), None);
        assert_eq!(conflicts.note("fine", Ok(7)), Some(7));
        let all: Vec<_> = conflicts.iter().map(|it| (it.property.as_str(), it.message(), it.fix())).collect();
        let expected = [
            ("mounts[3].options", "\"x\" is not: supported".to_string(), "do".to_string()),
            ("mounts[4]", "mount proc on /proc: why".to_string(), "do".to_string()),
        ];
        assert_eq!(all, expected);
        assert_eq!(conflicts.check().unwrap_err().to_string(), "mounts[3].options: \"x\" is not: supported; do");
    }
}
