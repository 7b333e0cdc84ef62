//! config.json: loading it, and the example that `hilum spec` writes.

pub mod amount;
pub mod config;
pub mod limits;
mod written;

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Context, Error, Result};
use crate::json;
use config::Spec;
use limits::LARGEST;
pub use written::Written;

/// The bundle's config.json.
pub struct Document {
    pub spec: Spec,
    pub text: Vec<u8>,
    /// When somebody last decided what is in it, if it has paths of namespaces.
    pub written: Option<Written>,
}

/// Checked as far as no single part of the plan does.
pub fn load(bundle: &Path) -> Result<Document> {
    let path = bundle.join("config.json");
    let file = match limits::open_file(&path) {
        Err(e) if e.detail().errno == Some(Errno::NOENT) => {
            return Err(Error::new(format!("JSON specification file {} not found", path.display()))
                .path(path)
                .hint("hilum spec writes an example"));
        }
        other => other?,
    };
    let text = limits::read(&file, &path, LARGEST)?;
    let spec: Spec = parse(&text).map_err(|e| e.context(path.display().to_string()).path(&path))?;
    check_version(&spec.oci_version).and_then(|()| limits::check_entries(&spec)).map_err(|e| e.path(&path))?;
    // Which matters to what it says of other processes.
    let joins = spec.linux.namespaces.iter().any(|namespace| !namespace.path.is_empty());
    let written = if joins { Written::of(&file) } else { None };
    Ok(Document { spec, text, written })
}

/// A document of its own, `-` for the standard input: a process for `exec`, resources for `update`.
pub fn load_part<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = match path.as_os_str().as_encoded_bytes() {
        b"-" => std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned().context("read stdin")?),
        _ => std::fs::File::open(path).at("open", path)?,
    };
    let text = limits::read(&file, path, LARGEST)?;
    parse(&text).map_err(|e| e.context(path.display().to_string()).path(path))
}

/// What anybody may have written.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    limits::check_objects(text)?;
    json::parse(text)
}

/// What is given replaces what is there; null leaves it.
pub fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (_, Value::Null) => {}
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// Versions of one major number are compatible (config.md, "Specification version").
fn check_version(version: &str) -> Result<()> {
    match version.split('.').next() {
        Some("1") if version.split('.').count() >= 3 && !version.contains(char::is_control) => Ok(()),
        _ if version.is_empty() => Err(Error::new("ociVersion: missing")),
        _ => Err(Error::new(format!("ociVersion: {version:?} is not a version 1.x.y of the runtime specification"))),
    }
}

const LAST_NAMESPACE: &str = "{\n\t\t\t\t\"type\": \"mount\"\n\t\t\t}";

/// What `hilum spec` writes: a container that needs nothing but a rootfs.
/// `unified`: the host has v2 alone.
pub fn example(rootless: bool, unified: bool) -> String {
    if !rootless {
        let example = include_str!("example.json");
        // Where it can be had for nothing, a view of its own cgroup alone.
        return match unified {
            true => example.replace(
                LAST_NAMESPACE,
                &format!("{LAST_NAMESPACE},\n\t\t\t{{\n\t\t\t\t\"type\": \"cgroup\"\n\t\t\t}}"),
            ),
            false => example.to_string(),
        };
    }
    include_str!("example-rootless.json")
        .replace("@UID@", &rustix::process::geteuid().as_raw().to_string())
        .replace("@GID@", &rustix::process::getegid().as_raw().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_documents_that_load() {
        let spec: Spec = parse(example(false, true).as_bytes()).unwrap();
        assert!(spec.linux.namespaces.len() >= 5);
        let rootless: Spec = parse(example(true, true).as_bytes()).unwrap();
        assert_eq!(rootless.linux.uid_mappings[0].size, 1);
        check_version(&spec.oci_version).unwrap();
    }

    #[test]
    fn an_error_names_the_property() {
        for (text, property) in [
            (r#"{"process": {"args": ["a", 7]}}"#, "process.args[1]: invalid type"),
            (
                r#"{"process": {"capabilities": []}}"#,
                "process.capabilities: invalid type: sequence, expected an object",
            ),
            (r#"{"mounts": {}}"#, "mounts: invalid type"),
            (r#"{"linux": {"resources": {"pids": {"limit": "x"}}}}"#, "linux.resources.pids.limit"),
            (r#"{"root": {"path": "r""#, "EOF while parsing"),
            ("{} x", "trailing characters"),
        ] {
            let error = parse::<Spec>(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(property), "{error}");
        }
    }

    #[test]
    fn null_means_absent_and_the_unknown_is_ignored() {
        let spec: Spec =
            parse(br#"{"mounts": null, "process": null, "x-y": {"z": 1}, "linux": {"seccomp": null}}"#).unwrap();
        assert_eq!(spec, Spec::default());
    }

    #[test]
    fn only_versions_1_are_taken() {
        assert!(check_version("1.0.2-dev").is_ok());
        for bad in ["", "2.0.0", "1", "one"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }
}
