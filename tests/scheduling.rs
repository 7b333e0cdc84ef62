//! When and where a process runs, and from where it has its memory: process.scheduler, process.ioPriority,
//! process.execCPUAffinity, linux.personality, linux.memoryPolicy. The kernel is asked about the process.

use crate::common::*;
use std::fs;
use std::path::Path;
use std::process::Command;

/// SCHED_FIFO and the like, as the kernel numbers them; nice value and real-time priority.
#[derive(Debug, PartialEq)]
struct Scheduling {
    policy: u32,
    nice: i32,
    priority: u32,
}

fn scheduling(pid: u32) -> Scheduling {
    let stat = read(&proc(pid, "stat"));
    // proc_pid_stat(5) counts from 1; behind the name comes field 3.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let field = |number: usize| fields[number - 3];
    let (policy, nice, priority) = (field(41).parse(), field(19).parse(), field(40).parse());
    Scheduling { policy: policy.unwrap(), nice: nice.unwrap(), priority: priority.unwrap() }
}

fn said(command: &str, pid: u32) -> String {
    let out = Command::new(command).args(["-p", &pid.to_string()]).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn io_priority(pid: u32) -> String {
    said("ionice", pid)
}

fn cpus(pid: u32) -> String {
    status_of(pid, "Cpus_allowed_list")
}

/// The policy of the first mapping that has none of its own.
fn memory_policy(pid: u32) -> String {
    let maps = read(&proc(pid, "numa_maps"));
    maps.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

impl Container {
    /// Another process in it, by a document, that stays; its pid.
    fn stays(&self, process: Value) -> u32 {
        let mut document = json!({ "args": ["sleep", "1002"], "cwd": "/", "env": ["PATH=/bin"] });
        document.as_object_mut().unwrap().extend(process.as_object().unwrap().clone());
        self.executes(document).ok();
        let pid = read(self.path("exec.pid").as_ref()).parse().unwrap();
        eventually("the process runs", || fs::read_link(proc(pid, "exe")).is_ok_and(|p| p.ends_with("bin/busybox")));
        pid
    }

    fn executes(&self, document: Value) -> Out {
        let (file, pid) = (self.path("process.json"), self.path("exec.pid"));
        fs::write(&file, document.to_string()).unwrap();
        self.exec_with(&["-d", "--pid-file", &pid, "-p", &file], &[])
    }

    /// The same, by the command line.
    fn stays_by_options(&self) -> u32 {
        let pid = self.path("exec.pid");
        self.exec_with(&["-d", "--pid-file", &pid], &["sleep", "1002"]).ok();
        let pid = read(pid.as_ref()).parse().unwrap();
        eventually("the process runs", || fs::read_link(proc(pid, "exe")).is_ok_and(|p| p.ends_with("bin/busybox")));
        pid
    }

    /// `create` fails, with these texts, and leaves nothing.
    #[track_caller]
    fn refused(self, texts: &[&str]) {
        let mut out = self.create_with(&[]);
        for text in texts {
            out = out.fails(text);
        }
        self.left_nothing();
    }
}

fn can() -> bool {
    hilum_only("the oracle is older than these properties")
}

/// What a process may be given only before its rights go.
fn powerless(c: Container) -> Container {
    c.set("process/user", json!({ "uid": 1000, "gid": 1000 })).set("process/capabilities", json!({}))
}

#[test]
fn a_scheduler_is_that_of_the_process_and_of_those_that_join() {
    if !can() {
        return;
    }
    let c = powerless(Container::sleeper())
        .set("process/scheduler", json!({ "policy": "SCHED_BATCH", "nice": -3 }))
        .set("process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 }));
    c.up();
    let batch = Scheduling { policy: 3, nice: -3, priority: 0 };
    assert_eq!(scheduling(c.pid()), batch);
    assert_eq!(io_priority(c.pid()), "best-effort: prio 6");
    // What no document says is the container's.
    for pid in [c.stays_by_options(), c.stays(json!({}))] {
        assert_eq!(scheduling(pid), batch);
        assert_eq!(io_priority(pid), "best-effort: prio 6");
    }
    let own = json!({ "scheduler": { "policy": "SCHED_OTHER", "nice": 7 },
        "ioPriority": { "class": "IOPRIO_CLASS_IDLE" } });
    let pid = c.stays(own);
    assert_eq!(scheduling(pid), Scheduling { policy: 0, nice: 7, priority: 0 });
    assert_eq!(io_priority(pid), "idle");
    c.finish();
}

#[test]
fn classes_of_io_priority() {
    if !can() {
        return;
    }
    for (class, priority, expected) in
        [("IOPRIO_CLASS_RT", 2, "realtime: prio 2"), ("IOPRIO_CLASS_BE", 0, "best-effort: prio 0")]
    {
        let priority = json!({ "class": class, "priority": priority });
        let c = powerless(Container::sleeper()).set("process/ioPriority", priority);
        c.up();
        assert_eq!(io_priority(c.pid()), expected);
        c.finish();
    }
}

#[test]
fn real_time_policies_have_a_priority() {
    if !can() {
        return;
    }
    for (policy, number) in [("SCHED_FIFO", 1), ("SCHED_RR", 2)] {
        for host in Host::all() {
            let scheduler = json!({ "policy": policy, "priority": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"] });
            let mut c = powerless(Container::sleeper()).on(host).set("process/scheduler", scheduler);
            if host.hierarchy("cpu").join("cpu.rt_runtime_us").exists() && host == Host::V1Hybrid {
                c = c.set("linux/resources/cpu", json!({ "realtimeRuntime": 1000, "realtimePeriod": 1_000_000 }));
            }
            c.up();
            assert_eq!(scheduling(c.pid()), Scheduling { policy: number, nice: 0, priority: 7 });
            // SCHED_RESET_ON_FORK is a bit beside the policy, which the kernel shows nowhere but to sched_getattr(2).
            assert!(
                said("chrt", c.pid()).contains(&format!("{policy}|SCHED_RESET_ON_FORK")),
                "{}",
                said("chrt", c.pid())
            );
            c.finish();
        }
    }
}

#[test]
fn without_real_time_in_the_cgroup_the_error_says_where_it_comes_from() {
    if !can() {
        return;
    }
    if !Host::plain().hierarchy("cpu").join("cpu.rt_runtime_us").exists() {
        skip("needs cgroup v1 with CONFIG_RT_GROUP_SCHED");
        return;
    }
    let c = Container::sleeper().set("process/scheduler", json!({ "policy": "SCHED_FIFO", "priority": 1 }));
    c.refused(&["set process.scheduler to SCHED_FIFO: Operation not permitted", "linux.resources.cpu.realtimeRuntime"]);
}

#[test]
fn a_deadline_is_kept_and_what_the_kernel_refuses_is_explained() {
    if !can() {
        return;
    }
    let deadline = |runtime: u64| {
        json!({ "policy": "SCHED_DEADLINE", "runtime": runtime, "deadline": 2_000_000,
        "period": 3_000_000 })
    };
    let c = powerless(Container::sleeper()).set("process/scheduler", deadline(1_000_000));
    c.up();
    assert_eq!(scheduling(c.pid()).policy, 6);
    let said = said("chrt", c.pid());
    assert!(said.contains("1000000/2000000/3000000"), "{said}");
    c.finish();

    let c = Container::sleeper().set("process/scheduler", deadline(2_500_000));
    c.refused(&["set process.scheduler to SCHED_DEADLINE: Invalid argument", "1024 ns <= runtime <= deadline"]);
    let c = Container::sleeper().set("process/scheduler", json!({ "policy": "SCHED_ISO" }));
    c.refused(&["set process.scheduler to SCHED_ISO: Invalid argument", "Linux has reserved SCHED_ISO"]);
    if !Host::plain().has("cpuset") || read(Path::new("/sys/devices/system/cpu/online")).trim() == "0" {
        skip("needs a cpuset controller, and two CPUs");
        return;
    }
    let c = Container::sleeper()
        .set("process/scheduler", deadline(1_000_000))
        .set("linux/resources/cpu", json!({ "cpus": "0" }));
    c.refused(&["set process.scheduler to SCHED_DEADLINE: Operation not permitted", "no linux.resources.cpu.cpus"]);
}

#[test]
fn a_clamp_of_utilisation_is_passed_on() {
    if !can() {
        return;
    }
    let scheduler = json!({ "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"] });
    let c = Container::sleeper().set("process/scheduler", scheduler);
    if Path::new("/proc/sys/kernel/sched_util_clamp_min").exists() {
        c.up();
        c.finish();
    } else {
        c.refused(&["set process.scheduler to SCHED_OTHER: Operation not supported", "CONFIG_UCLAMP_TASK"]);
    }
}

#[test]
fn root_of_a_user_namespace_may_not_be_more_important_than_others() {
    if !can() {
        return;
    }
    let c = Container::sleeper()
        .in_user_namespace()
        .set("process/scheduler", json!({ "policy": "SCHED_OTHER", "nice": 5 }));
    c.up();
    assert_eq!(scheduling(c.pid()).nice, 5);
    c.finish();
    let c = Container::sleeper()
        .in_user_namespace()
        .set("process/scheduler", json!({ "policy": "SCHED_OTHER", "nice": -5 }));
    c.refused(&["set process.scheduler to SCHED_OTHER: Operation not permitted", "CAP_SYS_NICE on the host"]);
    let c = Container::sleeper().in_user_namespace().set("process/ioPriority", json!({ "class": "IOPRIO_CLASS_RT" }));
    c.refused(&["set process.ioPriority to IOPRIO_CLASS_RT, 0: Operation not permitted", "CAP_SYS_NICE on the host"]);
}

#[test]
fn a_limit_that_gives_the_right_is_set_before() {
    if !can() {
        return;
    }
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let own = u64::from_str_radix(&status_of(std::process::id(), "CapEff"), 16).unwrap();
    if own & CAP_SYS_RESOURCE == 0 {
        skip("raising a limit needs CAP_SYS_RESOURCE");
        return;
    }
    let mut c = powerless(Container::new(&["cat", "/proc/self/stat"]));
    for rlimits in [json!([]), json!([{ "type": "RLIMIT_NICE", "soft": 40, "hard": 40 }])] {
        c = c.set("process/scheduler", json!({ "policy": "SCHED_OTHER", "nice": -5 })).set("process/rlimits", rlimits);
        c.write_config();
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"]).arg(program());
        command.arg("--root").arg(c.root()).args(["run", &c.id]).current_dir(c.bundle());
        let out = c.finish_call(command, std::process::Stdio::null());
        match c.config["process"]["rlimits"].as_array().unwrap().len() {
            0 => drop(out.fails("a lower nice value needs CAP_SYS_NICE on the host, or RLIMIT_NICE")),
            _ => assert_eq!(out.ok().stdout.split(' ').nth(18), Some("-5")),
        }
    }
    c.finish();
}

#[test]
fn a_nice_value_that_counts_for_nothing_is_told() {
    if !can() {
        return;
    }
    let c = Container::new(&["true"]).set("process/scheduler", json!({ "policy": "SCHED_IDLE", "nice": 4 }));
    let out = c.run().ok();
    assert!(out.stderr.contains("process.scheduler.nice: SCHED_IDLE has no nice value"), "{out:?}");
    c.finish();
}

#[test]
fn a_filter_that_forbids_the_calls_comes_behind_them() {
    if !can() {
        return;
    }
    for no_new_privileges in [false, true] {
        let calls = ["sched_setattr", "ioprio_set", "set_mempolicy", "personality"];
        let c = Container::sleeper()
            .set("process/noNewPrivileges", json!(no_new_privileges))
            .set("process/scheduler", json!({ "policy": "SCHED_IDLE" }))
            .set("process/ioPriority", json!({ "class": "IOPRIO_CLASS_IDLE" }))
            .set("linux/personality", json!({ "domain": "LINUX32" }))
            .set(
                "linux/seccomp",
                json!({ "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{ "names": calls, "action": "SCMP_ACT_KILL_PROCESS" }] }),
            );
        let c = if has_numa() { c.set("linux/memoryPolicy", json!({ "mode": "MPOL_LOCAL" })) } else { c };
        c.up();
        assert_eq!(scheduling(c.pid()).policy, 5);
        assert_eq!(status_of(c.pid(), "Seccomp"), "2");
        c.finish();
    }
}

#[test]
fn the_personality_is_the_containers_for_all_its_processes() {
    if !can() {
        return;
    }
    let personality = |pid| read(&proc(pid, "personality")).trim().to_owned();
    let c = Container::sleeper().set("linux/personality", json!({ "domain": "LINUX32" }));
    c.up();
    assert_eq!(personality(c.pid()), "00000008");
    assert_eq!(personality(c.stays(json!({}))), "00000008");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(c.exec_with(&[], &["uname", "-m"]).ok().stdout, "i686\n");
    }
    c.finish();
    // It is set, not left: the runtime's own may be another.
    let c = Container::new(&["cat", "/proc/self/personality"]).set("linux/personality", json!({ "domain": "LINUX" }));
    c.write_config();
    let mut command = Command::new("setarch");
    command.arg("--addr-no-randomize").arg(program()).arg("--root").arg(c.root()).args(["run", &c.id]);
    command.current_dir(c.bundle());
    let out = c.finish_call(command, std::process::Stdio::null()).ok();
    assert_eq!(out.stdout, "00000000\n");
    c.finish();
}

fn has_numa() -> bool {
    Path::new("/proc/self/numa_maps").exists()
}

#[test]
fn the_memory_policy_is_the_containers_for_all_its_processes() {
    if !can() {
        return;
    }
    if !has_numa() {
        skip("this kernel has no NUMA");
        return;
    }
    for (policy, expected) in [
        (json!({ "mode": "MPOL_DEFAULT" }), "default"),
        (json!({ "mode": "MPOL_LOCAL" }), "local"),
        (json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0" }), "interleave:0"),
        (json!({ "mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"] }), "prefer=relative:0"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }), "bind=static:0"),
    ] {
        let c = powerless(Container::sleeper()).set("linux/memoryPolicy", policy);
        c.up();
        assert_eq!(memory_policy(c.pid()), expected);
        assert_eq!(memory_policy(c.stays(json!({}))), expected);
        c.finish();
    }
    for nodes in ["1000", "1000-2000", "65535"] {
        let policy = json!({ "mode": "MPOL_BIND", "nodes": nodes });
        let c = Container::sleeper().set("linux/memoryPolicy", policy);
        c.refused(&["set linux.memoryPolicy to MPOL_BIND: Invalid argument", "the nodes must be online"]);
    }
}

/// The first two CPUs that this process may use.
fn two_cpus() -> Option<[String; 2]> {
    let list = cpus(std::process::id());
    let all = list.split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    });
    let two: Vec<String> = all.take(2).map(|cpu| cpu.to_string()).collect();
    two.try_into().ok()
}

#[test]
fn a_process_of_exec_runs_on_the_cpus_that_are_its_own() {
    if !can() {
        return;
    }
    let Some([first, second]) = two_cpus() else {
        skip("needs two CPUs");
        return;
    };
    for host in Host::all() {
        let affinity = json!({ "initial": first, "final": second });
        let c = Container::sleeper().on(host).set("process/execCPUAffinity", affinity);
        let before = cpus(std::process::id());
        c.up();
        assert_eq!(cpus(c.pid()), before, "it is not for the container's first process");
        assert_eq!(cpus(c.stays_by_options()), second);
        assert_eq!(cpus(c.stays(json!({}))), second);
        assert_eq!(cpus(c.stays(json!({ "execCPUAffinity": { "final": first } }))), first);
        // A mask for more CPUs than glibc's has room for. Those that are not there do not matter.
        assert_eq!(cpus(c.stays(json!({ "execCPUAffinity": { "final": format!("{first},1500-1600,5000") } }))), first);
        assert_eq!(
            cpus(c.stays(json!({ "execCPUAffinity": { "initial": format!("{first},1500"), "final": second } }))),
            second
        );
        let none = c.stays(json!({ "execCPUAffinity": {} }));
        assert_eq!(cpus(none), before);
        c.finish();
    }
}

#[test]
fn the_initial_cpus_are_those_before_the_cgroup() {
    if !can() || !has_strace() {
        return;
    }
    let Some([first, second]) = two_cpus() else {
        skip("needs two CPUs");
        return;
    };
    for host in Host::all() {
        let c = Container::sleeper().on(host);
        c.up();
        let document = json!({ "args": ["true"], "cwd": "/", "env": ["PATH=/bin"],
            "execCPUAffinity": { "initial": first, "final": second } });
        let (file, trace) = (c.path("process.json"), c.path("trace"));
        fs::write(&file, document.to_string()).unwrap();
        let mut command = host.command(Path::new("strace"));
        command.args(["-f", "-qq", "-y", "-o", &trace, "-e", "trace=sched_setaffinity,clone3,write"]).arg(program());
        command.arg("--root").arg(c.root()).args(["exec", "-p", &file, &c.id]).current_dir(c.bundle());
        c.finish_call(command, std::process::Stdio::null()).ok();
        let trace = read(trace.as_ref());
        let at = |from: usize, text: &str| {
            let found = trace.lines().skip(from).position(|line| line.contains(text));
            from + found.unwrap_or_else(|| panic!("no {text} behind line {from}:\n{trace}"))
        };
        let initial = at(0, &format!(", [{first}])"));
        let entered = match host {
            Host::V2 => at(0, "CLONE_INTO_CGROUP"),
            Host::V1Hybrid => at(0, "tasks>, \"0\""),
        };
        let last = at(entered, &format!(", [{second}])"));
        assert!(initial < entered && entered < last, "{trace}");
        c.finish();
    }
}

#[test]
fn cpus_that_are_not_there_are_refused() {
    if !can() {
        return;
    }
    let c = Container::sleeper();
    c.up();
    for (affinity, texts) in [
        (
            json!({ "final": "5000" }),
            ["set the CPUs of process.execCPUAffinity.final, 5000: Invalid argument", "must be online"],
        ),
        (
            json!({ "initial": "5000" }),
            ["set the CPUs of process.execCPUAffinity.initial: Invalid argument", "must be online"],
        ),
        (json!({ "initial": "1-" }), ["process.execCPUAffinity.initial: ", " is not a number; write numbers as 0-3,7"]),
        (json!({ "final": "70000" }), ["process.execCPUAffinity.final: 70000 is above 65535", ""]),
    ] {
        let document = json!({ "args": ["true"], "cwd": "/", "execCPUAffinity": affinity });
        let out = c.executes(document);
        assert_eq!(out.code, 255, "{out:?}");
        for text in texts {
            assert!(out.stderr.contains(text), "{text:?} is not in {:?}", out.stderr);
        }
    }
    c.finish();
    Container::sleeper()
        .set("process/execCPUAffinity", json!({ "final": "x" }))
        .refused(&["process.execCPUAffinity.final: ", " is not a number; write numbers as 0-3,7"]);
}

#[test]
fn features_lists_the_memory_policies() {
    if !can() {
        return;
    }
    let c = Container::new(&["true"]);
    let features: Value = serde_json::from_str(&c.call(&["features"]).ok().stdout).unwrap();
    let policy = &features["linux"]["memoryPolicy"];
    assert_eq!(policy["modes"].as_array().unwrap().len(), 7, "{policy}");
    assert_eq!(policy["flags"], json!(["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]));
}
