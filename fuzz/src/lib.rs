//! What is done with each target's bytes: what hilum does with them, and what must be so then. A panic is a finding, and so is what
//! takes more time or memory than scripts/fuzz allows. tests/hostile.rs does the same with every file of the corpus.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use bumpalo::Bump;
use hilum::cgroup::systemd::{self, Name};
use hilum::cgroup::update::Update;
use hilum::cgroup::{self, Cgroup, Directory, Driver, Host, Place, Version};
use hilum::cni::Attachment;
use hilum::command::resources as options_of_update;
use hilum::conflict::Conflicts;
use hilum::dbus::{self, Call};
use hilum::netlink::{Address, Link, message as netlink_message};
use hilum::plan::{self, Request, SecurityModules, describe, options};
use hilum::pod::Manifest;
use hilum::run::channel::Said;
use hilum::run::criu::{mounts, protocol};
use hilum::spec::config::{Linux, Process, Resources, Seccomp, Spec};
use hilum::spec::{self, limits};
use hilum::state;
use hilum_init::Header;
use hilum_init::step::Step;
use serde_json::{Value, json};

/// The largest program that the kernel takes as a filter, in bytes.
const LARGEST_FILTER: usize = 4096 * 8;

/// A plan is the same each time that it is made, and the init program reads what was written.
pub fn config(input: &[u8]) {
    let Ok(spec) = spec::parse::<Spec>(input) else { return };
    if limits::check_entries(&spec).is_ok() {
        is_planned_alike(&spec);
    }
}

/// What is said in the document of `exec --process`, in a container of the example.
pub fn process(input: &[u8]) {
    let Ok(process) = spec::parse::<Process>(input) else { return };
    is_planned_alike(&Spec { process: Some(process), ..example() });
}

/// `update -r`: what is kept of it is a document that can be read again.
pub fn resources(input: &[u8]) {
    let Ok(mut given) = spec::parse::<Value>(input) else { return };
    if options_of_update::parse(&given).is_err() {
        return;
    }
    let mut document =
        json!({ "ociVersion": "1.0.0", "linux": { "resources": { "cpu": { "quota": 1, "period": 2 } } } });
    let Ok(resources) = options_of_update::change(&mut document, &mut given) else { return };
    let _ = spec::parse::<Spec>(document.to_string().as_bytes()).expect("the document can be read again");
    for version in [Version::V1, Version::V2] {
        drop(Update::new(&cgroup_at(Path::new("/nonexistent"), version), "", &resources));
    }
}

/// state.json: what is read is written as it was.
pub fn state(input: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("state.json");
    std::fs::write(&file, input).expect("a file");
    let Ok(Some(first)) = state::read(dir.path()) else { return };
    let Ok(status) = first.status() else { return };
    let document = serde_json::to_value(first.document(status, first.pid(status))).expect("JSON");
    assert_eq!(document["id"], first.id);
    let written = serde_json::to_vec(&first).expect("JSON");
    std::fs::write(&file, &written).expect("a file");
    let again = state::read(dir.path()).expect("what was written is read").expect("it is there");
    assert_eq!(serde_json::to_vec(&again).expect("JSON"), written);
}

pub fn manifest(input: &[u8]) {
    let Ok(manifest) = Manifest::parse(input) else { return };
    for (rootless, systemd) in [(false, false), (true, true)] {
        let Ok(wish) = manifest.wish(rootless, systemd) else { continue };
        let Ok(host) = Host::detect() else { continue };
        if let Ok(plan) = cgroup::plan_parent(&host, &wish.spec.linux, &wish.name, rootless, Driver::Files) {
            plan.cgroup.directories.iter().for_each(is_below_its_mount);
        }
    }
}

/// A line is an option.
pub fn mount_options(input: &[u8]) {
    let list: Vec<String> = String::from_utf8_lossy(input).lines().map(String::from).collect();
    let parsed = options::parse(&list);
    for attr in [parsed.attr, parsed.recursive_attr] {
        assert_eq!(attr.set & attr.clear & !ATIME, 0);
    }
    assert!(parsed.data.iter().all(|data| list.contains(data)));
    for flag in parsed.data.iter().filter(|name| options::is_superblock_flag(name)) {
        assert_eq!(parsed.data.iter().filter(|other| *other == flag).count(), 1);
    }
}

/// The one field of several bits: what is set in it takes the place of what was.
const ATIME: u64 = 0x70;

/// linux.cgroupsPath never leads out of the mount, in files as in the words of systemd.
pub fn cgroups_path(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let place = Place::parse(&text, "id");
    if let Ok(Place::Absolute(path) | Place::Relative(path)) = &place {
        assert!(!path.as_os_str().is_empty() && names_only(path) && !text.contains('\0'));
    }
    if place.is_ok() {
        let linux = Linux { cgroups_path: text.to_string(), ..Linux::default() };
        let plan = Host::detect()
            .and_then(|host| cgroup::plan(&host, &linux, "id", false, Driver::Files, &mut Conflicts::default()));
        plan.iter().flat_map(|plan| &plan.cgroup.directories).for_each(is_below_its_mount);
    }
    if let Ok(name) = Name::parse(&text, "id", "system.slice") {
        let path = name.path().expect("what was found valid");
        assert!(names_only(&path) && path.ends_with(&name.unit) && !name.unit.contains('/'));
    }
}

