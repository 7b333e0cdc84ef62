//! `--systemd-cgroup`: what systemd says of a container's unit, and what the kernel says of its cgroup. Most of it needs a
//! host with systemd and cgroup v2 alone, as the machine of `make vm-test`.

use crate::common::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

pub fn can_be_tested() -> bool {
    match (booted(), Host::plain()) {
        (false, _) => skip("systemd is not running here"),
        (true, Host::V1Hybrid) => skip("cgroup v2 is not alone here"),
        (true, Host::V2) => true,
    }
}

/// `as-user`, which the machine of `make vm-test` has, runs a command in a session of the user `u`.
fn has_user() -> bool {
    can_be_tested() && (Path::new("/usr/local/bin/as-user").exists() || skip("there is no as-user, and no user `u`"))
}

pub fn systemctl(args: &[&str]) -> String {
    let out = Command::new("timeout").arg("120").arg("systemctl").args(args).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn parse_properties(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
}

/// What systemd knows of a unit. It also knows that it does not know it: LoadState is not-found.
pub fn show(unit: &str) -> BTreeMap<String, String> {
    parse_properties(&systemctl(&["show", unit]))
}

#[track_caller]
fn assert_properties(unit: &str, expected: &[(&str, &str)]) {
    let properties = show(unit);
    for (name, value) in expected {
        assert_eq!(properties.get(*name).map(String::as_str), Some(*value), "{name} of {unit}");
    }
}

#[track_caller]
pub fn assert_unit_is_gone(unit: &str) {
    eventually(&format!("systemd forgets {unit}"), || show(unit)["LoadState"] == "not-found");
}

/// Slices stay after what was in them. So does the file of one that has been written.
struct Slice(&'static str);

impl Drop for Slice {
    fn drop(&mut self) {
        systemctl(&["stop", self.0]);
        if fs::remove_file(Path::new("/run/systemd/system").join(self.0)).is_ok() {
            systemctl(&["daemon-reload"]);
        }
    }
}

impl Container {
    /// The unit of a container whose config.json names none.
    pub fn unit(&self) -> String {
        format!("{}-{}.scope", if is_hilum() { "hilum" } else { "runc" }, self.id)
    }

    /// A cgroupsPath, in which ID stands for the container's.
    fn in_unit(self, path: &str) -> Container {
        let path = path.replace("ID", &self.id);
        self.set("linux/cgroupsPath", json!(path))
    }

    fn annotated(self, property: &str, value: &str) -> Container {
        self.with(|config| {
            config["annotations"][format!("org.systemd.property.{property}")] = json!(value);
        })
    }

    /// Of the cgroup that the kernel has the container's process in.
    pub fn file(&self, name: &str) -> String {
        let path = Path::new("/sys/fs/cgroup").join(cgroup_of(self.pid(), "").trim_start_matches('/')).join(name);
        read(&path).trim().to_owned()
    }
}

#[test]
fn a_container_has_a_scope_of_its_own_while_it_lives() {
    if !can_be_tested() {
        return;
    }
    let c = Container::sleeper().by_systemd();
    c.create();
    let unit = c.unit();
    assert_eq!(cgroup_of(c.pid(), ""), format!("/system.slice/{unit}"));
    assert_eq!(c.file("cgroup.procs"), c.pid().to_string());
    assert_properties(
        &unit,
        &[
            ("ActiveState", "active"),
            ("Transient", "yes"),
            ("Slice", "system.slice"),
            ("ControlGroup", &format!("/system.slice/{unit}")),
            ("Delegate", "yes"),
            ("MemoryAccounting", "yes"),
            ("IOAccounting", "yes"),
            ("TasksAccounting", "yes"),
            ("DefaultDependencies", "no"),
            ("DevicePolicy", "strict"),
        ],
    );
    assert!(show(&unit)["Description"].contains(&c.id));
    assert_eq!(c.status(), "created");
    c.start().wait("running");
    c.call(&["pause", &c.id]).ok();
    assert_eq!(c.file("cgroup.freeze"), "1");
    c.call(&["resume", &c.id]).ok();
    c.kill("KILL").ok();
    c.wait("stopped");
    assert_unit_is_gone(&unit);
    c.call(&["delete", &c.id]).ok();
    c.finish();
}

/// What a command asks of the kernel, without what it says to another process or hears from it.
fn calls_besides_talk(c: &Container) -> usize {
    const TALK: [&str; 5] = ["socket", "connect", "sendto", "recvfrom", "ppoll"];
    let trace = c.path("trace");
    let prefix = ["strace", "-f", "-qq", "-o", &trace].map(String::from);
    c.write_config();
    c.finish_call(c.command_behind(&prefix, &["run", &c.id]), Stdio::null()).ok();
    let text = read(Path::new(&trace));
    let names = text.lines().filter_map(|line| line.split_whitespace().nth(1)?.split_once('(')).map(|(name, _)| name);
    names.filter(|name| !TALK.contains(name)).count()
}

/// Two connections, each with a question for its owner; the state that is saved once more; a directory that is looked at before,
/// as systemd makes it, and after, to see that the process has arrived: 20 or 21 from one run to the next, and some room.
#[test]
fn talking_to_the_bus_is_all_that_systemd_adds() {
    if !can_be_tested() || !hilum_only("its own bound") || !has_strace() {
        return;
    }
    let (files, bus) = (Container::new(&["true"]), Container::new(&["true"]).by_systemd());
    // What the first one makes is there for those that follow.
    files.run().ok();
    let (plain, by_systemd) = (calls_besides_talk(&files), calls_besides_talk(&bus));
    assert!(plain > 300, "{plain}");
    assert!(by_systemd <= plain + 24, "{by_systemd} system calls, and {plain} without systemd");
    files.finish();
    bus.finish();
}

fn writable_cgroup(config: &mut Value) {
    let mounts = config["mounts"].as_array_mut().unwrap();
    let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
    cgroup["options"] = json!(["nosuid", "noexec", "nodev", "rw"]);
}

#[test]
fn delete_stops_the_unit() {
    if !can_be_tested() {
        return;
    }
    // Also one whose processes make cgroups of their own.
    let script = "mkdir /sys/fs/cgroup/a && echo 0 >/sys/fs/cgroup/a/cgroup.procs && echo made; exec sleep 1000";
    let c = Container::sh(script).by_systemd().with(writable_cgroup);
    c.up().says("made");
    let unit = c.unit();
    assert_eq!(show(&unit)["ActiveState"], "active");
    c.call(&["delete", "--force", &c.id]).ok();
    assert_eq!(show(&unit)["LoadState"], "not-found");
    c.finish();
}

#[test]
fn a_run_in_the_foreground_leaves_no_unit() {
    if !can_be_tested() {
        return;
    }
    let c = Container::sh("cat /proc/self/cgroup; exit 3").by_systemd();
    let out = c.run();
    assert_eq!(out.code, 3, "{out:?}");
    assert_unit_is_gone(&c.unit());
    c.finish();
}

#[test]
fn a_path_names_slice_prefix_and_name() {
    if !can_be_tested() {
        return;
    }
    let _slice = Slice("hiltest.slice");
    let c = Container::sleeper().by_systemd().in_unit("hiltest-inner.slice:pre:ID");
    c.create();
    let unit = format!("pre-{}.scope", c.id);
    assert_eq!(cgroup_of(c.pid(), ""), format!("/hiltest.slice/hiltest-inner.slice/{unit}"));
    assert_properties(&unit, &[("Slice", "hiltest-inner.slice")]);
    c.finish();
    assert_unit_is_gone(&unit);
}

#[test]
fn a_name_that_is_a_slice_makes_a_slice() {
    if !can_be_tested() || !hilum_only("the oracle tells systemd to put a process into a slice, which it refuses") {
        return;
    }
    let _slice = Slice("hiltestparent.slice");
    let c = Container::sleeper()
        .by_systemd()
        .in_unit("::hiltestparent-x.slice")
        .set("linux/resources/pids", json!({ "limit": 20 }));
    c.create();
    assert_eq!(cgroup_of(c.pid(), ""), "/hiltestparent.slice/hiltestparent-x.slice");
    assert_properties("hiltestparent-x.slice", &[("ActiveState", "active"), ("TasksMax", "20")]);
    assert_eq!(c.file("pids.max"), "20");
    c.finish();
    assert_eq!(show("hiltestparent-x.slice")["ActiveState"], "inactive");
}

const LIMITS: &[(&str, &str, &str, &str)] = &[
    ("MemoryMax", "67108864", "memory.max", "67108864"),
    ("MemoryLow", "8388608", "memory.low", "8388608"),
    ("MemoryHigh", "60817408", "memory.high", "60817408"),
    ("MemorySwapMax", "33554432", "memory.swap.max", "33554432"),
    ("CPUWeight", "10000", "cpu.weight", "10000"),
    // 12.34 % is no whole number: rounded up in both.
    ("CPUQuotaPerSecUSec", "130ms", "cpu.max", "1300 10000"),
    ("CPUQuotaPeriodUSec", "10ms", "cpu.max", "1300 10000"),
    ("AllowedCPUs", "0", "cpuset.cpus", "0"),
    ("AllowedMemoryNodes", "0", "cpuset.mems", "0"),
    ("TasksMax", "33", "pids.max", "33"),
];

#[test]
fn limits_are_known_to_systemd_and_to_the_kernel() {
    if !can_be_tested() {
        return;
    }
    // Older oracles round only what they tell systemd.
    let quota = if is_hilum() { 1234 } else { 1300 };
    let c = Container::sleeper().by_systemd().with(|config| {
        let resources = &mut config["linux"]["resources"];
        resources["memory"] = json!({ "limit": 64 << 20, "swap": 96 << 20, "reservation": 8 << 20 });
        resources["cpu"] = json!({ "shares": 262_144, "quota": quota, "period": 10_000, "cpus": "0", "mems": "0" });
        resources["pids"] = json!({ "limit": 33 });
        // systemd does not know it, and the file has it.
        resources["unified"] = json!({ "memory.high": "60817408", "memory.oom.group": "1", "cgroup.max.depth": "7" });
    });
    c.create();
    let check = |when: &str| {
        let properties = show(&c.unit());
        for (property, value, file, text) in LIMITS {
            assert_eq!(&properties[*property], value, "{when}: {property}");
            assert_eq!(c.file(file), *text, "{when}: {file}");
        }
        assert_eq!(c.file("cgroup.max.depth"), "7", "{when}");
        assert!(!is_hilum() || properties["OOMPolicy"] == "kill", "{when}");
    };
    check("created");
    // systemd looks at all of its units, and finds nothing to mend.
    systemctl(&["daemon-reload"]);
    check("reloaded");
    c.finish();
}

#[test]
fn update_changes_both() {
    if !can_be_tested() {
        return;
    }
    let c = Container::sleeper().by_systemd().set("linux/resources/memory", json!({ "limit": 64 << 20 }));
    c.up();
    let args = ["update", "--memory", "128M", "--pids-limit", "44", "--cpu-share", "2", "--cpu-quota", "20000"];
    c.call(&[&args[..], &["--cpu-period", "50000", "--cpuset-cpus", "0", &c.id]].concat()).ok();
    let expected = [
        ("MemoryMax", "134217728", "memory.max", "134217728"),
        ("TasksMax", "44", "pids.max", "44"),
        ("CPUWeight", "1", "cpu.weight", "1"),
        ("CPUQuotaPerSecUSec", "400ms", "cpu.max", "20000 50000"),
        ("AllowedCPUs", "0", "cpuset.cpus", "0"),
    ];
    systemctl(&["daemon-reload"]);
    let properties = show(&c.unit());
    for (property, value, file, text) in expected {
        assert_eq!(properties[property], value, "{property}");
        assert_eq!(c.file(file), text, "{file}");
    }
    c.finish();
}

#[test]
fn devices_are_what_the_rules_say_also_after_systemd_has_reloaded() {
    if !can_be_tested() {
        return;
    }
    let capabilities = json!(["CAP_MKNOD"]);
    let c = Container::sh("mknod /dev/k c 1 11; mknod /dev/f c 1 7; mknod /dev/u c 1 9; sleep 1000")
        .by_systemd()
        .set(
            "process/capabilities",
            json!({ "bounding": capabilities, "effective": capabilities, "permitted": capabilities }),
        )
        .push("linux/resources/devices", json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "w" }));
    c.up();
    eventually("the devices are made", || c.rootfs().exists() && c.call(&["exec", &c.id, "ls", "/dev/u"]).code == 0);
    let check = |when: &str| {
        let code = |script: &str| c.call(&["exec", &c.id, "sh", "-c", script]).code;
        assert_eq!(code("head -c 1 /dev/u >/dev/null"), 0, "{when}: urandom can be read");
        assert_ne!(code("exec 3</dev/k"), 0, "{when}: kmsg cannot be read");
        assert_eq!(code("exec 3>/dev/k"), 0, "{when}: and can be written");
        assert_ne!(code("exec 3</dev/sda || mknod /dev/b b 8 0 && exec 3</dev/b"), 0, "{when}");
    };
    check("started");
    let allowed = systemctl(&["show", &c.unit(), "-p", "DeviceAllow"]);
    assert!(allowed.contains("/dev/char/1:11 w"), "{allowed}");
    systemctl(&["daemon-reload"]);
    check("reloaded");
    c.finish();
}

