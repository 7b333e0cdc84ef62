//! The suite runs as two processes. The inner one runs the tests, in network and mount namespaces of its own, so that
//! no bridge, firewall rule, mount or file under /run is ever seen by the host. The outer one adopts every process
//! whose parent ends (daemons, shims, containers), and when the inner one has ended, or on a signal, kills what is
//! left, pid by pid, and removes its cgroups and files.

use crate::common::host::deadline_in;
use crate::common::{self, kernel::cgroups_named, read};
use hilum_sys::signal::SignalFd;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, wait};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

/// In the environment of the inner process: the directory that has everything.
pub const DIR: &str = "HILUM_INTEGRATION_DIR";

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// The outer process.
pub fn run() -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        eprintln!("the integration tests need root");
        return ExitCode::FAILURE;
    }
    // Short: paths of sockets have 107 characters at most, and daemons append to them.
    let dir = tempfile::Builder::new().prefix("hit").tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("chmod");
    set_child_subreaper(Some(rustix::process::getpid())).expect("become a subreaper");
    let mut inner = Command::new("unshare");
    // Slave: what the host mounts later is seen, as /run/user/UID of a user who comes; nothing gets out.
    inner.args(["--mount", "--net", "--propagation", "slave"]).arg(std::env::current_exe().expect("own path"));
    // In a process group of its own: ctrl-C comes here first.
    inner.args(std::env::args_os().skip(1)).env(DIR, dir.path()).process_group(0);
    let inner = common::rustix_pid(inner.spawn().expect("unshare (package util-linux)").id());
    let signals = SignalFd::all().expect("a descriptor of signals");

    let code = loop {
        match reap(Some(inner)) {
            Some(status) => break status.code().unwrap_or(101),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
        if let Ok(Some(signal @ (SIGHUP | SIGINT | SIGTERM))) = signals.next() {
            eprintln!("integration: signal {signal}: cleaning up");
            break 128 + signal;
        }
    };
    let name = dir.path().file_name().expect("a name").to_string_lossy().into_owned();
    thaw(&name);
    kill_descendants();
    if common::systemd() {
        // Slices stay when all that was in them has ended.
        _ = Command::new("systemctl").args(["stop", &format!("*{name}*")]).status();
    }
    remove_cgroups(&name);
    if std::env::var_os("HILUM_INTEGRATION_KEEP").is_some() {
        eprintln!("integration: kept: {}", dir.keep().display());
    } else if let Err(e) = dir.close() {
        eprintln!("integration: {e}");
    }
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Takes the exit status of every child that has ended; that of the inner process is the answer.
fn reap(inner: Option<Pid>) -> Option<ExitStatus> {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if Some(pid) == inner {
            return Some(ExitStatus::from_raw(status.as_raw()));
        }
    }
    None
}

/// A frozen process does not die: a test of pause may have failed half-way.
fn thaw(name: &str) {
    for dir in cgroups_named(name) {
        for (file, text) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            if dir.join(file).exists() {
                _ = fs::write(dir.join(file), text);
            }
        }
    }
}

fn kill_descendants() {
    let deadline = deadline_in(20);
    loop {
        let left = descendants();
        if left.is_empty() || Instant::now() > deadline {
            if !left.is_empty() {
                eprintln!("integration: still running: {left:?}");
            }
            return;
        }
        for pid in left {
            _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
        std::thread::sleep(Duration::from_millis(20));
        reap(None);
    }
}

/// Every process below this one.
fn descendants() -> Vec<i32> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() {
            let stat = read(&entry.path().join("stat"));
            let after = stat.rsplit(") ").next().unwrap_or_default();
            parents.insert(pid, after.split(' ').nth(1).and_then(|ppid| ppid.parse().ok()).unwrap_or(0));
        }
    }
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let below = |mut pid: i32| {
        for _ in 0..64 {
            match parents.get(&pid) {
                Some(&parent) if parent == own => return true,
                Some(&parent) => pid = parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|&pid| below(pid)).collect()
}

fn remove_cgroups(name: &str) {
    let deadline = deadline_in(5);
    while !cgroups_named(name).iter().all(|dir| fs::remove_dir(dir).is_ok()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    for dir in cgroups_named(name) {
        eprintln!("integration: cgroup left behind: {}", dir.display());
    }
}

/// The inner process, before the first test: private copies of what clients share on a host.
pub fn enter() {
    let dir = common::dir();
    let sh = |script: &str| common::run(Command::new("sh").args(["-ec", script]).env("D", dir)).ok();
    sh("ip link set lo up");
    // A way out that leads nowhere: pasta wants one. Kernels may lack the module.
    common::run(Command::new("sh").args([
        "-ec",
        "ip link add out0 type dummy; ip address add 192.0.2.2/24 dev out0; ip link set out0 up
        ip route add default via 192.0.2.1",
    ]));
    // /run is the suite's own, with what a host's services have there.
    sh("mkdir $D/run; mount --rbind /run $D/run; mount -t tmpfs -o mode=755 run /run
        for there in systemd dbus user lock; do
            if [ -d $D/run/$there ]; then mkdir /run/$there; mount --rbind $D/run/$there /run/$there; fi
        done
        umount -R -l $D/run; rmdir $D/run");
    for fixed in ["/var/lib/cni", "/var/lib/containers", "/etc/cni", "/etc/containers/networks"] {
        if Path::new(fixed).is_dir() {
            common::run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "own", fixed])).ok();
        }
    }
    common::set_program(copy_program());
}

/// The runtime under test where every user can get at it, and where a build does not replace it.
fn copy_program() -> PathBuf {
    let program = common::host::program();
    let found = common::run(Command::new("sh").args(["-c", "command -v \"$1\"", "sh"]).arg(&program));
    let found = PathBuf::from(found.ok().stdout.trim());
    let bin = common::dir().join("bin");
    fs::create_dir(&bin).expect("mkdir");
    let copy = bin.join(found.file_name().expect("a name"));
    fs::copy(&found, &copy).expect("copy the runtime");
    println!("{}", common::run(Command::new(&copy).arg("--version")).ok().stdout.trim());
    copy
}
