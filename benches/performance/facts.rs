//! What it costs besides time.

use crate::measure::{Numbers, Results, time};
use crate::tool::{Stage, Tool, quiet};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn measure(stage: &Stage, results: &mut Results) {
    let sizes =
        stage.tools.iter().map(|tool| (tool.name.to_owned(), fs::metadata(&tool.program).unwrap().len() as f64));
    results.add("size of the binary", "bytes", sizes.filter(|(name, _)| name != "floor").collect());
    peaks(stage, results);
    calls(stage, results);
    instructions(stage, results);
    charged(stage, results);
}

/// A container of each tool's that is there meanwhile.
fn with_one(stage: &Stage, look: &mut dyn FnMut(&Tool, &str)) {
    for tool in &stage.tools {
        let id = stage.id(tool, "fact");
        time(tool.create(&stage.long, &id));
        time(tool.of("start", &id));
        look(tool, &id);
        time(tool.of("kill", &id));
        tool.wait_for_end(&id);
        time(tool.of("delete", &id));
    }
}

/// The peak is that of the largest process. An executed program inherits it from the one that started it: below some
/// 1.5 MB it is that of time(1).
fn peaks(stage: &Stage, results: &mut Results) {
    let file = stage.dir.join("peak");
    let peak = |command: Command| {
        let mut timed = Command::new("/usr/bin/time");
        timed.args(["-f", "%M", "-o"]).arg(&file).arg(command.get_program()).args(command.get_args());
        assert!(quiet(timed).status().unwrap().success());
        fs::read_to_string(&file).unwrap().trim().parse::<f64>().unwrap()
    };
    let mut rows: BTreeMap<&str, Numbers> = BTreeMap::new();
    for tool in &stage.tools {
        let id = stage.id(tool, "peak");
        let mut add = |what, number| _ = rows.entry(what).or_default().insert(tool.name.to_owned(), number);
        add("run", median((0..5).map(|_| peak(tool.run(&stage.short, &id)))));
        add("create", peak(tool.create(&stage.long, &id)));
        add("start", peak(tool.of("start", &id)));
        add("state", peak(tool.of("state", &id)));
        add("exec", peak(tool.exec(&id)));
        add("list", peak(tool.list()));
        add("kill", peak(tool.of("kill", &id)));
        tool.wait_for_end(&id);
        add("delete", peak(tool.of("delete", &id)));
    }
    for (what, numbers) in rows {
        results.add(&format!("peak memory of {what}"), "kB", numbers);
    }
}

/// As strace(1) counts them, of all processes.
fn calls(stage: &Stage, results: &mut Results) {
    let file = stage.dir.join("calls");
    let calls = |command: Command| {
        let mut traced = Command::new("strace");
        traced.args(["-f", "-c", "-o"]).arg(&file).arg(command.get_program()).args(command.get_args());
        assert!(quiet(traced).status().unwrap().success());
        let text = fs::read_to_string(&file).unwrap();
        let total = text.lines().find(|line| line.ends_with(" total")).unwrap();
        total.split_whitespace().nth(3).unwrap().parse::<f64>().unwrap()
    };
    let of_run = stage.tools.iter().map(|tool| {
        let counts = (0..5).map(|_| calls(tool.run(&stage.short, &stage.id(tool, "calls"))));
        (tool.name.to_owned(), median(counts))
    });
    results.add("system calls of run", "", of_run.collect());
    let mut of_exec = Numbers::new();
    with_one(stage, &mut |tool, id| _ = of_exec.insert(tool.name.to_owned(), calls(tool.exec(id))));
    results.add("system calls of exec", "", of_exec);
}

/// As callgrind(1) counts them, of the command's own process: repeatable, whatever else the machine does.
fn instructions(stage: &Stage, results: &mut Results) {
    let count = |command: Command| {
        let mut counted = Command::new("valgrind");
        counted.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(command.get_program());
        let out = counted.args(command.get_args()).output().ok().filter(|out| out.status.success())?;
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("refs:"))?;
        line.rsplit(' ').next()?.replace(',', "").parse::<f64>().ok()
    };
    let mut of_state = Numbers::new();
    // valgrind knows no way into runc's runtime.
    with_one(stage, &mut |tool, id| {
        if let Some(number) = count(tool.of("state", id)) {
            of_state.insert(tool.name.to_owned(), number);
        }
    });
    results.add("instructions of state, outside of the kernel", "", of_state);
}

/// The most that a container's cgroup was charged with while it ran /bin/true: what the runtime did in it, and the kernel's
/// memory for its namespaces and mounts.
fn charged(stage: &Stage, results: &mut Results) {
    let mut numbers = Numbers::new();
    for tool in &stage.tools {
        let id = stage.id(tool, "charged");
        time(tool.create(&stage.short, &id));
        let file = memory_file(tool.pid(&id));
        time(tool.of("start", &id));
        tool.wait_for_end(&id);
        let peak = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        if let Some(bytes) = peak.and_then(|text| text.trim().parse::<f64>().ok()) {
            numbers.insert(tool.name.to_owned(), bytes / 1024.0);
        }
        time(tool.of("delete", &id));
    }
    match numbers.is_empty() {
        true => eprintln!("performance: no memory controller in this layout: the memory of a container is left out"),
        false => results.add("peak memory charged to a container of /bin/true", "kB", numbers),
    }
}

fn memory_file(pid: i32) -> Option<PathBuf> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let v1 = cgroups.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path));
    let file = match v1 {
        Some(path) => format!("/sys/fs/cgroup/memory{path}/memory.max_usage_in_bytes"),
        None => format!("/sys/fs/cgroup{}/memory.peak", cgroups.lines().find_map(|line| line.strip_prefix("0::"))?),
    };
    Path::new(&file).exists().then(|| file.into())
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = numbers.collect();
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}
