//! The options of a mount, as mount(8) and runc name them, sorted into what the kernel takes.

use hilum_init::step::Attr;

pub const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
/// The field of the three access-time modes, of which `relatime` is zero.
const ATIME_MASK: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

pub const MS_REC: u32 = 0x4000;
pub const MS_UNBINDABLE: u32 = 1 << 17;
pub const MS_PRIVATE: u32 = 1 << 18;
pub const MS_SLAVE: u32 = 1 << 19;
pub const RSLAVE: u32 = MS_SLAVE | MS_REC;
pub const MS_SHARED: u32 = 1 << 20;

/// Per-mount flags: name, bits set, bits cleared. With an `r` before the name they apply to the whole tree.
const ATTRS: &[(&str, u64, u64)] = &[
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("noatime", NOATIME, ATIME_MASK),
    ("atime", 0, ATIME_MASK),
    ("relatime", 0, ATIME_MASK),
    ("norelatime", 0, ATIME_MASK),
    ("strictatime", STRICTATIME, ATIME_MASK),
    ("nostrictatime", 0, ATIME_MASK),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
];

/// Flags of the file system itself, which it takes under these names.
const SUPERBLOCK: &[&str] = &["sync", "dirsync", "lazytime", "mand"];

/// Their opposites, which undo an earlier one of the list.
const OPPOSITE: &[(&str, &str)] = &[("async", "sync"), ("nolazytime", "lazytime"), ("nomand", "mand")];

/// Names that ask for what is so without them. (fsconfig(2) has no `iversion`: a file system that counts the versions of its
/// inodes does so by itself, ext4 since Linux 6.1; before, it has an option `i_version` of its own.)
const NOTHING: &[&str] = &["defaults", "loud", "silent", "iversion", "noiversion"];

/// Of a tmpfs: it begins with what the image has in its place.
pub const COPY_UP: &str = "tmpcopyup";

/// Of a bind: its files have other owners. With the `r` before it, in the whole tree.
pub const IDMAP: &str = "idmap";
pub const RIDMAP: &str = "ridmap";

const PROPAGATION: &[(&str, u32)] = &[
    ("private", MS_PRIVATE),
    ("slave", MS_SLAVE),
    ("shared", MS_SHARED),
    ("unbindable", MS_UNBINDABLE),
    ("rprivate", MS_PRIVATE | MS_REC),
    ("rslave", MS_SLAVE | MS_REC),
    ("rshared", MS_SHARED | MS_REC),
    ("runbindable", MS_UNBINDABLE | MS_REC),
];

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Of a bind.
    pub recursive: bool,
    pub remount: bool,
    pub copy_up: bool,
    /// Whether in the whole tree.
    pub idmap: Option<bool>,
    pub attr: Attr,
    pub recursive_attr: Attr,
    pub propagation: u32,
    /// What goes to the file system: `key=value` or `flag`.
    pub data: Vec<String>,
}

pub fn parse(options: &[String]) -> Options {
    let mut it = Options::default();
    let mut flags: Vec<&str> = Vec::new();
    for option in options {
        let name = option.as_str();
        if let Some(attr) = attribute(name) {
            merge(&mut it.attr, attr);
        } else if let Some(attr) = name.strip_prefix('r').and_then(attribute) {
            merge(&mut it.recursive_attr, attr);
        } else if let Some(flags) = propagation(name) {
            it.propagation = flags;
        } else if name == "bind" || name == "rbind" {
            it.recursive |= name == "rbind";
        } else if name == "remount" {
            it.remount = true;
        } else if name == COPY_UP {
            it.copy_up = true;
        } else if name == IDMAP || name == RIDMAP {
            it.idmap = Some(name == RIDMAP);
        } else if let Some((_, undone)) = OPPOSITE.iter().find(|(opposite, _)| *opposite == name) {
            flags.retain(|flag| flag != undone);
        } else if is_superblock_flag(name) {
            // Each of them once: to undo one is not to look through all of a long list.
            flags.extend((!flags.contains(&name)).then_some(name));
        } else if !NOTHING.contains(&name) {
            it.data.push(option.clone());
        }
    }
    it.data.extend(flags.into_iter().map(String::from));
    it
}

