//! The plan's vocabulary: what the init program can be told to do, one kernel-level act (or a few that belong together)
//! per step, with everything decided. The parent writes the list; the init program walks it.

use core::ffi::CStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A NUL-ended string inside the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Str<'a>(pub &'a CStr);

/// Several NUL-ended strings, one behind the other.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strs<'a>(#[serde(borrow)] &'a [u8]);

/// The number of an inherited file descriptor.
pub type Fd = i32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step<'a> {
    // Stage one: what must happen before the container's first process is cloned.
    /// setns(2): `kind` is the CLONE_NEW… flag, which the kernel compares once more; with a pidfd, the flags of all the
    /// namespaces of that process that are to be joined (Linux 5.8).
    Join {
        kind: u32,
        fd: Fd,
    },
    /// The root directory of a process that has no mount namespace of its own: chroot(2) into it.
    EnterRoot {
        fd: Fd,
    },
    /// unshare(2).
    Unshare {
        kinds: u32,
    },
    /// A new mount namespace, copied from the one of the descriptor instead of from the host's.
    UnshareMounts {
        from: Fd,
    },
    /// Root of the user namespace that was created or joined.
    BecomeRoot,
    /// The lines of /proc/self/timens_offsets, before a process enters the new time namespace.
    TimeOffsets {
        #[serde(borrow)]
        lines: Str<'a>,
    },
    /// clone3(2): the child goes on with the next step, this process reports the child's pid and ends.
    Fork {
        kinds: u32,
    },
    /// Writes `0`, the writer itself, to each of the header's `cgroups`, and closes them.
    EnterCgroup,
    /// PR_SET_DUMPABLE 0: nobody in a joined namespace may look into this process until it has executed (CVE-2016-9962).
    NotDumpable,
    /// A message to the parent, and its answer.
    Wait(Point),

    // The container's first process.
    SessionKeyring {
        name: Str<'a>,
        label: Option<Str<'a>>,
    },
    LoopbackUp,

    // Root file system. Targets are paths in the container, resolved inside its root (openat2 RESOLVE_IN_ROOT).
    /// Propagation type of all mounts of this namespace; `RootPropagation`, of those at the final root alone.
    Propagation {
        flags: u32,
    },
    /// The mount that holds `path` gets private propagation, so that what is mounted there stays here.
    PrivateParent {
        path: Str<'a>,
    },
    /// The root file system becomes a mount of its own; all later targets are below it.
    OpenRoot {
        path: Str<'a>,
        recursive: bool,
    },
    /// The same, where no path leads to it: a detached mount that the parent has made goes on `/`.
    AttachRoot {
        fd: Fd,
        path: Str<'a>,
    },
    /// Without a mount namespace of its own: the directory as it is.
    OpenRootInPlace {
        path: Str<'a>,
    },
    Mount(#[serde(borrow)] Mount<'a>),
    Bind(#[serde(borrow)] Bind<'a>),
    /// Changes flags of what is mounted at the target, or of the tree there; and its propagation, if that is named.
    Remount {
        target: Str<'a>,
        attr: Attr,
        recursive: bool,
        propagation: u32,
    },
    /// Made where it is missing (the working directory).
    Directory {
        path: Str<'a>,
    },
    Node {
        path: Str<'a>,
        mode: u32,
        device: u64,
        uid: u32,
        gid: u32,
    },
    Symlink {
        path: Str<'a>,
        to: Str<'a>,
        replace: bool,
    },
    /// A new pseudo terminal of the container's devpts: its master goes to the parent, its slave is the process's
    /// terminal and, with `bind`, /dev/console.
    Console {
        bind: bool,
        rows: u16,
        cols: u16,
    },
    Mask {
        path: Str<'a>,
    },
    ReadonlyPath {
        path: Str<'a>,
    },
    ReadonlyRoot,
    /// `shared`: the mounts left behind are still tied to the host's, and must be untied before they go.
    Pivot {
        shared: bool,
    },
    /// Without pivot_root(2), from this path: the host's mounts stay, and its proc and sysfs among them are covered.
    MoveRoot(#[serde(borrow)] Str<'a>),
    Chroot,
    RootPropagation {
        flags: u32,
    },

    // The process.
    Hook(#[serde(borrow)] Hook<'a>),
    Hostname {
        name: Str<'a>,
    },
    Domainname {
        name: Str<'a>,
    },
    /// Writes to a file below the host's /proc, through the descriptor that the parent opened and checked.
    ProcWrite {
        path: Str<'a>,
        value: Str<'a>,
        unless_equal: bool,
    },
    /// setsid(2), with the new terminal (if there is one) as its controlling one and as the standard streams.
    NewSession,
    Rlimit {
        resource: u32,
        soft: u64,
        hard: u64,
    },
    /// sched_setattr(2).
    Scheduler(Scheduler),
    /// ioprio_set(2).
    IoPriority {
        class: u32,
        level: u32,
    },
    /// sched_setaffinity(2): a bit for each CPU.
    Affinity {
        cpus: Words<'a>,
    },
    /// set_mempolicy(2): the mode with its flags, and a bit for each node.
    MemoryPolicy {
        mode: u32,
        nodes: Words<'a>,
    },
    /// personality(2).
    Personality {
        domain: u32,
    },
    NoNewPrivileges,
    /// The program that the last `Wait(Point::Seccomp)` was answered with.
    Seccomp {
        flags: u32,
    },
    OwnStdio {
        uid: u32,
        terminal: bool,
    },
    BoundingSet {
        keep: u64,
    },
    User {
        uid: u32,
        gid: u32,
        groups: Words<'a>,
    },
    Capabilities(Capabilities),
    Umask {
        mask: u32,
    },
    /// `again`: only if it could not be entered the first time, as root.
    Chdir {
        path: Str<'a>,
        again: bool,
    },
    /// Where `args[0]` is, tried before the container counts as created.
    FindProgram {
        program: Str<'a>,
        candidates: Strs<'a>,
    },
    /// Waits at the listening socket for `start`; the connection replaces the channel to the parent.
    AwaitStart,
    /// With the flags of a seccomp filter to be installed at the very last: it need allow nothing but the execution.
    Exec {
        args: Strs<'a>,
        env: Strs<'a>,
        seccomp: Option<u32>,
    },

    // A pod's sandbox has no program to execute.
    /// PID 1 of a pod's pid namespace: reaps orphans until SIGTERM or SIGINT.
    Reap,
    /// The process was there for its namespaces alone.
    End,
}

/// A file system of its own: fsopen, fsconfig, fsmount, move_mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount<'a> {
    #[serde(borrow)]
    pub fs: Str<'a>,
    pub source: Str<'a>,
    /// `key=value` or `flag`.
    pub options: Strs<'a>,
    /// MOUNT_ATTR_… bits.
    pub attr: u64,
    pub propagation: u32,
    pub target: Str<'a>,
    /// It begins with a copy of what is at the target (tmpcopyup).
    pub copy_up: bool,
    /// Directories that it begins with: later mounts go there. While it is at hand, one is a system call, and later four.
    pub mount_points: Strs<'a>,
    /// proc, sysfs, cgroup and all of /dev: no symbolic link may lead there (CVE-2019-19921, CVE-2023-27561).
    pub no_symlinks: bool,
}

/// A copy of a mount that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind<'a> {
    #[serde(borrow)]
    pub source: Source<'a>,
    pub recursive: bool,
    pub target: Str<'a>,
    pub attr: Attr,
    /// The same, for the whole tree (rro, rnosuid, …).
    pub recursive_attr: Attr,
    pub propagation: u32,
    pub no_symlinks: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attr {
    pub set: u64,
    pub clear: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source<'a> {
    Path(#[serde(borrow)] Str<'a>),
    /// A detached mount that the parent has made, of this path.
    Tree {
        fd: Fd,
        path: Str<'a>,
        /// Its ids are mapped already: those of the whole tree, or of the topmost mount.
        idmap: Option<bool>,
    },
}

/// Bit masks, one bit per capability number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// What sched_setattr(2) takes, by its names there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    pub policy: u32,
    pub flags: u32,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// A hook that runs in the container's namespaces; the state comes with the parent's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook<'a> {
    #[serde(borrow)]
    pub name: Str<'a>,
    pub path: Str<'a>,
    pub args: Strs<'a>,
    pub env: Strs<'a>,
    pub timeout_secs: u32,
}

/// Where the two sides wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Point {
    /// systemd moves the process into the container's cgroup.
    Cgroup,
    /// The parent writes the id maps of the new user namespace.
    IdMaps,
    /// The parent moves network devices of the host's to the container's network namespace.
    NetDevices,
    /// prestart and createRuntime hooks.
    RuntimeHooks,
    /// Answered with the state that a hook reads.
    HookState,
    /// Answered with the compiled seccomp program.
    Seccomp,
    /// All is done but to start.
    Ready,
}

/// What the init program sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<'a> {
    At(Point),
    /// The container's first process, as stage one sees it.
    Forked {
        pid: i32,
    },
    /// The terminal's master comes with this message.
    Terminal,
    /// The seccomp listener comes with this message.
    Listener,
    /// The next thing is execve(2): an end of the channel behind this means that it has happened.
    Executing,
    Failed {
        step: u32,
        errno: i32,
        #[serde(borrow)]
        detail: &'a [u8],
    },
}

/// 32-bit words in the message, which knows no alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words<'a>(#[serde(borrow)] pub &'a [u8]);

impl<'a> Words<'a> {
    pub fn iter(self) -> impl Iterator<Item = u32> + Clone + 'a {
        self.0.chunks_exact(4).map(|b| u32::from_ne_bytes(b.try_into().unwrap_or_default()))
    }
}

impl<'a> Strs<'a> {
    /// `bytes` must end with a NUL, unless it is empty.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn iter(self) -> impl Iterator<Item = &'a CStr> + Clone {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let first = CStr::from_bytes_until_nul(rest).ok()?;
            rest = rest.get(first.to_bytes_with_nul().len()..)?;
            Some(first)
        })
    }
}

impl Serialize for Str<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0.to_bytes_with_nul())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let bytes = <&'de [u8]>::deserialize(d)?;
        CStr::from_bytes_with_nul(bytes).map(Str).map_err(|_| serde::de::Error::custom("a string without its NUL"))
    }
}

impl core::fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::fmt::Debug for Strs<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
