//! What a network is: a chain of plugins with their configuration, found by its name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::plugin::Plugin;
use super::{Attachment, plugin_dirs};
use crate::error::{Context, Error, Result};
use crate::json;

/// A configuration larger than this was not meant to be one.
const LARGEST: u64 = 16 << 20;
/// The versions of the specification whose results have `ips`.
const OLDEST: Version = Version(0, 3, 0);
const NEWEST: Version = Version(1, 1, 0);

/// A network's configuration. Kept with an attachment, it still is what that was made by after the file has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub name: String,
    /// Of the specification: what the plugins are asked to understand.
    pub(super) cni_version: Version,
    pub(super) plugins: Vec<Plugin>,
}

impl Network {
    /// The first of this name in the directories. In each, lists (`*.conflist`) come before single plugins (`*.conf`,
    /// `*.json`), and otherwise the names of the files decide, as with libcni; it gives up at a broken file, and this
    /// names it when the network is not found in the others.
    pub fn load(name: &str, dirs: &[PathBuf]) -> Result<Self> {
        let (mut others, mut broken) = (BTreeSet::new(), Vec::new());
        for path in files(dirs)? {
            match read(&path) {
                Ok((found, config)) if found == name => {
                    return parse(config).context(format!("network {name}: {}", path.display()));
                }
                Ok((other, _)) => drop(others.insert(other)),
                Err(e) => broken.push(e.to_string()),
            }
        }
        let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let others: Vec<_> = others.into_iter().collect();
        let mut known =
            if others.is_empty() { "there is none".to_string() } else { format!("there is {}", others.join(", ")) };
        for e in broken {
            known = format!("{known}; cannot {e}");
        }
        Err(Error::new(format!("no network {name:?} in {}: {known}", dirs.join(", "))))
    }

    /// What will be known of the container `container_id` in this network, before anything is done: plugins keep what
    /// they do under the network's name, this id and the interface's name, so the id must be unique on the host. `args`
    /// reach the plugins as CNI_ARGS.
    pub fn attachment(&self, container_id: &str, ifname: &str, args: &[(&str, &str)]) -> Result<Attachment> {
        Attachment::new(self, container_id, ifname, args, plugin_dirs())
    }
}

/// The files of all directories, in the order in which they count.
fn files(dirs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for dir in dirs {
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.at("read", dir)?,
        };
        let (mut lists, mut singles) = (Vec::new(), Vec::new());
        for entry in entries {
            let path = entry.at("read", dir)?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("conflist") => lists.push(path),
                Some("conf" | "json") => singles.push(path),
                _ => {}
            }
        }
        lists.sort();
        singles.sort();
        all.append(&mut lists);
        all.append(&mut singles);
    }
    Ok(all)
}

/// The network's name, and all of the file.
fn read(path: &Path) -> Result<(String, Map<String, Value>)> {
    if fs::metadata(path).at("read", path)?.len() > LARGEST {
        return Err(Error::new("too large")).at("read", path);
    }
    let text = fs::read(path).at("read", path)?;
    let config: Map<String, Value> = json::parse(&text).at("parse", path)?;
    match config.get("name") {
        Some(Value::String(name)) => Ok((name.clone(), config)),
        _ => Err(Error::new("there is no name")).at("parse", path),
    }
}

fn parse(mut config: Map<String, Value>) -> Result<Network> {
    let cni_version = version(&config)?;
    let name = config.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
    if !is_id(&name) {
        return Err(Error::new("name: letters and digits, and behind the first one also _ . and -"));
    }
    let plugins = match config.remove("plugins") {
        Some(plugins) => plugins,
        // A file with one plugin has its properties where a list has its own.
        None if config.contains_key("type") => Value::Array(vec![Value::Object(config)]),
        None => return Err(Error::new("there are no plugins")),
    };
    let Value::Array(plugins) = plugins else { return Err(Error::new("plugins: not a list")) };
    let plugin = |(nth, it): (usize, Value)| {
        Plugin::deserialize(it).map_err(|e| Error::new(e.to_string())).context(format!("plugins[{nth}]"))
    };
    let plugins: Vec<Plugin> = plugins.into_iter().enumerate().map(plugin).collect::<Result<_>>()?;
    if plugins.is_empty() {
        return Err(Error::new("there are no plugins"));
    }
    Ok(Network { name, cni_version, plugins })
}

/// The newest one of those that it offers and that there is a use for.
fn version(config: &Map<String, Value>) -> Result<Version> {
    let single = config.get("cniVersion").into_iter();
    let several = config.get("cniVersions").and_then(Value::as_array).into_iter().flatten();
    let mut offered = Vec::new();
    for value in single.chain(several) {
        let version = Version::deserialize(value).map_err(|e| Error::new(format!("cniVersion {value}: {e}")))?;
        offered.push(version);
    }
    let known = offered.iter().filter(|version| (OLDEST..=NEWEST).contains(version)).max();
    known.copied().ok_or_else(|| match offered.iter().max() {
        Some(version) => Error::new(format!("cniVersion {version} is not one from {OLDEST} to {NEWEST}")),
        None => Error::new("there is no cniVersion").hint(format!("give one from {OLDEST} to {NEWEST}")),
    })
}

/// Names that the specification allows for networks and containers: plugins use them as names of files.
pub(super) fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// `1.1.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Version(pub u32, pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some([major, minor, patch]) => Ok(Self(*major, *minor, *patch)),
            Some([major, minor]) => Ok(Self(*major, *minor, 0)),
            _ => Err("not a version"),
        }
    }
}
