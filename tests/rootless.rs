//! hilum run by a user who is not root: what the kernel gives to anybody, and what newuidmap and newgidmap give.

use crate::common::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub const USER: u32 = 42_000;
const RANGE: u32 = 300_000;

/// A container of a user's: its bundle, and the user's own directory in place of /run.
pub struct Rootless {
    pub c: Container,
}

pub fn can_be_tested() -> bool {
    if !hilum_only("the oracle wants a path to each of its directories") {
        return false;
    }
    let has = |program: &str| Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    if !has("setpriv").is_ok_and(|out| out.status.success()) {
        return skip("setpriv is not installed");
    }
    match read(&PathBuf::from("/proc/sys/user/max_user_namespaces")).trim() {
        "0" => skip("user namespaces are switched off"),
        _ => true,
    }
}

fn has_newuidmap() -> bool {
    let setuid = |path: &str| fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o4000 != 0);
    (setuid("/usr/bin/newuidmap") && setuid("/usr/bin/newgidmap"))
        || skip("newuidmap and newgidmap (package uidmap) are not installed")
}

fn map(entries: &[(u32, u32, u32)]) -> Value {
    let entry =
        |(container, host, size): &(u32, u32, u32)| json!({ "containerID": container, "hostID": host, "size": size });
    entries.iter().map(entry).collect()
}

/// The container, for a single id; with the kernel's own conditions for that: nothing is mapped to group 5, no limits.
pub fn single_id(c: Container) -> Rootless {
    let ids = map(&[(0, USER, 1)]);
    let c = c.namespace(json!({ "type": "user" })).set("linux/uidMappings", ids.clone()).set("linux/gidMappings", ids);
    Rootless::new(c.for_a_single_id())
}

fn mapped_range(c: Container) -> Rootless {
    let ids = map(&[(0, USER, 1), (1, RANGE, 65_536)]);
    let mut r = single_id(c);
    r.set("linux/uidMappings", ids.clone());
    r.set("linux/gidMappings", ids);
    r
}

impl Rootless {
    fn new(c: Container) -> Rootless {
        fs::create_dir(c.path("xdg")).unwrap();
        // The runtime of a build directory may be where only root gets to.
        fs::copy(program(), c.path("hilum")).unwrap();
        fs::set_permissions(c.path("hilum"), fs::Permissions::from_mode(0o755)).unwrap();
        for (file, line) in [
            ("subuid", format!("{USER}:{RANGE}:65536\n")),
            ("subgid", format!("{USER}:{RANGE}:65536\n")),
            ("passwd", format!("root:x:0:0::/root:/bin/sh\nhilumtest:x:{USER}:{USER}::/:/bin/sh\n")),
        ] {
            fs::write(c.path(file), line).unwrap();
        }
        let owned = Command::new("chown")
            .args(["-Rh", &format!("{USER}:{USER}")])
            .args([c.bundle(), PathBuf::from(c.path("xdg"))])
            .status()
            .unwrap();
        assert!(owned.success());
        Rootless { c }
    }

    /// As `Container::set`, of the container that is there.
    pub fn set(&mut self, pointer: &str, value: Value) {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.c.config.pointer_mut(&format!("/{parent}")).unwrap()[key] = value;
    }

    pub fn namespaces(&mut self) -> &mut Vec<Value> {
        self.c.config["linux"]["namespaces"].as_array_mut().unwrap()
    }

    /// The user's hilum; /etc/subuid and its like are the test's, in a mount namespace of the call's own.
    pub fn command(&self, env: &[&str], args: &[&str]) -> Command {
        self.c.write_config();
        let script = "for f in subuid subgid passwd; do [ -e /etc/$f ] || : >/etc/$f; mount --bind \"$1/$f\" /etc/$f || exit 99; done; \
                      shift; exec \"$@\"";
        let user = USER.to_string();
        let mut command = Command::new("unshare");
        command
            .args(["-m", "--propagation", "slave", "sh", "-c", script, "sh"])
            .arg(self.c.dir())
            .args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "env"])
            .arg(format!("XDG_RUNTIME_DIR={}", self.c.path("xdg")))
            .args(env)
            .arg(self.c.path("hilum"))
            .args(args)
            .current_dir(self.c.bundle());
        command
    }

    pub fn call(&self, args: &[&str]) -> Out {
        self.c.finish_call(self.command(&[], args), Stdio::null())
    }

    pub fn run(&self) -> Out {
        self.call(&["run", &self.c.id])
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.c.id]).ok().stdout).unwrap()
    }

    fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.state()["pid"].as_u64().unwrap() as u32
    }

    fn dir(&self) -> PathBuf {
        PathBuf::from(self.c.path("xdg")).join("hilum")
    }

    pub fn finish(self) {
        self.call(&["delete", "--force", &self.c.id]).ok();
        assert!(!self.dir().join(&self.c.id).exists(), "the state is still there");
        self.c.left_nothing();
    }
}

