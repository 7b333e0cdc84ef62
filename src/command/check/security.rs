//! What confines containers besides namespaces: seccomp, AppArmor, SELinux.

use super::Check;
use crate::plan::{SecurityModules, seccomp};
use crate::proc;

pub fn checks() -> Vec<Check> {
    let modules = SecurityModules::detect();
    vec![
        filters(),
        module(
            "apparmor",
            modules.apparmor,
            "only containers with process.apparmorProfile need it: boot with apparmor=1",
        ),
        module("selinux", modules.selinux, "only containers with process.selinuxLabel need it: boot with selinux=1"),
    ]
}

fn filters() -> Check {
    let library = format!("libseccomp {}", seccomp::version());
    if !seccomp::is_known_to_kernel() {
        let detail = format!("{library}, and no filters in the kernel");
        let advice =
            "only containers with linux.seccomp need it, as those of Docker and podman do (CONFIG_SECCOMP_FILTER)";
        return Check::optional("seccomp", detail, advice);
    }
    let actions = proc::read("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let actions = String::from_utf8_lossy(&actions).trim().to_string();
    match actions.is_empty() {
        true => Check::ok("seccomp", library),
        false => Check::ok("seccomp", format!("{library}; actions: {actions}")),
    }
}

fn module(name: &'static str, enabled: bool, advice: &str) -> Check {
    if enabled { Check::ok(name, "enabled") } else { Check::optional(name, "not enabled", advice) }
}
