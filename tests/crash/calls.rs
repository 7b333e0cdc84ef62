//! Which system calls change something outside of the process that makes them, and how each may fail.

use nix::errno::Errno::{self, EINTR, EMFILE, ENOMEM, ENOSPC};
use nix::libc;

pub struct Kind {
    number: libc::c_long,
    pub name: &'static str,
    changes: Changes,
    pub errors: &'static [Errno],
}

#[derive(PartialEq)]
enum Changes {
    Always,
    Never,
    /// If it makes or truncates a file: by the flags in this argument.
    Creating(usize),
    /// The same, where this argument points to them (openat2).
    CreatingAt(usize),
    /// What it prints does not.
    Unprinted,
}

/// What it is about for one call: its kind, and whether it changes something.
pub fn noted(number: u64, args: [u64; 6], peek: impl Fn(u64) -> u64) -> Option<(&'static Kind, bool)> {
    let kind = KINDS.iter().find(|kind| kind.number as u64 == number)?;
    let creating = |flags: u64| flags & (libc::O_CREAT | libc::O_TRUNC) as u64 != 0;
    let changes = match kind.changes {
        Changes::Always => true,
        Changes::Never => false,
        Changes::Creating(arg) => creating(args[arg]),
        Changes::CreatingAt(arg) => creating(peek(args[arg])),
        Changes::Unprinted if matches!(args[0], 1 | 2) => return None,
        Changes::Unprinted => true,
    };
    Some((kind, changes))
}

const NONE: &[Errno] = &[];
/// It takes memory.
const MEM: &[Errno] = &[ENOMEM];
/// It takes room, on a disk or in a table.
const ROOM: &[Errno] = &[ENOSPC, ENOMEM];
/// It gives a descriptor.
const FD: &[Errno] = &[EMFILE, ENOMEM];
/// The same, of something new.
const NEW: &[Errno] = &[EMFILE, ENOSPC, ENOMEM];
/// It waits.
const WAIT: &[Errno] = &[EINTR];
const WAIT_MEM: &[Errno] = &[EINTR, ENOMEM];
const WAIT_FD: &[Errno] = &[EINTR, EMFILE, ENOMEM];

const fn kind(name: &'static str, number: libc::c_long, changes: Changes, errors: &'static [Errno]) -> Kind {
    Kind { number, name, changes, errors }
}

