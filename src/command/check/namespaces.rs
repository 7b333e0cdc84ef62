//! Namespaces: the kinds that the kernel has, and who may make those of users.

use hilum_sys::namespace::Kind;

use super::{Check, Status, WITHOUT_PROC};
use crate::proc;

/// In the default config.json of every client.
const NEEDED: [Kind; 5] = [Kind::Mount, Kind::Pid, Kind::Net, Kind::Ipc, Kind::Uts];
const BUILD: &str = "boot a kernel that is built with them (CONFIG_NAMESPACES, CONFIG_USER_NS, CONFIG_TIME_NS …)";

pub fn checks() -> Vec<Check> {
    let kinds = proc::kinds();
    if kinds.is_empty() {
        let detail = "not to be seen without /proc/self/ns";
        return vec![
            Check::missing("namespaces", detail, WITHOUT_PROC),
            Check::optional("userns", detail, WITHOUT_PROC),
        ];
    }
    vec![all(&kinds), users(&kinds)]
}

fn all(kinds: &[Kind]) -> Check {
    let names = |kinds: &[Kind]| kinds.iter().map(|kind| kind.spec_name()).collect::<Vec<_>>().join(" ");
    let lacking: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !kinds.contains(kind)).collect();
    let detail = names(kinds);
    if lacking.is_empty() {
        return Check::ok("namespaces", detail);
    }
    let detail = format!("{detail}; not {}", names(&lacking));
    match lacking.iter().any(|kind| NEEDED.contains(kind)) {
        true => Check::missing("namespaces", detail, BUILD),
        false => Check::optional("namespaces", detail, BUILD),
    }
}

/// Who is not root has no other way to a container.
fn users(kinds: &[Kind]) -> Check {
    let user = !rustix::process::geteuid().is_root();
    let forbidden = if user { Status::Missing } else { Status::Optional };
    let check = |detail: String, advice: &str| Check { status: forbidden, ..Check::missing("userns", detail, advice) };
    if !kinds.contains(&Kind::User) {
        return check("the kernel has no user namespaces".into(), "boot a kernel that has them (CONFIG_USER_NS)");
    }
    let most = sysctl("user/max_user_namespaces");
    if most.as_deref() == Some("0") {
        return check("user.max_user_namespaces is 0".into(), "sysctl user.max_user_namespaces=15000");
    }
    if user && sysctl("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        let detail = "kernel.unprivileged_userns_clone is 0: for root alone".into();
        return check(detail, "sysctl kernel.unprivileged_userns_clone=1");
    }
    if user && sysctl("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") && unconfined() {
        return check(
            "kernel.apparmor_restrict_unprivileged_userns is 1, and no AppArmor profile lets hilum make them".into(),
            "give hilum a profile with `userns,`, or sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        );
    }
    Check::ok("userns", most.map_or("allowed".into(), |most| format!("user.max_user_namespaces is {most}")))
}

fn sysctl(name: &str) -> Option<String> {
    let text = proc::read(format!("/proc/sys/{name}")).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_string())
}

/// The restriction is for who has no profile.
fn unconfined() -> bool {
    let read = |path| proc::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
    let label = read("/proc/self/attr/apparmor/current").or_else(|_| read("/proc/self/attr/current"));
    label.is_ok_and(|label| label.starts_with("unconfined"))
}
