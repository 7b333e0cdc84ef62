//! The escapes of the past, by the rows of the project's security record: each must stay impossible. A test's name begins with
//! its row, and its comment says which defence was taken out of hilum once, and what the test then said.

mod binary;
mod cgroups;
mod entering;
mod identity;
mod message;
mod paths;
mod procfs;
mod sandbox;
mod terminal;
mod volumes;

use crate::common::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

/// What each row is known as.
const ROWS: [&str; 19] = [
    "CVE-2016-9962",
    "CVE-2019-5736",
    "poisoning of the page cache",
    "CVE-2019-16884",
    "CVE-2019-19921",
    "CVE-2021-30465",
    "CVE-2021-43784",
    "CVE-2022-29162",
    "CVE-2023-25809",
    "CVE-2024-21626",
    "CVE-2024-45310",
    "CVE-2025-31133",
    "CVE-2025-52565",
    "CVE-2025-52881",
    "CVE-2026-30892",
    "CVE-2026-41579",
    "sysctl through a joined namespace",
    "cgroup paths that climb",
    "id as path",
];

#[test]
fn every_row_has_tests_of_its_name_that_count_what_they_try() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/security");
    let mut tests = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let text = read(&entry.unwrap().path());
        tests.extend(text.split("#[test]\nfn ").skip(1).map(String::from));
    }
    for (index, name) in ROWS.iter().enumerate() {
        let row = index + 1;
        let of_row: Vec<&String> = tests.iter().filter(|test| test.starts_with(&format!("row_{row:02}_"))).collect();
        assert!(!of_row.is_empty(), "no test row_{row:02}_…, for {name}");
        for test in of_row {
            assert!(test.contains(&format!("attacks(\"row {row}: ")), "not counted: {}", test.lines().next().unwrap());
        }
    }
}

/// A row of the page on reliability.
fn attacks(what: &str) -> Tally {
    Tally::of("Attacks", what)
}

/// What creates a container; with `create` it is started, too.
const CREATIONS: [&str; 2] = ["create", "run"];

impl Container {
    /// By `create` and `start`, or by `run`, or as far as it came; the output is that of the creation. Gone afterwards.
    fn created_by(&self, verb: &str) -> Out {
        let mut out = if verb == "create" { self.create_with(&[]) } else { self.run() };
        if verb == "create" && out.code == 0 {
            let started = self.call(&["start", &self.id]);
            out.code = started.code;
            out.stderr += &started.stderr;
            if started.code == 0 {
                self.wait("stopped");
            }
            out.stdout = self.output();
        }
        self.gone();
        out
    }

    fn gone(&self) {
        if self.root().join(&self.id).exists() {
            self.call(&["delete", "--force", &self.id]).ok();
        }
    }

    /// A privileged one, in the host's user namespace.
    fn privileged(self) -> Container {
        let names = [
            "CHOWN",
            "DAC_OVERRIDE",
            "DAC_READ_SEARCH",
            "FOWNER",
            "KILL",
            "SETGID",
            "SETUID",
            "SYS_ADMIN",
            "SYS_PTRACE",
            "MKNOD",
            "NET_ADMIN",
            "SYS_CHROOT",
            "SETPCAP",
            "SYS_RAWIO",
        ];
        let names: Vec<String> = names.iter().map(|name| format!("CAP_{name}")).collect();
        self.set("process/capabilities", json!({ "bounding": names, "effective": names, "permitted": names }))
            .set("process/noNewPrivileges", json!(false))
            .set("root/readonly", json!(false))
            .set("linux/maskedPaths", json!([]))
            .set("linux/readonlyPaths", json!([]))
    }

    /// In the pid namespace of another, which sees its processes.
    fn seen_by(self, spy: &Container) -> Container {
        self.join("pid", proc(spy.pid(), "ns/pid"))
    }

    /// Mounts on these directories, and below them, are left to the image.
    fn without_mounts_on(self, dir: &str) -> Container {
        self.with(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with(dir));
        })
    }

    /// A volume in the bundle, which a sibling may change, on this directory of the container.
    fn with_volume(self, on: &str) -> Container {
        fs::create_dir_all(self.volume()).unwrap();
        fs::create_dir_all(self.rootfs().join(on.trim_start_matches('/'))).unwrap();
        self.set("root/readonly", json!(false))
            .push("mounts", json!({ "destination": on, "type": "bind", "source": "volume", "options": ["rbind"] }))
    }

    fn volume(&self) -> PathBuf {
        self.bundle().join("volume")
    }
}

/// A directory on the host that a container must not touch, with a file in it.
struct Outside(PathBuf);

impl Outside {
    fn of(c: &Container) -> Outside {
        let dir = c.dir().join("outside");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("file"), "untouched").unwrap();
        Outside(dir)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// From wherever in a root file system, if it is not stopped at the root.
    fn climbing(&self) -> String {
        format!("../../../../../../../../../..{}", self.path())
    }

    #[track_caller]
    fn is_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["file"], "made outside of the root");
        assert_eq!(read(&self.0.join("file")), "untouched");
        let mounts = mounts_of(std::process::id());
        let here: Vec<_> = mounts.iter().filter(|mount| mount.point.starts_with(&self.path())).collect();
        assert!(here.is_empty(), "mounted outside of the root: {here:?}");
    }
}

/// Puts a symbolic link beside the path, `PATH.link`.
fn link_beside(path: &Path, to: &str) -> PathBuf {
    let link = PathBuf::from(format!("{}.link", path.display()));
    symlink(to, &link).unwrap();
    link
}

/// A sibling exchanges the two names of each pair, as fast as it can, while `attempt` is made so many times. On each name is in
/// the end what was there in the beginning.
fn while_swapping(names: &[(&Path, &Path)], times: u32, mut attempt: impl FnMut(u32)) {
    let stop = AtomicBool::new(false);
    // One of them may be away for a moment: what is in its place is replaced.
    let swaps = |(one, other): (&Path, &Path)| renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok();
    let sibling = || {
        let mut done = vec![0_u64; names.len()];
        while !stop.load(Ordering::Relaxed) {
            names.iter().zip(&mut done).for_each(|(pair, done)| *done += u64::from(swaps(*pair)));
        }
        for (pair, done) in names.iter().zip(&done) {
            assert!(done % 2 == 0 || swaps(*pair), "{pair:?} are not what they were");
        }
        done.into_iter().sum::<u64>()
    };
    /// Also when an attempt panics: the scope waits for the sibling.
    struct Stop<'s>(&'s AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let sibling = scope.spawn(sibling);
        let stop = Stop(&stop);
        (0..times).for_each(&mut attempt);
        drop(stop);
        let swaps = sibling.join().unwrap();
        assert!(swaps > u64::from(times), "the sibling was too slow: {swaps} exchanges");
    });
}

/// What the answer to the child waits for: the time in which it can be looked at. strace is on the runtime alone.
fn slowed_down(c: &Container, args: &[&str]) -> std::process::Command {
    let inner = c.command(args);
    let mut command = strace(c.host, "sendto:delay_enter=400000", false);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(c.bundle());
    command
}
