//! One container, from its creation to its end.

use crate::bundle::Bundle;
use crate::measure::{Results, Times, time, time_all};
use crate::target;
use crate::tool::{Stage, Tool};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};

const LIFE: [&str; 8] = ["create", "start", "state", "exec", "pause", "resume", "kill", "delete"];

pub fn measure(stage: &Stage, results: &mut Results, rounds: usize) {
    results.without = stage.without.to_owned();
    whole(stage, results, "run", &stage.short, rounds * 2, |_| true);
    steps(stage, results, "", &stage.long, rounds);
    execs(stage, results, &stage.long, rounds);
    match dockers_profile() {
        Some(profile) => {
            let confine = |config: &mut Value| config["linux"]["seccomp"] = profile.clone();
            let (short, long) = (stage.short.variant("seccomp", confine), stage.long.variant("seccomp", confine));
            whole(stage, results, "run, with Docker's seccomp profile", &short, rounds * 2, Tool::is_runtime);
            steps(stage, results, ", with Docker's seccomp profile", &long, rounds);
        }
        None => eprintln!("performance: no profile of Docker's, which the part `clients` fetches: left out"),
    }
    joined(stage, results, rounds);
}

/// The tools take turns, so that a slow moment of the machine is slow for all.
fn whole(stage: &Stage, results: &mut Results, what: &str, bundle: &Bundle, rounds: usize, of: fn(&Tool) -> bool) {
    let mut times = Times::default();
    for round in 0..rounds + 2 {
        for tool in stage.tools.iter().filter(|tool| of(tool)) {
            let took = time(tool.run(bundle, &stage.id(tool, "run")));
            if round > 1 {
                times.add(tool, took);
            }
        }
    }
    results.add_times(what, times);
}

fn steps(stage: &Stage, results: &mut Results, which: &str, bundle: &Bundle, rounds: usize) {
    let mut times: Vec<Times> = LIFE.iter().map(|_| Times::default()).collect();
    for round in 0..rounds + 2 {
        for tool in stage.tools.iter().filter(|tool| which.is_empty() || tool.is_runtime()) {
            let id = stage.id(tool, "life");
            for (operation, times) in LIFE.iter().zip(&mut times) {
                let command = match *operation {
                    "create" => tool.create(bundle, &id),
                    "exec" => tool.exec(&id),
                    other => tool.of(other, &id),
                };
                let took = time(command);
                if *operation == "kill" {
                    tool.wait_for_end(&id);
                }
                if round > 1 {
                    times.add(tool, took);
                }
            }
        }
    }
    for (operation, times) in LIFE.iter().zip(times) {
        // The profile changes nothing for the others.
        if which.is_empty() || ["create", "exec"].contains(operation) {
            results.add_times(&format!("{operation}{which}"), times);
        }
    }
}

fn execs(stage: &Stage, results: &mut Results, bundle: &Bundle, rounds: usize) {
    for tool in &stage.tools {
        let id = stage.id(tool, "execs");
        time(tool.create(bundle, &id));
        time(tool.of("start", &id));
    }
    let (mut in_a_row, mut at_once) = (Times::default(), Times::default());
    for round in 0..rounds.div_ceil(4) + 1 {
        for tool in &stage.tools {
            let id = stage.id(tool, "execs");
            let row = (0..100).map(|_| time(tool.exec(&id))).sum();
            let all = time_all((0..10).map(|_| tool.exec(&id)).collect());
            if round > 0 {
                in_a_row.add(tool, row);
                at_once.add(tool, all);
            }
        }
    }
    results.add_times("100 execs in a row", in_a_row);
    results.add_times("10 execs at once", at_once);
    for tool in &stage.tools {
        let id = stage.id(tool, "execs");
        time(tool.of("kill", &id));
        tool.wait_for_end(&id);
        time(tool.of("delete", &id));
    }
}

/// What Docker has put into the config.json of a container.
fn dockers_profile() -> Option<Value> {
    let text = std::fs::read(target().join("bench/docker-seccomp.json")).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

/// The namespaces of a process that somebody else has made, as those of a pod.
fn joined(stage: &Stage, results: &mut Results, rounds: usize) {
    let sandbox = Sandbox::start();
    let bundle = stage.short.variant("joined", |config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
            let kind = match namespace["type"].as_str().unwrap() {
                "network" => "net",
                kind @ ("ipc" | "uts") => kind,
                _ => continue,
            };
            namespace["path"] = json!(format!("/proc/{}/ns/{kind}", sandbox.0.id()));
        }
        config.as_object_mut().unwrap().remove("hostname");
    });
    whole(stage, results, "run, in the net, ipc and uts namespaces of a pod", &bundle, rounds, Tool::is_runtime);
}

struct Sandbox(Child);

impl Sandbox {
    fn start() -> Sandbox {
        let mut command = Command::new("unshare");
        command.args(["--net", "--ipc", "--uts", "sh", "-c", "echo; exec sleep 1000"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It has made them when it says something.
        std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut [0]).unwrap();
        Sandbox(child)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
