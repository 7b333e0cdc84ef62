//! Global options, ids, logs, and the commands that touch no container.

use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

/// The lines of a JSON log.
fn json_log(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// A call without `--root`.
fn bare(c: &Container, args: &[&str]) -> Out {
    let mut command = std::process::Command::new(program());
    command.args(args).current_dir(c.bundle());
    c.finish_call(command, Stdio::null())
}

#[test]
fn version_prints_the_lines_that_docker_parses() {
    let c = Container::new(&["true"]);
    for flag in ["--version", "-v"] {
        let out = bare(&c, &[flag]).ok();
        let name = if is_hilum() { "hilum" } else { "runc" };
        assert!(out.stdout.starts_with(&format!("{name} version ")), "{out:?}");
        for start in ["commit: ", "spec: 1.", "libseccomp: "] {
            assert!(out.lines().iter().any(|l| l.starts_with(start)), "{start}: {out:?}");
        }
    }
    if hilum_only("the oracle is older than runtime-spec 1.3") {
        assert!(bare(&c, &["--version"]).lines().contains(&"spec: 1.3.0"));
    }
}

#[test]
fn help_names_every_command_and_exits_0() {
    let c = Container::new(&["true"]);
    for flag in ["--help", "-h"] {
        let out = bare(&c, &[flag]).ok();
        for command in ["create", "start", "state", "kill", "delete", "run", "list", "spec", "features"] {
            assert!(out.stdout.contains(command), "{command}: {out:?}");
        }
    }
}

#[test]
fn a_usage_error_prints_help_and_exits_1() {
    let c = Container::new(&["true"]);
    for command in ["create", "start", "state", "kill", "delete", "run"] {
        let out = c.call(&[command]);
        assert_eq!(out.code, 1, "{command}: {out:?}");
        let all = format!("{}{}", out.stdout, out.stderr).to_lowercase();
        assert!(all.contains("usage") && all.contains(command), "{out:?}");
    }
    for args in [&["start", "a", "b"][..], &["state", "--nonsense", "a"], &["--nonsense", "state", "a"]] {
        let out = c.call(args);
        assert_eq!(out.code, 1, "{args:?}: {out:?}");
    }
    if hilum_only("runc exits 3 for an unknown command") {
        assert_eq!(c.call(&["nonsense"]).code, 1);
    }
}

#[test]
fn options_parse_with_an_equals_sign_and_with_a_space() {
    let c = Container::new(&["true"]);
    let (root, log) = (c.path("elsewhere"), c.path("log"));
    let joined = bare(&c, &[&format!("--root={root}"), &format!("--log={log}"), "--log-format=json", "state", "none"]);
    joined.fails("container does not exist");
    let spaced = bare(&c, &["--root", &root, "--log", &log, "--log-format", "json", "state", "none"]);
    spaced.fails("container does not exist");
    assert_eq!(json_log(&log).iter().filter(|l| l["level"] == "error").count(), 2);

    c.write_config();
    let bundle = c.bundle().display().to_string();
    c.call(&["create", &format!("--bundle={bundle}"), &format!("--pid-file={}", c.path("pid1")), &c.id]).ok();
    c.call(&["delete", "--force=true", &c.id]).ok();
    c.call(&["create", "-b", &bundle, "--pid-file", &c.path("pid2"), &c.id]).ok();
    c.call(&["delete", "-f", &c.id]).ok();
    assert!(fs::exists(c.path("pid1")).unwrap() && fs::exists(c.path("pid2")).unwrap());
    c.finish();
}

#[test]
fn a_container_is_found_only_under_its_own_root() {
    let c = Container::new(&["true"]);
    c.create();
    bare(&c, &["--root", &c.path("elsewhere"), "state", &c.id]).fails("container does not exist");
    assert_eq!(c.status(), "created");
    c.finish();
}

#[test]
fn the_root_directory_cannot_be_slash() {
    if !hilum_only("newer than the oracle") {
        return;
    }
    let c = Container::new(&["true"]);
    let out = bare(&c, &["--root", "/", "list"]);
    assert_eq!(out.code, 1, "{out:?}");
}

#[test]
fn ids_of_the_allowed_characters_are_accepted() {
    let c = Container::new(&["true"]);
    c.write_config();
    for suffix in ["plain", "UPPER_lower", "1.2", "a+b", "a-b", "..", "."] {
        let id = format!("{}{suffix}", c.id);
        c.call(&["create", &id]).ok();
        c.call(&["delete", "-f", &id]).ok();
    }
    c.finish();
}

#[test]
fn hostile_ids_are_refused_by_every_command() {
    let c = Container::new(&["true"]);
    c.write_config();
    let long = "../".repeat(100);
    let ids = [".", "..", "a/b", "../x", "/etc", "a b", "a\nb", "a\\b", "é", "a:b", "a*", "$(x)", "\u{1b}[31m", &long];
    for id in ids {
        c.call(&["create", id]).fails("invalid container ID format");
        c.call(&["run", id]).fails("invalid container ID format");
        c.call(&["state", id]).fails("invalid container ID format");
        c.call(&["kill", id]).fails("invalid container ID format");
        c.call(&["start", id]).fails("invalid container ID format");
        c.call(&["delete", id]).fails("invalid container ID format");
    }
    assert_eq!(c.call(&["create", ""]).code, 1);
    let long = "x".repeat(10_000);
    assert_eq!(c.call(&["create", &long]).code, 1);
    c.finish();
}

/// SECURITY-RECORD 19.
#[test]
fn random_ids_never_leave_the_state_directory() {
    let c = Container::new(&["true"]);
    let alphabet: Vec<char> = "ab.._+-//\n\t\\ :*~%\u{1}\u{7f}é".chars().collect();
    let mut seed = 12345u64;
    for _ in 0..rounds(100, 10_000) {
        let mut id = String::new();
        for _ in 0..12 {
            // A linear congruential generator: the same ids in every run.
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            id.push(alphabet[(seed >> 33) as usize % alphabet.len()]);
        }
        let allowed = id.chars().all(|ch| ch.is_ascii_alphanumeric() || "_+-.".contains(ch));
        let id = if id.starts_with('-') { format!("/{id}") } else { id };
        let expected =
            if allowed && !id.starts_with('/') { "container does not exist" } else { "invalid container ID format" };
        c.call(&["state", &id]).fails(expected);
    }
    c.finish();
}

#[test]
fn the_text_log_ends_with_the_error_which_stderr_shows_too() {
    let c = Container::new(&["true"]);
    let log = c.path("log");
    c.call(&["--log", &log, "state", "none"]).fails("container does not exist");
    let text = fs::read_to_string(&log).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.contains("level=error") && last.contains("container does not exist"), "{text}");
    assert!(last.starts_with("time="), "{text}");
}

