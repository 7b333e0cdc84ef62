//! What the init program is given: itself, its plan and its progress, as memfds that nobody can change behind its back.

use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};

use hilum_init::Header;
use hilum_init::step::Step;
use hilum_sys::memory::SharedWord;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::privilege;

/// The init program, as build.rs made it: static, and a hundredth of the size of a container runtime.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hilum-init"));

/// A plan larger than this comes from no real config.json.
const LARGEST_PLAN: usize = 64 << 20;

/// A sealed copy, made anew for each container: the process that enters it runs from here and not from a file of the
/// host's, which a container could open for writing through /proc/PID/exe (CVE-2019-5736).
pub fn init_program() -> Result<OwnedFd> {
    let file = memfd("hilum-init", MemfdFlags::EXEC).context("make a copy of the init program")?;
    sealed(file, PROGRAM).context("make a copy of the init program")
}

pub fn plan(header: &Header<'_>, steps: &[Step<'_>]) -> Result<OwnedFd> {
    let encode = |e: postcard::Error| Error::new(format!("encode the plan: {e}"));
    let mut message = postcard::to_stdvec(header).map_err(encode)?;
    for step in steps {
        message = postcard::to_extend(step, message).map_err(encode)?;
        if message.len() > LARGEST_PLAN {
            return Err(Error::new(format!("config.json: the plan is larger than {} MiB", LARGEST_PLAN >> 20)));
        }
    }
    sealed(memfd("hilum-plan", MemfdFlags::NOEXEC_SEAL)?, &message).context("write the plan")
}

/// One shared word, which the init program sets to the number of the step that it is at; and the file that it is in.
pub fn progress() -> Result<(SharedWord, OwnedFd)> {
    let file = memfd("hilum-progress", MemfdFlags::NOEXEC_SEAL)?;
    let word = SharedWord::make(file.as_fd()).context("make the progress file")?;
    Ok((word, file))
}

/// What the init program writes to it is read where it waits, and is of no weight.
pub fn clock() -> Result<OwnedFd> {
    memfd("hilum-clock", MemfdFlags::NOEXEC_SEAL)
}

fn memfd(name: &str, flag: MemfdFlags) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(name, flags | flag) {
        // MFD_EXEC and MFD_NOEXEC_SEAL are known since Linux 6.3.
        Err(Errno::INVAL) => memfd_create(name, flags).context("memfd_create"),
        Err(Errno::ACCESS) => Err(Error::from(Errno::ACCESS)
            .context("memfd_create")
            .hint("the sysctl vm.memfd_noexec is 2 and forbids programs in memory: set it to 0 or 1")),
        other => other.context("memfd_create").map_err(privilege::forbidden),
    }
}

fn sealed(file: OwnedFd, content: &[u8]) -> Result<OwnedFd> {
    let mut file = std::fs::File::from(file);
    file.write_all(content)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}
