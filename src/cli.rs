//! The command line: which commands there are and what they take. No logic.

mod pod;
mod update;

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

fn console_socket() -> Arg {
    option("console-socket", "PATH", "send the master of the process's terminal to this unix socket")
}

fn pidfd_socket() -> Arg {
    option("pidfd-socket", "PATH", "send a pidfd of the process to this unix socket")
}

fn pid_file() -> Arg {
    option("pid-file", "PATH", "write the pid of the process to this file")
}

fn preserve_fds() -> Arg {
    let help = "pass N file descriptors behind the standard ones to the process [default: 0]";
    option("preserve-fds", "N", help).value_parser(clap::value_parser!(u32).range(..=4096))
}

fn format_option() -> Arg {
    option("format", "FORMAT", "table or json [default: table]").short('f').value_parser(["table", "json"])
}

/// An option that may be given several times.
fn list_of(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).action(ArgAction::Append)
}

/// What `create` and `run` have in common.
fn creation(command: Command) -> Command {
    planning(command).arg(console_socket()).arg(pidfd_socket()).arg(pid_file()).arg(preserve_fds()).arg(id())
}

/// What a plan depends on.
fn planning(command: Command) -> Command {
    command
        .arg(bundle())
        .arg(flag("no-pivot", "do not use pivot_root (for a host that runs from an initramfs)"))
        .arg(flag("no-new-keyring", "keep the caller's session keyring"))
        .arg(option("pod", "POD", "take part in this pod"))
        .arg(option("join", "ID[:KIND,..]", "take part in namespaces of this container [default: net,ipc,uts]"))
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
    ("exec", exec),
    ("ps", ps),
    ("pause", pause),
    ("resume", resume),
    ("update", update::update),
    ("pod", pod::pod),
    ("events", events),
    ("checkpoint", checkpoint),
    ("restore", restore),
    ("state", state),
    ("kill", kill),
    ("delete", delete),
    ("list", list),
    ("gc", gc),
    ("ns", ns),
    ("plan", plan),
    ("spec", spec),
    ("features", features),
    ("setup", setup),
    ("check", check),
];

fn hilum() -> Command {
    Command::new("hilum")
        .about("hilum runs OCI containers, and makes the pod its own business")
        .disable_version_flag(true)
        // As with Go's flags, the last of several wins.
        .args_override_self(true)
        .arg_required_else_help(true)
        .arg(option("root", "DIR", "where the state of containers is kept [default: /run/hilum]"))
        .arg(option("pods", "DIR", "where pods are kept [default: /run/hilum/pods]"))
        .arg(option("log", "PATH", "append the log to this file, or with journald:ID to the journal [default: stderr]"))
        .arg(option("log-format", "FORMAT", "text or json [default: text]").value_parser(["text", "json"]))
        .arg(flag("debug", "log more"))
        .arg(flag("systemd-cgroup", "let systemd make the container's cgroup (cgroup v2 alone)"))
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

fn exec() -> Command {
    Command::new("exec")
        .about("Execute another process in a container that runs")
        .arg(console_socket())
        .arg(pidfd_socket())
        .arg(option("cwd", "DIR", "the working directory [default: the container's]"))
        .arg(list_of("env", "NAME=VALUE", "add to the environment").short('e'))
        .arg(flag("tty", "give the process a terminal").short('t'))
        .arg(option("user", "UID[:GID]", "the ids of the process [default: the container's]").short('u'))
        .arg(list_of("additional-gids", "GID", "add to the supplementary groups").short('g').allow_hyphen_values(true))
        .arg(option("process", "FILE", "a JSON document of the process, in place of the other options").short('p'))
        .arg(flag("detach", "do not wait for the end of the process").short('d'))
        .arg(pid_file())
        .arg(option("process-label", "LABEL", "the SELinux label of the process"))
        .arg(option("apparmor", "PROFILE", "the AppArmor profile of the process"))
        .arg(flag("no-new-privs", "set no_new_privs [default: the container's]"))
        .arg(list_of("cap", "CAPABILITY", "add a capability").short('c'))
        .arg(preserve_fds())
        .arg(list_of("cgroup", "[CONTROLLER,..:]PATH", "the cgroup of the process, below the container's"))
        .arg(flag("ignore-paused", "execute in a paused container, too"))
        .arg(flag("no-subreaper", "for the sake of runc's callers: no process is adopted").hide(true))
        .arg(id())
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .help("the program and its arguments"),
        )
}

fn ps() -> Command {
    Command::new("ps").about("List the processes of a container").arg(format_option()).arg(id()).arg(ps_options())
}

