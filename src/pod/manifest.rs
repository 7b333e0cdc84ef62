//! What a pod is asked to be: by the options of `pod create`, or by the file that `pod run` takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hilum_sys::namespace::Kind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PARENT, Wish, parse_kind};
use crate::error::{Context, Error, Result};
use crate::spec::amount::{Bytes, CPU_PERIOD, cpu_quota};
use crate::spec::config::{IdMapping, Linux, Namespace, Resources, Spec, TimeOffset};
use crate::spec::{self};

const USUAL_SHARE: [&str; 3] = ["net", "ipc", "uts"];
const USUAL_SHM: i64 = 64 << 20;
/// A manifest larger than this was not written by a person.
const LARGEST: u64 = 1 << 20;
const DEEPEST: usize = 128;

/// docs/pod-manifest.schema.json says what each property is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Manifest {
    pub name: String,
    pub share: Option<Vec<String>>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub sysctl: BTreeMap<String, String>,
    pub shm_size: Option<Bytes>,
    pub uid_mappings: Vec<IdMapping>,
    pub gid_mappings: Vec<IdMapping>,
    pub time_offsets: BTreeMap<String, TimeOffset>,
    pub net_path: Option<String>,
    pub cni: Option<String>,
    pub cgroup: Option<String>,
    pub memory: Option<Bytes>,
    pub cpus: Option<f64>,
    pub pids_limit: Option<i64>,
    pub resources: Option<Value>,
    pub containers: Vec<Wanted>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    pub id: String,
    /// Relative to the manifest.
    pub bundle: PathBuf,
}

/// The scanner looks at all brackets that are open each time that it takes a step: with a million of them it does not end.
fn check_depth(text: &[u8]) -> Result<()> {
    let mut open = 0_usize;
    for byte in text {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > DEEPEST {
            return Err(Error::new(format!("nested deeper than {DEEPEST} brackets")));
        }
    }
    Ok(())
}

impl Manifest {
    pub fn load(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).at("open", path)?;
        let mut it = Self::parse(&spec::limits::read(&file, path, LARGEST)?).at("read", path)?;
        let dir = std::path::absolute(path)?;
        for member in &mut it.containers {
            member.bundle = dir.parent().unwrap_or(Path::new("/")).join(&member.bundle);
        }
        Ok(it)
    }

    /// YAML, of which JSON is a part.
    pub fn parse(text: &[u8]) -> Result<Self> {
        check_depth(text)?;
        serde_yaml_ng::from_slice(text).map_err(|e| Error::new(e.to_string()))
    }

    /// In the terms of config.json, so that everything else need not know where it comes from.
    pub fn wish(&self, rootless: bool, systemd: bool) -> Result<Wish> {
        let kinds = self.kinds()?;
        let namespaces = kinds.iter().map(|kind| {
            let path = self.net_path.clone().filter(|_| *kind == Kind::Net).unwrap_or_default();
            Namespace { kind: kind.spec_name().into(), path, expect: None }
        });
        // Containers of a pod are called as it is, unless it says otherwise, as in Kubernetes.
        let hostname = self.hostname.as_ref().unwrap_or(&self.name);
        let hostname = if kinds.contains(&Kind::Uts) { hostname.clone() } else { String::new() };
        let gid_mappings = if self.gid_mappings.is_empty() { &self.uid_mappings } else { &self.gid_mappings };
        let spec = Spec {
            hostname,
            domainname: self.domainname.clone().unwrap_or_default(),
            linux: Linux {
                namespaces: namespaces.collect(),
                uid_mappings: self.uid_mappings.clone(),
                gid_mappings: gid_mappings.clone(),
                sysctl: self.sysctl.clone(),
                time_offsets: self.time_offsets.clone(),
                cgroups_path: self.cgroups_path(rootless, systemd),
                resources: Some(self.resources()?),
                ..Linux::default()
            },
            ..Spec::default()
        };
        let shm_size = match (kinds.contains(&Kind::Ipc), self.shm_size.map_or(USUAL_SHM, |size| size.0)) {
            (false, _) => None,
            (true, size @ 1..) => Some(size.unsigned_abs()),
            (true, size) => return Err(Error::new(format!("shmSize: {size} bytes are too few"))),
        };
        Ok(Wish { name: self.name.clone(), spec, shm_size, cni: self.cni.clone(), rootless })
    }

    fn kinds(&self) -> Result<Vec<Kind>> {
        let mut kinds = match &self.share {
            Some(names) => names.iter().map(|name| parse_kind(name)).collect::<Result<Vec<_>>>().context("share")?,
            None => USUAL_SHARE.into_iter().map(parse_kind).collect::<Result<Vec<_>>>()?,
        };
        kinds.sort();
        kinds.dedup();
        for (given, property, kind) in [
            (self.hostname.is_some(), "hostname", Kind::Uts),
            (self.domainname.is_some(), "domainname", Kind::Uts),
            (self.shm_size.is_some(), "shmSize", Kind::Ipc),
            (self.net_path.is_some(), "netPath", Kind::Net),
            (self.cni.is_some(), "cni", Kind::Net),
            (!self.uid_mappings.is_empty(), "uidMappings", Kind::User),
            (!self.gid_mappings.is_empty(), "gidMappings", Kind::User),
            (!self.time_offsets.is_empty(), "timeOffsets", Kind::Time),
        ] {
            if given && !kinds.contains(&kind) {
                return Err(Error::new(format!("{property}: the pod shares no {} namespace", kind.spec_name()))
                    .hint(format!("add {} to what it shares", kind.proc_name())));
            }
        }
        if self.net_path.is_some() && self.cni.is_some() {
            return Err(Error::new(
                "netPath: the network namespace is made and configured by somebody else, and cni too",
            )
            .hint("give one of them"));
        }
        if kinds.contains(&Kind::User) && self.uid_mappings.is_empty() {
            return Err(Error::new("share: a user namespace needs to know which ids it has")
                .hint("give --uidmap, or uidMappings in the manifest: 0:100000:65536 is usual"));
        }
        Ok(kinds)
    }

    /// What systemd makes for a pod is a slice, in whose name a dash would mean another slice (systemd.slice(5)).
    fn cgroups_path(&self, rootless: bool, systemd: bool) -> String {
        match &self.cgroup {
            Some(path) => path.clone(),
            None if systemd => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
                let escape = |c: char| if plain(c) { c.to_string() } else { format!("\\x{:02x}", u32::from(c)) };
                format!("::hilum-{}.slice", self.name.chars().map(escape).collect::<String>())
            }
            None if rootless => String::new(),
            None => format!("/{PARENT}/{}", self.name),
        }
    }

    fn resources(&self) -> Result<Resources> {
        let mut all = self.resources.clone().unwrap_or_else(|| json!({}));
        if let Some(Bytes(limit)) = self.memory {
            spec::merge(&mut all, &json!({ "memory": { "limit": limit } }));
        }
        if let Some(cpus) = self.cpus {
            let quota = cpu_quota(cpus).ok_or_else(|| {
                Error::new(format!("cpus: {cpus} is no number of processors")).hint("give 0.01 at the least")
            })?;
            spec::merge(&mut all, &json!({ "cpu": { "quota": quota, "period": CPU_PERIOD } }));
        }
        if let Some(limit) = self.pids_limit {
            spec::merge(&mut all, &json!({ "pids": { "limit": limit } }));
        }
        let resources: Resources = spec::parse(all.to_string().as_bytes()).context("resources")?;
        match resources.devices.is_empty() {
            true => Ok(resources),
            false => Err(Error::new("resources.devices: a pod has no rules for devices; each container has its own")),
        }
    }
}
