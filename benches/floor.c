/*
 * floor OPERATION …: the kernel's own price of what a runtime does. Without JSON, validation, locks, limits, a second
 * exec; no path is checked, no descriptor verified. What a runtime needs beyond this is its own work. Not to be used for
 * anything but measuring.
 *
 *   run ROOTFS               a container of `hilum spec` with /bin/true, waited for and removed
 *   create DIR ROOTFS [ARG…] one that waits, with its state in DIR
 *   start|state|kill|delete|pause|resume DIR
 *   exec DIR ARG…            another process in it, waited for
 *   list DIR…                the state of all
 *
 * The layout of cgroups is the host's: version 2 alone, or the hierarchies of version 1 below /sys/fs/cgroup.
 * Left out: masks that only exist elsewhere.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    ({                                                                                                                 \
        long result_ = (call);                                                                                         \
        if (result_ < 0)                                                                                               \
            die(#call);                                                                                                \
        (int)result_;                                                                                                  \
    })

/* ---- cgroups ---- */

/* The hierarchies of version 1: none where there is version 2 alone. */
static struct hierarchy {
    char name[32];
    int tree; /* the container's cgroup, as a detached mount */
} hierarchies[16];
static int count;

static void look_for_hierarchies(void)
{
    struct statfs fs;
    CHECK(statfs(CGROUPS, &fs));
    if (fs.f_type == CGROUP2_SUPER_MAGIC)
        return;
    DIR *dir = opendir(CGROUPS);
    if (!dir)
        die(CGROUPS);
    for (struct dirent *entry; (entry = readdir(dir)) && count < 16;) {
        char path[1024];
        snprintf(path, sizeof path, CGROUPS "/%s", entry->d_name);
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < sizeof hierarchies->name && statfs(path, &fs) == 0 &&
            fs.f_type == CGROUP_SUPER_MAGIC)
            strcpy(hierarchies[count++].name, entry->d_name);
    }
    closedir(dir);
}

static void in_hierarchy(char *path, int n, const char *cgroup, const char *file)
{
    snprintf(path, 1024, CGROUPS "/%s%s%s%s", count ? hierarchies[n].name : "", cgroup, *file ? "/" : "", file);
}

static void write_file(const char *path, const char *text)
{
    int fd = CHECK(open(path, O_WRONLY | O_CLOEXEC));
    CHECK(write(fd, text, strlen(text)));
    close(fd);
}

static size_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = CHECK(read(fd, text, size - 1));
    close(fd);
    text[length] = 0;
    return length;
}

static void make_cgroups(const char *cgroup)
{
    char path[1024], value[64];
    for (int n = 0; n == 0 || n < count; n++) {
        in_hierarchy(path, n, cgroup, "");
        CHECK(mkdir(path, 0755));
        if (count && strcmp(hierarchies[n].name, "cpuset") == 0) { /* empty, and then nobody may enter */
            const char *files[] = { "cpuset.cpus", "cpuset.mems" };
            for (int i = 0; i < 2; i++) {
                in_hierarchy(path, n, "", files[i]);
                read_file(path, value, sizeof value);
                in_hierarchy(path, n, cgroup, files[i]);
                write_file(path, value);
            }
        }
    }
}

/* What every container may use. */
static const struct {
    char kind;
    int major, minor; /* -1: any */
    unsigned access;  /* 1 mknod, 2 read, 4 write */
} rules[] = {
    { 'c', -1, -1, 1 }, { 'b', -1, -1, 1 }, { 'c', 1, 3, 7 }, { 'c', 1, 8, 7 },    { 'c', 1, 7, 7 },
    { 'c', 5, 0, 7 },   { 'c', 1, 5, 7 },   { 'c', 1, 9, 7 }, { 'c', 136, -1, 7 }, { 'c', 5, 2, 7 },
};
#define RULES (sizeof rules / sizeof *rules)

