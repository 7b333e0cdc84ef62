//! `pod run FILE`: a pod and its containers, all or nothing.

use crate::common::*;
use std::fs;

/// Two bundles, `a` and `b`, that sleep, beside the pod's directory.
struct Bundles(Vec<Container>);

impl Bundles {
    fn new() -> Bundles {
        let bundles: Vec<_> = (0..2).map(|_| Container::sleeper()).collect();
        bundles.iter().for_each(Container::write_config);
        Bundles(bundles)
    }

    fn bundle(&self, index: usize) -> String {
        self.0[index].bundle().display().to_string()
    }

    /// The containers of a manifest, as YAML.
    fn yaml(&self) -> String {
        let items: String =
            (0..2).map(|i| format!("  - id: {}\n    bundle: {}\n", self.id(i), self.bundle(i))).collect();
        format!("containers:\n{items}")
    }

    fn id(&self, index: usize) -> &str {
        &self.0[index].id
    }

    /// Of a container that the pod has started.
    fn pid(&self, pod: &Pod, index: usize) -> u32 {
        let state: Value = serde_json::from_str(&pod.call(&["state", self.id(index)]).ok().stdout).unwrap();
        state["pid"].as_u64().unwrap() as u32
    }
}

fn left_nothing(pod: &Pod, bundles: &Bundles) {
    pod.left_nothing();
    for c in &bundles.0 {
        assert!(!pod.root().join(&c.id).exists(), "the state of {}", c.id);
        c.left_nothing();
    }
}

#[test]
fn a_manifest_makes_the_pod_and_starts_its_containers() {
    let bundles = Bundles::new();
    let pod = Pod::new();
    let text = format!(
        "# a comment\nname: {}\nshare: [net, ipc, uts, pid]\nhostname: shop\nsysctl:\n  kernel.msgmax: \"12345\"\n\
         shmSize: 3m\nmemory: 64m\ncpus: 0.5\npidsLimit: 77\nresources:\n  cpu:\n    shares: 512\n{}",
        pod.name,
        bundles.yaml()
    );
    pod.call(&["pod", "run", &pod.file("pod.yaml", &text)]).ok();
    for i in 0..2 {
        for kind in ["net", "ipc", "uts", "pid"] {
            assert_eq!(ns(bundles.pid(&pod, i), kind), pod.ns(kind), "{kind}");
        }
    }
    let exec = |script: &str| pod.call(&["exec", bundles.id(0), "sh", "-c", script]).ok().stdout;
    assert_eq!(exec("hostname; cat /proc/sys/kernel/msgmax"), "shop\n12345\n");
    assert_eq!(exec("df -k /dev/shm | tail -n 1 | awk '{ print $2 }'"), "3072\n");
    let (limit, _) = Pod::memory_files();
    for (controller, file, value) in
        [("memory", limit, 64 << 20), ("pids", "pids.max", 77), ("cpu", "cpu.cfs_quota_us", 50_000)]
    {
        let path = pod.cgroup(controller).join(file);
        if path.exists() {
            assert_eq!(read(&path).trim(), value.to_string(), "{}", path.display());
        }
    }
    pod.verb("rm", &["-f"]).ok();
    left_nothing(&pod, &bundles);
}

