//! Documents that no person and no client writes. hilum is root, and they may be anybody's: each is refused at once, by an
//! error that names what is wrong and in little memory, or works. And the corpus of the fuzz targets, without libFuzzer.

// What is done with each of its files stands there once, for both.
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use crate::common::*;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Of one command, all memory that it maps, in KiB.
const MEMORY: &str = "1048576";
/// Of one command.
const BOUND: Duration = Duration::from_secs(30);
const PART: &str = "Hostile inputs";

type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("annotation", fuzz::annotation),
    ("cgroup_files", fuzz::cgroup_files),
    ("cgroups_path", fuzz::cgroups_path),
    ("cni", fuzz::cni),
    ("config", fuzz::config),
    ("criu", fuzz::criu),
    ("dbus", fuzz::dbus),
    ("id", fuzz::id),
    ("manifest", fuzz::manifest),
    ("message", fuzz::message),
    ("mount_options", fuzz::mount_options),
    ("mountinfo", fuzz::mountinfo),
    ("netlink", fuzz::netlink),
    ("process", fuzz::process),
    ("resources", fuzz::resources),
    ("seccomp", fuzz::seccomp),
    ("state", fuzz::state),
    ("steps", fuzz::steps),
];

#[test]
fn what_fuzzing_has_found_stays_mended() {
    let tally = Tally::of("Fuzzing", "the corpus, in the ordinary tests");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut programs: Vec<_> =
        fs::read_dir(folder.join("fuzz_targets")).unwrap().map(|it| it.unwrap().path()).collect();
    programs.sort();
    let names: Vec<_> = programs.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "each target is called here as well");
    for (name, target) in TARGETS {
        for file in fs::read_dir(folder.join("corpus").join(name)).unwrap() {
            let file = file.unwrap().path();
            tally.tries();
            let since = Instant::now();
            println!("{}", file.display());
            target(&fs::read(&file).unwrap());
            assert!(since.elapsed() < BOUND * patience(), "{}", file.display());
            tally.survives();
        }
    }
}

/// Within the bounds of memory and time.
fn bounded(c: &Container, args: &[&str], stdin: Stdio) -> Out {
    let inner = c.command(args);
    let mut outer = Command::new("sh");
    outer.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", MEMORY]).arg(inner.get_program()).args(inner.get_args());
    outer.current_dir(c.bundle());
    let since = Instant::now();
    let out = c.finish_call(outer, stdin);
    assert!(since.elapsed() < BOUND * patience(), "{args:?} took {:?}", since.elapsed());
    assert!(!out.stderr.contains("panicked") && (0..=1).contains(&out.code), "{args:?}: {out:?}");
    out
}

/// Neither `plan` nor `create` takes it, and nothing is made.
fn refused(c: &Container, text: impl AsRef<[u8]>, expected: &str) {
    let config = c.bundle().join("config.json");
    let _ = fs::remove_file(&config);
    fs::write(config, text).unwrap();
    refused_as_it_is(c, expected);
}

fn refused_as_it_is(c: &Container, expected: &str) {
    for args in [&["plan"][..], &["create", &c.id]] {
        let out = bounded(c, args, Stdio::null());
        // `plan` breaks its lines.
        let said = format!("{}{}", out.stdout, out.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.code == 1 && said.contains(expected), "{args:?} should say {expected:?}: {:.2000}", said);
        assert!(said.len() < 1 << 20, "{args:?} said {} bytes", said.len());
    }
    c.left_nothing();
}

/// The usual document with something else at a place.
fn with(pointer: &str, value: Value) -> String {
    Container::new(&["true"]).set(pointer, value).config.to_string()
}

/// `text` so many times, in a list.
fn list(text: &str, count: usize) -> String {
    format!("[{}]", vec![text; count].join(","))
}