#[test]
fn a_container_that_may_use_all_devices_may_use_them() {
    if !can_be_tested() {
        return;
    }
    let c = Container::sh("mknod /dev/k c 1 11 && head -c 1 /dev/k | wc -c")
        .by_systemd()
        .set("linux/resources/devices", json!([{ "allow": true, "access": "rwm" }]))
        .with(|config| {
            let all = json!(["CAP_MKNOD", "CAP_SYSLOG"]);
            config["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
        });
    c.create();
    assert_properties(&c.unit(), &[("DevicePolicy", "auto")]);
    c.start();
    c.says("1");
    c.finish();
}

#[test]
fn annotations_are_properties() {
    if !can_be_tested() {
        return;
    }
    let c = Container::sleeper()
        .by_systemd()
        .annotated("TimeoutStopSec", "uint64 7")
        .annotated("CollectMode", "'inactive-or-failed'")
        .annotated("Documentation", "['https://example.org/a', 'man:true(1)']")
        .annotated("Description", "'a name of its own'");
    c.create();
    assert_properties(
        &c.unit(),
        &[("TimeoutStopUSec", "7s"), ("CollectMode", "inactive-or-failed"), ("Description", "a name of its own")],
    );
    let documentation = &show(&c.unit())["Documentation"];
    assert!(
        documentation.contains("https://example.org/a") && documentation.contains("man:true(1)"),
        "{documentation}"
    );
    c.finish();
}

#[test]
fn what_systemd_does_not_take_is_an_error_that_leaves_nothing() {
    if !can_be_tested() {
        return;
    }
    for (property, value, text) in [
        ("NoSuchThing", "true", "NoSuchThing"),
        ("TimeoutStopUSec", "'soon'", "TimeoutStopUSec"),
        ("Abc", "nonsense(", "org.systemd.property.Abc"),
        ("A1", "1", "org.systemd.property.A1"),
    ] {
        let c = Container::sleeper().by_systemd().annotated(property, value);
        let out = c.create_with(&[]);
        assert!(out.code != 0 && out.stderr.contains(text), "{property}: {out:?}");
        assert_eq!(show(&c.unit())["LoadState"], "not-found", "{property}");
        c.left_nothing();
    }
    for path in ["/a/path", "a.slice:b", "no-slice:b:c", "a/b.slice:c:d", "a--b.slice:c:d"] {
        let c = Container::sleeper().by_systemd().in_unit(path);
        let out = c.create_with(&[]);
        assert!(out.code != 0, "{path}: {out:?}");
        if hilum_only("text") {
            assert!(out.stderr.contains("linux.cgroupsPath"), "{path}: {out:?}");
        }
        c.left_nothing();
    }
}

/// Who comes second is refused, and does the first no harm.
#[test]
fn a_name_in_use_is_refused() {
    if !can_be_tested() {
        return;
    }
    let first = Container::sleeper().by_systemd();
    first.up();
    let second = Container::sleeper().by_systemd().in_unit(&format!(":{}:{}", unit_prefix(), first.id));
    second.create_with(&[]).fails("container's cgroup is not empty");
    second.left_nothing();
    assert_eq!(show(&first.unit())["ActiveState"], "active");
    assert_eq!(first.status(), "running");

    // A unit of the host's, without processes that one would see first.
    let file = Path::new("/run/systemd/system/hiltestbusy.slice");
    let _slice = Slice("hiltestbusy.slice");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "[Unit]\nDescription=somebody's\n").unwrap();
    systemctl(&["daemon-reload"]);
    systemctl(&["start", "hiltestbusy.slice"]);
    if hilum_only("slices") {
        let third = Container::sleeper().by_systemd().in_unit("::hiltestbusy.slice");
        third.create_with(&[]).fails("org.freedesktop.systemd1.UnitExists");
        third.left_nothing();
        assert_eq!(show("hiltestbusy.slice")["ActiveState"], "active");
    }
    first.finish();
}

