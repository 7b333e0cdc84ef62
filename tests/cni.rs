//! Networks by the plugins that Debian has: the library, and pods that are attached to them.

use crate::common::*;
use hilum::cni::{Attachment, Network};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A network of a bridge with addresses of its own, which is a test's alone.
struct Bridge {
    dir: tempfile::TempDir,
    name: String,
    bridge: String,
}

impl Bridge {
    /// `None`, and says so, where there are no plugins. `more` comes behind the bridge in the chain.
    fn new(subnet: &str, more: Value) -> Option<Bridge> {
        if !hilum_only("the library") {
            return None;
        }
        if !Path::new("/usr/lib/cni/bridge").exists() {
            skip("no /usr/lib/cni/bridge: the package containernetworking-plugins has it");
            return None;
        }
        let third = subnet.split('.').nth(2).unwrap();
        let unique = format!("{}-{third}", std::process::id());
        let dir = tempfile::tempdir().unwrap();
        let bridge = json!({ "type": "bridge", "bridge": format!("ht{unique}"), "isGateway": true, "ipam": {
            "type": "host-local", "dataDir": dir.path().join("ipam"), "ranges": [[{ "subnet": subnet }]] } });
        let plugins: Vec<Value> = [bridge].into_iter().chain(more.as_array().unwrap().clone()).collect();
        let name = format!("test{unique}");
        let list = json!({ "cniVersion": "1.0.0", "name": name, "plugins": plugins });
        fs::create_dir(dir.path().join("net.d")).unwrap();
        fs::write(dir.path().join("net.d/10-test.conflist"), list.to_string()).unwrap();
        Some(Bridge { dir, name, bridge: format!("ht{unique}") })
    }

    fn attachment(&self, id: &str) -> Attachment {
        let network = Network::load(&self.name, &[self.dir.path().join("net.d")]).unwrap();
        network.attachment(id, "eth0", &[]).unwrap()
    }

    /// The addresses that are taken, by the files of host-local.
    fn taken(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("ipam").join(&self.name)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let mut taken: Vec<_> = names.filter(|name| name.starts_with("10.")).collect();
        taken.sort();
        taken
    }

    /// How many ends of veth pairs the bridge has.
    fn ports(&self) -> usize {
        fs::read_dir(format!("/sys/class/net/{}/brif", self.bridge)).map_or(0, |dir| dir.flatten().count())
    }
}

impl Drop for Bridge {
    /// The plugin leaves the bridge for the next container.
    fn drop(&mut self) {
        _ = Command::new("ip").args(["link", "delete", &self.bridge]).status();
    }
}

/// A process in a network namespace of its own. (Without a process there would be a mount, and other tests look at the
/// host's.)
struct Netns(Helper);

impl Netns {
    fn new() -> Netns {
        Netns(Helper::start(&["unshare", "--net", "sleep", "1000"], "sleep"))
    }

    fn path(&self) -> PathBuf {
        proc(self.0.pid(), "ns/net")
    }

    fn output(&self, args: &[&str]) -> Out {
        let net = format!("--net={}", self.path().display());
        let out = Command::new("nsenter").arg(net).args(args).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Out { code: out.status.code().unwrap_or(-1), stdout: text(&out.stdout), stderr: text(&out.stderr) }
    }
}

fn address(attachment: &Attachment) -> String {
    let ips = attachment.ips();
    assert_eq!(ips.len(), 1, "{ips:?}");
    ips[0].address.split('/').next().unwrap().to_owned()
}

#[test]
fn two_namespaces_reach_each_other_over_a_bridge_until_they_are_removed() {
    let Some(bridge) = Bridge::new("10.213.1.0/24", json!([])) else { return };
    let namespaces = [Netns::new(), Netns::new()];
    let [mut one, mut two] = ["one", "two"].map(|id| bridge.attachment(id));
    one.add(&namespaces[0].path()).unwrap();
    two.add(&namespaces[1].path()).unwrap();
    assert_eq!((address(&one).as_str(), address(&two).as_str()), ("10.213.1.2", "10.213.1.3"));
    assert_eq!(one.ips()[0].gateway.as_deref(), Some("10.213.1.1"));
    assert_eq!(bridge.taken(), ["10.213.1.2", "10.213.1.3"]);
    assert_eq!(bridge.ports(), 2);
    let shown = namespaces[0].output(&["ip", "-4", "-o", "addr", "show", "dev", "eth0"]).ok().stdout;
    assert!(shown.contains("10.213.1.2/24"), "{shown}");
    let ping = |from: &Netns, to: &str| from.output(&["busybox", "ping", "-c", "1", "-w", "10", to]).code;
    assert_eq!(ping(&namespaces[0], "10.213.1.3"), 0);
    assert_eq!(ping(&namespaces[1], "10.213.1.2"), 0);

    // As it is kept between two commands.
    let one: Attachment = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
    one.del(Some(&namespaces[0].path())).unwrap();
    assert_eq!(bridge.taken(), ["10.213.1.3"]);
    assert_eq!(bridge.ports(), 1);
    assert_ne!(namespaces[0].output(&["ip", "link", "show", "dev", "eth0"]).code, 0);
    one.del(Some(&namespaces[0].path())).unwrap();
    one.del(None).unwrap();
    // The namespace goes first, and its veth with it; the address is still to be given back.
    let [first, second] = namespaces;
    let gone = second.path();
    drop((first, second));
    eventually("the veth is gone", || bridge.ports() == 0);
    assert_eq!(bridge.taken(), ["10.213.1.3"]);
    two.del(Some(&gone)).unwrap();
    assert_eq!(bridge.taken(), [""; 0]);
    two.del(None).unwrap();
}