#[test]
fn what_is_no_document_is_refused() {
    if !hilum_only("runc says other things of them") {
        return;
    }
    let tally = Tally::of(PART, "config.json that is no document");
    let c = Container::new(&["true"]);
    let deep = |open: &str, close: &str| format!("{{\"vm\":{}{}}}", open.repeat(50_000), close.repeat(50_000));
    for (text, expected) in [
        (String::new(), "EOF while parsing"),
        ("\u{feff}{}".into(), "expected value at line 1 column 1"),
        ("null".into(), "invalid type: null, expected an object"),
        ("[]".into(), "invalid type: sequence, expected an object"),
        ("{}".into(), "ociVersion: missing"),
        ("{}{}".into(), "trailing characters"),
        (deep("[", "]"), "recursion limit exceeded"),
        (deep("{\"x\":", "}"), "recursion limit exceeded"),
        ("{\"ociVersion\":\"1.0.0\",\"ociVersion\":\"1.0.0\"}".into(), "duplicate field `ociVersion`"),
        (with("process/user/uid", json!(-1)), "process.user.uid: invalid value: integer `-1`, expected u32"),
        (with("process/user/uid", json!(1u64 << 32)), "process.user.uid: invalid value: integer `4294967296`"),
        (with("process/user/uid", json!(1.5)), "process.user.uid: invalid type: floating point `1.5`"),
        (with("process/user/uid", json!(7777)).replace("7777", "1e400"), "process.user.uid: number out of range"),
        (
            with("process/user/uid", json!(7777)).replace("7777", &"9".repeat(1 << 20)),
            "process.user.uid: number out of range",
        ),
        (with("hostname", json!("\u{1}")).replace("\\u0001", "\\ud800"), "hostname: "),
        (with("hostname", json!("\u{1}")).replace("\\u0001", "\u{1}"), "hostname: control character"),
        (with("hostname", json!("x".repeat(15 << 20))), "has 15728640 bytes, and the kernel takes 64"),
    ] {
        tally.tries();
        refused(&c, text, expected);
        tally.survives();
    }
    tally.tries();
    refused(&c, b"{\"ociVersion\": \"\xff\xfe\"}", "ociVersion: invalid unicode code point");
    tally.survives();
}

#[test]
fn what_is_no_file_of_a_usual_size_is_refused() {
    if !hilum_only("runc waits for a pipe, and reads without an end") {
        return;
    }
    let tally = Tally::of(PART, "config.json that is a pipe, a device, a directory, too large");
    let c = Container::new(&["true"]);
    let config = c.bundle().join("config.json");
    for (make, expected) in [
        (&(|| File::create(&config).unwrap().set_len(1 << 40).unwrap()) as &dyn Fn(), "larger than 16 MiB"),
        (&|| fs::write(&config, vec![b' '; (16 << 20) + 1]).unwrap(), "larger than 16 MiB"),
        (&|| assert!(Command::new("mkfifo").arg(&config).status().unwrap().success()), "not a regular file"),
        (&|| symlink("/dev/zero", &config).unwrap(), "not a regular file"),
        (&|| symlink("/dev/tty", &config).unwrap(), "config.json: "),
        (&|| symlink("/dev/stdin", &config).unwrap(), "not a regular file"),
        (&|| symlink("config.json", &config).unwrap(), "Too many levels of symbolic links"),
        (&|| fs::create_dir(&config).unwrap(), "not a regular file"),
    ] {
        tally.tries();
        let _ = fs::remove_file(&config);
        make();
        refused_as_it_is(&c, expected);
        tally.survives();
    }
}

