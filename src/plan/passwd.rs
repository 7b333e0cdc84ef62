//! HOME, from the container's own /etc/passwd, for a process whose environment has none.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use super::mount::clean;
use crate::spec::config::Mount;

/// More than this of the file is not read: it is the image's.
const ROOM: usize = 1 << 20;
/// What is longer is no path, and might be more than execve(2) takes.
const PATH_MAX: usize = 4096;

/// The home directory of the user, if the file knows one.
pub fn home(rootfs: &Path, mounts: &[Mount], bundle: &Path, uid: u32) -> Option<String> {
    let is_there = |mount: &&Mount| clean(&mount.destination) == "/etc/passwd";
    let bound: Option<PathBuf> = mounts.iter().rev().find(is_there).map(|mount| bundle.join(&mount.source));
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = match bound {
        Some(path) => open(path, flags, Mode::empty()).ok()?,
        None => {
            let root = open(rootfs, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
            // The image's file, not the host's that a link in the image may name.
            let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            openat2(root, "etc/passwd", flags, Mode::empty(), inside).ok()?
        }
    };
    let text = read(file)?;
    let text = String::from_utf8_lossy(&text);
    text.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let found = fields.next()?.parse() == Ok(uid);
        found.then(|| fields.nth(2).map(str::to_string)).flatten().filter(|home| (1..PATH_MAX).contains(&home.len()))
    })
}

/// Only a regular file is opened: a device node of the image's would be opened as the host's root, and not as the container's
/// device cgroup has it.
fn read(file: OwnedFd) -> Option<Vec<u8>> {
    use std::io::Read;
    let is_file = FileType::from_raw_mode(fstat(&file).ok()?.st_mode) == FileType::RegularFile;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let path = is_file.then(|| format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let file = std::fs::File::from(open(path, flags, Mode::empty()).ok()?);
    let mut text = Vec::new();
    file.take(ROOM as u64).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_file_is_read_and_a_link_cannot_lead_to_the_hosts() {
        let dir = std::env::temp_dir().join(format!("hilum-passwd-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("etc")).unwrap();
        std::fs::write(
            dir.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh
u:x:7:7::/home/u:/bin/sh
",
        )
        .unwrap();
        assert_eq!(home(&dir, &[], &dir, 7).as_deref(), Some("/home/u"));
        assert_eq!(home(&dir, &[], &dir, 8), None);
        let bound = Mount { destination: "/etc//passwd".into(), source: "bound".into(), ..Mount::default() };
        std::fs::write(dir.join("bound"), "u:x:7:7::/elsewhere:/bin/sh\n").unwrap();
        assert_eq!(home(&dir, &[bound], &dir, 7).as_deref(), Some("/elsewhere"));
        std::fs::remove_file(dir.join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("etc/passwd")).unwrap();
        assert_eq!(home(&dir, &[], &dir, 0), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
