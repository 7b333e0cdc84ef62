//! Who a process is: its capabilities, its ids, and the id of its container. (Rows 8, 15 and 19.)

use super::*;
use crate::common::schema::Random;

const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

/// CVE-2022-29162 and its kin. With `inheritable` as config.json has it: "create: CapInh 0000000000000021".
#[test]
fn row_08_cve_2022_29162_inheritable_capabilities_are_empty_unless_ambient_asks() {
    if !hilum_only("the oracle sets them when config.json lists them") {
        return;
    }
    let tally = attacks("row 8: inheritable capabilities");
    let caps = json!(["CAP_CHOWN", "CAP_KILL"]);
    let listed = json!({ "bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps });
    let ambient =
        json!({ "bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": ["CAP_KILL"] });
    for (capabilities, inheritable) in [(listed.clone(), 0), (ambient, 0x20)] {
        let c = Container::new(&["cat", "/proc/self/status"]).set("process/capabilities", capabilities.clone());
        let is_as_asked = |what: &str, status: &str| {
            let found = field(status, "CapInh");
            assert_eq!(found, format!("{inheritable:016x}"), "{what}: CapInh {found}");
            tally.survives();
        };
        for verb in CREATIONS {
            tally.tries();
            is_as_asked(verb, &c.created_by(verb).ok().stdout);
        }
        c.finish();
        let c = Container::sleeper().set("process/capabilities", capabilities.clone());
        c.up();
        let document = json!({ "args": ["cat", "/proc/self/status"], "cwd": "/", "user": { "uid": 0, "gid": 0 },
            "env": ["PATH=/bin"], "capabilities": capabilities });
        fs::write(c.path("process.json"), document.to_string()).unwrap();
        let status = ["cat", "/proc/self/status"];
        for flags in [&[][..], &["--cap", "CAP_SYS_PTRACE"], &["--user", "0:0"]] {
            tally.tries();
            let out = c.call(&[&["exec"], flags, &[&c.id], &status].concat()).ok();
            is_as_asked(&format!("exec {flags:?}"), &out.stdout);
        }
        tally.tries();
        is_as_asked("exec --process", &c.call(&["exec", "-p", &c.path("process.json"), &c.id]).ok().stdout);
        c.finish();
    }
}

/// CVE-2022-29162: of another user's process, nothing is left but what is ambient; the kernel sees to the other sets. With
/// `inheritable` as config.json has it: "create: CapInh, left: 0000000000000021".
#[test]
fn row_08_cve_2022_29162_another_user_has_no_capability() {
    let tally = attacks("row 8: capabilities of another user");
    let has_none = |what: &str, status: &str| {
        for set in SETS.into_iter().filter(|set| *set != "CapBnd") {
            assert_eq!(field(status, set), "0000000000000000", "{what}: {set}");
        }
        tally.survives();
    };
    let caps = json!(["CAP_CHOWN", "CAP_KILL"]);
    // The oracle sets those that are inheritable when config.json lists them.
    let inheritable = if is_hilum() { caps.clone() } else { json!([]) };
    let listed = json!({ "bounding": caps, "effective": caps, "permitted": caps, "inheritable": inheritable });
    let c = Container::new(&["cat", "/proc/self/status"]).set("process/user", json!({ "uid": 7, "gid": 7 }));
    let c = c.set("process/capabilities", listed.clone());
    for verb in CREATIONS {
        tally.tries();
        has_none(verb, &c.created_by(verb).ok().stdout);
    }
    c.finish();
    let c = Container::sleeper().set("process/capabilities", listed);
    c.up();
    for user in ["7", "7:7", "4294967294:0"] {
        tally.tries();
        has_none("exec", &c.call(&["exec", "--user", user, &c.id, "cat", "/proc/self/status"]).ok().stdout);
    }
    c.finish();
}

/// CVE-2026-30892. With `become_user` leaving early where the group is the one that it is: "exec --user 1, left: 0, 0, Uid: 0 0
/// 0 0".
#[test]
fn row_15_cve_2026_30892_a_user_without_a_group_is_that_user() {
    let tally = attacks("row 15: a uid with a gid and without");
    let ids = "id -u; id -g; grep ^[UG]id: /proc/self/status";
    let is_that = |what: &str, out: Out, (uid, gid): (u32, u32)| {
        let status = [uid, uid, uid, uid].map(|id| id.to_string()).join("\t");
        let groups = [gid, gid, gid, gid].map(|id| id.to_string()).join("\t");
        let expected = [uid.to_string(), gid.to_string(), format!("Uid:\t{status}"), format!("Gid:\t{groups}")];
        assert_eq!(out.ok().lines(), expected, "{what}");
        tally.survives();
    };
    let running = Container::sleeper();
    running.up();
    let another = Container::sleeper().set("process/user", json!({ "uid": 5, "gid": 6 }));
    another.up();
    for uid in [0, 1, 1000, 1234, 65_534, 4_294_967_294] {
        for gid in [None, Some(0), Some(uid), Some(7)] {
            let user = gid.map_or(uid.to_string(), |gid| format!("{uid}:{gid}"));
            // Without a group, it is the container's process's.
            for (c, own) in [(&running, 0), (&another, 6)] {
                tally.tries();
                let out = c.call(&["exec", "--user", &user, &c.id, "sh", "-c", ids]);
                is_that(&format!("exec --user {user}"), out, (uid, gid.unwrap_or(own)));
            }
            let mut c = Container::sh(ids);
            let object = c.config["process"]["user"].as_object_mut().unwrap();
            object.insert("uid".into(), json!(uid));
            match gid {
                Some(gid) => object.insert("gid".into(), json!(gid)),
                None => object.remove("gid"),
            };
            for verb in CREATIONS {
                tally.tries();
                is_that(&format!("{verb}, {user}"), c.created_by(verb), (uid, gid.unwrap_or(0)));
            }
            c.finish();
        }
    }
    running.finish();
    another.finish();
}

/// Of what ids of attacks are made.
const PIECES: [&str; 34] = [
    "/",
    "..",
    ".",
    "../",
    "/..",
    "a",
    "Z",
    "9",
    "_",
    "+",
    "-",
    "\n",
    "\r",
    "\t",
    " ",
    "\\",
    "*",
    "?",
    "~",
    "$(id)",
    "`id`",
    ":",
    ";",
    "\u{202e}",
    "é",
    "ﬀ",
    "\u{2215}",
    "\u{ff0f}",
    "\u{1f600}",
    "%2e%2e%2f",
    "\x01",
    "\x7f",
    "state.json",
    "start.sock",
];

fn hostile_id(random: &mut Random) -> String {
    let pieces = 1 + random.below(8);
    let mut id: String = (0..pieces).map(|_| *random.one(&PIECES)).collect();
    match random.below(20) {
        0 => id = id.repeat(300),
        1 => id = format!("{}{}", "a".repeat(250 + random.below(10) as usize), random.one(&PIECES)),
        2 => id = format!("/{}", id.repeat(2)),
        3 => id = ["", ".", "..", "../state", "./x", "x/", "/"][random.below(7) as usize].into(),
        _ => {}
    }
    // An argument of execve(2) has room for 128 KiB, and an option is no id.
    id.chars().take(60_000).collect()
}

/// The contract's rule: letters, digits, `_`, `+`, `-` and `.`; and the name of a directory.
fn is_valid(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    !id.is_empty() && id.chars().all(allowed) && id != "." && id != ".." && id.len() <= 255
}

/// Every name below a directory.
fn tree(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            tree(&path, into);
        }
        into.push(path);
    }
}

