use super::*;

/// What the kernel shows on a machine with two caches, in a directory.
fn fake() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["info/L3_MON", "info/MB", "mon_groups"] {
        fs::create_dir_all(dir.path().join(sub)).unwrap();
    }
    for (name, text) in [
        ("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n"),
        ("tasks", "1\n"),
        ("info/MB/bandwidth_gran", "10\n"),
        ("info/last_cmd_status", "ok\n"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn rdt(text: &str) -> IntelRdt {
    crate::spec::parse(text.as_bytes()).unwrap()
}

fn made(root: &Path, text: &str) -> Result<Groups> {
    plan_in(root, &rdt(text), "id")?.create()
}

fn error(root: &Path, text: &str) -> String {
    made(root, text).unwrap_err().to_string()
}

/// The kernel takes a directory away with its files.
fn forget_files(group: &Path) {
    for name in ["tasks", "schemata"] {
        let _ = fs::remove_file(group.join(name));
    }
}

#[test]
fn the_file_system_is_found_by_its_type() {
    let text = "30 1 0:28 / /sys/fs/cgroup rw - cgroup2 resctrl rw\n31 1 0:29 / /sys/fs/resctrl rw,relatime shared:1 - resctrl resctrl rw\n";
    assert_eq!(mount_point(text), Some("/sys/fs/resctrl".into()));
    assert_eq!(mount_point("30 1 0:28 / /sys/fs/cgroup rw - cgroup2 resctrl rw\n"), None);
}

#[test]
fn a_class_is_made_filled_and_removed() {
    let dir = fake();
    let groups =
        made(dir.path(), r#"{"l3CacheSchema": "L3:0=7f0;1=1f\nMB:0=1", "memBwSchema": "MB:0=20;1=70"}"#).unwrap();
    let class = dir.path().join("id");
    assert_eq!(groups, Groups { class: class.clone(), own: true, monitor: None });
    assert_eq!(fs::read_to_string(class.join("schemata")).unwrap(), "L3:0=7f0;1=1f\nMB:0=20;1=70\n");
    let pid = std::process::id();
    groups.join(pid as i32).unwrap();
    assert_eq!(fs::read_to_string(class.join("tasks")).unwrap(), pid.to_string());
    // Somebody is in it still.
    groups.remove().unwrap();
    assert!(class.exists());
    forget_files(&class);
    groups.remove().unwrap();
    assert!(!class.exists());
    groups.remove().unwrap();
}

#[test]
fn schemata_come_last_and_win() {
    let all = r#"{"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "schemata": ["L3:0=ff", "MB:1=50"]}"#;
    let lines: Vec<String> = schemata(&rdt(all)).unwrap().into_iter().map(|line| line.text).collect();
    assert_eq!(lines, ["L3:0=f", "MB:0=20", "L3:0=ff", "MB:1=50"]);
}

#[test]
fn a_class_that_is_there_is_joined_if_it_has_what_is_asked_for_and_stays() {
    let dir = fake();
    let class = dir.path().join("gold");
    fs::create_dir(&class).unwrap();
    fs::write(class.join("schemata"), "    MB:0= 30;1=100\n    L3:0=0000f;1=fffff\n").unwrap();
    for text in [
        r#"{"closID": "gold"}"#,
        r#"{"closID": "gold", "schemata": ["L3:0=f"]}"#,
        // As the processor rounds it.
        r#"{"closID": "gold", "memBwSchema": "MB:0=25"}"#,
        r#"{"closID": "gold", "l3CacheSchema": "L3:0=ff", "schemata": ["L3:0=f"]}"#,
    ] {
        let groups = made(dir.path(), text).unwrap();
        assert!(!groups.own, "{text}");
        groups.remove().unwrap();
        assert!(class.exists(), "{text}");
    }
    let said = error(dir.path(), r#"{"closID": "gold", "schemata": ["MB:0=30", "L3:0=ff"]}"#);
    assert!(said.starts_with("linux.intelRdt.schemata[1]: the class") && said.contains("is there already"), "{said}");
    assert_eq!(fs::read_to_string(class.join("schemata")).unwrap().lines().count(), 2);
}

#[test]
fn monitoring_has_a_group_of_its_own() {
    let dir = fake();
    let root = dir.path();
    let text = r#"{"closID": "/", "enableMonitoring": true}"#;
    let groups = made(root, text).unwrap();
    let monitor = root.join("mon_groups/id");
    assert_eq!(groups, Groups { class: root.into(), own: false, monitor: Some(monitor.clone()) });
    groups.join(7).unwrap();
    assert_eq!(fs::read_to_string(root.join("tasks")).unwrap(), "7");
    assert_eq!(fs::read_to_string(monitor.join("tasks")).unwrap(), "7");
    // One that is there is another's, and stays.
    let said = error(root, text);
    assert!(said.starts_with("linux.intelRdt.enableMonitoring:") && said.contains("another container's"), "{said}");
    assert!(monitor.exists());
    forget_files(&monitor);
    groups.remove().unwrap();
    assert!(!monitor.exists() && root.exists());
}

#[test]
fn what_cannot_be_is_refused_with_its_property_and_leaves_nothing() {
    let dir = fake();
    for (text, expected) in [
        (r#"{"closID": "a/b"}"#, "linux.intelRdt.closID: \"a/b\" cannot be the name of a class"),
        (r#"{"closID": "info"}"#, "linux.intelRdt.closID: \"info\" cannot be"),
        (r#"{"closID": "x"}"#, "linux.intelRdt.closID: there is no class"),
        (r#"{"memBwSchema": "L3:0=f"}"#, "linux.intelRdt.memBwSchema: \"L3:0=f\" is not a line that begins with MB:"),
        (r#"{"schemata": ["L3"]}"#, "linux.intelRdt.schemata[0]: \"L3\" is not RESOURCE:DOMAIN=VALUE"),
        (
            r#"{"schemata": ["L2:0=f"]}"#,
            "linux.intelRdt.schemata[0]: this processor or kernel cannot divide \"L2\"; it can divide MB, L3",
        ),
    ] {
        let said = error(dir.path(), text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    fs::remove_dir(dir.path().join("info/L3_MON")).unwrap();
    assert!(
        error(dir.path(), r#"{"enableMonitoring": true}"#)
            .starts_with("linux.intelRdt.enableMonitoring: this processor")
    );
    // A kernel that refuses the values says why in a file of its own.
    fs::write(dir.path().join("info/last_cmd_status"), "Mask out of range\n").unwrap();
    let plan = plan_in(dir.path(), &rdt(r#"{"schemata": ["L3:0=f"]}"#), "id").unwrap();
    let said = plan.explain(Errno::INVAL.into(), "linux.intelRdt.schemata[0]").to_string();
    assert_eq!(said, "linux.intelRdt.schemata[0]: Invalid argument; the kernel says: Mask out of range");
    assert!(!dir.path().join("id").exists());
}

#[test]
fn a_process_that_waits_for_its_parent_has_ended() {
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = child.id().to_string();
    assert!(!has_ended(&pid));
    child.kill().unwrap();
    for _ in 0..1000 {
        if has_ended(&pid) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(has_ended(&pid) && Path::new("/proc").join(&pid).exists());
    child.wait().unwrap();
    assert!(has_ended(&pid));
}
