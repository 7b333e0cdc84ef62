//! A container in a network: the chain of plugins run forwards to make it, and backwards to undo it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hilum_sys::namespace::NSFS_MAGIC;
use rustix::fs::statfs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::network::{Version, is_id};
use super::plugin::{self, Plugin};
use super::{Network, cni_path};
use crate::error::{Context, Error, Result};
use crate::json;
use crate::log;

/// The usual plugins take some ten milliseconds; one that asks a server on the network may wait for it.
const LIMIT: Duration = Duration::from_secs(60);
/// IFNAMSIZ, less the final NUL.
const LONGEST_IFNAME: usize = 15;
/// From this version of the specification on, the plugins are told at a DEL what the ADD has made.
const DEL_HAS_RESULT: Version = Version(0, 4, 0);

/// All that is needed to make it and to undo it, at any later time: to be kept as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    pub network: Network,
    pub container_id: String,
    pub ifname: String,
    /// CNI_ARGS.
    args: String,
    /// What there is to say about its capabilities (`portMappings`, `bandwidth`, …), for the plugins that have them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub capabilities: Map<String, Value>,
    /// Where the plugins were found.
    plugin_dirs: Vec<PathBuf>,
    /// What the network has made, in the words of the specification; `None` before, and if that failed.
    pub result: Option<Value>,
}

/// An address of the container's in a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ip {
    /// With the length of its prefix: `10.1.0.5/16`.
    pub address: String,
    #[serde(default)]
    pub gateway: Option<String>,
    /// Which of the result's interfaces has it.
    #[serde(default)]
    interface: Option<usize>,
}

impl Attachment {
    pub(super) fn new(
        network: &Network,
        container_id: &str,
        ifname: &str,
        args: &[(&str, &str)],
        plugin_dirs: Vec<PathBuf>,
    ) -> Result<Self> {
        if !is_id(container_id) {
            return Err(Error::new(format!("{container_id:?} is not a container id for CNI plugins"))
                .hint("letters and digits, and behind the first one also _ . and -"));
        }
        let no_ifname = |c: char| c == '/' || c == ':' || c.is_whitespace();
        let too_long = ifname.len() > LONGEST_IFNAME;
        if ifname.is_empty() || too_long || ifname == "." || ifname == ".." || ifname.contains(no_ifname) {
            return Err(Error::new(format!("{ifname:?} is not a name for a network interface")));
        }
        if let Some((key, value)) = args.iter().find(|(key, value)| key.contains(['=', ';']) || value.contains(';')) {
            return Err(Error::new(format!("CNI_ARGS cannot say {key}={value}")));
        }
        let args: Vec<_> = args.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let it = Self {
            network: network.clone(),
            container_id: container_id.to_string(),
            ifname: ifname.to_string(),
            args: args.join(";"),
            capabilities: Map::new(),
            plugin_dirs,
            result: None,
        };
        for plugin in &it.network.plugins {
            plugin.find(&it.plugin_dirs).context(format!("network {}", network.name))?;
        }
        Ok(it)
    }