fn unit_prefix() -> &'static str {
    if is_hilum() { "hilum" } else { "runc" }
}

/// A unit that has failed stays until somebody has seen it, and its name with it.
#[test]
fn a_unit_that_has_failed_is_forgotten() {
    if !can_be_tested() || !hilum_only("older oracles do not tell systemd of memory.oom.group") {
        return;
    }
    // Killed for its memory, all of it.
    let c = Container::new(&["tail", "/dev/zero"]).by_systemd().with(|config| {
        let resources = &mut config["linux"]["resources"];
        resources["memory"] = json!({ "limit": 64 << 20, "swap": 64 << 20 });
        resources["unified"] = json!({ "memory.oom.group": "1" });
    });
    c.create().start().wait("stopped");
    let unit = c.unit();
    eventually("the unit has failed", || show(&unit)["ActiveState"] == "failed");
    c.call(&["delete", &c.id]).ok();
    assert_eq!(show(&unit)["LoadState"], "not-found");
    c.left_nothing();

    // Or its name is taken again before that.
    c.create().start().wait("stopped");
    eventually("the unit has failed", || show(&unit)["ActiveState"] == "failed");
    let again = Container::sleeper().by_systemd().in_unit(&format!(":{}:{}", unit_prefix(), c.id));
    again.up();
    assert_eq!(show(&unit)["ActiveState"], "active");
    // It is not the first one's any more.
    c.call(&["delete", "--force", &c.id]).ok();
    assert_eq!(again.status(), "running");
    assert_eq!(show(&unit)["ActiveState"], "active");
    again.finish();
    c.finish();
}

