//! `features`: what this build on this host can do, in the shape of runtime-spec's features.md.

use hilum_sys::namespace::Kind;
use serde_json::json;

use crate::error::{Error, Result};
use crate::plan::{capability, idmapped, memory_policy, names, options, seccomp};
use crate::pod::{JOIN, POD};
use crate::proc;
use crate::state::OCI_VERSION;

pub fn run() -> Result<u8> {
    let namespaces: Vec<_> = proc::kinds().into_iter().map(Kind::spec_name).collect();
    let document = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": options::names(),
        "linux": {
            "namespaces": namespaces,
            "capabilities": capability::names(),
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": seccomp::known_actions(),
                "operators": seccomp::known_operators(),
                "archs": seccomp::known_archs(),
                "knownFlags": seccomp::known_flags(),
                "supportedFlags": seccomp::supported_flags(),
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": { "modes": names::all(memory_policy::MODES), "flags": names::all(memory_policy::FLAGS) },
            "mountExtensions": { "idmap": { "enabled": idmapped::is_known_to_kernel() } },
            "netDevices": { "enabled": true },
        },
        // Whoever may write these may have other namespaces, or other properties of a unit. A dot at the end: a prefix.
        "potentiallyUnsafeConfigAnnotations": [JOIN, POD, "org.systemd.property."],
        "annotations": {
            "io.github.seccomp.libseccomp.version": seccomp::version(),
            "org.hilum.version": env!("CARGO_PKG_VERSION"),
        },
    });
    let text = serde_json::to_string_pretty(&document).map_err(|e| Error::new(e.to_string()))?;
    super::print(&(text + "\n"))?;
    Ok(0)
}
