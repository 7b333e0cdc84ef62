//! execve(2) from strings that stand one behind the other in one block, each with its NUL.

use core::ffi::CStr;

use linux_raw_sys::general::__NR_execve;

use crate::Result;
use crate::memory::Scratch;
use crate::raw::syscall;

/// Replaces the process; returns only with an error. The pointer arrays are built in pages of their own, as there is no
/// heap where this runs.
pub fn execve<'a>(
    path: &CStr,
    args: impl Iterator<Item = &'a CStr> + Clone,
    env: impl Iterator<Item = &'a CStr> + Clone,
) -> Result<core::convert::Infallible> {
    let words = args.clone().count() + env.clone().count() + 2;
    // One more, which stays null, whatever the iterators give when they are asked again.
    let mut scratch = Scratch::new(words + 1)?;
    let mut slots = scratch.words().iter_mut().take(words);
    let end = core::iter::once(0);
    let pointers = args.map(|s| s.as_ptr() as usize).chain(end.clone());
    let env_at = pointers.clone().count().min(words);
    for (slot, pointer) in slots.by_ref().zip(pointers.chain(env.map(|s| s.as_ptr() as usize)).chain(end)) {
        *slot = pointer;
    }
    let argv = scratch.words().as_ptr();
    // SAFETY: `argv` is an array of pointers to NUL-ended strings, ended by a null, followed by another such array at
    // `env_at`; scratch has room for both.
    unsafe {
        let envp = argv.add(env_at);
        syscall(__NR_execve, [path.as_ptr() as usize, argv as usize, envp as usize, 0, 0, 0])?;
    }
    Err(crate::Errno::INVAL)
}