#[test]
fn a_new_user_namespace_is_in_the_scope_too() {
    if !can_be_tested() {
        return;
    }
    let ids = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let c = Container::sleeper()
        .by_systemd()
        .namespace(json!({ "type": "user" }))
        .set("linux/uidMappings", ids.clone())
        .set("linux/gidMappings", ids)
        .with(writable_cgroup);
    c.up();
    assert_eq!(cgroup_of(c.pid(), ""), format!("/system.slice/{}", c.unit()));
    assert_ne!(ns(c.pid(), "user"), own_ns("user"));
    // Its root may make cgroups below.
    c.call(&["exec", &c.id, "mkdir", "/sys/fs/cgroup/below"]).ok();
    let unit = c.unit();
    c.finish();
    assert_unit_is_gone(&unit);
}

#[test]
fn creations_side_by_side_do_not_take_each_others_answers() {
    if !can_be_tested() {
        return;
    }
    let all: Vec<Container> = (0..4).map(|_| Container::sleeper().by_systemd()).collect();
    let mut calls: Vec<_> = all
        .iter()
        .map(|c| {
            c.write_config();
            c.command(&["create", &c.id]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for call in &mut calls {
        assert_eq!(wait_within(call, LIMIT, "create"), 0);
    }
    for c in all {
        assert_eq!(cgroup_of(c.pid(), ""), format!("/system.slice/{}", c.unit()));
        c.finish();
    }
}

/// Killed at any moment, the runtime leaves what `delete --force` clears away, the unit included.
#[test]
fn a_runtime_that_is_killed_leaves_no_unit() {
    if !can_be_tested() || !hilum_only("the oracle leaves things behind") {
        return;
    }
    // Over the time that a creation takes, which is longer where tests are told to be patient.
    let patience = std::env::var("HILUM_TEST_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let step = Duration::from_millis(4) * patience;
    for round in 0..rounds(10, 40) {
        let c = Container::sleeper().by_systemd();
        c.write_config();
        let mut command = c.command(&["create", &c.id]);
        let mut call = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(step * round);
        call.kill().unwrap();
        call.wait().unwrap();
        let unit = c.unit();
        c.call(&["delete", "--force", &c.id]).ok();
        c.left_nothing();
        assert_unit_is_gone(&unit);
    }
}

/// Without its bus there is nobody to tell that a unit is to be stopped, and the container can be deleted all the same.
#[test]
fn a_container_can_be_deleted_without_the_bus() {
    if !can_be_tested() || !hilum_only("the state is hilum's") {
        return;
    }
    let c = Container::sleeper().by_systemd();
    c.up();
    let state = c.root().join(&c.id).join("state.json");
    let text = read(&state);
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["cgroup"]["unit"]["address"] = json!("unix:path=/nonexistent/bus");
    fs::write(&state, value.to_string()).unwrap();
    let unit = c.unit();
    let out = c.call(&["delete", "--force", &c.id]).ok();
    assert!(out.stderr.contains("/nonexistent/bus"), "{out:?}");
    assert_unit_is_gone(&unit);
    c.finish();
}

#[test]
fn without_a_bus_the_error_says_where_it_was_sought_and_what_to_do() {
    if !can_be_tested() || !hilum_only("text") {
        return;
    }
    let c = Container::sleeper().by_systemd();
    c.write_config();
    let mut command = c.command(&["create", &c.id]);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    let out = c.finish_call(command, Stdio::null());
    assert_eq!(out.code, 1);
    for text in ["systemd at unix:path=/nonexistent/bus (uid 0)", "No such file", "leave out --systemd-cgroup"] {
        assert!(out.stderr.contains(text), "{text}: {out:?}");
    }
    c.left_nothing();
}

/// On a host without the bus, which systemd does not need, root talks to systemd itself.
#[test]
fn without_a_bus_root_asks_systemd_itself() {
    if !can_be_tested() || !hilum_only("private views of /run") {
        return;
    }
    let c = Container::sleeper();
    c.write_config();
    let call = |args: &[&str]| {
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs none /run/dbus && exec \"$@\"";
        command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).arg(program());
        command.arg("--root").arg(c.root()).args(args).current_dir(c.bundle());
        c.finish_call(command, Stdio::null()).ok();
    };
    call(&["--systemd-cgroup", "create", &c.id]);
    assert_eq!(cgroup_of(c.pid(), ""), format!("/system.slice/{}", c.unit()));
    call(&["delete", "--force", &c.id]);
    assert_eq!(show(&c.unit())["LoadState"], "not-found");
    c.left_nothing();
}

#[test]
fn without_systemd_it_is_refused() {
    if booted() {
        skip("systemd is running here");
        return;
    }
    let c = Container::sleeper().by_systemd();
    c.create_with(&[]).fails("systemd not running on this host");
    c.left_nothing();
}

/// With a directory that says that systemd is there, which on this host it is not.
#[test]
fn with_v1_it_is_refused() {
    if booted() || Host::plain() == Host::V2 || !hilum_only("the oracle supports v1") {
        skip("this host is not one of v1 without systemd");
        return;
    }
    let c = Container::sleeper();
    c.write_config();
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).arg(program());
    command.arg("--root").arg(c.root()).args(["--systemd-cgroup", "create", &c.id]).current_dir(c.bundle());
    let out = c.finish_call(command, Stdio::null());
    assert!(out.code == 1 && out.stderr.contains("cgroup v1") && out.stderr.contains("hybrid"), "{out:?}");
    c.left_nothing();
}

#[test]
fn features_say_that_it_is_there() {
    let features: Value = serde_json::from_str(&Container::new(&["true"]).call(&["features"]).ok().stdout).unwrap();
    assert_eq!(features["linux"]["cgroup"]["systemd"], json!(true));
    assert_eq!(features["linux"]["cgroup"]["systemdUser"], json!(true));
}

/// A container of the user `u`, who calls from a session that ends with each call.
struct Users(Container);

impl Users {
    fn new(c: Container) -> Users {
        let mut c = c
            .namespace(json!({ "type": "user" }))
            .set("linux/uidMappings", json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]))
            .set("linux/gidMappings", json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]));
        for mount in c.config["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "devpts" {
                mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
            }
        }
        fs::copy(program(), c.path("hilum")).unwrap();
        fs::set_permissions(c.path("hilum"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(c.path("users")).unwrap();
        let owned = Command::new("chown").args(["-Rh", "1000:1000"]).arg(c.bundle()).arg(c.path("users")).status();
        assert!(owned.unwrap().success());
        Users(c)
    }

    fn call_with(&self, before: &[&str], args: &[&str]) -> Out {
        self.0.write_config();
        let mut command = Command::new("as-user");
        // There is no working directory to inherit: the command runs as a service.
        command.args(["sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh"]).arg(self.0.bundle()).args(before);
        command.arg(self.0.path("hilum")).arg("--root").arg(self.0.path("users")).args(args);
        self.0.finish_call(command, Stdio::null())
    }

    fn call(&self, args: &[&str]) -> Out {
        self.call_with(&[], args)
    }

    fn show(&self) -> BTreeMap<String, String> {
        let unit = format!("hilum-{}.scope", self.0.id);
        let out = Command::new("as-user").args(["systemctl", "--user", "show", &unit]).output().unwrap();
        parse_properties(&String::from_utf8_lossy(&out.stdout))
    }

    fn pid(&self) -> u32 {
        let out = self.call(&["state", &self.0.id]).ok();
        serde_json::from_str::<Value>(&out.stdout).unwrap()["pid"].as_u64().unwrap() as u32
    }

    fn path(&self) -> String {
        format!("/user.slice/user-1000.slice/user@1000.service/user.slice/hilum-{}.scope", self.0.id)
    }

    fn file(&self, name: &str) -> String {
        read(&PathBuf::from(format!("/sys/fs/cgroup{}/{name}", self.path()))).trim().to_owned()
    }

    fn gone(self) {
        self.call(&["delete", "--force", &self.0.id]).ok();
        assert_eq!(self.show()["LoadState"], "not-found");
        self.0.left_nothing();
    }
}