/// An id is what the contract says that it is, and never leads to another directory.
pub fn id(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let allowed = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '+' | '.' | '-');
    let expected = !text.is_empty() && text.len() <= 255 && !matches!(&*text, "." | "..") && text.chars().all(allowed);
    assert_eq!(state::name_of(&text, "invalid").is_ok(), expected);
    assert!(!expected || names_only(Path::new(&*text)));
}

/// A profile becomes a program that the kernel takes, the same one each time, or is refused.
pub fn seccomp(input: &[u8]) {
    let Ok(profile) = spec::parse::<Seccomp>(input) else { return };
    let filter = Conflicts::none(|conflicts| plan::seccomp::plan(&profile, conflicts));
    let Ok(Some(filter)) = filter else { return };
    let _ = (filter.summary(), filter.unknown_syscalls());
    let Ok(program) = filter.compile() else { return };
    assert!(program.len() % 8 == 0 && program.len() <= LARGEST_FILTER);
    assert_eq!(filter.compile().expect("again"), program);
}

/// What the init program says to its parent, or somebody at the socket to `start`.
pub fn message(input: &[u8]) {
    if let Ok(Said::Failed { errno, .. }) = Said::read(input, None) {
        assert!((1..=4095).contains(&errno.raw_os_error()));
    }
}

/// The plan, as the init program reads it: whatever has been read is written and read again as the same.
pub fn steps(input: &[u8]) {
    let Ok((header, mut rest)) = postcard::take_from_bytes::<Header<'_>>(input) else { return };
    let _ = header.cgroups.iter().count();
    while let Ok((step, behind)) = postcard::take_from_bytes::<Step<'_>>(rest) {
        assert!(behind.len() < rest.len());
        rest = behind;
        assert!(!describe(&step).is_empty());
        let bytes = postcard::to_stdvec(&step).expect("what was read can be written");
        assert_eq!(postcard::from_bytes::<Step<'_>>(&bytes).expect("and read"), step);
    }
}

/// The value of an annotation for systemd, in GVariant's text format.
pub fn annotation(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    for name in ["FooBar", "FooSec"] {
        let annotations = BTreeMap::from([(format!("org.systemd.property.{name}"), text.clone())]);
        for property in systemd::properties(&annotations).into_iter().flatten() {
            assert!(property.to_string().starts_with("Foo"));
        }
    }
}

pub fn netlink(input: &[u8]) {
    for answer in netlink_message::answers(input) {
        if let Ok(netlink_message::Answer::Item { body, .. }) = answer {
            assert!(netlink_message::attributes(body).count() <= body.len() / 4);
            let _ = (Link::read(body), Address::read(body, 1));
        }
    }
}

/// A message of the bus: its values are written and read again as the same.
pub fn dbus(input: &[u8]) {
    let Ok(Some(length)) = dbus::message::length(input) else { return };
    let Some(message) = input.get(..length).and_then(dbus::message::decode) else { return };
    let bytes = dbus::message::encode(message.kind, message.serial, Vec::new(), &message.body);
    let again = dbus::message::decode(&bytes).expect("what was read can be written");
    // As text: a number that is none is not equal to itself.
    assert_eq!(format!("{:?}", again.body), format!("{:?}", message.body));
    let _ = message.body.iter().map(ToString::to_string).collect::<Vec<_>>();
    let call = Call { destination: "a.b", path: "/", interface: "a.b", member: "M", body: &message.body };
    let _ = format!("{call:?}");
}

pub fn criu(input: &[u8]) {
    let _ = protocol::Response::decode(input);
}

/// Files of the cgroup, one behind the other with a NUL between them.
const CGROUP_FILES: &[&str] = &[
    "cpu.stat",
    "memory.stat",
    "memory.current",
    "memory.max",
    "memory.swap.max",
    "pids.max",
    "pids.current",
    "io.stat",
    "cpuset.cpus.effective",
    "cpuset.mems.effective",
    "cpuset.cpus",
    "cpu.pressure",
    "memory.pressure",
    "cpuacct.usage",
    "cpuacct.usage_all",
    "cpuacct.usage_percpu",
    "cpuacct.stat",
    "blkio.throttle.io_serviced_recursive",
    "hugetlb.2MB.events",
    "hugetlb.2MB.usage_in_bytes",
    "cgroup.controllers",
    "cgroup.events",
    "memory.oom_control",
];