#[rustfmt::skip] // a table
const KINDS: &[Kind] = &[
    kind("open", libc::SYS_open, Changes::Creating(1), NEW),
    kind("openat", libc::SYS_openat, Changes::Creating(2), NEW),
    kind("openat2", libc::SYS_openat2, Changes::CreatingAt(2), NEW),
    kind("creat", libc::SYS_creat, Changes::Always, NEW),
    kind("mkdir", libc::SYS_mkdir, Changes::Always, ROOM),
    kind("mkdirat", libc::SYS_mkdirat, Changes::Always, ROOM),
    kind("mknod", libc::SYS_mknod, Changes::Always, ROOM),
    kind("mknodat", libc::SYS_mknodat, Changes::Always, ROOM),
    kind("rename", libc::SYS_rename, Changes::Always, ROOM),
    kind("renameat", libc::SYS_renameat, Changes::Always, ROOM),
    kind("renameat2", libc::SYS_renameat2, Changes::Always, ROOM),
    kind("link", libc::SYS_link, Changes::Always, ROOM),
    kind("linkat", libc::SYS_linkat, Changes::Always, ROOM),
    kind("symlink", libc::SYS_symlink, Changes::Always, ROOM),
    kind("symlinkat", libc::SYS_symlinkat, Changes::Always, ROOM),
    kind("unlink", libc::SYS_unlink, Changes::Always, MEM),
    kind("unlinkat", libc::SYS_unlinkat, Changes::Always, MEM),
    kind("rmdir", libc::SYS_rmdir, Changes::Always, MEM),
    kind("chmod", libc::SYS_chmod, Changes::Always, MEM),
    kind("fchmod", libc::SYS_fchmod, Changes::Always, MEM),
    kind("fchmodat", libc::SYS_fchmodat, Changes::Always, MEM),
    kind("chown", libc::SYS_chown, Changes::Always, MEM),
    kind("lchown", libc::SYS_lchown, Changes::Always, MEM),
    kind("fchown", libc::SYS_fchown, Changes::Always, MEM),
    kind("fchownat", libc::SYS_fchownat, Changes::Always, MEM),
    kind("truncate", libc::SYS_truncate, Changes::Always, ROOM),
    kind("ftruncate", libc::SYS_ftruncate, Changes::Always, ROOM),
    kind("fallocate", libc::SYS_fallocate, Changes::Always, ROOM),
    kind("write", libc::SYS_write, Changes::Unprinted, ROOM),
    kind("writev", libc::SYS_writev, Changes::Unprinted, ROOM),
    kind("pwrite64", libc::SYS_pwrite64, Changes::Always, ROOM),
    kind("sendfile", libc::SYS_sendfile, Changes::Always, ROOM),
    kind("copy_file_range", libc::SYS_copy_file_range, Changes::Always, ROOM),
    kind("splice", libc::SYS_splice, Changes::Always, MEM),
    kind("setxattr", libc::SYS_setxattr, Changes::Always, ROOM),
    kind("fsetxattr", libc::SYS_fsetxattr, Changes::Always, ROOM),
    kind("removexattr", libc::SYS_removexattr, Changes::Always, MEM),
    kind("mount", libc::SYS_mount, Changes::Always, ROOM),
    kind("umount2", libc::SYS_umount2, Changes::Always, MEM),
    kind("fsopen", libc::SYS_fsopen, Changes::Always, FD),
    kind("fsconfig", libc::SYS_fsconfig, Changes::Always, MEM),
    kind("fsmount", libc::SYS_fsmount, Changes::Always, NEW),
    kind("open_tree", libc::SYS_open_tree, Changes::Always, NEW),
    kind("move_mount", libc::SYS_move_mount, Changes::Always, ROOM),
    kind("mount_setattr", libc::SYS_mount_setattr, Changes::Always, MEM),
    kind("pivot_root", libc::SYS_pivot_root, Changes::Always, MEM),
    kind("clone", libc::SYS_clone, Changes::Always, MEM),
    kind("clone3", libc::SYS_clone3, Changes::Always, NEW),
    kind("fork", libc::SYS_fork, Changes::Always, MEM),
    kind("vfork", libc::SYS_vfork, Changes::Always, MEM),
    kind("execve", libc::SYS_execve, Changes::Always, MEM),
    kind("execveat", libc::SYS_execveat, Changes::Always, MEM),
    kind("setns", libc::SYS_setns, Changes::Always, MEM),
    kind("unshare", libc::SYS_unshare, Changes::Always, ROOM),
    kind("kill", libc::SYS_kill, Changes::Always, NONE),
    kind("tgkill", libc::SYS_tgkill, Changes::Always, NONE),
    kind("pidfd_send_signal", libc::SYS_pidfd_send_signal, Changes::Always, NONE),
    kind("pidfd_open", libc::SYS_pidfd_open, Changes::Never, FD),
    kind("bpf", libc::SYS_bpf, Changes::Always, FD),
    kind("ioctl", libc::SYS_ioctl, Changes::Always, MEM),
    kind("socket", libc::SYS_socket, Changes::Never, FD),
    kind("socketpair", libc::SYS_socketpair, Changes::Never, FD),
    kind("bind", libc::SYS_bind, Changes::Always, ROOM),
    kind("listen", libc::SYS_listen, Changes::Always, NONE),
    kind("connect", libc::SYS_connect, Changes::Always, WAIT_MEM),
    kind("accept4", libc::SYS_accept4, Changes::Always, WAIT_FD),
    kind("sendto", libc::SYS_sendto, Changes::Always, WAIT_MEM),
    kind("sendmsg", libc::SYS_sendmsg, Changes::Always, WAIT_MEM),
    kind("recvfrom", libc::SYS_recvfrom, Changes::Always, WAIT_MEM),
    kind("recvmsg", libc::SYS_recvmsg, Changes::Always, WAIT_MEM),
    kind("flock", libc::SYS_flock, Changes::Always, WAIT_MEM),
    kind("memfd_create", libc::SYS_memfd_create, Changes::Always, FD),
    kind("signalfd4", libc::SYS_signalfd4, Changes::Never, FD),
    kind("dup", libc::SYS_dup, Changes::Never, FD),
    kind("pipe2", libc::SYS_pipe2, Changes::Never, FD),
    kind("poll", libc::SYS_poll, Changes::Never, WAIT_MEM),
    kind("ppoll", libc::SYS_ppoll, Changes::Never, WAIT_MEM),
    kind("waitid", libc::SYS_waitid, Changes::Always, WAIT),
    kind("wait4", libc::SYS_wait4, Changes::Always, WAIT),
    kind("keyctl", libc::SYS_keyctl, Changes::Always, MEM),
    kind("sethostname", libc::SYS_sethostname, Changes::Always, NONE),
    kind("setsid", libc::SYS_setsid, Changes::Always, NONE),
    kind("prlimit64", libc::SYS_prlimit64, Changes::Always, NONE),
    kind("sched_setaffinity", libc::SYS_sched_setaffinity, Changes::Always, MEM),
];
