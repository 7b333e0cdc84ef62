//! `setup docker`: makes hilum known to Docker, in daemon.json, of which everything else stays as it is written.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text;
use crate::error::{Context, Error, Result};
use crate::spec::limits;
use crate::state::write_aside;

const NAME: &str = "hilum";
const LARGEST: u64 = 1 << 20;
/// What Docker's own documentation indents with.
const INDENT: &str = "  ";

pub fn run(args: &ArgMatches) -> Result<u8> {
    match args.subcommand() {
        Some(("docker", args)) => docker(args),
        _ => Err(Error::new("no client given").hint("hilum setup --help lists them")),
    }
}

fn docker(args: &ArgMatches) -> Result<u8> {
    let file = PathBuf::from(text(args, "file").unwrap_or("/etc/docker/daemon.json"));
    let program = std::env::current_exe().context("find the path of this program")?;
    let old = read(&file)?;
    let mut daemon = parse(&old).at("understand", &file).map_err(untouched)?;
    match args.get_flag("remove") {
        true => daemon.unregister().at("change", &file).map_err(untouched)?,
        false => daemon.register(&program, args.get_flag("default")).at("change", &file).map_err(untouched)?,
    }
    let new = daemon.text(0) + "\n";
    if args.get_flag("print") {
        super::print(&new)?;
        return Ok(0);
    }
    if parse(&old).is_ok_and(|old| old.text(0) == daemon.text(0)) {
        super::print(&format!("{} says so already\n", file.display()))?;
        return Ok(0);
    }
    write(&file, &new)?;
    let next = match args.get_flag("remove") {
        // A reload leaves a default that is not in the file any more.
        true => "Docker forgets it with: systemctl restart docker",
        false => "Docker reads it with: systemctl reload docker; then: docker run --runtime hilum …",
    };
    super::print(&format!("wrote {}\n{next}\n", file.display()))?;
    Ok(0)
}

fn untouched(error: Error) -> Error {
    error.hint("nothing was changed; `hilum setup docker --print --file /dev/null` prints what to add by hand")
}

/// Empty, if there is none.
fn read(file: &Path) -> Result<String> {
    let opened = match std::fs::File::open(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        other => other.at("open", file)?,
    };
    let text = limits::read(opened, file, LARGEST)?;
    String::from_utf8(text).map_err(|e| Error::new(e.to_string())).at("read", file)
}

/// In the place of the old one, with its owner and mode; where a symbolic link stood, at its target.
fn write(file: &Path, text: &str) -> Result<()> {
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.into());
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).at("create", dir)?;
    }
    let old = std::fs::metadata(&file).ok();
    write_aside(&file, text.as_bytes(), old.as_ref().map_or(0o644, |old| old.permissions().mode() & 0o7777))?;
    match old {
        Some(old) => std::os::unix::fs::chown(&file, Some(old.uid()), Some(old.gid())).at("chown", &file),
        None => Ok(()),
    }
}

fn parse(text: &str) -> Result<Members> {
    match text.trim().is_empty() {
        true => Ok(Members(Vec::new())),
        false => serde_json::from_str(text).map_err(|e| Error::new(e.to_string())),
    }
}

/// A JSON object in the order and spelling of its author.
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn register(&mut self, program: &Path, as_default: bool) -> Result<()> {
        let path = program.to_str().ok_or_else(|| Error::new(format!("{} is not UTF-8", program.display())))?;
        let entry = Members(vec![("path".into(), json_text(path)?)]);
        let mut runtimes = self.runtimes()?;
        match runtimes.get(NAME).map(Members::of).transpose()? {
            None => runtimes.set(NAME, raw(entry.text(2))?),
            Some(there) if there.get("path").is_some_and(|there| names(there, path)) => {}
            Some(there) => {
                let path = there.get("path").map_or("no path", |path| path.get());
                return Err(Error::new(format!("runtimes.{NAME} is there, with {path}")));
            }
        }
        self.set("runtimes", raw(runtimes.text(1))?);
        match (as_default, self.get("default-runtime")) {
            (true, Some(other)) if !names(other, NAME) => {
                Err(Error::new(format!("default-runtime is {}", other.get())))
            }
            (true, _) => {
                self.set("default-runtime", json_text(NAME)?);
                Ok(())
            }
            (false, _) => Ok(()),
        }
    }

    fn unregister(&mut self) -> Result<()> {
        let mut runtimes = self.runtimes()?;
        runtimes.0.retain(|(name, _)| name != NAME);
        match runtimes.0.is_empty() {
            true => self.0.retain(|(name, _)| name != "runtimes"),
            false => self.set("runtimes", raw(runtimes.text(1))?),
        }
        self.0.retain(|(name, value)| name != "default-runtime" || !names(value, NAME));
        Ok(())
    }

    fn runtimes(&self) -> Result<Members> {
        self.get("runtimes").map_or(Ok(Members(Vec::new())), Members::of).context("runtimes")
    }

    fn of(value: &RawValue) -> Result<Members> {
        parse(value.get())
    }

    fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }

    fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name.into(), value)),
        }
    }

    fn text(&self, depth: usize) -> String {
        let outer = INDENT.repeat(depth);
        let members = self
            .0
            .iter()
            .map(|(name, value)| format!("{outer}{INDENT}{}: {}", serde_json::Value::from(name.as_str()), value.get()));
        match self.0.is_empty() {
            true => "{}".into(),
            false => format!("{{\n{}\n{outer}}}", members.collect::<Vec<_>>().join(",\n")),
        }
    }
}

fn names(value: &RawValue, text: &str) -> bool {
    serde_json::from_str::<String>(value.get()).is_ok_and(|value| value == text)
}

fn json_text(text: &str) -> Result<Box<RawValue>> {
    raw(serde_json::Value::from(text).to_string())
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|e| Error::new(e.to_string()))
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Members, A::Error> {
                let mut members = Members(Vec::new());
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Which of the two counts, only the reader of the file knows.
                    if members.get(&name).is_some() {
                        return Err(A::Error::custom(format!("{name:?} is there twice")));
                    }
                    members.0.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}
