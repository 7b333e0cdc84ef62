//! linux.netDevices: what of a device is there in the container, and that it is the host's again when the creation fails.
//!
//! The host's network is a namespace of each test, with a veth pair `dev0` and `peer0` in it.

use crate::common::*;
use std::path::Path;
use std::process::{Command, Stdio};

struct Host(Helper);

impl Host {
    /// `None`: this kernel has no such devices.
    fn new() -> Option<Host> {
        if !hilum_only("since runc 1.4") {
            return None;
        }
        let host = Host(Helper::start(&["unshare", "--net", "sleep", "1000"], "sleep"));
        match host.pair("dev0", "peer0") {
            true => Some(host),
            false => {
                skip("this kernel has no veth devices, or there is no ip");
                None
            }
        }
    }

    fn pair(&self, name: &str, peer: &str) -> bool {
        let args = ["link", "add", name, "type", "veth", "peer", "name", peer];
        inside(self.0.pid(), "ip").args(args).output().is_ok_and(|out| out.status.success())
    }

    #[track_caller]
    fn ip(&self, line: &str) {
        let out = inside(self.0.pid(), "ip").args(line.split(' ')).output().unwrap();
        assert!(out.status.success(), "ip {line}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// With its network as the runtime's.
    fn call(&self, c: &Container, args: &[&str]) -> Out {
        c.write_config();
        let plain = c.command(args);
        let mut command = inside(self.0.pid(), plain.get_program());
        command.args(plain.get_args()).current_dir(c.bundle());
        c.finish_call(command, Stdio::null())
    }

    fn create(&self, c: &Container) -> Out {
        self.call(c, &["create", &c.id])
    }

    fn link(&self, name: &str) -> Option<Value> {
        link(self.0.pid(), name)
    }
}

fn inside(pid: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{pid}/ns/net")).arg("--").arg(program);
    command
}

/// What `ip -j addr` says of a device in the network namespace of a process.
fn link(pid: u32, name: &str) -> Option<Value> {
    let out = inside(pid, "ip").args(["-j", "-d", "addr", "show"]).output().unwrap();
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    all.as_array().unwrap().iter().find(|link| link["ifname"] == name).cloned()
}

fn is_up(link: &Value) -> bool {
    link["flags"].as_array().unwrap().contains(&json!("UP"))
}

/// `local/prefix`, and `peer` and `brd`, of all but what the kernel has made of the hardware address.
fn addresses(link: &Value) -> Vec<String> {
    let all = link["addr_info"].as_array().unwrap().iter();
    let of = |it: &Value| {
        let part = |key: &str| it[key].as_str().map(|text| format!(" {key} {text}")).unwrap_or_default();
        format!("{}/{}{}{}", it["local"].as_str().unwrap(), it["prefixlen"], part("address"), part("broadcast"))
    };
    all.filter(|it| !it["local"].as_str().is_some_and(|local| local.starts_with("fe80:"))).map(of).collect()
}

const LASTING: [&str; 4] =
    ["10.1.2.3/24 broadcast 10.1.2.255", "10.9.9.1/32 address 10.9.9.2", "10.1.2.4/24", "2001:db8::2/64"];

fn configure(host: &Host) {
    host.ip("link set dev0 mtu 1400 address 02:00:00:00:12:34 up");
    host.ip("link set peer0 up");
    host.ip("addr add 10.1.2.3/24 brd + dev dev0 label dev0:web");
    host.ip("addr add 10.1.2.4/24 dev dev0");
    host.ip("addr add 10.9.9.1 peer 10.9.9.2 dev dev0");
    host.ip("addr add 2001:db8::2/64 nodad dev dev0");
    // Not to go with it.
    host.ip("addr add 169.254.7.7/16 scope link dev dev0");
    host.ip("addr add 10.1.3.3/24 valid_lft 1000 preferred_lft 1000 dev dev0");
}

fn lasting(link: &Value) -> Vec<String> {
    let mut all = addresses(link);
    all.sort();
    all
}

fn expected() -> Vec<String> {
    let mut all = LASTING.map(String::from).to_vec();
    all.sort();
    all
}

fn with(devices: Value) -> Container {
    Container::sleeper().set("linux/netDevices", devices)
}

#[test]
fn a_device_is_there_under_its_name_with_addresses_mtu_and_up() {
    for in_user_namespace in [false, true] {
        let Some(host) = Host::new() else { return };
        configure(&host);
        let mut c = with(json!({ "dev0": { "name": "eth0" } }));
        if in_user_namespace {
            c = c.in_user_namespace();
        }
        host.create(&c).ok();
        assert_eq!(host.link("dev0"), None);
        assert_eq!(link(c.pid(), "dev0"), None);
        let eth0 = link(c.pid(), "eth0").expect("eth0 in the container");
        assert_eq!((&eth0["mtu"], &eth0["address"]), (&json!(1400), &json!("02:00:00:00:12:34")));
        assert!(is_up(&eth0), "{eth0:#}");
        assert_eq!(lasting(&eth0), expected());
        assert_eq!(lasting(&eth0).len(), 4);
        // It is the same device: its peer is where it was, and answers.
        host.ip("addr add 10.1.2.1/24 dev peer0");
        let pinged =
            inside(host.0.pid(), "busybox").args(["ping", "-c", "1", "-W", "10", "10.1.2.3"]).output().unwrap();
        assert!(pinged.status.success(), "{pinged:?}");
        c.finish();
        // With its namespace the kernel destroys a virtual device.
        eventually("the device is gone", || host.link("peer0").is_none());
    }
}

#[test]
fn a_device_that_is_down_and_has_no_address_is_up_inside_under_its_own_name() {
    let Some(host) = Host::new() else { return };
    let c = with(json!({ "dev0": {} }));
    host.create(&c).ok();
    let dev0 = link(c.pid(), "dev0").unwrap();
    assert!(is_up(&dev0), "{dev0:#}");
    assert_eq!(addresses(&dev0), Vec::<String>::new());
    c.finish();
}

#[test]
fn run_has_them_too_and_does_not_keep_the_namespace() {
    let Some(host) = Host::new() else { return };
    let c = Container::sh("ip -o link show eth7 | grep -c UP")
        .set("linux/netDevices", json!({ "dev0": { "name": "eth7" } }));
    assert_eq!(host.call(&c, &["run", &c.id]).ok().stdout.trim(), "1");
    eventually("the device is gone", || host.link("peer0").is_none());
    c.left_nothing();
}

#[test]
fn in_a_joined_namespace_a_name_must_be_free_and_a_number_is_found() {
    let Some(host) = Host::new() else { return };
    configure(&host);
    let owner = Helper::start(&["unshare", "--net", "sleep", "1000"], "sleep");
    let ip = |args: &[&str]| assert!(inside(owner.pid(), "ip").args(args).status().unwrap().success());
    ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]);
    let before = host.link("dev0").unwrap();
    let joined = |name: &str| with(json!({ "dev0": { "name": name } })).join("network", proc(owner.pid(), "ns/net"));

