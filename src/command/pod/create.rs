//! `pod create`.

use std::collections::BTreeMap;

use clap::ArgMatches;

use super::{pod_name, text};
use crate::cgroup::Host;
use crate::command::preparation::connect;
use crate::command::resources::given;
use crate::command::{Global, texts};
use crate::error::{Error, Result};
use crate::pod::{self, Manifest, Pod};
use crate::spec::amount::{Bytes, bytes};
use crate::spec::config::{IdMapping, TimeOffset};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    make(global, &manifest(args)?).map(|_| 0)
}

pub fn make(global: &Global, manifest: &Manifest) -> Result<Pod> {
    let wish = manifest.wish(global.rootless(), global.systemd.is_some())?;
    let host = Host::detect()?;
    let mut systemd = connect(global, &host)?;
    pod::make(&global.pods(), wish, &host, systemd.as_mut())
}

fn manifest(args: &ArgMatches) -> Result<Manifest> {
    let own = |option| text(args, option).map(String::from);
    let share = text(args, "share").map(|kinds| kinds.split(',').filter(|kind| !kind.is_empty()).map(String::from));
    let shm_size = match text(args, "shm-size") {
        Some(text) => Some(Bytes(bytes(text).ok_or_else(|| invalid("shm-size", text))?)),
        None => None,
    };
    Ok(Manifest {
        name: pod_name(args)?.into(),
        share: share.map(Iterator::collect),
        hostname: own("hostname"),
        domainname: own("domainname"),
        sysctl: pairs(args, "sysctl")?,
        shm_size,
        uid_mappings: mappings(args, "uidmap")?,
        gid_mappings: mappings(args, "gidmap")?,
        time_offsets: time_offsets(args)?,
        net_path: own("net-path"),
        cni: own("cni"),
        cgroup: own("cgroup"),
        resources: Some(given(args)?),
        ..Manifest::default()
    })
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
