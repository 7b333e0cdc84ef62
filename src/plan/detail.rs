//! What belongs to a step besides its name: for `plan`, which shows a step whole.

use hilum_init::step::{Attr, Capabilities, Scheduler, Source, Step, Str, Strs, Words};

use super::{bits, capability, memory_policy, names, options, scheduling};

/// The part of a creation that a step belongs to.
pub fn topic(step: &Step<'_>) -> &'static str {
    use hilum_init::step::Point;
    match step {
        Step::Join { .. }
        | Step::EnterRoot { .. }
        | Step::Unshare { .. }
        | Step::UnshareMounts { .. }
        | Step::BecomeRoot
        | Step::TimeOffsets { .. }
        | Step::Fork { .. }
        | Step::LoopbackUp
        | Step::End => "namespaces",
        Step::Wait(Point::IdMaps) => "id maps",
        Step::Wait(Point::NetDevices) => "network",
        Step::EnterCgroup | Step::Wait(Point::Cgroup) => "cgroup",
        Step::Propagation { .. }
        | Step::PrivateParent { .. }
        | Step::OpenRoot { .. }
        | Step::AttachRoot { .. }
        | Step::OpenRootInPlace { .. }
        | Step::ReadonlyRoot
        | Step::Pivot { .. }
        | Step::MoveRoot(_)
        | Step::Chroot
        | Step::RootPropagation { .. } => "root",
        Step::Mount(_) | Step::Bind(_) | Step::Remount { .. } | Step::Directory { .. } => "mounts",
        Step::Node { .. } | Step::Symlink { .. } | Step::Console { .. } => "devices",
        Step::Mask { .. } | Step::ReadonlyPath { .. } => "masks",
        Step::Hook(_) | Step::Wait(Point::RuntimeHooks | Point::HookState) => "hooks",
        Step::Hostname { .. } | Step::Domainname { .. } => "names",
        Step::ProcWrite { path, .. } if path.0.to_bytes().starts_with(b"sys/") => "sysctls",
        Step::Rlimit { .. } => "limits",
        Step::Scheduler(_) | Step::IoPriority { .. } | Step::Affinity { .. } | Step::MemoryPolicy { .. } => {
            "scheduling"
        }
        Step::Wait(Point::Seccomp) | Step::Seccomp { .. } => "seccomp",
        Step::OwnStdio { .. } | Step::User { .. } | Step::Umask { .. } => "ids",
        Step::BoundingSet { .. } | Step::Capabilities(_) | Step::NoNewPrivileges => "capabilities",
        Step::ProcWrite { .. }
        | Step::NotDumpable
        | Step::SessionKeyring { .. }
        | Step::NewSession
        | Step::Personality { .. }
        | Step::Chdir { .. }
        | Step::FindProgram { .. }
        | Step::Wait(Point::Ready)
        | Step::AwaitStart
        | Step::Exec { .. }
        | Step::Reap => "process",
    }
}

/// Its options and values, if it has any.
pub fn detail(step: &Step<'_>) -> Option<String> {
    let text = match step {
        Step::TimeOffsets { lines } => string(lines).trim_end().replace('\n', ", "),
        Step::SessionKeyring { name, .. } => string(name),
        Step::Propagation { flags } | Step::RootPropagation { flags } => options::propagation_name(*flags).into(),
        Step::Mount(it) => {
            let mut all = attributes(Attr { set: it.attr, clear: 0 }, "");
            all.extend(propagation(it.propagation));
            all.extend(it.options.iter().map(|option| option.to_string_lossy().into_owned()));
            all.join(",")
        }
        Step::Bind(it) => {
            let mut all = vec![if it.recursive { "rbind".to_string() } else { "bind".to_string() }];
            all.extend(attributes(it.attr, ""));
            all.extend(attributes(it.recursive_attr, "r"));
            all.extend(propagation(it.propagation));
            if let Source::Tree { idmap: Some(recursive), .. } = it.source {
                all.push(if recursive { options::RIDMAP } else { options::IDMAP }.into());
            }
            all.join(",")
        }
        Step::Remount { attr, recursive, propagation: of, .. } => {
            let mut all = attributes(*attr, if *recursive { "r" } else { "" });
            all.extend(propagation(*of));
            all.join(",")
        }
        Step::Node { mode, device, uid, gid, .. } => {
            let kind = match mode & 0o170_000 {
                0o060_000 => "b",
                0o010_000 => "p",
                _ => "c",
            };
            let (major, minor) = (rustix::fs::major(*device), rustix::fs::minor(*device));
            format!("{kind} {major}:{minor}, mode {:o}, of {uid}:{gid}", mode & 0o7777)
        }
        Step::Console { rows, cols, .. } if *rows != 0 => format!("{cols}x{rows}"),
        Step::Hook(it) => words(it.args),
        Step::ProcWrite { unless_equal: true, .. } => "unless it is so".into(),
        Step::User { groups: Words([]), .. } => String::new(),
        Step::User { groups, .. } => {
            let groups: Vec<_> = groups.iter().map(|group| group.to_string()).collect();
            format!("and of the groups {}", groups.join(","))
        }
        Step::Scheduler(it) => scheduler(it),
        Step::MemoryPolicy { mode, nodes } => memory_policy(*mode, *nodes),
        Step::BoundingSet { keep } => format!("all but {}", capability_list(*keep)),
        Step::Capabilities(it) => sets(it),
        Step::FindProgram { candidates, .. } => words(*candidates),
        Step::Exec { args, env, .. } => format!("{}; {} variables", words(*args), env.iter().count()),
        _ => String::new(),
    };
    Some(text).filter(|text| !text.is_empty())
}

fn string(text: &Str<'_>) -> String {
    text.0.to_string_lossy().into_owned()
}

fn words(texts: Strs<'_>) -> String {
    texts.iter().map(|text| text.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn attributes(attr: Attr, prefix: &str) -> Vec<String> {
    options::attribute_names(attr).into_iter().map(|name| format!("{prefix}{name}")).collect()
}

fn propagation(flags: u32) -> Option<String> {
    (flags != 0).then(|| options::propagation_name(flags).to_string())
}

fn capability_list(mask: u64) -> String {
    match capability::names_of(mask).as_slice() {
        [] => "none".into(),
        names => names.join(" "),
    }
}

/// Of its values those that are set.
fn scheduler(it: &Scheduler) -> String {
    let values = [
        ("nice", it.nice.to_string()),
        ("priority", it.priority.to_string()),
        ("runtime", it.runtime.to_string()),
        ("deadline", it.deadline.to_string()),
        ("period", it.period.to_string()),
    ];
    let values = values.iter().filter(|(_, value)| value != "0").map(|(name, value)| format!("{name} {value}"));
    values.chain(names::of_flags(scheduling::FLAGS, it.flags).map(String::from)).collect::<Vec<_>>().join(", ")
}

fn memory_policy(mode: u32, nodes: Words<'_>) -> String {
    let nodes = Some(bits::list(nodes)).filter(|list| !list.is_empty()).map(|list| format!("nodes {list}"));
    let flags = names::of_flags(memory_policy::FLAGS, mode).map(String::from);
    nodes.into_iter().chain(flags).collect::<Vec<_>>().join(", ")
}

/// Sets that are equal are said once.
fn sets(it: &Capabilities) -> String {
    let mut said: Vec<(u64, String)> = Vec::new();
    for (name, mask) in [
        ("effective", it.effective),
        ("permitted", it.permitted),
        ("inheritable", it.inheritable),
        ("ambient", it.ambient),
    ] {
        match said.iter_mut().find(|(other, _)| *other == mask) {
            Some((_, names)) => names.push_str(&format!(", {name}")),
            None => said.push((mask, name.to_string())),
        }
    }
    let lines: Vec<_> = said.iter().map(|(mask, names)| format!("{names}: {}", capability_list(*mask))).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_of_capabilities_are_said_once() {
        let it = Capabilities { effective: 1 << 5, permitted: 1 << 5, inheritable: 0, ambient: 0 };
        assert_eq!(sets(&it), "effective, permitted: CAP_KILL; inheritable, ambient: none");
    }

    #[test]
    fn of_a_scheduler_and_a_memory_policy_is_said_what_is_set() {
        let it = Scheduler { policy: 1, flags: 1, priority: 7, ..Scheduler::default() };
        assert_eq!(detail(&Step::Scheduler(it)).unwrap(), "priority 7, SCHED_FLAG_RESET_ON_FORK");
        assert_eq!(detail(&Step::Scheduler(Scheduler::default())), None);
        let policy = Step::MemoryPolicy { mode: 2 | 1 << 15, nodes: Words(&[3, 0, 0, 0]) };
        assert_eq!(detail(&policy).unwrap(), "nodes 0-1, MPOL_F_STATIC_NODES");
    }

    #[test]
    fn a_device_is_said_with_its_numbers() {
        let device = rustix::fs::makedev(1, 3);
        let node = Step::Node { path: Str(c"/dev/null"), mode: 0o020_666, device, uid: 0, gid: 5 };
        assert_eq!(detail(&node).unwrap(), "c 1:3, mode 666, of 0:5");
    }
}