    for taken in ["eth0", "lo"] {
        let c = joined(taken);
        host.create(&c).fails("the container's network namespace has a device of this name");
        assert_eq!(addresses(&host.link("dev0").unwrap()), addresses(&before), "{taken}");
        c.left_nothing();
    }
    let c = joined("eth%d");
    host.create(&c).ok();
    let eth2 = link(owner.pid(), "eth2").expect("eth2 in the joined namespace");
    assert_eq!((lasting(&eth2), is_up(&eth2)), (expected(), true));
    // The namespace is not the container's, and neither is the device.
    c.finish();
    assert!(link(owner.pid(), "eth2").is_some());
}

/// The second cannot be moved: neither is.
#[test]
fn all_are_moved_or_none() {
    let Some(host) = Host::new() else { return };
    configure(&host);
    assert!(host.pair("dev1", "peer1"));
    let owner = Helper::start(&["unshare", "--net", "sleep", "1000"], "sleep");
    let ip = |args: &[&str]| assert!(inside(owner.pid(), "ip").args(args).status().unwrap().success());
    ip(&["link", "add", "taken", "type", "veth", "peer", "name", "other"]);
    let devices = json!({ "dev0": { "name": "first" }, "dev1": { "name": "taken" } });
    let c = with(devices).join("network", proc(owner.pid(), "ns/net"));
    host.create(&c).fails("dev1\\\"]: move it to the container as taken");
    is_back(&host);
    assert!(!is_up(&host.link("dev1").unwrap()));
    assert_eq!((link(owner.pid(), "first"), link(owner.pid(), "dev0")), (None, None));
    c.left_nothing();
}

#[test]
fn a_device_that_cannot_leave_its_namespace_is_an_error() {
    let Some(host) = Host::new() else { return };
    host.ip("link add br0 type bridge");
    let c = with(json!({ "br0": {} }));
    host.create(&c).fails("move it to the container as br0: Invalid argument");
    assert!(host.link("br0").is_some());
    c.left_nothing();
}

/// Down was down, and up is up.
#[track_caller]
fn is_back(host: &Host) {
    let dev0 = host.link("dev0").expect("dev0 on the host");
    assert_eq!((lasting(&dev0), is_up(&dev0), &dev0["mtu"]), (expected(), true, &json!(1400)));
}

#[test]
fn a_creation_that_fails_later_gives_them_back() {
    let hook = |script: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    let nowhere = || with(json!({ "dev0": { "name": "eth0" } })).set("process/args", json!(["/no/such/program"]));
    let name = "eth0";
    for (what, c) in [
        ("a hook", with(json!({ "dev0": { "name": name } })).set("hooks", json!({ "createRuntime": hook("exit 3") }))),
        ("a hook inside", with(json!({ "dev0": {} })).set("hooks", json!({ "createContainer": hook("exit 3") }))),
        ("no program", nowhere()),
        ("no program, in a user namespace", nowhere().in_user_namespace()),
    ] {
        let Some(host) = Host::new() else { return };
        configure(&host);
        let out = host.create(&c);
        assert_eq!(out.code, 1, "{what}: {out:?}");
        is_back(&host);
        c.left_nothing();
    }
    // After the creation, too, while the command is at it.
    let Some(host) = Host::new() else { return };
    configure(&host);
    let c = with(json!({ "dev0": {} }));
    host.call(&c, &["create", "--pid-file", "/no/such/directory/pid", &c.id]).fails("/no/such/directory");
    is_back(&host);
    c.left_nothing();
}

