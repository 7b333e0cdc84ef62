//! Memory without a heap: a file's bytes, and pages for arrays whose length is known only at run time.

use core::sync::atomic::{AtomicU32, Ordering};

use linux_raw_sys::general::{__NR_mmap, __NR_munmap, MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE};
use rustix::fd::{AsRawFd, BorrowedFd};

use crate::Result;
use crate::raw::syscall;

/// Maps a sealed memfd for the rest of the process's life.
///
/// The caller must hold the seals F_SEAL_SHRINK and F_SEAL_WRITE on it: then neither the bytes nor the length can
/// change, which is what makes the shared reference sound.
pub fn map_sealed(file: BorrowedFd<'_>) -> Result<&'static [u8]> {
    use rustix::fs::SealFlags;
    if !rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::SHRINK | SealFlags::WRITE) {
        return Err(crate::Errno::PERM);
    }
    let len = rustix::fs::fstat(file)?.st_size as usize;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: a new mapping at an address of the kernel's choice; never unmapped.
    let at = unsafe {
        syscall(__NR_mmap, [0, len, PROT_READ as usize, MAP_PRIVATE as usize, file.as_raw_fd() as usize, 0])?
    };
    // SAFETY: `len` readable bytes, which the seals keep unchanged.
    Ok(unsafe { core::slice::from_raw_parts(at as *const u8, len) })
}

/// One word of a file that several processes map: written by one, read by the others, also after its end.
#[derive(Clone, Copy)]
pub struct SharedWord(&'static AtomicU32);

impl SharedWord {
    /// `file` must be a memfd of at least four bytes whose length is sealed.
    pub fn map(file: BorrowedFd<'_>) -> Result<Self> {
        use rustix::fs::SealFlags;
        let sealed = rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::SHRINK);
        if !sealed || rustix::fs::fstat(file)?.st_size < 4 {
            return Err(crate::Errno::PERM);
        }
        Self::map_shared(file)
    }

    fn map_shared(file: BorrowedFd<'_>) -> Result<Self> {
        let (prot, flags) = ((PROT_READ | PROT_WRITE) as usize, MAP_SHARED as usize);
        // SAFETY: a new mapping at an address of the kernel's choice; never unmapped.
        let at = unsafe { syscall(__NR_mmap, [0, 4, prot, flags, file.as_raw_fd() as usize, 0])? };
        // SAFETY: page-aligned, zero-initialised memory that the seal keeps there; every access is atomic.
        Ok(Self(unsafe { AtomicU32::from_ptr(at as *mut u32) }))
    }

    /// The same of a new memfd, which becomes such a file.
    pub fn make(file: BorrowedFd<'_>) -> Result<Self> {
        use rustix::fs::{SealFlags, fcntl_add_seals, ftruncate};
        ftruncate(file, 4096)?;
        fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW)?;
        Self::map_shared(file)
    }

    /// A word in a page that a forked child shares, zero at first.
    pub fn anonymous() -> Result<Self> {
        let (prot, flags) = ((PROT_READ | PROT_WRITE) as usize, (MAP_SHARED | MAP_ANONYMOUS) as usize);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice; never unmapped.
        let at = unsafe { syscall(__NR_mmap, [0, 4, prot, flags, usize::MAX, 0])? };
        // SAFETY: page-aligned, zero-initialised memory; every access is atomic.
        Ok(Self(unsafe { AtomicU32::from_ptr(at as *mut u32) }))
    }

    pub fn set(self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Zeroed words: a few in place, which is enough for an answer or the groups of most processes and costs no system call; more in
/// pages of their own.
pub struct Scratch {
    few: [usize; FEW],
    pages: Option<Pages>,
    words: usize,
}

const FEW: usize = 8;

impl Scratch {
    pub fn new(words: usize) -> Result<Self> {
        let pages = if words > FEW { Some(Pages::new(words)?) } else { None };
        Ok(Self { few: [0; FEW], pages, words })
    }

    pub fn words(&mut self) -> &mut [usize] {
        let at = self.pages.as_mut().map_or(self.few.as_mut_ptr(), |pages| pages.at);
        // SAFETY: either array has this many zeroed words, and is reached through `self` alone.
        unsafe { core::slice::from_raw_parts_mut(at, self.words) }
    }

    pub fn bytes(&self) -> &[u8] {
        let at = self.pages.as_ref().map_or(self.few.as_ptr(), |pages| pages.at);
        // SAFETY: the same memory as `words`, as bytes.
        unsafe { core::slice::from_raw_parts(at.cast(), self.words * size_of::<usize>()) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let words = self.words();
        // SAFETY: the same memory, as bytes, reached through `self` alone.
        unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
    }
}

struct Pages {
    at: *mut usize,
    bytes: usize,
}

impl Pages {
    fn new(words: usize) -> Result<Self> {
        let bytes = words.checked_mul(size_of::<usize>()).ok_or(crate::Errno::NOMEM)?;
        let (prot, flags) = ((PROT_READ | PROT_WRITE) as usize, (MAP_PRIVATE | MAP_ANONYMOUS) as usize);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let at = unsafe { syscall(__NR_mmap, [0, bytes, prot, flags, usize::MAX, 0])? };
        Ok(Self { at: at as *mut usize, bytes })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, to which no reference remains.
        let _ = unsafe { syscall(__NR_munmap, [self.at as usize, self.bytes, 0, 0, 0, 0]) };
    }
}
