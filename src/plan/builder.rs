//! The list while it is being written: strings for the kernel go into one arena, descriptors for the child into one
//! vector.

use bumpalo::Bump;
use hilum_init::step::{Fd, Step, Str, Strs, Words};
use rustix::fd::{AsRawFd, OwnedFd};

use crate::conflict::Conflicts;
use crate::error::{Error, Result};

pub struct Builder<'a> {
    arena: &'a Bump,
    pub steps: Vec<Step<'a>>,
    pub fds: Vec<OwnedFd>,
    /// What cannot be done; the list is of no use then.
    pub conflicts: Conflicts,
    /// What will be done, and not as everybody may expect.
    pub warnings: Vec<String>,
}

impl<'a> Builder<'a> {
    pub fn new(arena: &'a Bump) -> Self {
        Self {
            arena,
            steps: Vec::with_capacity(64),
            fds: Vec::new(),
            conflicts: Conflicts::default(),
            warnings: Vec::new(),
        }
    }

    /// What a property asks for. If it cannot be had that is noted, and the others go on.
    pub fn part<T>(
        &mut self,
        property: impl std::fmt::Display,
        part: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Option<T> {
        let result = part(self);
        self.conflicts.note(property, result)
    }

    pub fn append(&mut self, mut behind: Builder<'a>) {
        self.steps.append(&mut behind.steps);
        self.fds.append(&mut behind.fds);
        self.conflicts.append(behind.conflicts);
        self.warnings.append(&mut behind.warnings);
    }

    pub fn push(&mut self, step: Step<'a>) {
        self.steps.push(step);
    }

    /// A string as the kernel takes it; `property` is what the error names if it holds a NUL.
    pub fn text(&self, text: impl AsRef<[u8]>, property: &str) -> Result<Str<'a>> {
        let bytes = text.as_ref();
        let copy = self.arena.alloc_slice_fill_copy(bytes.len() + 1, 0u8);
        if let Some(room) = copy.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        match std::ffi::CStr::from_bytes_with_nul(copy) {
            Ok(text) => Ok(Str(text)),
            Err(_) => Err(Error::new(format!("{property}: holds a NUL byte"))),
        }
    }

    pub fn texts<S: AsRef<[u8]>>(&self, texts: &[S], property: &str) -> Result<Strs<'a>> {
        let mut block = Vec::with_capacity(texts.iter().map(|t| t.as_ref().len() + 1).sum());
        for (i, text) in texts.iter().enumerate() {
            if text.as_ref().contains(&0) {
                return Err(Error::new(format!("{property}[{i}]: holds a NUL byte")));
            }
            block.extend_from_slice(text.as_ref());
            block.push(0);
        }
        Ok(Strs::new(self.arena.alloc_slice_copy(&block)))
    }

    pub fn words(&self, words: &[u32]) -> Words<'a> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Words(self.arena.alloc_slice_copy(&bytes))
    }

    /// Hands a descriptor down to the child.
    pub fn pass(&mut self, fd: OwnedFd) -> Fd {
        let number = fd.as_raw_fd();
        self.fds.push(fd);
        number
    }
}