#[test]
fn they_are_there_before_the_hooks() {
    let Some(host) = Host::new() else { return };
    let c = with(json!({ "dev0": { "name": "eth0" } }));
    let seen = c.path("seen");
    let script = format!("pid=$(jq .pid); nsenter --net=/proc/$pid/ns/net ip -o link show eth0 > {seen}");
    let c = c.set("hooks", json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] }] }));
    host.create(&c).ok();
    assert!(
        read(Path::new(&seen)).contains("eth0") && read(Path::new(&seen)).contains("UP"),
        "{}",
        read(Path::new(&seen))
    );
    c.finish();
}

/// The runtime is killed: what there is of the container goes, and with its network namespace the device.
#[test]
fn a_killed_creation_leaves_nothing() {
    let Some(host) = Host::new() else { return };
    let c = with(json!({ "dev0": {} }));
    let hook = c.path("hook");
    let args = json!(["sh", "-c", format!("echo $$ > {hook}.new; mv {hook}.new {hook}; exec sleep 1000")]);
    let env = json!(["PATH=/usr/bin:/bin"]);
    let c = c.set("hooks", json!({ "createRuntime": [{ "path": "/bin/sh", "args": args, "env": env }] }));
    c.write_config();
    let plain = c.command(&["create", &c.id]);
    let mut command = inside(host.0.pid(), plain.get_program());
    command.args(plain.get_args()).current_dir(c.bundle()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut runtime = Helper(command.stderr(Stdio::null()).spawn().unwrap());
    eventually("the hook runs", || Path::new(&hook).exists());
    assert_eq!(host.link("dev0"), None);
    runtime.0.kill().unwrap();
    runtime.0.wait().unwrap();
    host.call(&c, &["delete", "--force", &c.id]).ok();
    eventually("the device is gone", || host.link("peer0").is_none());
    // The hook is nobody's any more.
    _ = Command::new("kill").args(["-KILL", read(Path::new(&hook)).trim()]).status();
    c.left_nothing();
}

#[test]
fn plan_says_what_is_moved_and_moves_nothing() {
    let Some(host) = Host::new() else { return };
    assert!(host.pair("dev1", "peer1"));
    let c = with(json!({ "dev0": { "name": "eth%d" }, "dev1": {} }));
    let out = host.call(&c, &["plan", &c.id]).ok();
    assert!(
        out.stdout.contains("NETWORK DEVICES\n  move dev1 of the host to the container as dev1\n"),
        "{}",
        out.stdout
    );
    assert!(out.stdout.contains("wait for the network devices of the host"), "{}", out.stdout);
    let report: Value = serde_json::from_str(&host.call(&c, &["plan", "-f", "json"]).ok().stdout).unwrap();
    let expected = json!([{ "device": "dev1", "name": "dev1" }, { "device": "dev0", "name": "eth%d" }]);
    assert_eq!(report["netDevices"], expected);
    assert!(host.link("dev0").is_some() && host.link("dev1").is_some());
    c.left_nothing();
}

#[test]
fn what_cannot_be_is_refused_by_name_before_anything_is_made() {
    let Some(host) = Host::new() else { return };
    assert!(host.pair("dev1", "peer1"));
    for (devices, said) in [
        (json!({ "none0": {} }), "linux.netDevices[\\\"none0\\\"]: the host has no network device"),
        (json!({ "lo": { "name": "lo1" } }), "a loopback device cannot leave"),
        (json!({ "dev0": { "name": "a/b" } }), "cannot be the name of a network device"),
        (json!({ "dev0": { "name": "sixteen_bytes_16" } }), "cannot be the name of a network device"),
        (json!({ "dev0": { "name": "%d%d" } }), "cannot be the name of a network device"),
        (json!({ "dev0": { "name": "x" }, "dev1": { "name": "x" } }), "is the name of linux.netDevices"),
        (json!({ "dev0": { "name": "dev1" }, "dev1": {} }), "is the name of linux.netDevices"),
    ] {
        let c = with(devices);
        host.create(&c).fails(said);
        c.left_nothing();
    }
    let c = with(json!({ "dev0": {} })).without_namespace("network");
    host.create(&c).fails("the container has no network namespace of its own");
    // The host's by another name.
    let own = proc(host.0.pid(), "ns/net").display().to_string();
    let inode = std::fs::metadata(&own).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).unwrap();
    let entry = json!({ "type": "network", "path": own, "expect": { "inode": inode } });
    let c = with(json!({ "dev0": {} })).namespace(entry);
    host.create(&c).fails("the container has no network namespace of its own");
    let c = with(json!({ "dev0": {} }));
    host.call(&c, &["--rootless", "true", "create", &c.id]).fails("only the host's root can move a device");
    assert!(host.link("dev0").is_some() && host.link("dev1").is_some());
    c.left_nothing();
}
