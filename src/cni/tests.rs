//! Networks and plugins that exist in the test only. Those of Debian are used in tests/cni.rs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::error::Result;

/// A directory with networks and plugins, which note down how they were called.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for dir in ["net.d", "bin", "calls"] {
            fs::create_dir(host.0.path().join(dir)).unwrap();
        }
        host
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: impl ToString) -> &Self {
        fs::write(self.dir("net.d").join(name), text.to_string()).unwrap();
        self
    }

    /// A list with these plugins.
    fn list(&self, name: &str, version: &str, plugins: Value) -> &Self {
        self.file("1.conflist", json!({ "cniVersion": version, "name": name, "plugins": plugins }))
    }

    /// A shell script, which answers ADD and DEL as `script` says. Its input and variables go to calls/N-COMMAND-NAME.
    fn plugin(&self, name: &str, script: &str) -> &Self {
        let calls = self.dir("calls");
        let note = format!(
            "#!/bin/sh\ncd {}\nmine=$(ls | wc -l)-$CNI_COMMAND-{name}\n\
             {{ cat; echo; env | grep ^CNI_ | sort; }} >$mine\n{script}\n",
            calls.display()
        );
        let path = self.dir("bin").join(name);
        // Not by this process: a fork in another test's thread would have the file open for writing, which makes it busy.
        let write = "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"";
        let args = ["-c".as_ref(), write.as_ref(), "sh".as_ref(), path.as_os_str(), note.as_ref()];
        assert!(Command::new("sh").args(args).status().unwrap().success());
        self
    }

    /// The calls so far, as `ADD one`, in their order.
    fn calls(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir("calls")).unwrap().map(name_of).collect();
        names.sort();
        names.iter().map(|name| name.splitn(3, '-').skip(1).collect::<Vec<_>>().join(" ")).collect()
    }

    /// The input and the variables of a call.
    fn call(&self, number: usize) -> (Value, String) {
        let named = |name: &String| name.starts_with(&format!("{number}-"));
        let name = fs::read_dir(self.dir("calls")).unwrap().map(name_of).find(named).unwrap();
        let text = fs::read_to_string(self.dir("calls").join(name)).unwrap();
        let (input, variables) = text.split_once('\n').unwrap();
        (serde_json::from_str(input).unwrap(), variables.to_owned())
    }

    fn load(&self, name: &str) -> Result<Network> {
        Network::load(name, &[self.dir("net.d")])
    }

    fn attachment(&self, network: &str) -> Attachment {
        let found = self.load(network).unwrap();
        Attachment::new(&found, "web-1", "eth0", &[("A", "b"), ("C", "d e")], vec![self.dir("bin")]).unwrap()
    }
}

fn name_of(entry: std::io::Result<fs::DirEntry>) -> String {
    entry.unwrap().file_name().into_string().unwrap()
}

