//! The command line: which commands there are and what they take. No logic.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// `--flag`, and also `--flag=true` and `--flag=false`, as Go's flags are.
fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::Set)
        .value_parser(clap::value_parser!(bool))
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .hide_possible_values(true)
        .value_name("BOOL")
        .help(help)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn id() -> Arg {
    Arg::new("id").value_name("ID").required(true).help("the container's name, unique on this host")
}

fn bundle() -> Arg {
    option("bundle", "DIR", "the bundle: the directory with config.json [default: the current one]").short('b')
}

/// What `create` and `run` have in common.
fn creation(command: Command) -> Command {
    command
        .arg(bundle())
        .arg(option("console-socket", "PATH", "send the master of the container's terminal to this unix socket"))
        .arg(option(
            "pidfd-socket",
            "PATH",
            "send a pidfd of the container's process to this unix socket (not supported yet)",
        ))
        .arg(option("pid-file", "PATH", "write the pid of the container's process to this file"))
        .arg(flag("no-pivot", "do not use pivot_root (for a host that runs from an initramfs)"))
        .arg(flag("no-new-keyring", "keep the caller's session keyring"))
        .arg(
            option(
                "preserve-fds",
                "N",
                "pass N file descriptors behind the standard ones to the container [default: 0]",
            )
            .value_parser(clap::value_parser!(u32).range(..=4096)),
        )
        .arg(id())
}

/// All commands.
pub fn command() -> Command {
    hilum().subcommands(COMMANDS.iter().map(|(_, make)| make()))
}

/// Only the commands whose names stand among the arguments: what parses with these parses with all, and to describe the
/// others takes a tenth of a millisecond, a fortieth of a `run`.
pub fn command_for(args: &[OsString]) -> Command {
    let named = COMMANDS.iter().filter(|(name, _)| args.iter().any(|arg| arg == name));
    hilum().subcommands(named.map(|(_, make)| make()))
}

type Make = fn() -> Command;

const COMMANDS: &[(&str, Make)] = &[
    ("create", create),
    ("run", run),
    ("start", start),
    ("state", state),
    ("kill", kill),
    ("delete", delete),
    ("list", list),
    ("spec", spec),
    ("features", features),
];

fn hilum() -> Command {
    Command::new("hilum")
        .about("hilum runs OCI containers, and makes the pod its own business")
        .disable_version_flag(true)
        // As with Go's flags, the last of several wins.
        .args_override_self(true)
        .arg_required_else_help(true)
        .arg(option("root", "DIR", "where the state of containers is kept [default: /run/hilum]"))
        .arg(option("log", "PATH", "append the log to this file [default: stderr]"))
        .arg(option("log-format", "FORMAT", "text or json [default: text]").value_parser(["text", "json"]))
        .arg(flag("debug", "log more"))
        .arg(flag("systemd-cgroup", "let systemd manage the cgroups (not supported yet)"))
        .arg(
            option("rootless", "WHEN", "ignore cgroup permission errors: true, false or auto [default: auto]")
                .value_parser(["true", "false", "auto"]),
        )
        .arg(Arg::new("version").short('v').long("version").action(ArgAction::SetTrue).help("print the version"))
}

fn create() -> Command {
    creation(Command::new("create").about("Create a container; `start` executes its process"))
}

fn run() -> Command {
    creation(Command::new("run").about("Create a container and execute its process"))
        .arg(flag("detach", "do not wait for the container's end").short('d'))
        .arg(flag("keep", "keep the container's state after its end"))
        .arg(flag("no-subreaper", "do not adopt the container's orphaned processes"))
}

fn start() -> Command {
    Command::new("start").about("Execute the process of a created container").arg(id())
}

fn state() -> Command {
    Command::new("state").about("Print the state of a container as JSON").arg(id())
}

fn kill() -> Command {
    Command::new("kill")
        .about("Send a signal to a container's process")
        .arg(flag("all", "send it to all processes of the container").short('a').hide(true))
        .arg(id())
        .arg(
            Arg::new("signal")
                .value_name("SIGNAL")
                .default_value("SIGTERM")
                .hide_default_value(true)
                .allow_negative_numbers(true)
                .help("name or number [default: SIGTERM]"),
        )
}

fn delete() -> Command {
    Command::new("delete")
        .about("Delete a container that has stopped")
        .arg(flag("force", "kill it first, and be content if there is none").short('f'))
        .arg(id())
}

fn list() -> Command {
    Command::new("list")
        .about("List the containers of this state directory")
        .arg(option("format", "FORMAT", "table or json [default: table]").short('f').value_parser(["table", "json"]))
        .arg(flag("quiet", "print ids only").short('q'))
}

fn spec() -> Command {
    Command::new("spec")
        .about("Write an example config.json")
        .arg(bundle())
        .arg(flag("rootless", "for a runtime that is not run by root"))
}

fn features() -> Command {
    Command::new("features").about("Print what this runtime and host support, as JSON")
}
