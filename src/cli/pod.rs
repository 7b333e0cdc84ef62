//! The commands of `hilum pod`.

use clap::{Arg, ArgAction, Command};

use super::update::limits;
use super::{flag, format_option, list_of, option, ps_options, signal};

pub fn pod() -> Command {
    Command::new("pod")
        .about("Make pods: namespaces, a cgroup and a /dev/shm for several containers to share")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            create(),
            run(),
            ls(),
            inspect(),
            ps(),
            stats(),
            update(),
            pause(),
            resume(),
            kill(),
            wait(),
            rm(),
        ])
}

fn name() -> Arg {
    Arg::new("pod").value_name("POD").required(true).help("the pod's name, unique on this host")
}

/// With the limit that people think in.
fn pod_limits(command: Command) -> Command {
    limits(command).arg(option("cpus", "N", "as much CPU time as N processors have, such as 0.5"))
}

fn create() -> Command {
    pod_limits(Command::new("create").about("Make a pod without containers"))
        .arg(
            option("share", "KIND,..", "what its containers share: net, ipc, uts, pid, user, time, cgroup")
                .default_value("net,ipc,uts"),
        )
        .arg(option("hostname", "NAME", "the hostname of all its containers [default: the pod's name]"))
        .arg(option("domainname", "NAME", "their NIS domain name"))
        .arg(list_of("sysctl", "NAME=VALUE", "set a sysctl of the shared namespaces"))
        .arg(option("shm-size", "BYTES", "the size of their /dev/shm [default: 64m]"))
        .arg(list_of("uidmap", "CONTAINER:HOST:SIZE", "user ids of a shared user namespace"))
        .arg(list_of("gidmap", "CONTAINER:HOST:SIZE", "group ids of it [default: as --uidmap]"))
        .arg(list_of("time-offset", "CLOCK=SECONDS", "monotonic or boottime, in a shared time namespace"))
        .arg(option("net-path", "PATH", "the network namespace to share, instead of a new one"))
        .arg(option("cni", "NETWORK", "attach it to this network of /etc/cni/net.d"))
        .arg(option("cgroup", "PATH", "the pod's cgroup, as linux.cgroupsPath [default: /hilum-pods/POD]"))
        .arg(name())
}

fn run() -> Command {
    Command::new("run")
        .about("Make a pod and start its containers, or leave nothing")
        .arg(option("name", "POD", "the pod's name [default: the manifest's]"))
        .arg(Arg::new("file").value_name("FILE").required(true).help("the manifest, YAML or JSON"))
}

fn ls() -> Command {
    Command::new("ls")
        .about("List the pods")
        .visible_alias("list")
        .arg(format_option())
        .arg(flag("quiet", "print names only").short('q'))
}

fn inspect() -> Command {
    Command::new("inspect")
        .about("Show a pod: its limits, cgroups and processes, and who shares which namespaces")
        .arg(format_option())
        .arg(name())
}

fn ps() -> Command {
    Command::new("ps").about("List the processes of a pod").arg(format_option()).arg(name()).arg(ps_options())
}

fn stats() -> Command {
    Command::new("stats")
        .about("Show what a pod uses, and each of its containers")
        .arg(format_option())
        .arg(option("interval", "DURATION", "show it again and again, such as 5s [default: once]"))
        .arg(name())
}

fn update() -> Command {
    pod_limits(Command::new("update").about("Change the limits of a pod and its containers, all of them or none"))
        .arg(list_of("container", "ID:LIMIT=VALUE,..", "limits of a container in it, such as app:memory=64m,cpus=0.5"))
        .arg(name())
}

fn pause() -> Command {
    Command::new("pause").about("Freeze all processes of a pod, or none").arg(name())
}

fn resume() -> Command {
    Command::new("resume").about("Let the processes of a paused pod go on").arg(name())
}

fn kill() -> Command {
    Command::new("kill")
        .about("Send a signal to all processes of a pod's containers; with KILL, wait for their end")
        .arg(name())
        .arg(signal())
}

fn wait() -> Command {
    Command::new("wait").about("Wait until no container of a pod runs").arg(name())
}

fn rm() -> Command {
    Command::new("rm")
        .about("Remove pods and their containers")
        .arg(flag("force", "kill what runs, and be content if there is no such pod").short('f'))
        .arg(name().action(ArgAction::Append).num_args(1..).help("the pods"))
}
