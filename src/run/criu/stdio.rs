//! The standard streams of a container, which are outside of it: noted down at the dump, and replaced at the restore by
//! those of the caller.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::mounts::{Mount, mount_of};
use crate::error::{Context, Error, Result};
use crate::json;
use crate::spec::limits;

/// As runc's images have them: an array of what the links in /proc/PID/fd say.
const FILE: &str = "descriptors.json";
/// Larger than three links can be.
const LARGEST: u64 = 1 << 20;

/// What CRIU calls each of the three, if it is outside; else the link's own text. `external` are those that it has to be
/// told of, as pipes and sockets need no telling.
pub struct Streams {
    pub names: Vec<String>,
    pub external: Vec<String>,
}

pub fn of(pid: i32, mounts: &[Mount]) -> Result<Streams> {
    let mut streams = Streams { names: Vec::new(), external: Vec::new() };
    for fd in 0..3 {
        let path = format!("/proc/{pid}/fd/{fd}");
        let Ok(link) = fs::read_link(&path) else {
            streams.names.push(String::new()); // closed
            continue;
        };
        let link = link.to_string_lossy().into_owned();
        let outside = link.starts_with('/')
            && mount_of(Path::new(&format!("/proc/{pid}/fdinfo/{fd}")))
                .is_ok_and(|id| !mounts.iter().any(|mount| mount.id == id));
        if !outside {
            streams.names.push(link);
            continue;
        }
        let mount = mount_of(Path::new(&format!("/proc/{pid}/fdinfo/{fd}")))?;
        let stat = fs::metadata(&path).at("stat", &path)?;
        let terminal = stat.file_type().is_char_device() && matches!(rustix::fs::major(stat.rdev()), 4 | 5 | 136..=143);
        let name = match terminal {
            true => format!("tty[{:x}:{:x}]", stat.rdev(), stat.dev()),
            false => format!("file[{mount:x}:{:x}]", stat.ino()),
        };
        if !streams.external.contains(&name) {
            streams.external.push(name.clone());
        }
        streams.names.push(name);
    }
    Ok(streams)
}

pub fn save(images: &Path, names: &[String]) -> Result<()> {
    let text = serde_json::to_vec(names).map_err(|e| Error::new(e.to_string()))?;
    crate::state::write_aside(&images.join(FILE), &text, 0o600)
}

/// For each stream that was outside, CRIU's name of it: the caller's stream of the same number takes its place.
pub fn load(images: &Path) -> Result<Vec<(i32, String)>> {
    let path = images.join(FILE);
    let text = limits::read(&limits::open_file(&path)?, &path, LARGEST)?;
    let names: Vec<String> = json::parse(&text).at("read", &path)?;
    Ok(inherited(&names))
}

fn inherited(names: &[String]) -> Vec<(i32, String)> {
    let mut streams: Vec<(i32, String)> = Vec::new();
    for (fd, name) in (0..3).zip(names) {
        let outside = ["pipe:[", "socket:[", "file[", "tty["].iter().any(|kind| name.starts_with(kind));
        // One pipe for two streams is one resource.
        if outside && !streams.iter().any(|(_, known)| known == name) {
            streams.push((fd, name.clone()));
        }
    }
    streams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_streams_take_the_place_of_what_was_outside() {
        let names = ["/dev/null", "pipe:[7]", "pipe:[7]"].map(String::from);
        assert_eq!(inherited(&names), [(1, "pipe:[7]".to_string())]);
        let names = ["file[1f:2a]", "tty[8801:16]", "", "pipe:[9]"].map(String::from);
        assert_eq!(inherited(&names), [(0, "file[1f:2a]".to_string()), (1, "tty[8801:16]".to_string())]);
    }
}
