//! The same life again and again: what the host has of everything is the same before and after.
//!
//! What has a name of ours is counted to the last one. The long form (HILUM_TEST_LONG), which has to be alone, also compares the
//! host's mounts, cgroups, its own descriptors and the files in /run: to the last one, too. Of the rest (the kernel's memory, objects,
//! all open files) others have their part: what must not be is that it grows with the number of cycles, and 10,000 of them tell
//! that from noise. The short form prints these numbers and does not judge them.

use crate::common::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Before the first look: caches fill, and the bare mount namespace is made.
const WARM_UP: u32 = 20;

/// Numbers of the host, by name.
type Numbers = BTreeMap<String, u64>;

fn lines(path: &str) -> u64 {
    read(Path::new(path)).lines().count() as u64
}

/// Of the whole host, whoever they belong to.
fn numbers() -> Numbers {
    let mut all = Numbers::new();
    let mut add = |name: &str, number: u64| _ = all.insert(name.to_owned(), number);
    add("mounts", lines("/proc/self/mountinfo"));
    add("mounts of PID 1", lines("/proc/1/mountinfo"));
    add("cgroups", cgroups_named("").len() as u64);
    // v1 counts those that are still being taken apart.
    let rows = read(Path::new("/proc/cgroups"));
    for row in rows.lines().filter(|row| !row.starts_with('#')) {
        let cells: Vec<&str> = row.split_whitespace().collect();
        add(&format!("cgroups of {}", cells[0]), cells[2].parse().unwrap());
    }
    let stat = read(&Host::plain().hierarchy("").join("cgroup.stat"));
    add("dying cgroups", field(&stat.replace(' ', ":"), "nr_dying_descendants").parse().unwrap());
    add("open files", read(Path::new("/proc/sys/fs/file-nr")).split_whitespace().next().unwrap().parse().unwrap());
    add("own descriptors", fs::read_dir("/proc/self/fd").unwrap().count() as u64);
    add("keys", lines("/proc/keys"));
    let processes: Vec<_> = fs::read_dir("/proc").unwrap().flatten().collect();
    let processes = processes.iter().filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    let networks: BTreeSet<_> =
        processes.clone().filter_map(|it| fs::read_link(it.path().join("ns/net")).ok()).collect();
    add("network namespaces with processes", networks.len() as u64);
    add("processes", processes.count() as u64);
    for top in ["/run", "/dev/shm", "/var/lib"] {
        let (mut entries, mut bytes) = (0, 0);
        walk(Path::new(top), &mut entries, &mut bytes);
        add(&format!("entries below {top}"), entries);
        add(&format!("kB below {top}"), bytes / 1024);
    }
    let memory = read(Path::new("/proc/meminfo"));
    for name in ["SUnreclaim", "Percpu", "VmallocUsed", "KernelStack", "PageTables"] {
        add(&format!("kB of {name}"), field(&memory, name).split(' ').next().unwrap().parse().unwrap());
    }
    let slabs = read(Path::new("/proc/slabinfo"));
    for name in ["mnt_cache", "net_namespace", "pid_namespace", "user_namespace", "uts_namespace", "task_struct", "pid"]
    {
        let row = slabs.lines().find_map(|row| row.strip_prefix(name)?.strip_prefix(' '));
        // A kernel may keep them together with others of the same size.
        if let Some(active) = row.and_then(|row| row.split_whitespace().next()) {
            add(&format!("objects of {name}"), active.parse().unwrap());
        }
    }
    all
}

fn walk(dir: &Path, entries: &mut u64, bytes: &mut u64) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(stat) = fs::symlink_metadata(entry.path()) else { continue };
        *entries += 1;
        *bytes += if stat.is_file() { stat.size() } else { 0 };
        if stat.is_dir() {
            walk(&entry.path(), entries, bytes);
        }
    }
}

/// What nobody else changes while the long form runs, alone.
const EQUAL: [&str; 7] = [
    "mounts",
    "mounts of PID 1",
    "cgroups",
    "own descriptors",
    "network namespaces with processes",
    "entries below /run",
    "entries below /dev/shm",
];

/// By how much a number may be more after so many cycles. Where the kernel and others are at work, too, a leak is what grows with
/// each cycle.
fn tolerance(name: &str, cycles: u32) -> u64 {
    match name.starts_with("kB") {
        _ if EQUAL.contains(&name) => 0,
        true => 16 * 1024 + 4 * u64::from(cycles),
        false => 400 + u64::from(cycles) / 20,
    }
}

fn grown(before: &Numbers, after: &Numbers, cycles: u32) -> Vec<String> {
    let all = before.iter().filter_map(|(name, before)| Some((name, *before, *after.get(name)?)));
    let grown = all.filter(|(name, before, after)| *after > before + tolerance(name, cycles));
    grown.map(|(name, before, after)| format!("{name}: {before}, and then {after}")).collect()
}

