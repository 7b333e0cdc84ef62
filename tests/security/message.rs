//! The message to the process that enters the container: whatever the lengths in a document, it gets what was written, and
//! nothing of one field becomes another. (Row 7.)

use super::*;
use crate::common::schema::Random;

/// About where lengths in bytes, in words of one and two bytes, and in groups of seven bits wrap.
const LENGTHS: [usize; 12] = [0, 1, 127, 128, 255, 256, 4095, 16_383, 16_384, 65_535, 65_536, 65_537];

/// The longest string that execve(2) takes, with its NUL.
const MAX_STRING: usize = 128 << 10;

/// What the process was given, as the kernel has it; and that no limit of its was lost.
#[track_caller]
fn has_what_was_written(what: &str, out: &Out, args: &[String], env: &[String]) {
    let (words, status) = out.stdout.split_once("Name:").unwrap_or_else(|| panic!("{what}: {}", out.stderr));
    let expected: String = args.iter().chain(env).map(|word| format!("{word}\n")).collect();
    assert!(words == expected, "{what}: {} bytes of words instead of {}", words.len(), expected.len());
    let status = format!("Name:{status}");
    for (field_name, value) in
        [("Uid", "7\t7\t7\t7"), ("NoNewPrivs", "1"), ("CapBnd", "0000000000000020"), ("Groups", "9")]
    {
        assert_eq!(field(&status, field_name), value, "{what}");
    }
}

/// Says what it was given: its arguments, those of its environment that begin with `V`, its status.
fn sayer(args: &[String], env: &[String]) -> Value {
    let script =
        "for a; do printf '%s\\n' \"$a\"; done; tr '\\0' '\\n' </proc/$$/environ | grep ^V; cat /proc/self/status";
    let mut all = vec!["sh".to_string(), "-c".into(), script.into(), "sh".into()];
    all.extend(args.iter().cloned());
    let mut vars = vec!["PATH=/bin".to_string(), "HOME=/".into()];
    vars.extend(env.iter().cloned());
    let caps = json!(["CAP_KILL"]);
    json!({ "args": all, "env": vars, "cwd": "/", "user": { "uid": 7, "gid": 8, "additionalGids": [9] },
        "noNewPrivileges": true, "capabilities": { "bounding": caps, "permitted": caps } })
}

/// CVE-2021-43784. With lengths cut to 16 bits in `Builder::text` and `texts`: "create, 65535: 65545 bytes of words instead of
/// 131081".
#[test]
fn row_07_cve_2021_43784_words_of_any_length_arrive_as_they_are() {
    let tally = attacks("row 7: lengths of arguments and variables");
    let running = Container::sleeper();
    running.up();
    let check = |what: &str, args: &[String], env: &[String]| {
        let process = sayer(args, env);
        let mut c = Container::new(&[]);
        c.config["process"] = process.clone();
        for verb in CREATIONS {
            tally.tries();
            has_what_was_written(&format!("{verb}, {what}"), &c.created_by(verb), args, env);
            tally.survives();
        }
        c.finish();
        tally.tries();
        fs::write(running.path("process.json"), process.to_string()).unwrap();
        let out = running.call(&["exec", "-p", &running.path("process.json"), &running.id]);
        has_what_was_written(&format!("exec, {what}"), &out, args, env);
        tally.survives();
    };
    for length in LENGTHS {
        check(
            &length.to_string(),
            &["x".repeat(length), "y".into()],
            &[format!("V={}", "z".repeat(length)), "VV=1".into()],
        );
    }
    // Many of them: their number has a length, too.
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
    for count in [255, 256, 16_384, 65_535, 65_537] {
        check(&format!("{count} words"), &many(count), &[]);
    }
    let mut random = Random(std::process::id().into());
    for _ in 0..rounds(10, 1000) {
        let seed = random.0;
        let mut word = || -> String {
            let length = match random.below(4) {
                0 => LENGTHS[random.below(LENGTHS.len() as u64) as usize],
                _ => random.below(3000) as usize,
            };
            (0..length).map(|_| char::from(b'!' + random.below(90) as u8)).collect()
        };
        let args: Vec<String> = (0..8).map(|_| word()).collect();
        let env: Vec<String> = (0..8).map(|n| format!("V{n}={}", word())).collect();
        check(&format!("seed {seed}"), &args, &env);
    }
    running.finish();
}

