//! The log: what callers read when a command has failed (`--log`, `--log-format`, `--debug`).

mod journal;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Context, Error, Result, errno_text};

#[derive(Debug, Default)]
pub struct Config {
    pub to: Destination,
    pub json: bool,
    pub debug: bool,
}

#[derive(Debug, Default)]
pub enum Destination {
    #[default]
    Stderr,
    File(PathBuf),
    /// systemd's, under this name.
    Journal(String),
}

impl Destination {
    /// As `--log` says it.
    pub fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix("journald:") {
            Some("") => Err(Error::new(format!("--log {text}: a name is missing")).hint("such as journald:hilum")),
            Some(name) => Ok(Self::Journal(name.into())),
            None if text == "/dev/stderr" => Ok(Self::Stderr),
            None => Ok(Self::File(text.into())),
        }
    }
}

static CONFIG: OnceLock<Config> = OnceLock::new();

/// Once, before anything is logged. The file is opened now, so that a wrong path is told at once, and again for each
/// line: a descriptor held meanwhile could be taken for one that the caller wants preserved.
pub fn init(config: Config) -> Result<()> {
    match &config.to {
        Destination::Stderr => {}
        Destination::File(path) => append(path, b"").at("open the log", path)?,
        Destination::Journal(name) => drop(journal::open().context(format!("open the log journald:{name}"))?),
    }
    let _ = CONFIG.set(config);
    Ok(())
}

pub fn debug(message: impl FnOnce() -> String) {
    if debugs() {
        write("debug", &message(), None);
    }
}

pub fn debugs() -> bool {
    CONFIG.get().is_some_and(|config| config.debug)
}

/// How long something takes, for `--debug`: without it, no clock is read.
pub struct Timer(Option<Instant>);

impl Timer {
    pub fn start() -> Self {
        Self(debugs().then(Instant::now))
    }

    /// What has ended now. Of what has failed there is an error instead.
    pub fn end(self, what: impl FnOnce() -> String) {
        if let Some(start) = self.0 {
            took(start.elapsed(), what);
        }
    }
}

pub fn took(time: Duration, what: impl FnOnce() -> String) {
    debug(|| format!("took {:.3} ms: {}", time.as_secs_f64() * 1000.0, what()));
}

pub fn warn(message: &str) {
    write("warning", message, None);
}

/// One line of level `error`.
pub fn record(error: &Error) {
    write("error", &error.to_string(), Some(error));
}

/// The end of a command: its error in the log, and on stderr as well if the log is elsewhere.
pub fn fatal(error: &Error) {
    let message = error.to_string();
    record(error);
    if CONFIG.get().is_some_and(|config| !matches!(config.to, Destination::Stderr)) {
        complain(&message);
    }
}

/// A line on stderr. Where there is nobody to read it, there is nobody to tell.
pub fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

fn write(level: &str, message: &str, error: Option<&Error>) {
    let default = Config::default();
    let config = CONFIG.get().unwrap_or(&default);
    if let Destination::Journal(name) = &config.to {
        // The journal has a time of its own for it.
        return to_journal(name, level, message, error);
    }
    let time = now();
    let mut line = if config.json {
        json(level, message, &time, error)
    } else {
        format!("time={time:?} level={level} msg={message:?}")
    };
    line.push('\n');
    // In one write: other processes append to the same file. A log that cannot be written is no reason to fail.
    let _ = match &config.to {
        Destination::File(path) => append(path, line.as_bytes()),
        _ => std::io::stderr().write_all(line.as_bytes()),
    };
}

fn to_journal(name: &str, level: &str, message: &str, error: Option<&Error>) {
    // syslog(3)
    let priority = match level {
        "error" => "3",
        "warning" => "4",
        _ => "7",
    };
    let details = details(error).map(|(key, value)| (format!("HILUM_{}", key.to_uppercase()), value));
    let details: Vec<(String, String)> = details.collect();
    let mut fields = vec![("MESSAGE", message), ("PRIORITY", priority), ("SYSLOG_IDENTIFIER", name)];
    fields.extend(details.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let _ = journal::write(&fields);
}

fn append(path: &PathBuf, line: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o644).open(path)?.write_all(line)
}

fn json(level: &str, message: &str, time: &str, error: Option<&Error>) -> String {
    let mut map = serde_json::Map::new();
    map.insert("level".into(), level.into());
    map.insert("msg".into(), message.into());
    map.insert("time".into(), time.into());
    map.extend(details(error).map(|(key, value)| (key.into(), value.into())));
    serde_json::Value::Object(map).to_string()
}

/// What is known of an error beside its message.
fn details(error: Option<&Error>) -> impl Iterator<Item = (&'static str, String)> {
    let known = error.map(Error::detail).map(|detail| {
        let path = detail.path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let errno = detail.errno.map(errno_text);
        [("step", detail.step.clone()), ("path", path), ("errno", errno), ("hint", detail.hint.clone())]
    });
    known.into_iter().flatten().filter_map(|(key, value)| Some((key, value?)))
}

/// RFC 3339, UTC, nanoseconds.
pub fn now() -> String {
    let mut text = String::with_capacity(32);
    let _ = write!(text, "{}", humantime::format_rfc3339_nanos(SystemTime::now()));
    text
}

/// Another time, for an error; a file may be of any.
pub fn time(at: SystemTime) -> String {
    const YEAR_10000: u64 = 253_402_300_800;
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) if since.as_secs() < YEAR_10000 => humantime::format_rfc3339_millis(at).to_string(),
        Ok(_) => "after the year 9999".into(),
        Err(_) => "before 1970".into(),
    }
}