#[test]
fn a_user_has_a_scope_of_the_users_own_systemd() {
    if !has_user() || !hilum_only("the oracle wants a path to each of its directories") {
        return;
    }
    let u = Users::new(Container::sleeper()).with_limits();
    u.call(&["--systemd-cgroup", "run", "--detach", &u.0.id]).ok();
    assert_eq!(cgroup_of(u.pid(), ""), u.path());
    let properties = u.show();
    assert_eq!(properties["Slice"], "user.slice");
    assert_eq!((properties["MemoryMax"].as_str(), properties["TasksMax"].as_str()), ("67108864", "22"));
    assert_eq!((u.file("memory.max").as_str(), u.file("pids.max").as_str()), ("67108864", "22"));
    u.call(&["update", "--memory", "96M", &u.0.id]).ok();
    assert_eq!((u.show()["MemoryMax"].as_str(), u.file("memory.max").as_str()), ("100663296", "100663296"));
    u.gone();
}

impl Users {
    fn with_limits(mut self) -> Users {
        self.0.config["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 22 } });
        self
    }
}

/// The runtime is root of a user namespace, as under rootless Docker and podman: to the bus it is the user.
#[test]
fn a_user_who_has_become_root_of_a_namespace_is_still_that_user() {
    if !has_user() || !hilum_only("the oracle asks busctl for the uid") {
        return;
    }
    let mut u = Users::new(Container::sleeper()).with_limits();
    let linux = u.0.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    linux["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "user");
    let inside = ["unshare", "--map-root-user", "--mount"];
    u.call_with(&inside, &["--systemd-cgroup", "run", "--detach", &u.0.id]).ok();
    assert_eq!(cgroup_of(u.pid(), ""), u.path());
    assert_eq!(u.file("pids.max"), "22");
    u.call_with(&inside, &["delete", "--force", &u.0.id]).ok();
    u.gone();
}

#[test]
fn a_user_without_a_bus_is_told_what_to_do() {
    if !has_user() || !hilum_only("text") {
        return;
    }
    let u = Users::new(Container::sleeper());
    for (env, text) in [
        (&["-u", "DBUS_SESSION_BUS_ADDRESS", "-u", "XDG_RUNTIME_DIR"][..], "neither DBUS_SESSION_BUS_ADDRESS nor"),
        (&["DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent/bus"], "at unix:path=/nonexistent/bus (uid 1000)"),
        (&["-u", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR=/tmp/no"], "at unix:path=/tmp/no/bus (uid 1000)"),
    ] {
        let out = u.call_with(&[&["env"], env].concat(), &["--systemd-cgroup", "create", &u.0.id]);
        assert_eq!(out.code, 1, "{out:?}");
        for text in [text, "loginctl enable-linger", "leave out --systemd-cgroup"] {
            assert!(out.stderr.contains(text), "{text}: {out:?}");
        }
    }
    // The host's systemd does not work for everybody.
    let out = u.call(&["--systemd-cgroup", "--rootless", "false", "create", &u.0.id]);
    assert!(out.code == 1 && out.stderr.contains("AccessDenied") && out.stderr.contains("(uid 1000)"), "{out:?}");
    u.0.left_nothing();
}

#[test]
fn a_pod_is_a_slice_with_a_scope_for_each_container_and_for_the_reaper() {
    if !can_be_tested() || !hilum_only("its pods") {
        return;
    }
    let pod = Pod::new().by_systemd();
    let slice = format!("hilum-{}.slice", pod.name);
    let share = ["--share", "net,ipc,uts,pid,cgroup", "--memory", "64m", "--pids-limit", "77"];
    pod.create(&share).ok();
    assert_properties(&slice, &[("ActiveState", "active"), ("MemoryMax", "67108864"), ("TasksMax", "77")]);
    assert_eq!(read(&pod.cgroup("").join("memory.max")).trim(), "67108864");
    let reaper = pod.document()["reaper"]["process"]["pid"].as_u64().unwrap() as u32;
    let expected = format!("0::/hilum.slice/{slice}/hilum-{}-reaper.scope", pod.name);
    assert_eq!(read(&proc(reaper, "cgroup")).trim(), expected);

    let containers = [Container::sleeper().in_pod(&pod), Container::sleeper().in_pod(&pod).in_unit("any.slice:cri:ID")];
    for (c, unit) in containers.iter().zip(["hilum-ID.scope", "cri-ID.scope"]) {
        c.up();
        let unit = unit.replace("ID", &c.id);
        assert_properties(&unit, &[("ActiveState", "active"), ("Slice", &slice)]);
        assert_eq!(read(&proc(c.pid(), "cgroup")).trim(), format!("0::/hilum.slice/{slice}/{unit}"));
        assert_eq!(ns(c.pid(), "net"), pod.ns("net"));
        // From the root of the shared cgroup namespace.
        assert_eq!(c.call(&["exec", &c.id, "cat", "/proc/self/cgroup"]).ok().stdout, format!("0::/{unit}\n"));
    }
    // The limits of the pod are those of its containers together.
    assert_eq!(read(&pod.cgroup("").join("pids.current")).trim(), "3");

    // Whose cgroup is made by whom must be the same for all.
    let other = Pod::with(&["--share", "uts"]);
    let c = Container::sleeper().by_systemd().in_pod(&other);
    c.create_with(&[]).fails("is made by hilum itself, and the container's by systemd");
    other.finish();
    for c in containers {
        let unit = format!("hilum-{}.scope", c.id);
        c.finish();
        assert_unit_is_gone(&unit);
    }
    let name = pod.name.clone();
    pod.finish();
    // Any slice can be loaded, also one that nobody has made.
    eventually("the slice is gone", || show(&slice)["ActiveState"] == "inactive");
    assert_unit_is_gone(&format!("hilum-{name}-reaper.scope"));
}