#[test]
fn a_failure_behind_the_bridge_gives_back_its_address_and_its_veth() {
    // tuning refuses what is not a sysctl of the network.
    let more = json!([{ "type": "tuning", "sysctl": { "net.ipv4.no_such_thing": "1" } }]);
    let Some(bridge) = Bridge::new("10.213.2.0/24", more) else { return };
    let netns = Netns::new();
    let mut one = bridge.attachment("one");
    let error = one.add(&netns.path()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cni ADD tuning (network {}): ", bridge.name)), "{error}");
    assert!(error.contains("no_such_thing") && error.contains(": code "), "{error}");
    assert!(Path::new("/sys/class/net").join(&bridge.bridge).exists(), "the bridge was made");
    assert_eq!((bridge.taken().len(), bridge.ports()), (0, 0));
    assert_ne!(netns.output(&["ip", "link", "show", "dev", "eth0"]).code, 0);
    one.del(Some(&netns.path())).unwrap();
}

/// A pod that is attached to the network.
fn attached(net: &Bridge) -> Pod {
    let pod = Pod::new().env("NETCONFPATH", &net.dir.path().join("net.d"));
    pod.create(&["--cni", &net.name]).ok();
    pod
}

fn address_of(pod: &Pod) -> String {
    let c = Container::sh("ip -4 addr show eth0 | sed -n 's,.*inet \\([0-9.]*\\)/.*,\\1,p'").in_pod(pod);
    c.run().ok().stdout.trim().to_owned()
}

#[test]
fn two_pods_reach_each_other() {
    let Some(net) = Bridge::new("10.198.15.0/24", json!([])) else { return };
    let (one, two) = (attached(&net), attached(&net));
    let (first, second) = (address_of(&one), address_of(&two));
    assert_eq!(net.taken(), [first.clone(), second.clone()]);
    assert_eq!(net.ports(), 2);
    let server = Container::sh("while :; do nc -l -p 80 -e echo hello; done").in_pod(&one);
    server.up();
    eventually("the page of the other pod", || {
        Container::sh(&format!("nc {first} 80")).in_pod(&two).run().stdout == "hello\n"
    });
    server.finish();
    one.finish();
    assert_eq!((net.taken(), net.ports()), (vec![second], 1));
    two.finish();
    assert_eq!((net.taken().len(), net.ports()), (0, 0));
}

#[test]
fn a_pod_whose_network_fails_is_not_made() {
    // The bridge has given away an address when the second in the chain fails.
    let Some(net) = Bridge::new("10.198.16.0/24", json!([{ "type": "tuning", "sysctl": { "net.nonsense": "1" } }]))
    else {
        return;
    };
    let pod = Pod::new().env("NETCONFPATH", &net.dir.path().join("net.d"));
    pod.create(&["--cni", &net.name]).fails("cni ADD tuning");
    pod.left_nothing();
    assert_eq!((net.taken().len(), net.ports()), (0, 0));
}

#[test]
fn the_network_is_told_when_the_namespace_is_gone_already() {
    let Some(net) = Bridge::new("10.198.17.0/24", json!([])) else { return };
    let pod = attached(&net);
    assert_eq!(net.taken().len(), 1);
    assert!(Command::new("umount").arg(pod.path().join("ns/net")).status().unwrap().success());
    // A definition that has changed meanwhile says nothing about what was done by the old one.
    fs::remove_file(net.dir.path().join("net.d/10-test.conflist")).unwrap();
    pod.verb("rm", &[]).ok();
    assert_eq!(net.taken().len(), 0);
    pod.verb("rm", &["-f"]).ok();
    pod.left_nothing();
}