#[test]
fn an_error_without_a_log_is_one_line_on_stderr() {
    let c = Container::new(&["true"]);
    let out = c.call(&["state", "none"]).fails("container does not exist");
    assert_eq!(out.stderr.trim().lines().count(), 1, "{out:?}");
    assert_eq!(out.stdout, "");
}

#[test]
fn the_json_log_has_level_msg_and_time_and_its_last_error_is_what_stderr_says() {
    let c = Container::new(&["no-such-program"]);
    let log = c.path("log");
    c.write_config();
    let out = c.call(&["--log", &log, "--log-format", "json", "run", &c.id]).fails("executable file not found");
    let lines = json_log(&log);
    for line in &lines {
        assert!(line["level"].is_string() && line["msg"].is_string() && line["time"].is_string(), "{line}");
    }
    let last = lines.iter().rev().find(|l| l["level"] == "error").unwrap();
    let msg = last["msg"].as_str().unwrap();
    assert!(msg.contains("executable file not found"), "{msg}");
    assert!(out.stderr.contains(msg), "{msg:?} is not in {:?}", out.stderr);
    c.left_nothing();
}

#[test]
fn the_log_is_appended_to_and_readable() {
    let c = Container::new(&["true"]);
    let log = c.path("log");
    c.call(&["--log", &log, "state", "none"]).fails("");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o644);
    c.call(&["--log", &log, "state", "none"]).fails("");
    assert_eq!(fs::read_to_string(&log).unwrap().matches("level=error").count(), 2);
}

#[test]
fn debug_adds_lines_to_the_log() {
    let c = Container::new(&["true"]);
    c.write_config();
    c.call(&["--log", &c.path("quiet"), "run", &c.id]).ok();
    c.call(&["--debug", "--log", &c.path("loud"), "run", &c.id]).ok();
    assert!(!fs::read_to_string(c.path("quiet")).unwrap_or_default().contains("level=debug"));
    assert!(fs::read_to_string(c.path("loud")).unwrap().contains("level=debug"));
    c.finish();
}

#[test]
fn an_unwritable_log_or_an_unknown_format_is_an_error() {
    let c = Container::new(&["true"]);
    c.call(&["--log", "/nonexistent/log", "state", "none"]).fails("such file or directory");
    c.call(&["--log-format", "xml", "state", "none"]).fails("xml");
}

/// The milliseconds and the phase of each line of the log that says how long something took.
fn phases(log: &str) -> Vec<(f64, String)> {
    times(log).into_iter().filter(|(_, phase)| !phase.starts_with("step ")).collect()
}

fn times(log: &str) -> Vec<(f64, String)> {
    let lines = json_log(log);
    let debug = lines.iter().filter(|line| line["level"] == "debug").map(|line| line["msg"].as_str().unwrap());
    let took = debug.filter_map(|message| message.strip_prefix("took ")?.split_once(" ms: "));
    took.map(|(milliseconds, phase)| (milliseconds.parse().unwrap(), phase.to_owned())).collect()
}