impl Drop for Rootless {
    fn drop(&mut self) {
        self.call(&["delete", "--force", &self.c.id]);
    }
}

/// Without the cgroup mount, for what is not about it.
fn without_cgroup_mount(mut r: Rootless) -> Rootless {
    r.c.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
    r
}

#[test]
fn run_with_a_single_id_needs_no_newuidmap() {
    if !can_be_tested() {
        return;
    }
    let script = "id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups";
    let r = without_cgroup_mount(single_id(Container::sh(script)));
    let out = r.c.finish_call(r.command(&["PATH=/nowhere"], &["run", &r.c.id]), Stdio::null()).ok();
    let words: Vec<&str> = out.stdout.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", &USER.to_string(), "1", "deny"]);
    r.finish();
}

#[test]
fn a_users_compiled_filters_are_kept_in_their_own_directory() {
    if !can_be_tested() {
        return;
    }
    let mut r = without_cgroup_mount(single_id(Container::sh("grep Seccomp: /proc/self/status; mkdir /tmp/x")));
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" });
    r.set("linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }));
    let kept = PathBuf::from(r.c.path("xdg")).join("hilum.seccomp");
    for _ in 0..2 {
        let out = r.run();
        assert!(out.stdout.ends_with("2\n") && out.stderr.contains("Operation not permitted"), "{out:?}");
        let files: Vec<_> = fs::read_dir(&kept).unwrap().flatten().collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].metadata().unwrap().uid(), USER);
    }
    r.finish();
}

/// Whoever may not make a cgroup is in none of its own, and the cgroup mount shows what there is.
#[test]
fn the_default_mounts_work_for_a_user_without_cgroups() {
    if !can_be_tested() {
        return;
    }
    let r = single_id(Container::sh("echo works"));
    assert_eq!(r.run().ok().stdout, "works\n");
    r.finish();
    let mut r = single_id(Container::sh("ls /sys/fs/cgroup >/dev/null && echo works"));
    r.namespaces().retain(|ns| ns["type"] != "cgroup");
    assert_eq!(r.run().ok().stdout, "works\n");
    r.finish();
}

#[test]
fn what_spec_rootless_writes_runs() {
    if !can_be_tested() {
        return;
    }
    let mut r = single_id(Container::sh("true"));
    r.call(&["spec", "--rootless", "--bundle", &r.c.path("xdg")]).ok();
    let mut config: Value = serde_json::from_str(&read(&PathBuf::from(r.c.path("xdg/config.json")))).unwrap();
    assert_eq!(config["linux"]["uidMappings"][0]["hostID"], json!(USER), "the map is the caller's own id");
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["echo", "works"]);
    r.c.config = config;
    assert_eq!(r.run().ok().stdout, "works\n");
    r.finish();
}

#[test]
fn create_start_kill_and_delete() {
    if !can_be_tested() {
        return;
    }
    let r = without_cgroup_mount(single_id(Container::sleeper()));
    r.call(&["create", &r.c.id]).ok();
    assert_eq!(r.status(), "created");
    // As the host's root sees it, too: the user has told the truth.
    let pid = r.pid();
    assert_eq!(status_of(pid, "Uid").split_whitespace().next(), Some(USER.to_string().as_str()));
    r.call(&["start", &r.c.id]).ok();
    assert_eq!(r.status(), "running");
    assert!(fs::read_link(proc(pid, "exe")).unwrap().ends_with("bin/busybox"));
    for kind in ["mnt", "pid", "net", "ipc", "uts", "user"] {
        assert_ne!(ns(pid, kind), own_ns(kind), "{kind}");
    }
    let out = r.call(&["delete", &r.c.id]);
    assert!(out.stderr.contains("that is not stopped: running"), "{}", out.stderr);
    r.call(&["kill", &r.c.id, "KILL"]).ok();
    eventually("it stops", || r.status() == "stopped");
    r.call(&["delete", &r.c.id]).ok();
    r.finish();
}