/// With `name_of` allowing every byte but `/`: "create \"\u{1}\n\t~\u{202e}\": exit code 0". (With `/`, `delete --force`
/// might remove what is the host's: that was not tried.)
#[test]
fn row_19_an_id_is_no_path() {
    let tally = attacks("row 19: random ids");
    let c = Container::new(&["true"]);
    let cgroup = json!(format!("/{}", c.id));
    let c = c.set("linux/cgroupsPath", cgroup);
    // Two directories deep, so that what climbs is seen; `victim` is a container that a path would reach.
    let root = c.dir().join("deep/state");
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(c.dir().join("deep/victim")).unwrap();
    fs::write(c.dir().join("deep/victim/state.json"), "{}").unwrap();
    c.write_config();
    let seen = || {
        let mut all = Vec::new();
        tree(&c.dir().join("deep"), &mut all);
        all.sort();
        all
    };
    let before = seen();
    let call = |args: &[&str]| {
        let mut command = std::process::Command::new(program());
        command.arg("--root").arg(&root).args(args).current_dir(c.bundle());
        c.finish_call(command, std::process::Stdio::null())
    };
    let mut random = Random(19);
    for n in 0..rounds(600, 10_000) {
        let id = hostile_id(&mut random);
        let commands: [&[&str]; 9] = [
            &["create", "--", &id],
            &["run", "--", &id],
            &["exec", "--", &id, "true"],
            &["state", "--", &id],
            &["delete", "--force", "--", &id],
            &["kill", "--", &id],
            &["start", "--", &id],
            &["ps", "--", &id],
            &["update", "--pids-limit", "5", "--", &id],
        ];
        let args = commands[n as usize % commands.len()];
        tally.tries();
        let out = call(args);
        let shown: String = id.chars().take(80).collect();
        let said = out.stderr;
        if !is_valid(&id) {
            assert!(out.code != 0, "{} {shown:?}: exit code 0", args[0]);
            // Which says no more than it has to of what it was given: one line, and none of its control characters.
            assert!(said.trim_end().lines().count() == 1 || !is_hilum(), "{} {shown:?}: {said}", args[0]);
        } else if matches!(args[0], "create" | "run") {
            assert!(out.code == 0, "{} {shown:?}: {said}", args[0]);
            call(&["delete", "--force", "--", &id]);
        }
        assert_eq!(seen(), before, "{} {shown:?}: changed what is there", args[0]);
        assert!(!said.contains("panicked"), "{} {shown:?}: {said}", args[0]);
        tally.survives();
    }
    c.finish();
}