const NETNS: &str = "/proc/self/ns/net";
const ANSWER: &str = r#"if [ $CNI_COMMAND = ADD ]; then
echo '{ "cniVersion": "1.0.0", "interfaces": [{ "name": "veth7" }, { "name": "eth0", "sandbox": "/x" }],
 "ips": [{ "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1 }, { "address": "10.1.0.1/16", "interface": 0 }] }'
fi"#;
const HAND_ON: &str = "[ $CNI_COMMAND = DEL ] || head -n 1 $mine | jq -c .prevResult";
const REFUSE: &str = r#"echo '{ "cniVersion": "1.0.0", "code": 7, "msg": "failed to find '$CNI_COMMAND'", "details": "there is none" }'; exit 1"#;

#[test]
fn a_network_is_found_by_its_name_lists_first() {
    let host = Host::new();
    host.file("05.conf", json!({ "cniVersion": "0.4.0", "name": "both", "type": "single" }))
        .file("10.json", json!({ "cniVersion": "0.3.1", "name": "single", "type": "one", "x": 1 }))
        .file("20.conflist", json!({ "cniVersion": "1.0.0", "name": "both", "plugins": [{ "type": "second" }] }))
        .file("15.conflist", json!({ "cniVersion": "1.0.0", "name": "both", "plugins": [{ "type": "first" }] }))
        .file("30.txt", "no network")
        .file("01.conflist", "{");
    assert_eq!(host.load("both").unwrap().plugins[0].kind, "first");
    let single = host.load("single").unwrap();
    assert_eq!((single.plugins[0].kind.as_str(), &single.plugins[0].rest["x"]), ("one", &json!(1)));
    let kept: Network = serde_json::from_value(serde_json::to_value(&single).unwrap()).unwrap();
    assert_eq!(kept, single);

    let error = host.load("neither").unwrap_err().to_string();
    let dir = host.dir("net.d").display().to_string();
    for part in [
        format!("no network \"neither\" in {dir}: there is both, single"),
        format!("cannot parse {dir}/01.conflist: EOF"),
    ] {
        assert!(error.contains(&part), "{error} has no {part}");
    }
    let error = Network::load("x", &[host.dir("nowhere")]).unwrap_err().to_string();
    assert!(error.ends_with("nowhere: there is none"), "{error}");
}

#[test]
fn a_network_that_cannot_be_used_says_why() {
    let plugins = json!([{ "type": "one" }]);
    for (config, why) in [
        (json!({ "plugins": plugins }), "there is no cniVersion; give one from 0.3.0 to 1.1.0"),
        (json!({ "plugins": plugins, "cniVersion": "0.2.0" }), "cniVersion 0.2.0 is not one from 0.3.0 to 1.1.0"),
        (json!({ "plugins": plugins, "cniVersion": "2.0.0" }), "cniVersion 2.0.0 is not one"),
        (json!({ "plugins": plugins, "cniVersion": 1 }), "cniVersion 1: invalid type"),
        (json!({ "plugins": plugins, "cniVersion": "one" }), "cniVersion \"one\": not a version"),
        (json!({ "plugins": [], "cniVersion": "1.0.0" }), "there are no plugins"),
        (json!({ "cniVersion": "1.0.0" }), "there are no plugins"),
        (json!({ "plugins": [{ "type": "one" }, {}], "cniVersion": "1.0.0" }), "plugins[1]: missing field `type`"),
    ] {
        let host = Host::new();
        let mut config = config;
        config["name"] = json!("n");
        host.file("1.conflist", config);
        let error = host.load("n").unwrap_err().to_string();
        assert!(error.contains("network n: ") && error.contains("1.conflist: "), "{error}");
        assert!(error.contains(why), "{error}: not {why}");
    }
}

#[test]
fn the_newest_version_offered_is_taken() {
    let host = Host::new();
    let versions = json!(["0.4.0", "1.1.0", "7.0.0"]);
    host.file("1.conf", json!({ "name": "n", "type": "t", "cniVersion": "1.0.0", "cniVersions": versions }));
    assert_eq!(host.load("n").unwrap().cni_version.to_string(), "1.1.0");
}

#[test]
fn each_plugin_is_told_what_the_one_before_it_made() {
    let host = Host::new();
    host.plugin("first", ANSWER).plugin("second", HAND_ON);
    let second = json!({ "type": "second", "capabilities": { "portMappings": true, "bandwidth": false }, "x": [1] });
    host.list("n", "1.0.0", json!([{ "type": "first" }, second]));
    let mut attachment = host.attachment("n");
    attachment.capabilities.insert("portMappings".into(), json!([{ "hostPort": 80 }]));
    attachment.capabilities.insert("bandwidth".into(), json!({ "ingressRate": 1 }));
    attachment.add(NETNS.as_ref()).unwrap();
    assert_eq!(host.calls(), ["ADD first", "ADD second"]);
    let (input, variables) = host.call(0);
    assert_eq!(input, json!({ "type": "first", "name": "n", "cniVersion": "1.0.0" }));
    let path = host.dir("bin").display().to_string();
    assert_eq!(
        variables,
        format!(
            "CNI_ARGS=A=b;C=d e\nCNI_COMMAND=ADD\nCNI_CONTAINERID=web-1\nCNI_IFNAME=eth0\nCNI_NETNS={NETNS}\n\
             CNI_PATH={path}\n"
        )
    );
    let result = attachment.result.clone().unwrap();
    let expected = json!({ "type": "second", "name": "n", "cniVersion": "1.0.0", "prevResult": result, "x": [1],
        "capabilities": { "portMappings": true, "bandwidth": false },
        "runtimeConfig": { "portMappings": [{ "hostPort": 80 }] } });
    assert_eq!(host.call(1).0, expected);
    let ips = attachment.ips();
    assert_eq!(ips.len(), 1, "the bridge's own is not the container's: {ips:?}");
    assert_eq!((ips[0].address.as_str(), ips[0].gateway.as_deref()), ("10.1.0.5/16", Some("10.1.0.1")));
}

#[test]
fn what_was_kept_undoes_it_after_the_file_is_gone() {
    let host = Host::new();
    host.plugin("first", ANSWER).plugin("second", HAND_ON);
    host.list("n", "1.0.0", json!([{ "type": "first", "mtu": 1400 }, { "type": "second" }]));
    let mut attachment = host.attachment("n");
    attachment.add(NETNS.as_ref()).unwrap();
    let kept = serde_json::to_string(&attachment).unwrap();
    fs::remove_file(host.dir("net.d").join("1.conflist")).unwrap();
    let attachment: Attachment = serde_json::from_str(&kept).unwrap();
    attachment.del(Some(NETNS.as_ref())).unwrap();
    attachment.del(None).unwrap();
    attachment.del(Some(Path::new("/no/such/namespace"))).unwrap();
    attachment.del(Some(Path::new("/etc/passwd"))).unwrap();
    assert_eq!(host.calls()[2..4], ["DEL second", "DEL first"]);
    assert_eq!(host.calls().len(), 10);
    let (input, variables) = host.call(3);
    assert_eq!((&input["prevResult"], &input["mtu"]), (&attachment.result.clone().unwrap(), &json!(1400)));
    assert!(variables.contains(&format!("\nCNI_NETNS={NETNS}\n")), "{variables}");
    for gone in 4..10 {
        assert!(host.call(gone).1.contains("\nCNI_NETNS=\n"), "call {gone}: {}", host.call(gone).1);
    }
}

#[test]
fn del_has_no_result_where_the_version_knows_of_none() {
    let host = Host::new();
    host.plugin("first", ANSWER).list("n", "0.3.1", json!([{ "type": "first" }]));
    let mut attachment = host.attachment("n");
    attachment.add(NETNS.as_ref()).unwrap();
    attachment.del(Some(NETNS.as_ref())).unwrap();
    assert_eq!(host.call(1).0, json!({ "type": "first", "name": "n", "cniVersion": "0.3.1" }));
}

#[test]
fn a_failure_in_the_middle_undoes_the_whole_chain() {
    let host = Host::new();
    host.plugin("first", ANSWER).plugin("second", REFUSE).plugin("third", HAND_ON);
    host.list("n", "1.0.0", json!([{ "type": "first" }, { "type": "second" }, { "type": "third" }]));
    let mut attachment = host.attachment("n");
    let error = attachment.add(NETNS.as_ref()).unwrap_err().to_string();
    assert_eq!(error, "cni ADD second (network n): failed to find ADD: there is none: code 7");
    // Also the plugin before the one that cannot be undone either.
    assert_eq!(host.calls(), ["ADD first", "ADD second", "DEL third", "DEL second", "DEL first"]);
    assert_eq!(host.call(4).0.get("prevResult"), None);
    assert_eq!(attachment.result, None);
    let error = attachment.del(None).unwrap_err().to_string();
    assert_eq!(error, "cni DEL second (network n): failed to find DEL: there is none: code 7");
}

#[test]
fn a_plugin_that_fails_in_other_ways() {
    let long = "x".repeat(2000);
    for (script, expected) in [
        ("echo to the log; echo what >&2; exit 3", "exit status 3, output: what"),
        ("echo only here; exit 3", "exit status 3, output: only here"),
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "killed by signal 9"),
        ("echo '{}'; exit 3", "exit status 3, output: {}"),
        ("exit 0", "its result is not what it has to be: EOF"),
        ("echo '[1]'", "its result is not what it has to be: invalid type"),
        (r#"echo '{ "ips": [{ "address": 1 }] }'"#, "ips of its result: invalid type"),
        (&format!("echo {long}END >&2; exit 1"), "xxxxEND"),
    ] {
        let host = Host::new();
        host.plugin("first", script).list("n", "1.0.0", json!([{ "type": "first" }]));
        let error = host.attachment("n").add(NETNS.as_ref()).unwrap_err().to_string();
        assert!(error.starts_with("cni ADD first (network n): "), "{error}");
        assert!(error.contains(expected), "{error}: not {expected}");
    }
}

#[test]
fn a_result_without_addresses_or_version_is_one() {
    let host = Host::new();
    host.plugin("first", "echo '{ \"ips\": null }'").list("n", "0.4.0", json!([{ "type": "first" }]));
    let mut attachment = host.attachment("n");
    attachment.add(NETNS.as_ref()).unwrap();
    assert_eq!(attachment.result, Some(json!({ "cniVersion": "0.4.0", "ips": null })));
    assert_eq!(attachment.ips(), []);
}

#[test]
fn a_plugin_that_hangs_is_killed_with_what_it_started() {
    let host = Host::new();
    host.plugin("hangs", "echo waiting >&2; sleep 1000 & echo $! >../child; sleep 1000");
    let program = host.dir("bin").join("hangs");
    // By then it has begun, on a machine that is emulated, too.
    let patience = std::env::var("HILUM_TEST_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let limit = Duration::from_millis(500) * patience;
    let start = Instant::now();
    let error = plugin::run(&program, &[], &json!({}), limit).unwrap_err();
    assert_eq!(error.to_string(), format!("killed after its time limit of {limit:?}, output: waiting"));
    assert!(start.elapsed() < Duration::from_secs(20) * patience);
    let child = fs::read_to_string(host.dir("child")).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    let gone = || fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z "));
    while gone() && start.elapsed() < Duration::from_secs(20) * patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!gone(), "{} lives", child.trim());
}

#[test]
fn a_missing_plugin_is_missed_before_anything_is_done() {
    let host = Host::new();
    host.plugin("first", ANSWER).list("n", "1.0.0", json!([{ "type": "first" }, { "type": "gone" }]));
    let dirs = vec![host.dir("none"), host.dir("bin")];
    let network = host.load("n").unwrap();
    let error = Attachment::new(&network, "c", "eth0", &[], dirs.clone()).unwrap_err().to_string();
    let expected = format!("network n: plugin gone is not in {}, {}; install it", dirs[0].display(), dirs[1].display());
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(host.calls(), [""; 0]);
    host.list("n", "1.0.0", json!([{ "type": "../bin/first" }]));
    let error = Attachment::new(&host.load("n").unwrap(), "c", "eth0", &[], dirs).unwrap_err().to_string();
    assert!(error.contains("type \"../bin/first\" is not the name of a plugin"), "{error}");
}

#[test]
fn names_are_checked_before_a_plugin_makes_files_of_them() {
    let host = Host::new();
    host.plugin("first", ANSWER).list("n", "1.0.0", json!([{ "type": "first" }]));
    let network = host.load("n").unwrap();
    let attach = |id: &str, ifname: &str, args: &[(&str, &str)]| {
        Attachment::new(&network, id, ifname, args, vec![host.dir("bin")]).map(|_| ())
    };
    attach("a_b.c-d", "fifteen-letters", &[("K8S_POD_NAME", "a=b")]).unwrap();
    for id in ["", "-a", "a/b", "../a", "a b", "ä"] {
        assert!(attach(id, "eth0", &[]).is_err(), "{id}");
    }
    for ifname in ["", ".", "..", "a/b", "a:b", "a b", "sixteen--letters"] {
        assert!(attach("c", ifname, &[]).is_err(), "{ifname}");
    }
    for args in [("A;B", "c"), ("A=B", "c"), ("A", "b;c")] {
        assert!(attach("c", "eth0", &[args]).is_err(), "{args:?}");
    }
    for name in ["../n", "a/b", ""] {
        host.list(name, "1.0.0", json!([{ "type": "first" }]));
        assert!(host.load(name).is_err(), "{name}");
    }
}

#[test]
fn a_list_of_directories_overrides_unless_it_is_empty() {
    assert_eq!(directories(Some("/a:/b".into())), Some(vec!["/a".into(), "/b".into()]));
    assert_eq!(directories(Some(":".into())), None);
    assert_eq!(directories(None), None);
}
