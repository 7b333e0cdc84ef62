//! Cgroups: which there are, what a container gets of them, and systemd, which may make them.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, Mode, OFlags, access, open};

use super::{Check, Status, WITHOUT_PROC};
use crate::cgroup::layout::{Layout, delegated};
use crate::cgroup::{Host, Version, systemd};
use crate::command::Systemd;
use crate::error::{Context, Result};

/// Those that linux.resources has limits for, as v2 and v1 call them.
const CONTROLLERS: [(&str, &str); 6] = [
    ("cpu", "cpu"),
    ("cpuset", "cpuset"),
    ("io", "blkio"),
    ("memory", "memory"),
    ("pids", "pids"),
    ("hugetlb", "hugetlb"),
];
const MOUNT: &str = "mount -t cgroup2 cgroup2 /sys/fs/cgroup";
const ENABLE: &str = "containers without such limits need none of them; the kernel's command line may have switched them \
                      off (cgroup_disable=), or its configuration";
const HAND_DOWN: &str = "containers without such limits need none of them; systemd gives users those of Delegate= in \
                         user@.service";
const NOT_FOR_USERS: &str = "v1 is for root";
const DELEGATE: &str = "limits need a cgroup of the user's own: --systemd-cgroup, or a service with Delegate=yes";

/// A host that has not answered by then is not one to make containers on.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn checks(rootless: bool, whose: Systemd) -> Vec<Check> {
    let otherwise = if rootless { Status::Optional } else { Status::Missing };
    let found = Host::detect().and_then(|host| Ok((Layout::of(&host)?, host)));
    let (layout, host) = match found {
        Ok(found) => found,
        Err(error) => return vec![Check::of("cgroups", Err(error), otherwise, WITHOUT_PROC)],
    };
    if layout.versions.is_empty() {
        let none = Check::missing("cgroups", "no cgroup file system is mounted", MOUNT);
        return vec![Check { status: otherwise, ..none }];
    }
    let mut checks = vec![
        Check::ok("cgroups", versions(&layout)),
        controllers(&layout, rootless),
        freezer(&layout, rootless),
        devices(&layout, rootless),
    ];
    checks.extend(kill(&layout));
    checks.push(Check::of("systemd", reach(&host, whose), Status::Optional, "leave out --systemd-cgroup"));
    checks
}

fn versions(layout: &Layout) -> &'static str {
    match (layout.versions.contains(&Version::V1), layout.versions.contains(&Version::V2)) {
        (false, _) => "v2",
        (true, true) => "hybrid: v1, and v2 beside it",
        (true, false) => "v1",
    }
}

fn is_unified(layout: &Layout) -> bool {
    layout.versions == [Version::V2]
}

fn controllers(layout: &Layout, rootless: bool) -> Check {
    const NAME: &str = "controllers";
    let (mut has, mut where_to) = (layout.controllers.clone(), String::new());
    if rootless {
        let Some(home) = layout.home.as_deref().filter(|_| is_unified(layout)) else {
            return Check::optional(NAME, NOT_FOR_USERS, "limits of a user's containers need v2 alone");
        };
        let writable = access(home, Access::WRITE_OK).at("write to", home);
        match writable.and_then(|()| delegated(home)) {
            Ok(delegated) => has = delegated,
            Err(error) => return Check::optional(NAME, error.message(), DELEGATE),
        }
        where_to = format!(" in {}", home.display());
    }
    let there = |(v2, v1): &(&str, &str)| has.iter().any(|it| it == v2 || it == v1);
    let names = |wanted: bool| {
        let some = CONTROLLERS.iter().filter(|names| there(names) == wanted).map(|(v2, _)| *v2);
        some.collect::<Vec<_>>().join(" ")
    };
    let (here, lacking) = (names(true), names(false));
    let advice = if rootless { HAND_DOWN } else { ENABLE };
    match lacking.is_empty() {
        true => Check::ok(NAME, format!("{here}{where_to}")),
        false if here.is_empty() => Check::optional(NAME, format!("none of {lacking}{where_to}"), advice),
        false => Check::optional(NAME, format!("{here}{where_to}; not {lacking}"), advice),
    }
}

fn freezer(layout: &Layout, rootless: bool) -> Check {
    const NAME: &str = "freezer";
    if is_unified(layout) {
        return Check::ok(NAME, "a part of v2");
    }
    if rootless {
        return Check::optional(NAME, NOT_FOR_USERS, "pause and resume by a user need v2 alone");
    }
    if layout.has(NAME) {
        return Check::ok(NAME, "of v1");
    }
    let mount = "pause and resume need it: mount -t cgroup -o freezer cgroup /sys/fs/cgroup/freezer";
    Check::optional(NAME, "no freezer of v1 is mounted", mount)
}

/// By v1's controller, or v2's programs: the kernel lists those of a cgroup only to who may attach some.
fn devices(layout: &Layout, rootless: bool) -> Check {
    if rootless {
        return Check::optional(
            "devices",
            "a user's containers have devices by the permissions of the files alone",
            "run hilum as root, where linux.resources.devices is to count",
        );
    }
    if layout.has("devices") {
        return Check::ok("devices", "the controller of v1");
    }
    let listed = layout.home.as_deref().map_or(Ok(()), |home| {
        let cgroup =
            open(home, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at("open", home)?;
        hilum_sys::bpf::attached(cgroup.as_fd()).map(drop).context("bpf: list the device programs of a cgroup")
    });
    Check::of(
        "devices",
        listed.map(|()| "programs of v2 (BPF)".into()),
        Status::Missing,
        "it takes CAP_SYS_ADMIN outside of user namespaces, and a kernel with CONFIG_CGROUP_BPF",
    )
}

/// The file is in every cgroup but the root.
fn kill(layout: &Layout) -> Option<Check> {
    let home = layout.home.as_deref()?;
    let below = std::fs::read_dir(home).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let has = |path: &Path| path.join("cgroup.kill").exists();
    // None to look into.
    let known = has(home) || has(&below.into_iter().next()?);
    Some(match known {
        true => Check::ok("cgroup.kill", "known to the kernel"),
        false => Check::optional(
            "cgroup.kill",
            "not known to the kernel",
            "nothing: processes are killed one by one; Linux 5.14 does it at once",
        ),
    })
}

fn reach(host: &Host, whose: Systemd) -> Result<String> {
    systemd::check_host(host)?;
    let bus = systemd::Bus::find(whose == Systemd::User)?;
    let facts = systemd::Manager::connect_within(&bus, PATIENCE)?.facts()?;
    Ok(format!("version {}, at {}", facts.version, bus.address))
}