/// A pod's name, and what is said of one, is such a name, too. With `name_of` allowing every byte but `/`: "pod create
/// \"\\ﬀZ?.\": exit code 0".
#[test]
fn row_19_the_name_of_a_pod_is_no_path() {
    if !hilum_only("pods") {
        return;
    }
    let tally = attacks("row 19: random names of pods");
    let pod = Pod::new();
    let above = pod.pods().parent().unwrap().to_path_buf();
    fs::create_dir_all(above.join("victim")).unwrap();
    let seen = || {
        let mut all = Vec::new();
        tree(&above, &mut all);
        all.retain(|path| !path.to_string_lossy().contains("/std"));
        all.sort();
        all
    };
    let mut random = Random(20);
    let before = seen();
    for n in 0..rounds(200, 2_000) {
        let name = hostile_id(&mut random);
        if is_valid(&name) {
            continue;
        }
        let commands: [&[&str]; 5] = [
            &["pod", "create", "--share", "uts", "--", &name],
            &["pod", "rm", "-f", "--", &name],
            &["pod", "inspect", "--", &name],
            &["pod", "kill", "--", &name],
            &["run", "--pod", &name, "--", "id"],
        ];
        let args = commands[n as usize % commands.len()];
        tally.tries();
        let out = pod.call(args);
        let shown: String = name.chars().take(80).collect();
        assert_ne!(out.code, 0, "{} {} {shown:?}: exit code 0", args[0], args[1]);
        assert_eq!(seen(), before, "{} {} {shown:?}: changed what is there", args[0], args[1]);
        tally.survives();
    }
}
