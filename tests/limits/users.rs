//! hilum as root of a user namespace: with one id or a range, with a cgroup namespace of its own or without.

use super::{Limit, tally};
use crate::common::*;
use std::process::{Command, Stdio};

/// A container's whole life in one such namespace.
fn life_in(tally: &Tally, prefix: &[&str], host: Host, make: impl Fn() -> Container) {
    let c = make().on(host);
    c.write_config();
    let hilum = format!("{} --root {}", program().display(), c.root().display());
    let commands = [
        "create ID",
        "start ID",
        "exec ID true",
        "exec -d ID sleep 1000",
        "state ID",
        "ps ID || :",
        "kill ID KILL",
        "delete --force ID",
        "run -d ID",
        "delete --force ID",
    ];
    let lines = commands
        .map(|command| format!("{hilum} {} || {{ echo failed: {command}; exit 1; }}\n", command.replace("ID", &c.id)));
    let mut command = host.command(prefix[0].as_ref());
    let script = format!("cd {}\n{}", c.bundle().display(), lines.concat());
    command.args(&prefix[1..]).args(["sh", "-c", &script]);
    for _ in commands {
        tally.tries();
    }
    let out = c.finish_call(command, Stdio::null());
    assert_eq!(out.code, 0, "{prefix:?} {host:?}: {out:?}");
    c.left_nothing();
    for _ in commands {
        tally.survives();
    }
    c.finish();
}

#[test]
fn root_of_a_user_namespace_with_one_id_makes_containers() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("root of a user namespace, one id");
    for host in Host::all() {
        for more in [&[][..], &["--cgroup"], &["--mount", "--pid", "--fork", "--mount-proc"]] {
            let prefix = [&["unshare", "--user", "--map-root-user"], more].concat();
            life_in(&tally, &prefix, host, || Container::sleeper().for_a_single_id());
        }
    }
}

#[test]
fn what_one_id_does_not_allow_is_refused_with_the_reason() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("root of a user namespace, too few ids");
    let prefix = ["unshare", "--user", "--map-root-user"];
    for (pointer, value, says) in [
        ("process/user", json!({ "uid": 1000, "gid": 0 }), "become user 1000:0: setuid: Invalid argument"),
        (
            "process/user",
            json!({ "uid": 0, "gid": 0, "additionalGids": [5] }),
            "setgroups is denied in this user namespace",
        ),
        ("process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "hard": 1 << 30, "soft": 1024 }]), "CAP_SYS_RESOURCE"),
    ] {
        let says = [says];
        let limit = Limit::new(&tally, pointer, &prefix, &says);
        let c = Container::sleeper().for_a_single_id().set(pointer, value);
        limit.call_fails(&c, &["run", "-d", &c.id]);
        c.left_nothing();
        c.finish();
    }
}

/// As newuidmap maps one for a user; the container has a user namespace below it, or none.
#[test]
fn root_of_a_user_namespace_with_a_range_of_ids_makes_containers() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("root of a user namespace, range of ids");
    let owner = Helper::start(&["unshare", "--user", "--mount", "--propagation", "private", "sleep", "1000"], "sleep");
    for map in ["uid_map", "gid_map"] {
        std::fs::write(proc(owner.pid(), map), "0 100000 65536").unwrap();
    }
    let target = owner.pid().to_string();
    let prefix = ["nsenter", "--target", &target, "--user", "--mount", "--setuid", "0", "--setgid", "0"];
    let of_the_range = |c: Container| {
        let owned = Command::new("chown").args(["-Rh", "100000:100000"]).arg(c.dir()).status().unwrap();
        assert!(owned.success());
        c
    };
    let with_ids = || {
        let c = Container::sleeper().for_a_single_id();
        of_the_range(c.set("process/user", json!({ "uid": 1000, "gid": 1000, "additionalGids": [5] })))
    };
    life_in(&tally, &prefix, Host::plain(), with_ids);
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 5000 }]);
    life_in(&tally, &prefix, Host::plain(), || {
        let c = with_ids().namespace(json!({ "type": "user" }));
        c.set("linux/uidMappings", map.clone()).set("linux/gidMappings", map.clone())
    });
}

/// What systemd does for a user: the cgroup that it is in is its own.
#[test]
fn root_of_a_user_namespace_with_a_cgroup_of_its_own_has_limits() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("root of a user namespace, delegated cgroup");
    let host = Host::V2;
    let c = Container::sleeper();
    let name = format!("around-{}", c.id.replace('-', "n"));
    let top = host.hierarchy("").join(&name);
    let around = super::HostCgroup::at(top.clone());
    let session = super::HostCgroup::at(top.join("session"));
    let script = "echo $$ >\"$0/cgroup.procs\" || exit 99; exec unshare --user --map-root-user --cgroup \"$@\"";
    let inside = top.join("session").display().to_string();
    let seen = if Host::plain() == Host::V2 { inside.clone() } else { inside.replace("/unified", "") };
    life_in(&tally, &["sh", "-c", script, &seen], host, || {
        Container::sleeper().for_a_single_id().set("linux/resources", json!({ "unified": { "cgroup.max.depth": "3" } }))
    });
    drop((session, around));
    c.finish();
}