    /// Brings the network into the namespace. What was begun is undone if it fails.
    pub fn add(&mut self, netns: &Path) -> Result<()> {
        match self.chain(netns) {
            Ok(result) => self.result = Some(result),
            Err(error) => {
                if let Err(e) = self.del(Some(netns)) {
                    log::warn(&format!("undo what was begun: {e}"));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// The result of the last plugin, which each hands on with its own part in it.
    fn chain(&self, netns: &Path) -> Result<Value> {
        let mut result = None;
        for plugin in &self.network.plugins {
            let printed = self.run("ADD", plugin, Some(netns), result.as_ref())?;
            result = Some(self.parse(&printed).context(self.doing("ADD", plugin))?);
        }
        result.ok_or_else(|| Error::new("there are no plugins"))
    }

    /// What a plugin has printed.
    pub fn parse(&self, printed: &[u8]) -> Result<Value> {
        let mut result: Map<String, Value> = json::parse(printed).context("its result is not what it has to be")?;
        // Old plugins leave it out, and the next one wants it.
        result.entry("cniVersion").or_insert_with(|| self.network.cni_version.to_string().into());
        let result = Value::Object(result);
        ips(&result)?;
        Ok(result)
    }

    /// Undoes an `add`, also one that failed or was never known to have ended, and also twice. The namespace may be gone.
    /// All plugins are asked, whatever one of them says: the first failure is the error, the others are in the log.
    pub fn del(&self, netns: Option<&Path>) -> Result<()> {
        let netns = netns.filter(|path| statfs(*path).is_ok_and(|fs| fs.f_type == NSFS_MAGIC));
        let result = self.result.as_ref().filter(|_| self.network.cni_version >= DEL_HAS_RESULT);
        let mut outcome = Ok(());
        for plugin in self.network.plugins.iter().rev() {
            match (self.run("DEL", plugin, netns, result), &outcome) {
                (Ok(_), _) => {}
                (Err(error), Ok(())) => outcome = Err(error),
                (Err(error), Err(_)) => log::warn(&error.to_string()),
            }
        }
        outcome
    }

    fn run(&self, command: &str, plugin: &Plugin, netns: Option<&Path>, result: Option<&Value>) -> Result<Vec<u8>> {
        let doing = || self.doing(command, plugin);
        // Who has moved the plugins meanwhile can say so.
        let dirs = cni_path().unwrap_or_else(|| self.plugin_dirs.clone());
        // A directory with a colon in its name cannot be said in it.
        let path = std::env::join_paths(&dirs).unwrap_or_default();
        let program = plugin.find(&dirs).with_context(doing)?;
        let env: [(&str, &OsStr); 6] = [
            ("CNI_COMMAND", command.as_ref()),
            ("CNI_CONTAINERID", self.container_id.as_ref()),
            ("CNI_NETNS", netns.map_or(OsStr::new(""), Path::as_os_str)),
            ("CNI_IFNAME", self.ifname.as_ref()),
            ("CNI_ARGS", self.args.as_ref()),
            ("CNI_PATH", &path),
        ];
        let start = Instant::now();
        let printed = plugin::run(&program, &env, &self.input(plugin, result), LIMIT).with_context(doing)?;
        log::debug(|| format!("{} for {}: {:?}", doing(), self.container_id, start.elapsed()));
        Ok(printed)
    }

    fn doing(&self, command: &str, plugin: &Plugin) -> String {
        format!("cni {command} {} (network {})", plugin.kind, self.network.name)
    }

    /// A plugin's configuration, completed.
    fn input(&self, plugin: &Plugin, result: Option<&Value>) -> Value {
        let mut input = plugin.rest.clone();
        input.insert("type".into(), plugin.kind.clone().into());
        input.insert("name".into(), self.network.name.clone().into());
        input.insert("cniVersion".into(), self.network.cni_version.to_string().into());
        input.extend(result.map(|result| ("prevResult".into(), result.clone())));
        let has =
            |name: &str| plugin.rest.get("capabilities").and_then(|all| all.get(name)) == Some(&Value::Bool(true));
        let runtime: Map<_, _> = self.capabilities.clone().into_iter().filter(|(name, _)| has(name)).collect();
        if !runtime.is_empty() {
            input.insert("runtimeConfig".into(), Value::Object(runtime));
        }
        Value::Object(input)
    }

    /// The container's addresses: those of the interfaces in its namespace.
    pub fn ips(&self) -> Vec<Ip> {
        let Some(result) = &self.result else { return Vec::new() };
        let in_container = |ip: &Ip| {
            let interface = ip.interface.and_then(|index| result.get("interfaces")?.get(index));
            interface.is_none_or(|it| it.get("sandbox").and_then(Value::as_str).is_some_and(|path| !path.is_empty()))
        };
        ips(result).unwrap_or_default().into_iter().filter(in_container).collect()
    }
}

fn ips(result: &Value) -> Result<Vec<Ip>> {
    match result.get("ips") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => Vec::deserialize(list).map_err(|e| Error::new(format!("ips of its result: {e}"))),
    }
}
