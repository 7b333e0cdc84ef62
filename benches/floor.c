/*
 * floor ROOTFS: the kernel's own price of one container.
 *
 * Makes the container of `hilum spec` with the arguments /bin/true, removes it, and does nothing else: no JSON, no
 * state, no validation, no second exec, no path is checked. What a runtime needs beyond this is its own work.
 * Left out: the device program on the cgroup. Not to be used for anything but measuring.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUPS "/sys/fs/cgroup"
#define SAFE (MS_NOSUID | MS_NOEXEC | MS_NODEV)

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            die(#call);                                                                                                \
    } while (0)

static void mount_at(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        die(target);
    if (mount(source, target, type, flags, data) < 0)
        die(target);
}

/* First the pivot, then the mounts: the copy of the host's mount table is gone before anything has to search it. */
static void root(const char *rootfs)
{
    CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    CHECK(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
    CHECK(chdir(rootfs));
    CHECK(syscall(SYS_pivot_root, ".", "."));
    CHECK(umount2(".", MNT_DETACH));
    CHECK(chdir("/"));
}

static void mounts(void)
{
    mount_at("proc", "/proc", "proc", 0, NULL);
    mount_at("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    mount_at("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    mount_at("shm", "/dev/shm", "tmpfs", SAFE, "mode=1777,size=65536k");
    mount_at("mqueue", "/dev/mqueue", "mqueue", SAFE, NULL);
    mount_at("sysfs", "/sys", "sysfs", SAFE | MS_RDONLY, NULL);
    mount_at("cgroup", CGROUPS, "cgroup2", SAFE | MS_RELATIME | MS_RDONLY, NULL);
}

static void devices(void)
{
    static const struct { const char *path; unsigned major, minor; } nodes[] = {
        { "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
        { "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
    };
    static const char *const links[][2] = {
        { "/proc/self/fd", "/dev/fd" },       { "/proc/self/fd/0", "/dev/stdin" },
        { "/proc/self/fd/1", "/dev/stdout" }, { "/proc/self/fd/2", "/dev/stderr" },
        { "/proc/kcore", "/dev/core" },       { "pts/ptmx", "/dev/ptmx" },
    };
    umask(0);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0)
            die(nodes[i].path);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            die(links[i][1]);
    umask(022);
}

static void protect(void)
{
    static const char *const readonly[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
    };
    static const char *const masked[] = {
        "/proc/acpi",       "/proc/asound",      "/proc/kcore",       "/proc/keys",    "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
    };
    const char *empty = NULL;

    for (size_t i = 0; i < sizeof readonly / sizeof *readonly; i++) {
        if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) < 0) {
            if (errno == ENOENT)
                continue;
            die(readonly[i]);
        }
        CHECK(mount(NULL, readonly[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    }

    /* A file is covered by /dev/null; a directory, which answers ENOTDIR to that, by an empty tmpfs. One tmpfs serves
       all of them: a bind mount is cheaper than another file system, and keeps the read-only flag. */
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
        if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) == 0 || errno == ENOENT)
            continue;
        if (errno != ENOTDIR)
            die(masked[i]);
        if (empty ? mount(empty, masked[i], NULL, MS_BIND, NULL) : mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, NULL))
            die(masked[i]);
        empty = masked[i];
    }
    CHECK(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
}

static void loopback_up(void)
{
    struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd);
    CHECK(ioctl(fd, SIOCSIFFLAGS, &lo));
}

static void credentials(void)
{
    const uint32_t keep = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct sets[2] = { { .effective = keep, .permitted = keep } };
    const struct rlimit files = { 1024, 1024 };

    CHECK(setrlimit(RLIMIT_NOFILE, &files));
    CHECK(setgroups(0, NULL));
    for (int cap = 0; cap < 64; cap++) {
        if (cap < 32 && keep >> cap & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL) /* the kernel's last capability was the one before */
                break;
            die("drop a capability from the bounding set");
        }
    }
    CHECK(syscall(SYS_capset, &header, sets));
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void container(const char *rootfs)
{
    char *const argv[] = { "/bin/true", NULL };
    char *const envp[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL };

    /* Not a flag of clone3: the namespace's root is the cgroup of the caller, and only now is that the new one. */
    CHECK(unshare(CLONE_NEWCGROUP));
    CHECK(setsid());
    CHECK(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "floor"));
    loopback_up();
    root(rootfs);
    mounts();
    devices();
    protect();
    CHECK(sethostname("hilum", 5));
    credentials();
    CHECK(syscall(SYS_close_range, 3, ~0u, 0));
    execve(argv[0], argv, envp);
    die(argv[0]);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: floor ROOTFS\n");
        return 1;
    }

    struct clone_args args = {
        .flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS,
        .exit_signal = SIGCHLD,
    };
    char cgroup[64];
    struct statfs fs;
    CHECK(statfs(CGROUPS, &fs));
    int unified = fs.f_type == CGROUP2_SUPER_MAGIC; /* without it there is no CLONE_INTO_CGROUP */
    if (unified) {
        snprintf(cgroup, sizeof cgroup, CGROUPS "/floor-%d", getpid());
        CHECK(mkdir(cgroup, 0755));
        int fd = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK(fd);
        args.cgroup = fd;
        args.flags |= CLONE_INTO_CGROUP;
    }

    pid_t pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        container(argv[1]);
    int failed = pid < 0, status = 0;
    if (failed)
        perror("clone3");
    else
        CHECK(waitpid(pid, &status, 0));
    if (unified)
        CHECK(rmdir(cgroup));
    return failed || status != 0;
}
