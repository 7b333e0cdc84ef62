//! Root without a capability, one at a time: it works, or the error says which one is missing.

use super::{Limit, tally};
use crate::common::*;

const CAPABILITIES: &[&str] = &[
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "net_admin",
    "net_raw",
    "net_bind_service",
    "sys_chroot",
    "sys_ptrace",
    "sys_admin",
    "sys_nice",
    "sys_resource",
    "mknod",
    "setfcap",
    "audit_write",
    "bpf",
    "perfmon",
];

/// What a creation cannot do without.
const NEEDED: &[&str] = &["dac_override", "setgid", "setuid", "setpcap", "net_admin", "sys_admin", "mknod"];

/// A user of its own, and files of that user's: as much as can go wrong.
fn of_a_user() -> Container {
    let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": [5] });
    Container::sleeper().set("process/user", user).set("process/oomScoreAdj", json!(100))
}

#[test]
fn a_missing_capability_is_named() {
    if !hilum_only("text") {
        return;
    }
    let tally = tally("root without a capability");
    for host in Host::all() {
        for name in CAPABILITIES {
            let without = format!("-{name}");
            let says = [format!("hilum lacks CAP_{}, which this needs", name.to_uppercase())];
            let says = [says[0].as_str(), "a pod's namespaces are mounted, which needs CAP_SYS_ADMIN"];
            let limit =
                Limit::new(&tally, name, &["setpriv", "--bounding-set", &without, "--inh-caps", &without], &says);
            let works = limit.life(|| of_a_user().on(host));
            assert_eq!(works, !NEEDED.contains(name), "{host:?} without {name}");
        }
    }
}

#[test]
fn a_pod_without_a_capability_is_refused_by_its_name() {
    if !hilum_only("pods") {
        return;
    }
    let tally = tally("a pod without a capability");
    for name in ["sys_admin", "net_admin", "dac_override", "sys_chroot", "kill", "sys_ptrace"] {
        let without = format!("-{name}");
        let missing = format!("CAP_{}", name.to_uppercase());
        let says = [missing.as_str(), "be root, or root of a user namespace with a mount namespace of its own"];
        let limit = Limit::new(&tally, name, &["setpriv", "--bounding-set", &without, "--inh-caps", &without], &says);
        limit.pod();
    }
}