/// A way to live, again and again.
struct Life {
    c: Container,
    terminal: bool,
    pod: Option<Pod>,
}

impl Life {
    fn of(c: Container) -> Life {
        c.write_config();
        Life { c, terminal: false, pod: None }
    }

    fn call(&self, args: &[&str]) -> (i32, String) {
        self.wait(self.c.command(args))
    }

    /// Without files that would be as many as the cycles.
    fn wait(&self, mut command: Command) -> (i32, String) {
        let errors = self.c.dir().join("errors");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors).unwrap());
        (wait_within(&mut command.spawn().unwrap(), LIMIT, &format!("{command:?}")), read(&errors))
    }

    #[track_caller]
    fn does(&self, args: &[&str]) {
        let (code, errors) = self.call(args);
        assert_eq!(code, 0, "{args:?}: {errors}");
    }

    fn once(&self) {
        let (id, console) = (self.c.id.as_str(), self.c.path("console"));
        if let Some(pod) = &self.pod {
            let (code, errors) = self.wait(pod.command(&["pod", "create", "--share", "net,ipc,uts,pid", &pod.name]));
            assert_eq!(code, 0, "{errors}");
            self.does(&["create", "--pod", &pod.name, id]);
        } else if self.terminal {
            let listener = UnixListener::bind(&console).unwrap();
            // Held until the end of the cycle, as a client holds it.
            let receive = std::thread::spawn(move || receive_fd(&listener).1);
            self.does(&["create", "--console-socket", &console, id]);
            let _terminal = receive.join().unwrap();
            fs::remove_file(&console).unwrap();
            return self.goes_on(id);
        } else {
            self.does(&["create", id]);
        }
        self.goes_on(id);
    }

    fn goes_on(&self, id: &str) {
        self.does(&["start", id]);
        self.does(&["exec", id, "true"]);
        self.does(&["kill", id, "KILL"]);
        eventually("a killed container is deleted", || self.call(&["delete", id]).0 == 0);
        if let Some(pod) = &self.pod {
            let (code, errors) = self.wait(pod.command(&["pod", "rm", &pod.name]));
            assert_eq!(code, 0, "{errors}");
        }
    }

    /// All that has its name, and is left.
    fn left(&self) -> Vec<String> {
        let mut left = leftovers(&self.c.id, self.c.dir(), &self.c.root());
        if let Some(pod) = &self.pod {
            left.extend(leftovers(&pod.name, &pod.pods(), &pod.pods()));
        }
        let keys = read(Path::new("/proc/keys"));
        left.extend(keys.lines().filter(|key| key.ends_with(&format!("_ses.{}: empty", self.c.id))).map(str::to_owned));
        left
    }
}

fn lives() -> Vec<Life> {
    let mut lives = vec![
        Life::of(Container::sleeper()),
        Life { terminal: true, ..Life::of(Container::sleeper().set("process/terminal", json!(true))) },
        Life::of(Container::sleeper().in_user_namespace()),
        Life::of(Container::sleeper().on(Host::V2)),
    ];
    if is_hilum() {
        let pod = Pod::new();
        lives.push(Life { c: Container::sleeper().knows(&pod), terminal: false, pod: Some(pod) });
        lives.last().unwrap().c.write_config();
    }
    lives
}

#[test]
fn the_host_is_after_many_lives_what_it_was_before() {
    let cycles = rounds(50, 10_000);
    let is_long = rounds(0, 1) == 1;
    let lives = lives();
    let turn = |n: u32| &lives[n as usize % lives.len()];
    (0..WARM_UP).for_each(|n| turn(n).once());
    let before = numbers();
    let tally = Tally::of("Soak", "create, start, exec, kill, delete");
    let start = Instant::now();
    for n in 0..cycles {
        tally.tries();
        turn(n).once();
        tally.survives();
    }
    let time = start.elapsed();
    // The kernel takes cgroups, namespaces and keys apart when it has the time.
    let deadline = deadline_in(if is_long { 120 } else { 20 });
    let (after, left) = loop {
        let left: Vec<String> = lives.iter().flat_map(Life::left).collect();
        let after = numbers();
        let is_equal = left.is_empty() && (!is_long || grown(&before, &after, cycles).is_empty());
        if is_equal || Instant::now() > deadline {
            break (after, left);
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    println!("{cycles} cycles in {time:?}; before, and after:");
    for (name, number) in &before {
        println!("{name:40} {number:10} {:10}", after.get(name).copied().unwrap_or_default());
    }
    tally.leaves(left.len());
    assert!(left.is_empty(), "left behind: {left:#?}");
    if is_long {
        let grown = grown(&before, &after, cycles);
        tally.leaves(grown.len());
        assert!(grown.is_empty(), "grown: {grown:#?}");
    }
}
