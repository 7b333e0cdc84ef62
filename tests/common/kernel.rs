//! What the kernel says about processes, mounts and cgroups.

use super::read;
use std::fs;
use std::path::{Path, PathBuf};

/// The namespace kinds: the name in config.json and the name in /proc/PID/ns.
pub const KINDS: [(&str, &str); 8] = [
    ("mount", "mnt"),
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

pub fn proc(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// `net:[4026531840]`: equal for two processes when they share the namespace. `kind` as in /proc/PID/ns.
pub fn ns(pid: u32, kind: &str) -> String {
    fs::read_link(proc(pid, "ns").join(kind))
        .unwrap_or_else(|e| panic!("namespace {kind} of {pid}: {e}"))
        .display()
        .to_string()
}

pub fn own_ns(kind: &str) -> String {
    ns(std::process::id(), kind)
}

/// A field of a text like /proc/PID/status.
pub fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

pub fn status_of(pid: u32, name: &str) -> String {
    field(&read(&proc(pid, "status")), name).to_owned()
}

/// One line of mountinfo.
#[derive(Clone)]
pub struct Mount {
    pub id: String,
    pub parent: String,
    pub root: String,
    pub point: String,
    /// Of the mount, such as `ro` and `nosuid`.
    pub options: String,
    /// Propagation: `shared:1`, `master:1`, `unbindable`.
    pub tags: String,
    pub fstype: String,
    pub source: String,
    /// Of the file system, such as `size=64k`.
    pub super_options: String,
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mount { root, point, options, tags, fstype, source, super_options, .. } = self;
        write!(f, "{root} {point} {options} {tags} - {fstype} {source} {super_options}")
    }
}

impl Mount {
    pub fn has(&self, option: &str) -> bool {
        self.options.split(',').chain(self.super_options.split(',')).any(|o| o == option)
    }
}

pub fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let mut right = right.split(' ').map(str::to_owned);
        Some(Mount {
            id: left.first()?.to_string(),
            parent: left.get(1)?.to_string(),
            root: left.get(3)?.to_string(),
            point: left.get(4)?.to_string(),
            options: left.get(5)?.to_string(),
            tags: left.get(6..)?.join(" "),
            fstype: right.next()?,
            source: right.next()?,
            super_options: right.next()?,
        })
    };
    mountinfo.lines().filter_map(parse).collect()
}

pub fn mounts_of(pid: u32) -> Vec<Mount> {
    parse_mounts(&read(&proc(pid, "mountinfo")))
}

/// The topmost mount on a path.
#[track_caller]
pub fn mount_at<'a>(mounts: &'a [Mount], point: &str) -> &'a Mount {
    mounts
        .iter()
        .rev()
        .find(|m| m.point == point)
        .unwrap_or_else(|| panic!("nothing is mounted on {point}: {mounts:#?}"))
}

/// The cgroup of a process: `controller` as in /proc/PID/cgroup, `""` is version 2.
pub fn cgroup_of(pid: u32, controller: &str) -> String {
    let text = read(&proc(pid, "cgroup"));
    let line = text.lines().find(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        parts.next().is_some_and(|names| names.split(',').any(|n| n == controller))
    });
    line.unwrap_or_else(|| panic!("no {controller:?} in {text}")).splitn(3, ':').nth(2).unwrap().to_owned()
}

/// The lines of a /proc/PID/cgroup, without the hierarchies that tests have for a moment.
pub fn lasting(cgroups: &str) -> Vec<&str> {
    let is_a_tests = |line: &&str| line.contains(":name=ht") || line.contains(":net_cls,net_prio:");
    cgroups.lines().filter(|line| !is_a_tests(line)).collect()
}

/// Every cgroup directory, in any hierarchy, whose name has this text.
pub fn cgroups_named(text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    find_dirs(Path::new("/sys/fs/cgroup"), text, 7, &mut found);
    found.reverse(); // children first
    found
}

fn find_dirs(dir: &Path, text: &str, depth: u32, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            let matches = entry.file_name().to_string_lossy().contains(text);
            let inside = dir.to_string_lossy().contains(text);
            if matches || inside {
                found.push(entry.path());
            }
            if depth > 0 {
                find_dirs(&entry.path(), text, depth - 1, found);
            }
        }
    }
}

/// Whether it runs no more: it is a zombie, or PID 1 of a pid namespace, which is one only after all others there are gone.
pub fn has_ended(pid: u32) -> bool {
    const PF_EXITING: u64 = 4;
    let stat = read(&proc(pid, "stat"));
    let rest: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    match rest[..] {
        [state, _, _, _, _, _, flags, ..] => {
            state == "Z" || flags.parse::<u64>().is_ok_and(|flags| flags & PF_EXITING != 0)
        }
        _ => true,
    }
}

/// All that a container, with the things of its test in `dir`, has left on the host.
pub fn leftovers(id: &str, dir: &Path, root: &Path) -> Vec<String> {
    let mut left: Vec<String> = cgroups_named(id).iter().map(|p| format!("cgroup {}", p.display())).collect();
    let dir = dir.display().to_string();
    let own = read(Path::new("/proc/self/mountinfo"));
    left.extend(own.lines().filter(|l| l.contains(&dir)).map(|l| format!("mount {l}")));
    if root.join(id).exists() {
        left.push(format!("state {}", root.join(id).display()));
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let proc = entry.path();
        let Some(pid) = entry.file_name().to_string_lossy().parse::<u32>().ok() else {
            continue;
        };
        // A zombie waits for its parent, which may be the init of a pid namespace that reaps nothing.
        if has_ended(pid) {
            continue;
        }
        let cmdline = read(&proc.join("cmdline")).replace('\0', " ");
        let at = |link: &str| fs::read_link(proc.join(link)).is_ok_and(|p| p.to_string_lossy().contains(&dir));
        let of_it = cmdline.contains(id) || cmdline.contains(&dir) || read(&proc.join("cgroup")).contains(id);
        if pid != std::process::id() && (of_it || at("root") || at("cwd") || at("exe")) {
            left.push(format!("process {pid}: {cmdline}"));
        }
    }
    left
}