/// Whether only a superblock takes it. A bind mount has none of its own, and does without.
pub fn is_superblock_flag(name: &str) -> bool {
    SUPERBLOCK.contains(&name)
}

pub fn propagation(name: &str) -> Option<u32> {
    PROPAGATION.iter().find(|(known, _)| *known == name).map(|(_, flags)| *flags)
}

fn attribute(name: &str) -> Option<Attr> {
    ATTRS.iter().find(|(known, ..)| *known == name).map(|(_, set, clear)| Attr { set: *set, clear: *clear })
}

/// The later option wins.
pub fn merge(into: &mut Attr, attr: Attr) {
    into.set = (into.set & !attr.clear) | attr.set;
    into.clear = (into.clear & !attr.set) | attr.clear;
}

/// The other way round of `propagation`.
pub fn propagation_name(flags: u32) -> &'static str {
    PROPAGATION.iter().find(|(_, known)| *known == flags).map_or("", |(name, _)| name)
}

pub fn attribute_names(attr: Attr) -> Vec<&'static str> {
    let set = ATTRS.iter().filter(|(_, set, _)| *set != 0 && attr.set & set == *set);
    let cleared = ATTRS.iter().filter(|(_, set, clear)| *set == 0 && *clear != ATIME_MASK && attr.clear & clear != 0);
    set.chain(cleared).map(|(name, ..)| *name).collect()
}

/// For `features`: every name above.
pub fn names() -> Vec<String> {
    let attrs = ATTRS.iter().map(|(name, ..)| name.to_string());
    // For the whole tree.
    let recursive = ATTRS.iter().map(|(name, ..)| format!("r{name}"));
    let opposites = OPPOSITE.iter().map(|(name, _)| name);
    let rest = SUPERBLOCK.iter().chain(NOTHING).chain(opposites).map(|name| name.to_string());
    let propagation = PROPAGATION.iter().map(|(name, _)| name.to_string());
    let mut all: Vec<_> = attrs.chain(recursive).chain(rest).chain(propagation).collect();
    all.extend(["bind", "rbind", "remount", COPY_UP, IDMAP, RIDMAP].map(String::from));
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[&str]) -> Options {
        let options: Vec<_> = options.iter().map(|s| s.to_string()).collect();
        parse(&options)
    }

    #[test]
    fn the_later_of_two_opposites_wins() {
        assert_eq!(parsed(&["ro", "rw"]).attr, Attr { set: 0, clear: RDONLY });
        assert_eq!(parsed(&["rw", "ro"]).attr, Attr { set: RDONLY, clear: 0 });
        assert_eq!(parsed(&["noatime", "strictatime"]).attr, Attr { set: STRICTATIME, clear: ATIME_MASK });
    }

    #[test]
    fn an_r_before_the_name_means_the_whole_tree() {
        let it = parsed(&["rbind", "rro", "rnosuid", "relatime"]);
        assert!(it.recursive);
        assert_eq!(it.recursive_attr, Attr { set: RDONLY | NOSUID, clear: 0 });
        assert_eq!(it.attr, Attr { set: 0, clear: ATIME_MASK });
    }

    #[test]
    fn what_no_list_knows_goes_to_the_file_system() {
        assert_eq!(parsed(&["mode=755", "newinstance", "defaults"]).data, ["mode=755", "newinstance"]);
    }

    #[test]
    fn the_later_of_idmap_and_ridmap_wins() {
        let asked: Vec<_> =
            [&["bind"][..], &["idmap"], &["ridmap"], &["ridmap", "idmap"]].iter().map(|o| parsed(o).idmap).collect();
        assert_eq!(asked, [None, Some(false), Some(true), Some(false)]);
    }
}