#[test]
fn exec_joins_a_users_container_with_a_terminal_or_without() {
    if !can_be_tested() {
        return;
    }
    let r = without_cgroup_mount(single_id(Container::sleeper()));
    r.call(&["run", "--detach", &r.c.id]).ok();
    let file = r.c.path("xdg/pid");
    r.call(&["exec", "--detach", "--pid-file", &file, &r.c.id, "sleep", "1001"]).ok();
    let pid: u32 = read(file.as_ref()).parse().unwrap();
    for kind in ["mnt", "pid", "net", "ipc", "uts", "user"] {
        assert_eq!(ns(pid, kind), ns(r.pid(), kind), "{kind}");
    }
    assert_eq!(status_of(pid, "Uid"), status_of(r.pid(), "Uid"));
    assert_eq!(r.call(&["exec", &r.c.id, "sh", "-c", "id -u; exit 5"]).code, 5);
    let out = r.call(&["exec", "--tty", &r.c.id, "tty"]).ok();
    assert_eq!(out.stdout.trim(), "/dev/pts/0");
    let missing = r.call(&["exec", &r.c.id, "nosuch"]);
    assert_eq!((missing.code, missing.stderr.contains("executable file not found")), (255, true), "{missing:?}");
    let pids = r.call(&["ps", "--format", "json", &r.c.id]).ok().stdout;
    assert!(pids.contains(&r.pid().to_string()), "{pids}");
    r.finish();
}

/// Without a cgroup there is nothing to freeze and nothing to limit: that is said, and not passed over.
#[test]
fn what_needs_a_cgroup_says_so() {
    if !can_be_tested() || Host::plain() == Host::V2 {
        return;
    }
    let r = without_cgroup_mount(single_id(Container::sleeper()));
    r.call(&["run", "--detach", &r.c.id]).ok();
    r.call(&["pause", &r.c.id]).fails("cgroup");
    r.call(&["update", "--pids-limit", "5", &r.c.id]).fails("pids");
    assert_eq!(r.status(), "running");
    r.finish();
}

/// Of a container that shares its pid namespace and has no cgroup, the first process is all that can be known.
#[test]
fn kill_reaches_the_first_process_without_a_cgroup_or_a_pid_namespace() {
    if !can_be_tested() {
        return;
    }
    for args in [&["KILL"][..], &["--all", "KILL"]] {
        let mut r = without_cgroup_mount(single_id(Container::sleeper()));
        r.namespaces().retain(|ns| ns["type"] != "pid");
        // Neither proc nor what is done to it: there is no pid namespace of the container's to show.
        r.c.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "proc");
        r.set("linux/maskedPaths", json!([]));
        r.set("linux/readonlyPaths", json!([]));
        r.call(&["run", "--detach", &r.c.id]).ok();
        let id = r.c.id.clone();
        let words: Vec<&str> = match args {
            [signal] => vec!["kill", &id, signal],
            [all, signal] => vec!["kill", all, &id, signal],
            _ => unreachable!(),
        };
        r.call(&words).ok();
        eventually("it stops", || r.status() == "stopped");
        r.call(&["kill", "--all", &id, "KILL"]).ok();
        r.finish();
    }
}

#[test]
fn a_created_container_can_be_deleted_and_a_detached_one_by_force() {
    if !can_be_tested() {
        return;
    }
    let r = without_cgroup_mount(single_id(Container::sleeper()));
    r.call(&["create", &r.c.id]).ok();
    let pid = r.pid();
    r.call(&["delete", &r.c.id]).ok();
    eventually("the process ends", || !proc(pid, "stat").exists() || read(&proc(pid, "stat")).contains(") Z"));
    r.call(&["run", "--detach", &r.c.id]).ok();
    assert_eq!(r.status(), "running");
    r.finish();
}

#[test]
fn the_state_is_in_the_users_runtime_directory_and_nobody_elses() {
    if !can_be_tested() {
        return;
    }
    let r = without_cgroup_mount(single_id(Container::sleeper()));
    r.call(&["create", &r.c.id]).ok();
    let meta = fs::metadata(r.dir()).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (USER, 0o1700));
    assert!(r.dir().join(&r.c.id).join("state.json").exists());
    assert!(!PathBuf::from("/run/hilum").join(&r.c.id).exists());
    let list = r.call(&["list", "--quiet"]).ok();
    assert_eq!(list.stdout.trim(), r.c.id);
    let row = r.call(&["list"]).ok().stdout;
    assert!(row.contains("hilumtest"), "{row}");
    r.finish();
}