/// CVE-2021-43784: paths of 64 KiB, which the kernel does not take. None is cut off to one that it does. With lengths cut to 16
/// bits in `Builder::text`: "cwd, 65541: exit code 0".
#[test]
fn row_07_cve_2021_43784_paths_of_64_kib_are_refused_and_not_cut() {
    let tally = attacks("row 7: paths of 64 KiB");
    let helper = Helper::start(&["unshare", "-n", "-i", "-u", "sleep", "1000"], "sleep");
    // Cut to 16 bits of length, it is a directory.
    let long = |path: &str| format!("/{}{path}", "./".repeat(32_768));
    type Edit<'e> = &'e dyn Fn(Container, String) -> Container;
    let network = proc(helper.pid(), "ns/net").display().to_string();
    let edits: [(&str, &str, Edit<'_>); 8] = [
        ("network", &network, &|c, path| c.join("network", path)),
        ("cwd", "/tmp", &|c, path| c.set("process/cwd", json!(path))),
        ("program", "/bin/true", &|c, path| c.set("process/args", json!([path]))),
        ("tmpfs", "/tmp", &|c, path| c.push("mounts", json!({ "destination": path, "type": "tmpfs", "source": "x" }))),
        ("source", "/tmp", &|c, path| {
            c.push("mounts", json!({ "destination": "/tmp", "type": "bind", "source": path, "options": ["bind"] }))
        }),
        ("masked", "/etc/secret", &|c, path| c.set("linux/maskedPaths", json!([path]))),
        ("read-only", "/etc", &|c, path| c.set("linux/readonlyPaths", json!([path]))),
        ("device", "/dev/x", &|c, path| {
            c.push("linux/devices", json!({ "path": path, "type": "c", "major": 1, "minor": 3 }))
        }),
    ];
    for (what, path, edit) in edits {
        let long = long(path);
        assert!(long.len() > 65_536);
        let c = Container::sh("readlink /proc/self/ns/net; cat /etc/secret; true");
        fs::write(c.rootfs().join("etc/secret"), "password").unwrap();
        let c = edit(c, long.clone());
        for verb in CREATIONS {
            tally.tries();
            let out = c.created_by(verb);
            // Some are cleaned before the kernel has them; what is left is what was meant.
            let cleaned = ["network", "tmpfs", "device", "masked", "read-only"].contains(&what);
            assert!(out.code == 1 || (cleaned && out.code == 0), "{what}, {}: exit code {}", long.len(), out.code);
            assert!(!out.stderr.contains("panicked"), "{what}: {}", out.stderr);
            let network = ns(helper.pid(), "net");
            assert!(what != "network" || out.code != 0 || out.lines()[0] == network, "another namespace");
            assert!(what != "masked" || !out.stdout.contains("password"), "not masked");
            tally.survives();
        }
        c.finish();
    }
    let c = Container::sleeper();
    c.up();
    for flags in [["--cwd", &long("/tmp")], ["--env", &format!("PATH={}", long("/bin"))]] {
        tally.tries();
        let out = c.call(&[&["exec"][..], &flags, &[&c.id, "true"]].concat());
        assert_eq!(out.code, 255, "{}: {}", flags[0], out.stderr);
        tally.survives();
    }
    tally.tries();
    assert_ne!(c.call(&["exec", &c.id, &"x".repeat(MAX_STRING - 1)]).code, 0);
    tally.survives();
    c.finish();
}