#[test]
fn json_is_yaml_and_a_bundle_is_beside_the_manifest() {
    let bundles = Bundles::new();
    let pod = Pod::new();
    let file = bundles.0[0].path("pod.json");
    let manifest = json!({ "share": ["uts"], "containers": [{ "id": bundles.id(0), "bundle": "bundle" }] });
    fs::write(&file, manifest.to_string()).unwrap();
    // The name may be the caller's.
    pod.call(&["pod", "run", "--name", &pod.name, &file]).ok();
    assert_eq!(ns(bundles.pid(&pod, 0), "uts"), pod.ns("uts"));
    pod.verb("rm", &["-f"]).ok();
    left_nothing(&pod, &bundles);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let bundles = Bundles::new();
    let pod = Pod::new();
    let good = format!("name: {}\nshare: [uts]\n{}", pod.name, bundles.yaml());
    for (from, to, why) in [
        ("share: [uts]", "shar: [uts]", "unknown field `shar`, expected one of"),
        ("share: [uts]", "shar: [uts]", "at line 2 column 1"),
        (
            "share: [uts]",
            "share: uts",
            "share: invalid type: string \\\"uts\\\", expected a sequence at line 2 column 8",
        ),
        ("share: [uts]", "memory: much", "\\\"much\\\" is not a number of bytes, such as 64m at line 2 column 9"),
        ("share: [uts]", "cpus: many", "cpus: invalid type: string \\\"many\\\", expected f64 at line 2 column 7"),
        (
            "    bundle: ",
            "    bundel: ",
            "containers[0]: unknown field `bundel`, expected `id` or `bundle` at line 5 column 5",
        ),
        ("share: [uts]", "share: [", "at line"),
        ("share: [uts]", "share: [nut]", "share: \\\"nut\\\" is not a kind of namespace"),
        (
            "share: [uts]",
            "resources: { devices: [{ allow: true }] }",
            "resources.devices: a pod has no rules for devices",
        ),
        ("share: [uts]", "resources: { memory: { limit: x } }", "resources: memory.limit: invalid type"),
        ("share: [uts]", "cpus: -1", "cpus: -1 is no number of processors"),
        (bundles.id(1), bundles.id(0), "containers[1].id: "),
        (bundles.id(1), "a/b", "containers[1].id: invalid container ID format"),
        ("name: ", "name: a/", "invalid name of a pod"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        pod.call(&["pod", "run", &pod.file("pod.yaml", &text)]).fails(why);
        assert!(!pod.path().exists(), "{to}");
    }
    pod.call(&["pod", "run", &pod.file("pod.yaml", &good.replacen("name", "#", 1))])
        .fails("name: invalid name of a pod");
    pod.call(&["pod", "run", "/nonexistent"]).fails("open /nonexistent: No such file or directory");
    left_nothing(&pod, &bundles);
}

#[test]
fn a_failure_in_the_middle_leaves_nothing() {
    type Spoil = fn(&Bundles, &Pod, &str) -> String;
    let spoil: [(Spoil, &str); 4] = [
        (|b, _, text| text.replace(&b.bundle(1), "/nonexistent"), "bundle /nonexistent: No such file or directory"),
        (|b, _, text| text.replace(b.id(1), "a/b"), "invalid container ID format"),
        (
            |b, _, text| {
                let config = b.0[1].bundle().join("config.json");
                fs::write(&config, read(&config).replace("\"sleep\"", "\"no-such-program\"")).unwrap();
                text.into()
            },
            "no-such-program",
        ),
        (
            |b, pod, text| {
                let taken = pod.root().join(b.id(1));
                fs::create_dir_all(&taken).unwrap();
                fs::write(taken.join("state.json"), "{}").unwrap();
                text.into()
            },
            "container with given ID already exists",
        ),
    ];
    for (spoil, why) in spoil {
        let bundles = Bundles::new();
        let pod = Pod::new();
        let good = format!("name: {}\nshare: [net, pid]\n{}", pod.name, bundles.yaml());
        let text = spoil(&bundles, &pod, &good);
        let out = pod.call(&["pod", "run", &pod.file("pod.yaml", &text)]).fails(why);
        assert!(!out.stderr.contains("undo"), "{}", out.stderr);
        pod.left_nothing();
        bundles.0.iter().for_each(Container::left_nothing);
        assert!(!pod.root().join(bundles.id(0)).exists());
    }
}

/// The schema is what people and editors read; the error of a wrong property is what hilum takes.
#[test]
fn the_schema_has_the_properties_that_are_taken() {
    if !hilum_only("its manifests") {
        return;
    }
    let schema: Value = serde_json::from_str(include_str!("../docs/pod-manifest.schema.json")).unwrap();
    let pod = Pod::new();
    let taken = |text: &str| {
        let out = pod.call(&["pod", "run", &pod.file("pod.yaml", text)]).fails("unknown field");
        let (_, names) = out.stderr.split_once("expected ").unwrap();
        let mut names: Vec<String> = names.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        names.sort();
        names
    };
    let documented = |object: &Value| {
        let mut names: Vec<String> = object["properties"].as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(object["additionalProperties"], false);
        names
    };
    assert_eq!(taken("x: 1"), documented(&schema));
    assert_eq!(taken("containers: [{ x: 1 }]"), documented(&schema["properties"]["containers"]["items"]));
}