/// Nobody may make a cgroup at the top of a root-owned hierarchy; what needs none does not fail for it.
#[test]
fn a_cgroup_that_the_user_may_not_make_matters_only_to_limits() {
    if !can_be_tested() {
        return;
    }
    let r = without_cgroup_mount(single_id(Container::sh("cat /proc/self/cgroup")));
    let out = r.run().ok();
    assert!(!out.stdout.contains(&r.c.id), "{}", out.stdout);
    r.finish();
    let mut r = without_cgroup_mount(single_id(Container::sh("true")));
    r.set("linux/resources", json!({ "pids": { "limit": 10 } }));
    let out = r.run();
    assert_eq!(out.code, 1, "{}", out.stderr);
    assert!(
        out.stderr.contains("cannot set pids limit") || out.stderr.contains("rootless needs no limits"),
        "{}",
        out.stderr
    );
    r.finish();
}

/// What systemd does for a user's session: a cgroup of the user's, with controllers, in which the caller is.
#[test]
fn in_a_delegated_cgroup_there_are_limits() {
    if !can_be_tested() {
        return;
    }
    let top = Host::V2.hierarchy("");
    if Host::plain() != Host::V2 || !Host::V2.has("pids") {
        skip("no pids controller on V2");
        return;
    }
    let mut r = single_id(Container::sleeper());
    r.set("linux/resources", json!({ "pids": { "limit": 11 } }));
    let delegated = Delegated(top.join(format!("{}-delegated", r.c.id)));
    fs::write(top.join("cgroup.subtree_control"), "+pids").unwrap();
    fs::create_dir_all(delegated.0.join("session")).unwrap();
    let owned = Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(&delegated.0).status().unwrap();
    assert!(owned.success());

    let command = r.command(&[], &["create", &r.c.id]);
    let mut inside = Command::new("sh");
    inside.args(["-c", "echo $$ > $0/session/cgroup.procs && exec \"$@\""]).arg(&delegated.0);
    inside.arg(command.get_program()).args(command.get_args()).current_dir(r.c.bundle());
    r.c.finish_call(inside, Stdio::null()).ok();
    let cgroup = cgroup_of(r.pid(), "");
    assert_eq!(cgroup, format!("/{}-delegated/{}", r.c.id, r.c.id));
    assert_eq!(read(&top.join(&cgroup[1..]).join("pids.max")).trim(), "11");
    r.call(&["delete", "--force", &r.c.id]).ok();
    drop(delegated);
    r.finish();
}

/// A process is a thread, and goes in by that list where it may, without waiting; here it may not.
#[test]
fn a_v1_cgroup_is_entered_where_the_user_was_given_its_list_of_processes_alone() {
    if !can_be_tested() {
        return;
    }
    if Host::plain() != Host::V1Hybrid || !Host::V1Hybrid.has("pids") {
        skip("no pids controller of version 1");
        return;
    }
    let r = without_cgroup_mount(single_id(Container::sleeper()));
    let delegated = Delegated(Host::V1Hybrid.hierarchy("pids").join(&r.c.id));
    fs::create_dir(&delegated.0).unwrap();
    for path in [delegated.0.clone(), delegated.0.join("cgroup.procs")] {
        std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
    }
    r.call(&["create", &r.c.id]).ok();
    assert_eq!(read(&delegated.0.join("cgroup.procs")).trim(), r.pid().to_string());
    // The user may not remove it: the one above is root's.
    r.call(&["kill", &r.c.id, "KILL"]).ok();
    eventually("the end of its process", || fs::remove_dir(&delegated.0).is_ok());
    r.call(&["delete", &r.c.id]).ok();
    r.finish();
}

struct Delegated(PathBuf);

impl Drop for Delegated {
    fn drop(&mut self) {
        for dir in [self.0.join("session"), self.0.clone()] {
            _ = fs::remove_dir(dir);
        }
    }
}

