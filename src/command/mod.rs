//! One file per command.

mod check;
mod checkpoint;
mod create;
pub mod creation;
mod delete;
mod events;
mod exec;
mod features;
mod gc;
mod kill;
mod list;
mod matrix;
mod ns;
mod pause;
mod plan;
mod pod;
mod preparation;
mod ps;
pub mod resources;
mod restore;
mod run;
mod setup;
mod show;
mod spec;
mod start;
mod state;
mod update;
mod version;

pub use delete::delete;
pub use kill::send;
pub use start::start;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use crate::cgroup::systemd::session_owner;
use crate::error::{Context, Error, Kind, Result};
use crate::pod::Pods;
use crate::privilege::in_user_namespace;
use crate::{cli, log, proc, state as store};

/// What the options before the command say.
pub struct Global {
    pub root: PathBuf,
    pods: Option<PathBuf>,
    rootless: Option<bool>,
    /// `--systemd-cgroup`: whom to ask for the container's cgroup.
    pub systemd: Option<Systemd>,
}

/// In the default root.
const PODS: &str = "pods";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Systemd {
    Host,
    User,
}

/// The log gets the one line that says what is wrong, if it is known where the log is; people have seen it on stderr.
pub fn log_usage_error(args: &[OsString], error: &clap::Error) {
    let Ok(matches) = cli::command().ignore_errors(true).try_get_matches_from(args) else { return };
    if text(&matches, "log").is_some() && init_log(&matches).is_ok() {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        log::record(&Error::new(line.strip_prefix("error: ").unwrap_or(line)));
    }
}

fn init_log(matches: &ArgMatches) -> Result<()> {
    log::init(log::Config {
        to: text(matches, "log").map(log::Destination::parse).transpose()?.unwrap_or_default(),
        json: text(matches, "log-format") == Some("json"),
        debug: matches.get_flag("debug"),
    })
}

pub fn dispatch(matches: &ArgMatches) -> Result<u8> {
    init_log(matches)?;
    if matches.get_flag("version") {
        return version::run();
    }
    let global = global(matches)?;
    let id = matches.subcommand().and_then(|(_, args)| args.try_get_one::<String>("id").ok().flatten());
    id.map_or(Ok(()), |id| global.refuse_directory_of_pods(id))?;
    // exec has an exit code of its own for it.
    if !matches!(matches.subcommand_name(), Some("spec" | "features" | "setup" | "check" | "exec")) {
        proc::check()?;
    }
    match matches.subcommand() {
        Some(("create", args)) => create::run(&global, args),
        Some(("run", args)) => run::run(&global, args),
        Some(("start", args)) => start::run(&global, args),
        Some(("exec", args)) => exec::run(&global, args),
        Some(("ps", args)) => ps::run(&global, args),
        Some(("pause", args)) => pause::pause(&global, args),
        Some(("resume", args)) => pause::resume(&global, args),
        Some(("update", args)) => update::run(&global, args),
        Some(("pod", args)) => pod::run(&global, args),
        Some(("events", args)) => events::run(&global, args),
        Some(("checkpoint", args)) => checkpoint::run(&global, args),
        Some(("restore", args)) => restore::run(&global, args),
        Some(("state", args)) => state::run(&global, args),
        Some(("kill", args)) => kill::run(&global, args),
        Some(("delete", args)) => delete::run(&global, args),
        Some(("list", args)) => list::run(&global, args),
        Some(("gc", _)) => gc::run(&global),
        Some(("ns", args)) => ns::run(&global, args),
        Some(("plan", args)) => plan::run(&global, args),
        Some(("spec", args)) => spec::run(args),
        Some(("features", _)) => features::run(),
        Some(("setup", args)) => setup::run(args),
        Some(("check", args)) => check::run(&global, whose_systemd(matches), args),
        _ => Err(Error::new("no command given").hint("hilum --help lists them")),
    }
}

fn text<'m>(matches: &'m ArgMatches, name: &str) -> Option<&'m str> {
    matches.get_one::<String>(name).map(String::as_str)
}

/// The state of the container that is named, as it is at this moment: other commands may be at work on it.
fn state_of(global: &Global, args: &ArgMatches) -> Result<store::State> {
    let dir = global.root.join(id(args)?);
    store::read(&dir)?.ok_or_else(|| store::missing(&dir))
}

/// All values of an option that may be given several times.
fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

/// What a command answers. (The macros of the standard library panic where a pipe is closed or a disk is full.)
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| {
        let unread = e.kind() == std::io::ErrorKind::BrokenPipe;
        let error = Error::from(e).context("write to stdout");
        if unread { error.with_kind(Kind::Unread) } else { error }
    })
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(|e| Error::new(e.to_string()))
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let lines: Vec<[String; N]> = std::iter::once(head.map(String::from)).chain(rows).collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn id(args: &ArgMatches) -> Result<&str> {
    valid_id(text(args, "id").unwrap_or_default())
}

