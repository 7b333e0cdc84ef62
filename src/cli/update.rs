//! Limits, as options: of `update`, and of a pod.

use clap::{Arg, Command};

use super::{id, option};

pub fn update() -> Command {
    limits(Command::new("update").about("Change the resource limits of a container"))
        .arg(option("l3-cache-schema", "SCHEMA", "Intel RDT's L3 cache schema (refused: not supported)"))
        .arg(option("mem-bw-schema", "SCHEMA", "Intel RDT's memory bandwidth schema (refused: not supported)"))
        .arg(id())
}

fn number(name: &'static str, help: &'static str) -> Arg {
    option(name, "N", help).allow_negative_numbers(true)
}

fn size(name: &'static str, help: &'static str) -> Arg {
    option(name, "BYTES", help).allow_negative_numbers(true)
}

pub fn limits(command: Command) -> Command {
    command
        .arg(
            option("resources", "FILE", "a JSON document in the shape of linux.resources; - is stdin")
                .short('r')
                .allow_hyphen_values(true),
        )
        .arg(number("blkio-weight", "relative weight of block I/O, 10 to 1000"))
        .arg(number("cpu-period", "the CPU period, in microseconds"))
        .arg(number("cpu-quota", "CPU time in each period, in microseconds; -1 is no limit"))
        .arg(number("cpu-burst", "CPU time that may be saved up for a burst, in microseconds"))
        .arg(number("cpu-share", "relative weight of CPU time, 2 to 262144").alias("cpu-shares"))
        .arg(number("cpu-rt-period", "the period of real-time scheduling, in microseconds (cgroup v1)"))
        .arg(number("cpu-rt-runtime", "real-time CPU time in each period, in microseconds (cgroup v1)"))
        .arg(number("cpu-idle", "1 for SCHED_IDLE, 0 for the usual"))
        .arg(option("cpuset-cpus", "LIST", "the CPUs to run on, such as 0-2,7"))
        .arg(option("cpuset-mems", "LIST", "the memory nodes to use"))
        .arg(size("memory", "memory limit, such as 512m; -1 is no limit"))
        .arg(size("memory-reservation", "soft memory limit, such as 256m"))
        .arg(size("memory-swap", "limit of memory and swap together; -1 is no limit of swap"))
        .arg(number("pids-limit", "how many processes there may be; -1 is no limit"))
}