#[test]
fn a_range_of_ids_by_newuidmap_and_newgidmap() {
    if !can_be_tested() || !has_newuidmap() {
        return;
    }
    let mut r = without_cgroup_mount(mapped_range(Container::sh(
        "id -u; id -g; id -G; cat /proc/self/setgroups; exec sleep 1000",
    )));
    r.set("process/user", json!({ "uid": 7, "gid": 8, "additionalGids": [9, 10] }));
    r.call(&["create", &r.c.id]).ok();
    r.call(&["start", &r.c.id]).ok();
    let pid = r.pid();
    assert_eq!(
        read(&proc(pid, "uid_map")).split_whitespace().collect::<Vec<_>>(),
        ["0", &USER.to_string(), "1", "1", &RANGE.to_string(), "65536"]
    );
    assert_eq!(status_of(pid, "Uid").split_whitespace().next(), Some((RANGE + 6).to_string().as_str()));
    assert_eq!(status_of(pid, "Gid").split_whitespace().next(), Some((RANGE + 7).to_string().as_str()));
    let groups = format!("{} {}", RANGE + 8, RANGE + 9);
    assert_eq!(status_of(pid, "Groups"), groups);
    r.finish();
}

#[test]
fn ids_that_are_not_the_users_are_refused_in_newuidmaps_words() {
    if !can_be_tested() || !has_newuidmap() {
        return;
    }
    let mut r = mapped_range(Container::sh("true"));
    r.set("linux/uidMappings", map(&[(0, USER, 1), (1, 900_000, 65_536)]));
    let out = r.run().fails("linux.uidMappings: newuidmap: ");
    assert!(out.stderr.contains("/etc/subuid"), "{}", out.stderr);
    r.finish();
}

#[test]
fn a_range_without_newuidmap_says_what_to_install() {
    if !can_be_tested() {
        return;
    }
    let r = mapped_range(Container::sh("true"));
    let out = r.c.finish_call(r.command(&["PATH=/nowhere"], &["run", &r.c.id]), Stdio::null());
    out.fails("newuidmap is not installed");
    r.finish();
}

#[test]
fn without_a_user_namespace_the_error_says_that_root_is_needed() {
    if !can_be_tested() {
        return;
    }
    let mut r = without_cgroup_mount(single_id(Container::sh("true")));
    r.namespaces().retain(|ns| ns["type"] != "user");
    let linux = r.c.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    r.run().fails("only root may do this without a user namespace");
    r.finish();
}

#[test]
fn additional_groups_with_a_single_id_are_refused_with_the_reason() {
    if !can_be_tested() {
        return;
    }
    let mut r = without_cgroup_mount(single_id(Container::sh("true")));
    r.set("process/user/additionalGids", json!([0]));
    r.run().fails("setgroups is denied in this user namespace");
    r.finish();
}

/// A pod of a user's: the second container joins the first one's user namespace, where setgroups(2) is denied.
#[test]
fn the_namespaces_of_the_users_own_sandbox_are_joined() {
    if !can_be_tested() {
        return;
    }
    let sandbox = without_cgroup_mount(single_id(Container::sleeper()));
    sandbox.call(&["create", &sandbox.c.id]).ok();
    sandbox.call(&["start", &sandbox.c.id]).ok();
    let pid = sandbox.pid();
    let mut r = without_cgroup_mount(single_id(Container::sh("readlink /proc/self/ns/net /proc/self/ns/ipc; id -u")));
    let linux = r.c.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    r.c.config.as_object_mut().unwrap().remove("hostname");
    r.c.config["process"]["args"] =
        json!(["sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; id -u"]);
    for (kind, link) in [("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        r.namespaces().retain(|ns| ns["type"] != kind);
        r.namespaces().push(json!({ "type": kind, "path": proc(pid, "ns").join(link).display().to_string() }));
    }
    let out = r.run().ok();
    assert_eq!(out.lines(), [ns(pid, "net"), ns(pid, "ipc"), "0".to_string()]);
    r.finish();
    sandbox.finish();
}

/// In a user namespace, root may be anybody: unless the environment says root, the state is kept where the user's is.
#[test]
fn root_of_a_user_namespace_keeps_its_state_in_the_users_directory() {
    let c = Container::new(&["true"]);
    for (user, kept) in [(None, true), (Some("someone"), true), (Some("root"), false)] {
        let dir = c.path(user.unwrap_or("nobody"));
        fs::create_dir(&dir).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]).arg(program()).arg("list").env("XDG_RUNTIME_DIR", &dir);
        match user {
            Some(user) => command.env("USER", user),
            None => command.env_remove("USER"),
        };
        let out = c.finish_call(command, Stdio::null());
        let made = fs::read_dir(&dir).unwrap().count() == 1;
        assert_eq!(made, kept, "USER {user:?}: {out:?}");
    }
}