/// It becomes the name of a directory.
pub fn valid_id(id: &str) -> Result<&str> {
    store::name_of(id, "invalid container ID format")
}

/// The number of descriptors behind the standard ones that a process keeps: `--preserve-fds`, and `more`. All of them
/// must be open.
fn preserved(args: &ArgMatches, more: u32) -> Result<u32> {
    let preserve = more.saturating_add(args.get_one::<u32>("preserve-fds").copied().unwrap_or(0));
    for fd in 3..3u32.saturating_add(preserve) {
        rustix::io::fcntl_getfd(hilum_sys::process::borrow(i32::try_from(fd).unwrap_or(i32::MAX)))
            .map_err(Error::from)
            .context(format!("--preserve-fds: file descriptor {fd} is not open"))?;
    }
    Ok(preserve)
}

fn global(matches: &ArgMatches) -> Result<Global> {
    let rootless = text(matches, "rootless").and_then(|answer| answer.parse().ok());
    let systemd = matches.get_flag("systemd-cgroup").then(|| whose_systemd(matches));
    let pods = text(matches, "pods").map(std::path::absolute).transpose()?;
    let root = match text(matches, "root") {
        Some(root) => std::path::absolute(root)?,
        // Which makes nothing.
        None if matches.subcommand_name() == Some("check") => Own::find().dir,
        None => Own::find().prepare()?,
    };
    if root == Path::new("/") {
        return Err(Error::new("--root: / is not a directory for state"));
    }
    Ok(Global { root, pods, rootless, systemd })
}

fn whose_systemd(matches: &ArgMatches) -> Systemd {
    match text(matches, "rootless") {
        Some("true") => Systemd::User,
        Some("false") => Systemd::Host,
        _ if !crate::privilege::user().is_root() => Systemd::User,
        // Root of a machine in a user namespace has a systemd of its own there; a user who has become root has not.
        _ if in_user_namespace() && session_owner().is_some_and(|uid| uid != 0) => Systemd::User,
        _ => Systemd::Host,
    }
}

impl Global {
    /// As without an option but `--root`.
    pub fn of(root: PathBuf) -> Result<Self> {
        proc::check()?;
        Ok(Self { root, pods: None, rootless: None, systemd: None })
    }

    /// Whether to do without what only root may. Looked for by those who need it: to ask /proc for the user namespace is a
    /// twentieth of `state`.
    pub fn rootless(&self) -> bool {
        self.rootless.unwrap_or_else(|| !crate::privilege::user().is_root() || in_user_namespace())
    }

    /// Where the pods are, whatever the root of the containers is.
    pub fn pods(&self) -> Pods {
        Pods(self.pods.clone().unwrap_or_else(|| Own::find().dir.join(PODS)))
    }

    /// They are in the default root, where no container may have their name.
    fn refuse_directory_of_pods(&self, id: &str) -> Result<()> {
        if (self.pods.is_none() && id != PODS) || self.root.join(id) != self.pods().0 {
            return Ok(());
        }
        Err(Error::new(format!("invalid container ID format: {id} is the directory of the pods"))
            .path(self.root.join(id))
            .hint("choose another id, or another --root"))
    }
}

/// The directory that is used where none is named.
struct Own {
    dir: PathBuf,
    /// It is in one that a user shares with other programs.
    shared: bool,
}

impl Own {
    /// Root of a user namespace that another user made keeps that user's directory. A service manager may have said no
    /// name, and then it is taken for another user's too, as runc does.
    fn find() -> Self {
        let user = !crate::privilege::user().is_root();
        let shared = user || (in_user_namespace() && std::env::var_os("USER").is_none_or(|user| user != "root"));
        let dir = match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if shared && Path::new(&dir).is_absolute() => PathBuf::from(dir).join("hilum"),
            _ => PathBuf::from("/run/hilum"),
        };
        Self { dir, shared }
    }

    fn prepare(self) -> Result<PathBuf> {
        if self.shared {
            store::prepare_root(&self.dir)?;
            store::make_sticky(&self.dir)?;
        }
        Ok(self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> bool {
        let matches = crate::cli::command().try_get_matches_from(["hilum", "state", "--", text]).unwrap();
        id(matches.subcommand_matches("state").unwrap()).is_ok()
    }

    #[test]
    fn ids_are_names_and_never_paths() {
        for good in ["a", "A_b+c-d.e", "...", "0", &"x".repeat(255)] {
            assert!(check(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "../a", "a b", "a\n", "ä", "a\0b", &"x".repeat(256)] {
            assert!(!check(bad), "{bad}");
        }
    }
}