/// Statistics, and `update` with what is there before it.
pub fn cgroup_files(input: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in CGROUP_FILES.iter().zip(input.split(|byte| *byte == 0)) {
        std::fs::write(dir.path().join(name), text).expect("a file");
    }
    let resources =
        json!({ "memory": { "limit": 1 << 20, "swap": 2 << 20 }, "cpu": { "cpus": "0-1" }, "pids": { "limit": 3 } });
    let resources: Resources = serde_json::from_value(resources).expect("resources");
    for version in [Version::V1, Version::V2] {
        let cgroup = cgroup_at(dir.path(), version);
        assert!(serde_json::to_value(cgroup.stats()).is_ok());
        let _ = (cgroup.counts_memory_below(), cgroup.paused());
        if let Ok(update) = Update::new(&cgroup, "", &resources) {
            let _ = update.refuse_exceeded();
        }
    }
}

/// Paths in it are anybody's who may mount; those of a container's own are read for CRIU.
pub fn mountinfo(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert!(mounts::parse(&text).len() <= text.lines().count());
    let host = Host::of(&text);
    let linux = Linux { cgroups_path: "/pods/one".into(), ..Linux::default() };
    if let Ok(plan) = cgroup::plan(&host, &linux, "id", false, Driver::Files, &mut Conflicts::default()) {
        assert!(plan.cgroup.directories.iter().all(|it| it.path == it.mount.join("pods/one")));
    }
}

/// What a CNI plugin prints.
pub fn cni(input: &[u8]) {
    let attachment = json!({
        "network": { "name": "n", "cniVersion": "1.0.0", "plugins": [{ "type": "bridge" }] },
        "containerId": "id", "ifname": "eth0", "args": "", "pluginDirs": [],
    });
    let mut attachment: Attachment = serde_json::from_value(attachment).expect("an attachment");
    if let Ok(result) = attachment.parse(input) {
        attachment.result = Some(result);
        let _ = attachment.ips();
        let text = serde_json::to_vec(&attachment).expect("JSON");
        assert_eq!(serde_json::from_slice::<Attachment>(&text).expect("it is kept, and read"), attachment);
    }
}

fn example() -> Spec {
    spec::parse(spec::example(false, false).as_bytes()).expect("the example")
}

fn is_planned_alike(spec: &Spec) {
    // Once: what is mounted on a host may be another thing in the next moment.
    if let Ok(host) = Host::detect() {
        assert_eq!(planned(spec, &host), planned(spec, &host));
    }
}

/// The steps in words, and what is wrong: on this host, of which nothing is changed. (As they are handed over, there are
/// descriptors in them, of which other threads open and close some meanwhile.)
fn planned(spec: &Spec, host: &Host) -> (Vec<String>, Vec<String>) {
    let mut conflicts = Conflicts::default();
    let cgroup = cgroup::plan(host, &spec.linux, "id", false, Driver::Files, &mut conflicts);
    cgroup.iter().flat_map(|plan| &plan.cgroup.directories).for_each(is_below_its_mount);
    let filter = spec.linux.seccomp.as_ref().and_then(|profile| plan::seccomp::plan(profile, &mut conflicts));
    let arena = Bump::new();
    let request = Request {
        spec,
        written: None,
        id: "id",
        bundle: Path::new("/nonexistent"),
        rootfs: Path::new("/nonexistent/rootfs"),
        no_pivot: false,
        new_keyring: true,
        extra_env: Vec::new(),
        notify_dir: None,
        wait_for_start: true,
        seccomp: filter.as_ref(),
        shm: None,
        bare: None,
        user_namespace: &|_| Ok(std::fs::File::open("/proc/self/ns/user")?.into()),
        cgroup: cgroup.as_ref().ok().map(|plan| &plan.cgroup),
        rootless: false,
        in_user_namespace: false,
        setgroups_denied: false,
        modules: SecurityModules { selinux: true, apparmor: true },
    };
    let plan = plan::plan(&arena, &request);
    conflicts.append(plan.conflicts);
    for step in &plan.steps {
        let written = postcard::to_stdvec(step).expect("a step can be written");
        assert_eq!(&postcard::from_bytes::<Step<'_>>(&written).expect("and read"), step);
    }
    let wrong = conflicts.iter().map(|it| format!("{}: {}: {}", it.property, it.message(), it.fix())).collect();
    (plan.steps.iter().map(describe).collect(), wrong)
}

/// One directory, of all controllers.
fn cgroup_at(path: &Path, version: Version) -> Cgroup {
    let controllers =
        ["cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "io", "hugetlb", "devices", "freezer", "rdma"];
    let directory = Directory {
        version,
        controllers: controllers.map(String::from).to_vec(),
        mount: path.parent().map(PathBuf::from).unwrap_or_default(),
        path: path.into(),
        inode: None,
    };
    Cgroup { directories: vec![directory], unit: None }
}

fn is_below_its_mount(directory: &Directory) {
    let below = directory.path.strip_prefix(&directory.mount).expect("below the mount");
    assert!(names_only(below) && !below.as_os_str().is_empty(), "{}", directory.path.display());
}

fn names_only(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}
