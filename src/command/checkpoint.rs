//! `checkpoint`: the container's processes become files, through CRIU.

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::{Global, text, texts};
use crate::error::{Context, Error, Kind, Result};
use crate::pod::refuse_members;
use crate::privilege::in_user_namespace;
use crate::run::criu::options::{CgroupMode, Switches};
use crate::run::criu::{self, Directories, dump};
use crate::run::destroy;
use crate::state::{Container, Status, document};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    need_root()?;
    let wish = wish(args)?;
    let (container, state) = Container::load(&global.root, super::id(args)?)?;
    let status = state.status()?;
    if !matches!(status, Status::Running | Status::Paused) {
        return Err(Error::new(format!("Container cannot be checkpointed in {} state", status.name())));
    }
    refuse_members(&state.annotations).context("checkpoint")?;
    let process = state.process.ok_or_else(|| Error::new("container not running").with_kind(Kind::NotRunning))?;
    let features = criu::probe()?;
    let dirs = directories(args, "dump.log", true)?;
    check_parent(&dirs, wish.parent.as_deref())?;
    dump::dump(&state, &document(container.path())?, process.pid, &wish, &dirs, features).context("checkpoint")?;
    if !wish.leave_running && !wish.pre_dump {
        destroy(container, &state)?;
    }
    Ok(0)
}

fn wish(args: &ArgMatches) -> Result<dump::Wish> {
    if args.contains_id("status-fd") {
        return Err(Error::new("--status-fd: not supported").hint("it has a meaning with --lazy-pages only"));
    }
    let wish = dump::Wish {
        switches: switches(args)?,
        leave_running: args.get_flag("leave-running"),
        pre_dump: args.get_flag("pre-dump"),
        tcp_skip_in_flight: args.get_flag("tcp-skip-in-flight"),
        link_remap: args.get_flag("link-remap"),
        parent: text(args, "parent-path").filter(|path| !path.is_empty()).map(String::from),
        page_server: text(args, "page-server").map(page_server).transpose()?,
    };
    if wish.parent.as_deref().is_some_and(|path| Path::new(path).is_absolute()) {
        return Err(Error::new("--parent-path must be relative").hint("it is relative to --image-path"));
    }
    if wish.switches.auto_dedup && wish.parent.is_none() {
        return Err(Error::new("--auto-dedup: has a meaning with --parent-path only"));
    }
    Ok(wish)
}

/// CRIU makes a link to it in the images' directory.
fn check_parent(dirs: &Directories, parent: Option<&str>) -> Result<()> {
    let Some(parent) = parent.map(|parent| dirs.images_path.join(parent)) else { return Ok(()) };
    match std::fs::metadata(&parent).at("invalid --parent-path:", &parent)?.is_dir() {
        true => Ok(()),
        false => Err(Error::new(format!("invalid --parent-path: {} is not a directory", parent.display()))),
    }
}

fn page_server(text: &str) -> Result<(String, u16)> {
    let bad = || Error::new("Use --page-server ADDRESS:PORT to specify page server");
    let (address, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let address = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
    if address.is_empty() {
        return Err(bad());
    }
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| Error::new("Invalid port number"))?;
    Ok((address.to_string(), port))
}

/// What both commands have.
pub fn switches(args: &ArgMatches) -> Result<Switches> {
    if args.get_flag("lazy-pages") {
        return Err(Error::new("--lazy-pages: not supported")
            .hint("a transfer of pages that fails would leave a container that can neither go on nor be killed"));
    }
    for kind in texts(args, "empty-ns") {
        // It is so always, and no other can be (CRIU).
        if kind != "network" {
            return Err(Error::new(format!("--empty-ns: namespace {kind:?} is not supported")));
        }
    }
    Ok(Switches {
        tcp_established: args.get_flag("tcp-established"),
        ext_unix_sk: args.get_flag("ext-unix-sk"),
        shell_job: args.get_flag("shell-job"),
        file_locks: args.get_flag("file-locks"),
        auto_dedup: args.get_flag("auto-dedup"),
        cgroups: match text(args, "manage-cgroups-mode") {
            Some("full") => CgroupMode::Full,
            Some("strict") => CgroupMode::Strict,
            Some("ignore") => CgroupMode::Ignore,
            _ => CgroupMode::Soft,
        },
    })
}

pub fn directories(args: &ArgMatches, log: &'static str, make: bool) -> Result<Directories> {
    let path = |name| text(args, name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let images = path("image-path").unwrap_or_else(|| "checkpoint".into());
    Directories::open(&images, path("work-path").as_deref(), log, make)
}

pub fn need_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() || in_user_namespace() {
        return Err(Error::new("CRIU needs the host's root: a rootless container cannot be checkpointed or restored"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[&str]) -> Result<dump::Wish> {
        let line = [&["hilum", "checkpoint"], options, &["id"]].concat();
        let matches = crate::cli::command().try_get_matches_from(line).unwrap();
        wish(matches.subcommand_matches("checkpoint").unwrap())
    }

    #[test]
    fn options_that_cannot_go_together_are_refused() {
        let good =
            parsed(&["--parent-path", "../one", "--auto-dedup", "--page-server", "[::1]:99", "--empty-ns=network"]);
        let good = good.unwrap();
        assert_eq!(good.page_server, Some(("::1".into(), 99)));
        assert_eq!((good.switches.cgroups, good.switches.auto_dedup), (CgroupMode::Soft, true));
        for bad in [
            &["--parent-path", "/one"][..],
            &["--page-server", "host"],
            &["--page-server", ":1"],
            &["--page-server", "host:0"],
            &["--empty-ns", "ipc"],
            &["--lazy-pages"],
            &["--status-fd", "9"],
            &["--auto-dedup"],
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }
}