#[test]
fn debug_says_how_long_each_phase_took() {
    if !hilum_only("its own log") {
        return;
    }
    let log = |c: &Container, name: &str, options: &[&str], args: &[&str]| {
        let path = c.path(name);
        let log = [&["--log", &path, "--log-format", "json"], options, args].concat();
        c.write_config();
        let started = std::time::Instant::now();
        c.call(&log).ok();
        let all = started.elapsed().as_secs_f64() * 1000.0;
        let phases = if options.is_empty() { Vec::new() } else { phases(&path) };
        let sum: f64 = phases.iter().map(|(milliseconds, _)| milliseconds).sum();
        assert!(sum <= all && phases.iter().all(|(took, _)| *took >= 0.0), "{phases:?} of {all} ms");
        assert!(!options.is_empty() || !read(path.as_ref()).contains("took"), "without --debug");
        phases.into_iter().map(|(_, phase)| phase).collect::<Vec<_>>()
    };
    let hook = json!({ "path": "/bin/sleep", "args": ["sleep", "0.3"] });
    let filter = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
    let c = Container::new(&["true"]).set("linux/seccomp", filter).set("hooks", json!({ "createContainer": [hook] }));
    let expected = [
        "load config.json",
        "plan",
        "make the cgroup",
        "clone, and execute the init program",
        "wait for the init program, which is at HookState",
        "compile linux.seccomp, or find it compiled",
        "wait for the init program, which is at Seccomp",
        "wait for the init program, which is at Ready",
        "execute",
    ];
    let mut all = log(&c, "run", &["--debug"], &["run", &c.id]);
    all.sort();
    let mut sorted = expected.map(String::from);
    sorted.sort();
    assert_eq!(all, sorted);
    // It is behind the hook.
    let waited = phases(&c.path("run")).into_iter().find(|(_, phase)| phase.ends_with("is at Seccomp")).unwrap();
    assert!(waited.0 >= 200.0, "{waited:?}");

    assert_eq!(log(&c, "quiet", &[], &["run", &c.id]), Vec::<String>::new());
    let created = log(&c, "create", &["--debug"], &["create", &c.id]);
    assert!(created.iter().any(|phase| phase.ends_with("is at Ready")) && !created.contains(&"execute".into()));
    assert_eq!(log(&c, "start", &["--debug"], &["start", &c.id]), ["execute"]);
    c.finish();
}

/// The init program is under what the container is limited to before it is done: to note the time must not be its end.
#[test]
fn debug_changes_nothing_for_a_container_with_limits() {
    if !hilum_only("its own log") {
        return;
    }
    let no_files = json!([{ "type": "RLIMIT_FSIZE", "soft": 0, "hard": 0 }]);
    let no_clock = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["clock_gettime"], "action": "SCMP_ACT_KILL_PROCESS" }] });
    // The first process of a pid namespace would survive the signal.
    let limited = Container::new(&["true"]).without_namespace("pid").set("process/rlimits", no_files);
    let filtered =
        Container::new(&["true"]).set("process/noNewPrivileges", json!(false)).set("linux/seccomp", no_clock);
    for c in [limited, filtered] {
        c.write_config();
        let log = c.path("log");
        c.call(&["--log", &log, "--log-format", "json", "--debug", "run", &c.id]).ok();
        assert!(times(&log).iter().any(|(_, what)| what.contains("pivot_root")), "{}", read(log.as_ref()));
        c.finish();
    }
}

/// Up to where it waits for `start`; those of a stage one, too, and behind the border of a time namespace, where the clocks are
/// a day ahead.
#[test]
fn debug_says_how_long_each_step_of_the_init_program_took() {
    if !hilum_only("its own log") {
        return;
    }
    let hook = json!({ "path": "/bin/sleep", "args": ["sleep", "0.3"] });
    let plain = || Container::new(&["true"]).set("hooks", json!({ "createContainer": [hook] }));
    let tomorrow = json!({ "monotonic": { "secs": 86400 }, "boottime": { "secs": 86400 } });
    let apart = plain().namespace(json!({ "type": "time" })).set("linux/timeOffsets", tomorrow);
    for c in [plain(), apart] {
        c.write_config();
        let log = c.path("log");
        c.call(&["--log", &log, "--log-format", "json", "--debug", "run", &c.id]).ok();
        let steps: Vec<_> = times(&log).into_iter().filter(|(_, what)| what.starts_with("step ")).collect();
        let lines = json_log(&log);
        let planned = lines.iter().filter_map(|line| line["msg"].as_str().filter(|text| text.starts_with("step ")));
        let planned: Vec<&str> =
            planned.take_while(|step| !step.contains("report that the container is created")).collect();
        assert!(
            planned.len() > 30 && steps.iter().map(|(_, what)| what).eq(&planned),
            "{steps:?}, planned: {planned:?}"
        );
        assert!(steps.iter().all(|(took, _)| (0.0..5000.0).contains(took)), "{steps:?}");
        let (took, what) = steps.iter().max_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap();
        assert!(*took >= 200.0 && what.contains("hook"), "{took} ms: {what}");
        c.finish();
    }
}