fn ps_options() -> Arg {
    Arg::new("options")
        .value_name("PS_OPTION")
        .num_args(0..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .help("what ps(1) is given [default: -ef]")
}

fn pause() -> Command {
    Command::new("pause").about("Freeze all processes of a container").arg(id())
}

fn resume() -> Command {
    Command::new("resume").about("Let the processes of a paused container go on").arg(id())
}

fn events() -> Command {
    Command::new("events")
        .about("Print statistics of a container at intervals, and when it runs out of memory")
        .arg(option("interval", "DURATION", "time between two statistics [default: 5s]"))
        .arg(flag("stats", "print the statistics once"))
        .arg(id())
}

/// What `checkpoint` and `restore` have in common.
fn criu(command: Command) -> Command {
    command
        .arg(option("image-path", "DIR", "the checkpoint's directory [default: ./checkpoint]"))
        .arg(option("work-path", "DIR", "where CRIU's log and work files go [default: the checkpoint's directory]"))
        .arg(flag("tcp-established", "allow open TCP connections"))
        .arg(flag("ext-unix-sk", "allow unix sockets whose other end is outside"))
        .arg(flag("shell-job", "allow a session and a terminal that are the caller's"))
        .arg(flag("file-locks", "dump and restore file locks"))
        .arg(flag("auto-dedup", "free the pages that an earlier image has and this one replaces"))
        .arg(flag("lazy-pages", "bring the memory after the restore (refused: not supported)"))
        .arg(
            option("manage-cgroups-mode", "MODE", "soft, full, strict or ignore [default: soft]")
                .value_parser(["soft", "full", "strict", "ignore"]),
        )
        .arg(list_of(
            "empty-ns",
            "KIND",
            "a namespace whose content is not dumped or restored: network, which always is so",
        ))
        .arg(id())
}

fn checkpoint() -> Command {
    criu(Command::new("checkpoint").about("Save the processes of a container to files, and end them"))
        .arg(option("parent-path", "DIR", "an earlier --pre-dump, relative to --image-path"))
        .arg(flag("pre-dump", "save memory only, and let the container go on"))
        .arg(flag("leave-running", "let the container go on"))
        .arg(flag("tcp-skip-in-flight", "leave out TCP connections that are not established yet"))
        .arg(flag("link-remap", "allow open files that have been unlinked, by linking them anew"))
        .arg(option("page-server", "ADDRESS:PORT", "send the memory to this page server (criu page-server)"))
        .arg(option("status-fd", "FD", "for --lazy-pages (refused: not supported)"))
}

fn restore() -> Command {
    criu(Command::new("restore").about("Make a container from a checkpoint, and let its processes go on"))
        .arg(bundle())
        .arg(console_socket())
        .arg(pid_file())
        .arg(flag("detach", "do not wait for the container's end").short('d'))
        .arg(flag("no-subreaper", "do not adopt the container's orphaned processes"))
        // containerd says `-no-subreaper`, with one dash, which means the same to runc.
        .arg(Arg::new("one-dash").short('n').value_parser(["o-subreaper"]).hide(true))
        .arg(flag("no-pivot", "do not use pivot_root (refused: CRIU always uses it)"))
        .arg(option(
            "lsm-profile",
            "TYPE:NAME",
            "the AppArmor profile or SELinux label, in place of that of the checkpoint",
        ))
        .arg(option(
            "lsm-mount-context",
            "CONTEXT",
            "the SELinux context of mounts, in place of that of the checkpoint",
        ))
}

fn state() -> Command {
    Command::new("state").about("Print the state of a container as JSON").arg(id())
}

fn kill() -> Command {
    Command::new("kill")
        .about("Send a signal to a container's process")
        .arg(flag("all", "send it to all processes of the container").short('a').hide(true))
        .arg(id())
        .arg(signal())
}

fn signal() -> Arg {
    Arg::new("signal")
        .value_name("SIGNAL")
        .default_value("SIGTERM")
        .hide_default_value(true)
        .allow_negative_numbers(true)
        .help("name or number [default: SIGTERM]")
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
        .arg(format_option())
        .arg(flag("quiet", "print ids only").short('q'))
}

fn ns() -> Command {
    let ids = Arg::new("ids").value_name("ID").num_args(0..).help("the containers [default: all]");
    Command::new("ns").about("Show which namespaces containers share").arg(format_option()).arg(ids)
}

fn plan() -> Command {
    let id = Arg::new("id").value_name("ID").help("the container's name, where it matters");
    let command = Command::new("plan").about("Show what create would do, and all that would keep it from that");
    let format = option("format", "FORMAT", "text or json [default: text]").short('f').value_parser(["text", "json"]);
    planning(command).arg(format).arg(id)
}

fn gc() -> Command {
    Command::new("gc").about("Remove what commands that were killed have left of containers and pods")
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

fn check() -> Command {
    Command::new("check").about("Look at what this host has of what hilum needs").arg(format_option())
}

fn setup() -> Command {
    let docker = Command::new("docker")
        .about("Make hilum known to Docker, in daemon.json, where everything else stays as it is")
        .arg(flag("print", "print what the file would be, and change nothing"))
        .arg(flag("default", "for containers that name no runtime, too"))
        .arg(flag("remove", "take it out again"))
        .arg(option("file", "PATH", "the file [default: /etc/docker/daemon.json]"));
    Command::new("setup").about("Make hilum known to a client").arg_required_else_help(true).subcommand(docker)
}
