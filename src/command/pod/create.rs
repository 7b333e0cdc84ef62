//! `pod create`.

use std::collections::BTreeMap;

use clap::ArgMatches;
use hilum_sys::namespace::Kind;

use super::{pod_name, text};
use crate::cgroup::Host;
use crate::command::creation::connect;
use crate::command::resources::{bytes, given, parse};
use crate::command::{Global, texts};
use crate::error::{Error, Result};
use crate::pod::{self, PARENT, Wish, parse_kind};
use crate::spec::config::{IdMapping, Linux, Namespace, Spec, TimeOffset};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let wish = wish(global, args)?;
    let host = Host::detect()?;
    let mut systemd = connect(global, &host)?;
    pod::make(&global.pods, wish, &host, systemd.as_mut())?;
    Ok(0)
}

/// In the terms of config.json, so that everything else need not know where it comes from.
fn wish(global: &Global, args: &ArgMatches) -> Result<Wish> {
    let name = pod_name(args)?;
    let share = text(args, "share").unwrap_or_default();
    let mut kinds = share.split(',').filter(|kind| !kind.is_empty()).map(parse_kind).collect::<Result<Vec<_>>>()?;
    kinds.sort();
    kinds.dedup();
    let shares = |kind| kinds.contains(&kind);
    needs(args, &kinds, &[("hostname", Kind::Uts), ("domainname", Kind::Uts), ("net-path", Kind::Net)])?;
    needs(args, &kinds, &[("uidmap", Kind::User), ("gidmap", Kind::User), ("time-offset", Kind::Time)])?;

    let net_path = text(args, "net-path").unwrap_or_default();
    let namespaces = kinds.iter().map(|kind| {
        let path = if *kind == Kind::Net { net_path.to_string() } else { String::new() };
        Namespace { kind: kind.spec_name().into(), path }
    });
    let uid_mappings = mappings(args, "uidmap")?;
    let gid_mappings = match mappings(args, "gidmap")? {
        none if none.is_empty() => uid_mappings.clone(),
        given => given,
    };
    let hostname = if shares(Kind::Uts) { text(args, "hostname").unwrap_or(name) } else { "" };
    let spec = Spec {
        hostname: hostname.into(),
        domainname: text(args, "domainname").unwrap_or_default().into(),
        linux: Linux {
            namespaces: namespaces.collect(),
            uid_mappings,
            gid_mappings,
            sysctl: pairs(args, "sysctl")?,
            time_offsets: time_offsets(args)?,
            cgroups_path: cgroups_path(global, args, name),
            resources: Some(parse(&given(args)?)?),
            ..Linux::default()
        },
        ..Spec::default()
    };
    let shm_size = match shares(Kind::Ipc) {
        true => Some(size(args, "shm-size")?),
        false => None,
    };
    Ok(Wish { name: name.into(), spec, shm_size, rootless: global.rootless })
}

/// Options that mean nothing unless a kind of namespace is shared.
fn needs(args: &ArgMatches, kinds: &[Kind], options: &[(&str, Kind)]) -> Result<()> {
    for (option, kind) in options {
        if args.contains_id(option) && !kinds.contains(kind) {
            return Err(Error::new(format!("--{option}: the pod shares no {} namespace", kind.spec_name()))
                .hint(format!("add {} to --share", kind.proc_name())));
        }
    }
    Ok(())
}

/// What systemd makes for a pod is a slice, in whose name a dash would mean another slice (systemd.slice(5)).
fn cgroups_path(global: &Global, args: &ArgMatches, name: &str) -> String {
    match (text(args, "cgroup"), global.systemd) {
        (Some(path), _) => path.into(),
        (None, None) if global.rootless => String::new(),
        (None, None) => format!("/{PARENT}/{name}"),
        (None, Some(_)) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            let escape = |c: char| if plain(c) { c.to_string() } else { format!("\\x{:02x}", u32::from(c)) };
            format!("::hilum-{}.slice", name.chars().map(escape).collect::<String>())
        }
    }
}

fn size(args: &ArgMatches, option: &str) -> Result<u64> {
    let text = text(args, option).unwrap_or_default();
    let size = bytes(text).and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0);
    size.ok_or_else(|| invalid(option, text))
}

fn invalid(option: &str, text: &str) -> Error {
    Error::new(format!("invalid value for --{option}: {text:?}"))
}

fn pairs(args: &ArgMatches, option: &str) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| invalid(option, text))?;
        Ok((name.to_string(), value.to_string()))
    };
    texts(args, option).iter().map(pair).collect()
}

/// `CONTAINER:HOST:SIZE`, as podman takes them.
fn mappings(args: &ArgMatches, option: &str) -> Result<Vec<IdMapping>> {
    let mapping = |text: &String| {
        let numbers: Option<Vec<u32>> = text.split(':').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[container_id, host_id, size]) => Ok(IdMapping { container_id, host_id, size }),
            _ => Err(invalid(option, text).hint("give CONTAINER:HOST:SIZE, such as 0:100000:65536")),
        }
    };
    texts(args, option).iter().map(mapping).collect()
}

fn time_offsets(args: &ArgMatches) -> Result<BTreeMap<String, TimeOffset>> {
    let offset = |(clock, text): (String, String)| {
        let secs = text.parse().map_err(|_| invalid("time-offset", &format!("{clock}={text}")))?;
        Ok((clock, TimeOffset { secs, nanosecs: 0 }))
    };
    pairs(args, "time-offset")?.into_iter().map(offset).collect()
}