#[test]
fn documents_of_other_commands_have_the_same_limits() {
    if !hilum_only("runc reads without an end") {
        return;
    }
    let tally = Tally::of(PART, "documents of exec, update, pod run");
    let c = Container::sleeper();
    c.up();
    let large = c.path("large");
    File::create(&large).unwrap().set_len(1 << 40).unwrap();
    let deep = c.path("deep");
    fs::write(&deep, "[".repeat(1 << 20)).unwrap();
    let objects = c.path("objects");
    fs::write(&objects, list("{}", 1 << 20)).unwrap();
    for (args, stdin, expected) in [
        (&["update", "-r", "/dev/zero", &c.id][..], "/dev/null", "/dev/zero: larger than 16 MiB"),
        (&["update", "-r", &large, &c.id], "/dev/null", "larger than 16 MiB"),
        (&["update", "-r", "-", &c.id], "/dev/zero", "-: larger than 16 MiB"),
        (&["update", "-r", "-", &c.id], "/dev/null", "EOF while parsing"),
        (&["update", "-r", &deep, &c.id], "/dev/null", "recursion limit exceeded"),
        (&["update", "-r", &objects, &c.id], "/dev/null", "has more than 100000 objects"),
        (&["update", "-r", "/", &c.id], "/dev/null", "Is a directory"),
        (&["pod", "run", "/dev/zero"], "/dev/null", "/dev/zero: larger than 1 MiB"),
        (&["pod", "run", &large], "/dev/null", "larger than 1 MiB"),
        (&["pod", "run", &deep], "/dev/null", "nested deeper than 128 brackets"),
    ] {
        tally.tries();
        let out = bounded(&c, args, File::open(stdin).unwrap().into());
        assert!(out.code == 1 && out.stderr.contains(expected), "{args:?}: {out:?}");
        tally.survives();
    }
    for (file, expected) in [("/dev/zero", "larger than 16 MiB"), (&deep, "expected an object")] {
        tally.tries();
        let out = c.call(&["exec", "-p", file, &c.id]);
        assert!(out.code == 255 && out.stderr.contains(expected), "{out:?}");
        tally.survives();
    }
    // Braces are a manifest's own, too: what refers to itself again and again does not grow without a bound.
    let mut lines = String::from("a: &a0 [x,x,x,x,x,x,x,x,x]\n");
    (1..30).for_each(|n| lines += &format!("b{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(",")));
    lines += "resources: *a29\n";
    let bomb = c.path("bomb");
    fs::write(&bomb, lines).unwrap();
    tally.tries();
    assert_eq!(bounded(&c, &["pod", "run", &bomb], Stdio::null()).code, 1);
    tally.survives();
    c.finish();
}

#[test]
fn more_than_anybody_needs_is_refused_by_name() {
    if !hilum_only("runc has no limits of its own") {
        return;
    }
    let tally = Tally::of(PART, "lists of 10,001 to 5,000,000 entries");
    let c = Container::new(&["true"]);
    let at = |pointer: &str, list: &str| with(pointer, json!("LIST")).replace("\"LIST\"", list);
    let map = |entry: &str| {
        format!("{{{}}}", (0..10_001).map(|n| entry.replace('N', &n.to_string())).collect::<Vec<_>>().join(","))
    };
    let unique = format!("[{}]", (0..450_000).map(|n| format!("\"{n}=1\"")).collect::<Vec<_>>().join(","));
    let compare = |op: &str, args: usize, count: u64| {
        let rule = |n| {
            let args: Vec<_> = (0..args).map(|index| json!({ "index": index, "value": n, "op": op })).collect();
            json!({ "names": ["mkdir"], "action": "SCMP_ACT_LOG", "args": args })
        };
        let rules: Vec<_> = (0..count).map(rule).collect();
        with("linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules }))
    };
    let many = |text: &str| list(text, 10_001);
    for (text, expected) in [
        (at("mounts", &many("{}")), "mounts: has 10001 entries, and 10000 are the limit"),
        (at("mounts", &list("{}", 5_000_000)), "has more than 100000 objects"),
        (at("linux/devices", &many("{}")), "linux.devices: has 10001 entries"),
        (at("linux/namespaces", &many("{}")), "linux.namespaces: has 10001 entries"),
        (at("linux/maskedPaths", &list("\"\"", 5_000_000)), "linux.maskedPaths: has 5000000 entries"),
        (at("linux/readonlyPaths", &many("\"/x\"")), "linux.readonlyPaths: has 10001 entries"),
        (at("linux/sysctl", &map("\"net.N\":\"1\"")), "linux.sysctl: has 10001 entries"),
        (at("linux/netDevices", &map("\"N\":{}")), "linux.netDevices: has 10001 entries"),
        (
            at("linux/resources", &format!("{{\"devices\":{}}}", many("{}"))),
            "linux.resources.devices: has 10001 entries",
        ),
        (
            at("linux/resources", &format!("{{\"unified\":{}}}", map("\"N\":\"\""))),
            "linux.resources.unified: has 10001",
        ),
        (
            at("linux/resources", &format!("{{\"network\":{{\"priorities\":{}}}}}", many("{}"))),
            "linux.resources.network.priorities: has 10001",
        ),
        (
            at("linux/resources", &format!("{{\"blockIO\":{{\"throttleWriteIOPSDevice\":{}}}}}", many("{}"))),
            "linux.resources.blockIO.throttleWriteIOPSDevice: has 10001",
        ),
        (
            at("linux/intelRdt", &format!("{{\"schemata\":{}}}", many("\"\""))),
            "linux.intelRdt.schemata: has 10001 entries",
        ),
        (at("hooks", &format!("{{\"poststop\":{}}}", many("{}"))), "hooks.poststop: has 10001 entries"),
        (at("process/rlimits", &many("{}")), "process.rlimits: has 10001 entries"),
        (at("process/user/additionalGids", &list("0", 65_537)), "process.user.additionalGids: has 65537 entries"),
        (at("process/args", &list("\"true\"", 1_000_000)), "arguments and environment take 13000"),
        (at("process/env", &unique), "arguments and environment take"),
        (
            at(
                "linux/seccomp",
                &format!(
                    "{{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{{\"action\":\"SCMP_ACT_LOG\",\"names\":{}}}]}}",
                    many("\"read\"")
                ),
            ),
            "the profile has more than 4096 rules",
        ),
        (with("process/execCPUAffinity", json!({ "initial": "0-65535,".repeat(1 << 20) })), "and 32768 are the limit"),
        // libseccomp would be at these for days.
        (compare("SCMP_CMP_NE", 6, 8), "8 rules for mkdir compare several arguments"),
        (compare("SCMP_CMP_GT", 2, 3000), "3000 rules for mkdir compare several arguments"),
        (at("linux/uidMappings", &list("{\"size\":1}", 90_000)), "linux.uidMappings"),
        (
            with("process/env", json!([format!("PATH={}", ":".repeat(1 << 20))])),
            "PATH names more than 10000 directories",
        ),
    ] {
        tally.tries();
        refused(&c, text, expected);
        tally.survives();
    }
}

#[test]
fn what_is_large_and_within_the_limits_works() {
    if !hilum_only("runc has no limits of its own") {
        return;
    }
    let tally = Tally::of(PART, "large documents that work");
    let mounts = |count: u32| {
        let mut mounts = Container::config(&["true"])["mounts"].as_array().unwrap().clone();
        let one = |n| json!({ "destination": format!("/tmp/{n}"), "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"] });
        mounts.extend((0..count).map(one));
        json!(mounts)
    };
    let equal = |value| {
        json!({ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
        "args": [{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }] })
    };
    let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": (1..2000u64).map(equal).collect::<Vec<_>>() });
    let annotations: serde_json::Map<_, _> = (0..100_000).map(|n| (format!("a{n}"), json!("x".repeat(100)))).collect();
    let options = [vec!["x"; 1 << 18], ["sync", "async"].repeat(1 << 17)].concat();
    let rule = |n: u32| json!({ "allow": true, "type": "c", "major": n, "minor": n, "access": "rwm" });
    let rules: Vec<_> = (0..rounds(1000, 10_000)).map(rule).collect();
    for (pointer, value) in [
        ("mounts", mounts(rounds(1000, 9990))),
        ("linux/seccomp", seccomp),
        ("annotations", json!(annotations)),
        ("linux/resources", json!({ "devices": rules })),
        ("process/user/additionalGids", json!(vec![7; 65_536])),
        ("process/args", json!(vec!["true"; 100_000])),
    ] {
        tally.tries();
        let c = Container::new(&["true"]).set(pointer, value);
        c.write_config();
        assert_eq!(bounded(&c, &["create", &c.id], Stdio::null()).code, 0, "{pointer}");
        for args in [&["state", &c.id][..], &["list"], &["start", &c.id], &["delete", "-f", &c.id]] {
            assert_eq!(bounded(&c, args, Stdio::null()).code, 0, "{pointer}: {args:?}");
        }
        c.finish();
        tally.survives();
    }
    tally.tries();
    let mount = json!([{ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options }]);
    let c = Container::new(&["true"]).set("mounts", mount);
    c.write_config();
    assert_eq!(bounded(&c, &["plan"], Stdio::null()).code, 0);
    c.left_nothing();
    tally.survives();
}

#[test]
fn what_the_kernel_does_not_execute_is_said() {
    if !hilum_only("runc says it in other words") {
        return;
    }
    let tally = Tally::of(PART, "more than execve(2) takes");
    let env: Vec<_> = (0..40).map(|n| format!("A{n}={}", "x".repeat(100_000))).collect();
    for (pointer, value) in [
        ("process/args", json!(["true", "x".repeat(200_000)])),
        ("process/env", json!([&["PATH=/bin".into()], &env[..]].concat())),
    ] {
        tally.tries();
        let c = Container::new(&["true"]).set(pointer, value);
        c.run().fails("argument list too long; execve(2) takes 128 KiB for one argument");
        c.finish();
        tally.survives();
    }
}

#[test]
fn no_string_of_a_document_hides_a_nul() {
    if !hilum_only("runc cuts some of them off") {
        return;
    }
    let tally = Tally::of(PART, "a NUL in each string of a document");
    let c = Container::new(&["true"]);
    let mut strings = Vec::new();
    find_strings(&c.config, String::new(), &mut strings);
    assert!(strings.len() > 50, "{}", strings.len());
    // A capability that nobody knows is left out, with a warning, as in runc.
    for pointer in strings.into_iter().filter(|pointer| !pointer.starts_with("/process/capabilities")) {
        tally.tries();
        let mut document = c.config.clone();
        let string = document.pointer_mut(&pointer).unwrap();
        *string = json!(format!("{}\0x", string.as_str().unwrap()));
        fs::write(c.bundle().join("config.json"), document.to_string()).unwrap();
        let out = bounded(&c, &["plan"], Stdio::null());
        assert!(out.code == 1 && out.stdout.contains("CONFLICTS"), "{pointer}: {}", out.stdout);
        tally.survives();
    }
    c.left_nothing();
}

fn find_strings(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, it)| find_strings(it, format!("{at}/{n}"), found))
        }
        Value::Object(map) => map.iter().for_each(|(key, it)| {
            find_strings(it, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        _ => {}
    }
}
