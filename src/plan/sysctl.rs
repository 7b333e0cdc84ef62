//! linux.sysctl: only what belongs to a namespace of the container's own may be set (sysctl(8), namespaces(7)).

use hilum_init::step::Step;
use hilum_sys::namespace::Kind;

use super::Builder;
use super::namespace::Namespaces;
use crate::error::{Error, Result};
use crate::spec::config::Spec;

/// ipc_namespaces(7).
const IPC: &[&str] = &[
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

pub fn plan(b: &mut Builder<'_>, spec: &Spec, ns: &Namespaces) {
    for (key, value) in &spec.linux.sysctl {
        b.part("linux.sysctl", |b| one(b, spec, ns, key, value));
    }
}

fn one(b: &mut Builder<'_>, spec: &Spec, ns: &Namespaces, key: &str, value: &str) -> Result<()> {
    let path = path_of(key);
    let property = format!("linux.sysctl[{key:?}]");
    let kind = check(&path, &property, spec, ns)?;
    let step = Step::ProcWrite {
        path: b.text(format!("sys/{path}"), &property)?,
        value: b.text(value, &property)?,
        // In a namespace that others live in, what is so already stays untouched.
        unless_equal: ns.join(kind).is_some(),
    };
    let now = || std::fs::read_to_string(format!("/proc/sys/{path}")).ok();
    if ns.must_set(b, kind, (&property, value), now)? {
        b.push(step);
    }
    Ok(())
}

/// As sysctl(8) reads names: the first separator decides, and in the dotted form a slash stands for a dot in a name.
fn path_of(key: &str) -> String {
    match key.find(['.', '/']).and_then(|at| key.as_bytes().get(at)) {
        Some(b'.') => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => key.to_string(),
    }
}

fn ns_of(path: &str) -> Option<Kind> {
    if IPC.contains(&path) || path.starts_with("fs/mqueue/") {
        Some(Kind::Ipc)
    } else if path.starts_with("net/") {
        Some(Kind::Net)
    } else if path == "kernel/domainname" || path == "kernel/hostname" {
        Some(Kind::Uts)
    } else {
        None
    }
}

/// The kind of namespace that it belongs to.
fn check(path: &str, property: &str, spec: &Spec, ns: &Namespaces) -> Result<Kind> {
    if path.split('/').any(|part| part == ".." || part.is_empty()) {
        return Err(Error::new(format!("{property}: not the name of a sysctl")).hint("write it as sysctl(8) does"));
    }
    for (sysctl, other, value) in
        [("kernel/hostname", "hostname", &spec.hostname), ("kernel/domainname", "domainname", &spec.domainname)]
    {
        if path == sysctl && !value.is_empty() {
            return Err(Error::new(format!("{property}: {other} says the same thing")).hint("give one of them"));
        }
    }
    match ns_of(path) {
        None => Err(Error::new(format!("{property}: is not in a separate kernel namespace"))
            .hint("remove it, or set it on the host")),
        Some(kind) if !ns.is_private(kind) => {
            Err(Error::new(format!("{property}: not allowed in the host's {} namespace", kind.spec_name()))
                .hint(format!("add {{\"type\": \"{}\"}} to linux.namespaces", kind.spec_name())))
        }
        Some(kind) => Ok(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::Conflicts;
    use crate::spec::config::Namespace;

    #[test]
    fn names_are_read_as_sysctl_reads_them() {
        assert_eq!(path_of("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path_of("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }

    #[test]
    fn only_what_a_private_namespace_holds_may_be_set() {
        let spec = Spec::default();
        let host = Namespaces::default();
        for (path, why) in [
            ("net/core/somaxconn", "host's network namespace"),
            ("kernel/shmmax", "host's ipc namespace"),
            ("kernel/panic", "not in a separate kernel namespace"),
            ("net/../kernel/panic", "not the name of a sysctl"),
        ] {
            let error = check(path, "p", &spec, &host).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let named = Spec { hostname: "h".into(), domainname: "d".into(), ..Spec::default() };
        for name in ["hostname", "domainname"] {
            let error = check(&format!("kernel/{name}"), "p", &named, &host).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} says the same thing")), "{error}");
        }
        let ipc = [Namespace { kind: "ipc".into(), ..Default::default() }];
        let private = Conflicts::none(|conflicts| Namespaces::plan(&ipc, None, conflicts)).unwrap();
        assert!(check("kernel/shmmax", "p", &spec, &private).is_ok());
    }
}