/* Version 1: a line each. */
static void write_device_rules(const char *cgroup)
{
    char path[1024], line[64], major[16], minor[16];
    for (int n = 0; n < count; n++) {
        if (strcmp(hierarchies[n].name, "devices"))
            continue;
        in_hierarchy(path, n, cgroup, "devices.deny");
        write_file(path, "a");
        in_hierarchy(path, n, cgroup, "devices.allow");
        int fd = CHECK(open(path, O_WRONLY | O_CLOEXEC));
        for (size_t i = 0; i < RULES; i++) {
            snprintf(major, sizeof major, rules[i].major < 0 ? "*" : "%d", rules[i].major);
            snprintf(minor, sizeof minor, rules[i].minor < 0 ? "*" : "%d", rules[i].minor);
            const char *access = rules[i].access == 1 ? "m" : "rwm";
            CHECK(write(fd, line, snprintf(line, sizeof line, "%c %s:%s %s", rules[i].kind, major, minor, access)));
        }
        close(fd);
    }
}

/* Version 2: a program. */
static void attach_device_program(int cgroup)
{
    enum { RESULT, CONTEXT, KIND, UNDECIDED, MAJOR, MINOR, SCRATCH };
    struct bpf_insn program[8 + RULES * 12];
    int length = 0;
#define ADD(...) (program[length] = (struct bpf_insn){ __VA_ARGS__ }, length++)
#define IMMEDIATE(op, reg, value) ADD(.code = BPF_ALU | (op) | BPF_K, .dst_reg = (reg), .imm = (int)(value))
#define REGISTER(op, reg, other) ADD(.code = BPF_ALU | (op) | BPF_X, .dst_reg = (reg), .src_reg = (other))
#define LOAD(reg, at) ADD(.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = (reg), .src_reg = CONTEXT, .off = (at))
#define UNLESS_ZERO(reg, end) ADD(.code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = (reg), .off = (end) - length - 1)
#define ANSWER(value) (IMMEDIATE(BPF_MOV, RESULT, value), ADD(.code = BPF_JMP | BPF_EXIT))
    LOAD(KIND, 0);
    REGISTER(BPF_MOV, UNDECIDED, KIND);
    IMMEDIATE(BPF_AND, KIND, 0xffff);
    IMMEDIATE(BPF_RSH, UNDECIDED, 16);
    LOAD(MAJOR, 4);
    LOAD(MINOR, 8);
    for (int i = RULES - 1; i >= 0; i--) {
        const int numbers[] = { rules[i].major, rules[i].minor };
        int end = length + 2 + 3 * ((numbers[0] >= 0) + (numbers[1] >= 0)) + 5;
        REGISTER(BPF_MOV, RESULT, KIND);
        IMMEDIATE(BPF_XOR, RESULT, rules[i].kind == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
        for (int n = 0; n < 2; n++) {
            if (numbers[n] < 0)
                continue;
            REGISTER(BPF_MOV, SCRATCH, MAJOR + n);
            IMMEDIATE(BPF_XOR, SCRATCH, numbers[n]);
            REGISTER(BPF_OR, RESULT, SCRATCH);
        }
        UNLESS_ZERO(RESULT, end);
        IMMEDIATE(BPF_AND, UNDECIDED, ~rules[i].access);
        UNLESS_ZERO(UNDECIDED, end);
        ANSWER(1);
    }
    ANSWER(0);
    union bpf_attr load = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insn_cnt = length,
        .insns = (uintptr_t)program,
        .license = (uintptr_t) "Apache-2.0",
    };
    int loaded;
    do
        loaded = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    while (loaded < 0 && errno == EAGAIN); /* a signal interrupts the verifier */
    union bpf_attr attach = {
        .target_fd = cgroup,
        .attach_bpf_fd = CHECK(loaded),
        .attach_type = BPF_CGROUP_DEVICE,
        .attach_flags = BPF_F_ALLOW_MULTI,
    };
    CHECK(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach));
    close(loaded);
}

