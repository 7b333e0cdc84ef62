//! What the specification says besides: what is ignored, which documents are for others, and what `features` and `state`
//! print.

use crate::common::schema::Schema;
use crate::common::*;
use crate::spec_page::OTHER_PLATFORMS;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn what_the_specification_says_to_ignore_is_ignored() {
    let c = Container::sh("id -u; tty; echo $0")
        .set("process/commandLine", json!("cmd.exe /c exit 3"))
        .set("process/user/username", json!("nobody"))
        .set("process/consoleSize", json!({ "height": 10, "width": 20 }));
    assert_eq!(c.run().stdout, "0\nnot a tty\nsh\n");
    c.finish();
}

#[test]
fn a_document_for_another_platform_is_refused() {
    if !hilum_only("the oracle makes a container of Linux from it") {
        return;
    }
    for property in OTHER_PLATFORMS {
        let c = Container::new(&["true"]).set(property, json!({}));
        c.create_with(&[]).fails(&format!("{property}: it"));
        c.left_nothing();
        let c = c.set(property, json!(null));
        c.run().ok();
        c.finish();
    }
}

#[test]
fn a_hooks_environment_is_of_names_and_values() {
    let hook = json!([{ "path": "/bin/true", "env": ["A=1", "B"] }]);
    let c = Container::new(&["true"]).set("hooks", json!({ "createRuntime": hook }));
    if hilum_only("the oracle hands it on as it is") {
        c.create_with(&[]).fails("hooks.createRuntime[0].env: ");
        c.left_nothing();
    }
}

fn valid(schema: &Schema, document: &str, value: &Value) {
    let errors = schema.errors(schema.document(document), "", value);
    assert!(errors.is_empty(), "{errors:#?} in {value:#}");
}

/// In all states but `paused`, which is the runtime's own (runtime.md, "State").
#[test]
fn a_state_is_valid() {
    let Some(schema) = Schema::load() else { return };
    let c = Container::sleeper().set("annotations", json!({ "a": "b" }));
    c.create();
    for status in ["created", "running", "stopped"] {
        let state = c.wait(status).state();
        valid(&schema, "state-schema.json", &state);
        assert_eq!((&state["annotations"], state["pid"] == 0), (&json!({ "a": "b" }), status == "stopped"));
        match status {
            "created" => drop(c.start()),
            _ => drop(c.kill("KILL")),
        }
    }
    c.finish();
}

/// The conflicts that planning a container with this has.
fn conflicts(pointer: &str, value: Value) -> Vec<String> {
    let c = Container::new(&["true"]).set(pointer, value);
    let out = c.plan_with(&["--format", "json"]);
    let plan: Value = serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    let all = plan["conflicts"].as_array().unwrap().iter();
    all.map(|it| format!("{}: {}", it["property"].as_str().unwrap(), it["error"].as_str().unwrap())).collect()
}

#[test]
fn features_are_valid_and_true() {
    if !hilum_only("the oracle's are its own") {
        return;
    }
    let c = Container::new(&["true"]);
    let features: Value = serde_json::from_str(&c.call(&["features"]).ok().stdout).unwrap();
    if let Some(schema) = Schema::load() {
        valid(&schema, "features-schema.json", &features);
    }
    let list = |pointer: &str| -> Vec<String> {
        let list = features.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no {pointer}"));
        list.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let none = [""; 0];
    for version in [&features["ociVersionMin"], &features["ociVersionMax"]] {
        assert_eq!(conflicts("ociVersion", version.clone()), none);
    }
    let hooks = list("/hooks").into_iter().map(|kind| (kind, json!([{ "path": "/bin/true" }])));
    assert_eq!(conflicts("hooks", hooks.collect()), none);
    let here = KINDS.iter().filter(|(_, file)| proc(std::process::id(), "ns").join(file).exists());
    let here: BTreeSet<String> = here.map(|(kind, _)| kind.to_string()).collect();
    assert_eq!(list("/linux/namespaces").into_iter().collect::<BTreeSet<_>>(), here);
    let last: usize = read(Path::new("/proc/sys/kernel/cap_last_cap")).trim().parse().unwrap();
    assert_eq!(list("/linux/capabilities").len(), last + 1);
    let mount = |(index, option): (usize, &String)| json!({ "destination": format!("/m{index}"), "type": "tmpfs", "source": "rootfs", "options": [option] });
    // These two are for a bind alone.
    let options: Vec<_> = list("/mountOptions").into_iter().filter(|it| !it.ends_with("idmap")).collect();
    assert_eq!(conflicts("mounts", options.iter().enumerate().map(mount).collect()), none);

    let seccomp = |name: &str| list(&format!("/linux/seccomp/{name}"));
    let rule = |rule: Value| json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": [rule] });
    for action in seccomp("actions") {
        assert_eq!(conflicts("linux/seccomp", rule(json!({ "names": ["mkdir"], "action": action }))), none);
    }
    for op in seccomp("operators") {
        let args = json!([{ "index": 0, "value": 1, "op": op }]);
        let rule = rule(json!({ "names": ["mkdir"], "action": "SCMP_ACT_KILL", "args": args }));
        assert_eq!(conflicts("linux/seccomp", rule), none);
    }
    for arch in seccomp("archs") {
        let said = conflicts("linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": [arch] }));
        assert!(!said.concat().contains("unknown"), "{said:?}");
    }
    let supported = seccomp("supportedFlags");
    for flag in seccomp("knownFlags") {
        let mut config = rule(json!({ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }));
        config["flags"] = json!([flag]);
        assert_eq!(conflicts("linux/seccomp", config).is_empty(), supported.contains(&flag), "{flag}");
    }
    // What is said to be there, and what is not.
    for (flag, pointer, value) in [
        ("intelRdt/enabled", "linux/intelRdt", json!({})),
        ("intelRdt/schemata", "linux/intelRdt", json!({ "schemata": ["L3:0=f"] })),
        ("intelRdt/monitoring", "linux/intelRdt", json!({ "enableMonitoring": true })),
        ("netDevices/enabled", "linux/netDevices", json!({ "none0": {} })),
        ("mountExtensions/idmap/enabled", "mounts/0/options", json!(["idmap"])),
    ] {
        let is_there = features.pointer(&format!("/linux/{flag}")) == Some(&json!(true));
        let said = conflicts(pointer, value).concat();
        assert_eq!(!said.contains("not supported"), is_there, "{flag}: {said}");
    }
    for (version, host) in [("v1", Host::V1Hybrid), ("v2", Host::V2)] {
        assert_eq!(features["linux"]["cgroup"][version], true);
        if Host::all().contains(&host) {
            let c = Container::new(&["true"]).on(host);
            c.run().ok();
            c.finish();
        }
    }
}