static void enter_cgroups(const char *cgroup)
{
    char path[1024];
    for (int n = 0; n < count; n++) {
        in_hierarchy(path, n, cgroup, "cgroup.procs");
        write_file(path, "0");
        in_hierarchy(path, n, cgroup, "");
        hierarchies[n].tree = CHECK(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    }
}

static void remove_cgroups(const char *cgroup)
{
    char path[1024];
    for (int n = 0; n == 0 || n < count; n++) {
        in_hierarchy(path, n, cgroup, "");
        CHECK(rmdir(path));
    }
}

/* ---- the container ---- */

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
    if (!count) {
        mount_at("cgroup", CGROUPS, "cgroup2", SAFE | MS_RELATIME | MS_RDONLY, NULL);
        return;
    }
    struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
    mount_at("tmpfs", CGROUPS, "tmpfs", SAFE, "mode=755");
    for (int n = 0; n < count; n++) {
        char path[1024];
        in_hierarchy(path, n, "", "");
        CHECK(mkdir(path, 0755));
        CHECK(syscall(SYS_mount_setattr, hierarchies[n].tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
        CHECK(syscall(SYS_move_mount, hierarchies[n].tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
    }
    CHECK(mount(NULL, CGROUPS, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE, NULL));
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
    int fd = CHECK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
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

static void execute(char *const *argv)
{
    char *const envp[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL };
    execve(argv[0], argv, envp);
    die(argv[0]);
}

static void confine(const char *rootfs, const char *cgroup)
{
    enter_cgroups(cgroup);
    /* Not a flag of clone3: the namespace's root is the cgroup of the caller, and only now is that the new one. */
    if (!count)
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
}

static pid_t clone_container(const char *cgroup)
{
    struct clone_args args = {
        .flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS,
        .exit_signal = SIGCHLD,
    };
    if (!count) { /* there is no CLONE_INTO_CGROUP for version 1 */
        char path[1024];
        in_hierarchy(path, 0, cgroup, "");
        args.cgroup = CHECK(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
        args.flags |= CLONE_INTO_CGROUP;
    }
    pid_t pid = CHECK(syscall(SYS_clone3, &args, sizeof args));
    if (pid && !count) /* beside what the child does */
        attach_device_program(args.cgroup);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0));
    return status != 0;
}

/* ---- operations ---- */

static int run(const char *rootfs)
{
    char cgroup[64];
    char *const argv[] = { "/bin/true", NULL };

    snprintf(cgroup, sizeof cgroup, "/floor-%d", getpid());
    make_cgroups(cgroup);
    write_device_rules(cgroup);
    pid_t pid = clone_container(cgroup);
    if (pid == 0) {
        confine(rootfs, cgroup);
        CHECK(syscall(SYS_close_range, 3, ~0u, 0));
        execute(argv);
    }
    int failed = wait_for(pid);
    remove_cgroups(cgroup);
    return failed;
}

/* What is kept of a container: two lines, and a pipe that start(1) writes to. */
struct state {
    pid_t pid;
    char cgroup[64];
};

static struct state load(const char *dir)
{
    char path[1024], text[256];
    struct state state;
    snprintf(path, sizeof path, "%s/state", dir);
    read_file(path, text, sizeof text);
    if (sscanf(text, "%d %63s", &state.pid, state.cgroup) != 2)
        die(path);
    return state;
}

static int create(const char *dir, const char *rootfs, char *const *argv)
{
    static char *const usual[] = { "/bin/true", NULL };
    char cgroup[64], path[1024], text[128], byte = 0;
    int ready[2], begin, done;

    snprintf(cgroup, sizeof cgroup, "/floor-%d", getpid());
    CHECK(mkdir(dir, 0700));
    snprintf(path, sizeof path, "%s/begin", dir);
    CHECK(mkfifo(path, 0600));
    begin = CHECK(open(path, O_RDWR | O_CLOEXEC));
    snprintf(path, sizeof path, "%s/done", dir);
    CHECK(mkfifo(path, 0600));
    done = CHECK(open(path, O_RDWR | O_CLOEXEC));
    CHECK(pipe2(ready, O_CLOEXEC));
    make_cgroups(cgroup);
    write_device_rules(cgroup);
    pid_t pid = clone_container(cgroup);
    if (pid == 0) {
        confine(rootfs, cgroup);
        CHECK(write(ready[1], &byte, 1));
        CHECK(read(begin, &byte, 1));
        CHECK(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC));
        execute(*argv ? argv : usual);
    }
    close(done);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        return 1;
    snprintf(path, sizeof path, "%s/state", dir);
    int fd = CHECK(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    CHECK(write(fd, text, snprintf(text, sizeof text, "%d %s\n", pid, cgroup)));
    return 0;
}

/* The end of the other pipe is that of execve. */
static int start(const char *dir)
{
    char path[1024], byte = 0;
    snprintf(path, sizeof path, "%s/done", dir);
    int done = CHECK(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    snprintf(path, sizeof path, "%s/begin", dir);
    int begin = CHECK(open(path, O_WRONLY | O_CLOEXEC));
    CHECK(write(begin, &byte, 1));
    struct pollfd ended = { .fd = done };
    CHECK(poll(&ended, 1, 10000));
    return !(ended.revents & POLLHUP);
}

static int show(const char *dir)
{
    char path[64], stat[512];
    struct state state = load(dir);
    snprintf(path, sizeof path, "/proc/%d/stat", state.pid);
    size_t length = read_file(path, stat, sizeof stat);
    return printf("%s %d %s\n", dir, state.pid, length ? "running" : "stopped") < 0;
}

static int send_kill(const char *dir)
{
    int pidfd = CHECK(syscall(SYS_pidfd_open, load(dir).pid, 0));
    CHECK(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0));
    return 0;
}

static int delete(const char *dir)
{
    static const char *const files[] = { "state", "begin", "done" };
    struct state state = load(dir);
    char path[1024];
    struct pollfd ended = { .fd = syscall(SYS_pidfd_open, state.pid, 0), .events = POLLIN };
    if (ended.fd >= 0)
        CHECK(poll(&ended, 1, 10000));
    remove_cgroups(state.cgroup);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        CHECK(unlink(path));
    }
    CHECK(rmdir(dir));
    return 0;
}

static int freeze(const char *dir, int on)
{
    char path[1024], text[128];
    struct state state = load(dir);
    for (int n = 0; n < count; n++) {
        if (strcmp(hierarchies[n].name, "freezer"))
            continue;
        in_hierarchy(path, n, state.cgroup, "freezer.state");
        write_file(path, on ? "FROZEN" : "THAWED");
        do
            read_file(path, text, sizeof text);
        while (strncmp(text, on ? "FROZEN" : "THAWED", 6));
        return 0;
    }
    in_hierarchy(path, 0, state.cgroup, "cgroup.events");
    int fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
    struct pollfd changed = { .fd = fd, .events = POLLPRI };
    in_hierarchy(path, 0, state.cgroup, "cgroup.freeze");
    write_file(path, on ? "1" : "0");
    for (;;) {
        text[CHECK(pread(fd, text, sizeof text - 1, 0))] = 0;
        if (strstr(text, on ? "frozen 1" : "frozen 0"))
            return 0;
        CHECK(poll(&changed, 1, 10000));
    }
}

static int exec(const char *dir, char *const *argv)
{
    struct state state = load(dir);
    int pidfd = CHECK(syscall(SYS_pidfd_open, state.pid, 0));
    struct clone_args args = { .exit_signal = SIGCHLD };
    char path[1024];

    if (count) {
        enter_cgroups(state.cgroup);
    } else {
        in_hierarchy(path, 0, state.cgroup, "");
        args.cgroup = CHECK(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
        args.flags = CLONE_INTO_CGROUP;
    }
    CHECK(setns(pidfd, CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP));
    pid_t pid = CHECK(syscall(SYS_clone3, &args, sizeof args));
    if (pid == 0) {
        CHECK(setsid());
        credentials();
        CHECK(syscall(SYS_close_range, 3, ~0u, 0));
        execute(argv);
    }
    return wait_for(pid);
}

int main(int argc, char **argv)
{
    const char *operation = argc > 2 ? argv[1] : "";
    const char *dir = argc > 2 ? argv[2] : "";
    if (strcmp(operation, "state") && strcmp(operation, "list"))
        look_for_hierarchies();
    if (!strcmp(operation, "run"))
        return run(dir);
    if (!strcmp(operation, "create") && argc > 3)
        return create(dir, argv[3], argv + 4);
    if (!strcmp(operation, "start"))
        return start(dir);
    if (!strcmp(operation, "state"))
        return show(dir);
    if (!strcmp(operation, "kill"))
        return send_kill(dir);
    if (!strcmp(operation, "delete"))
        return delete(dir);
    if (!strcmp(operation, "pause"))
        return freeze(dir, 1);
    if (!strcmp(operation, "resume"))
        return freeze(dir, 0);
    if (!strcmp(operation, "exec") && argc > 3)
        return exec(dir, argv + 3);
    if (!strcmp(operation, "list")) {
        for (int i = 2; i < argc; i++)
            if (show(argv[i]))
                return 1;
        return 0;
    }
    fprintf(stderr, "usage: floor OPERATION DIR …: see floor.c\n");
    return 1;
}
