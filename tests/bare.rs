//! A container's mount namespace is copied from a bare one where that makes no difference but in time.

use crate::common::*;
use std::fs;
use std::process::{Command, Stdio};

const STEP: &str = "create a mount namespace without the host's mounts";

fn is_bare(c: &Container) -> bool {
    c.plan_with(&[]).ok().stdout.contains(STEP)
}

/// The runtime has to look at the host's mounts, or a hook might.
fn with_the_hosts_mounts(c: Container) -> Container {
    c.set("hooks", json!({ "createContainer": [{ "path": "/bin/true" }] }))
}

/// Binds of each kind, of a shared mount with another below it.
fn with_binds(c: Container, source: &str) -> Container {
    let below = format!("{source}/below");
    let binds: &[(&str, &str, &[&str])] = &[
        ("/a", source, &["bind"]),
        ("/b", source, &["rbind"]),
        ("/c", source, &["rbind", "ro", "rslave"]),
        ("/d", source, &["rbind", "rprivate", "nosuid"]),
        ("/e", source, &["rbind", "rshared"]),
        ("/f", source, &["rbind", "rro"]),
        ("/g", source, &["rbind", "unbindable"]),
        ("/h", &below, &["bind", "nodev", "noatime"]),
        ("/etc/hosts", "/etc/hosts", &["rbind", "rprivate"]),
    ];
    binds.iter().fold(c, |c, (to, from, options)| {
        c.push("mounts", json!({ "destination": to, "type": "bind", "source": from, "options": options }))
    })
}

/// All that can be told of the mounts, but which superblock each of two containers has, how its own peer groups are numbered,
/// and in which order they were made (which is that of mountinfo since Linux 6.8).
fn seen(c: &Container) -> Vec<String> {
    let dir = c.dir().file_name().unwrap().to_str().unwrap();
    let name = |text: &str| text.replace(dir, "DIR").replace(&c.id, "ID");
    let mut mounts = mounts_of(c.pid());
    for mount in &mut mounts {
        let tags = mount.tags.split(' ').map(|tag| if tag.starts_with("shared:") { "shared" } else { tag });
        mount.tags = tags.collect::<Vec<_>>().join(" ");
    }
    let mut mounts: Vec<_> = mounts.iter().map(|mount| name(&format!("{mount:?}"))).collect();
    mounts.sort();
    mounts
}

#[track_caller]
fn same(a: &Container, b: &Container) {
    for (a, b) in seen(a).iter().zip(&seen(b)) {
        assert_eq!(a, b);
    }
    assert_eq!(seen(a).len(), seen(b).len());
}

#[test]
fn a_container_sees_the_same_mounts_with_it_and_without() {
    if !hilum_only("the oracle copies the host's mounts") {
        return;
    }
    let host = Container::sleeper();
    let source = host.path("source");
    fs::create_dir(&source).unwrap();
    let tmpfs = HostMount::new(&["-t", "tmpfs", "tmpfs", &source]);
    assert!(Command::new("mount").args(["--make-shared", &source]).status().unwrap().success());
    let place = |name: &str| {
        let path = format!("{source}/{name}");
        fs::create_dir(&path).unwrap();
        path
    };
    let below = HostMount::new(&["-t", "tmpfs", "below", &place("below")]);

    let bare = with_binds(Container::sleeper(), &source);
    let full = with_the_hosts_mounts(with_binds(Container::sleeper(), &source));
    assert!(is_bare(&bare));
    assert!(!is_bare(&full));
    bare.up();
    full.up();
    same(&bare, &full);
    assert!(seen(&bare).iter().any(|mount| mount.contains("/b/below") && mount.contains("master:")));

    // What the host mounts there later.
    let later = HostMount::new(&["-t", "tmpfs", "later", &place("later")]);
    let arrived: Vec<_> = seen(&bare).into_iter().filter(|mount| mount.contains("later")).collect();
    assert_eq!(arrived.len(), 5, "{arrived:#?}"); // /a, /b, /c, /e and /f
    same(&bare, &full);
    drop(later);
    same(&bare, &full);
    bare.finish();
    full.finish();
    drop((below, tmpfs));
    host.finish();
}

#[test]
fn who_may_look_at_the_hosts_mounts_has_them() {
    if !hilum_only("the oracle copies the host's mounts") {
        return;
    }
    assert!(is_bare(&Container::new(&["true"])));
    let hook = |name: &str| Container::new(&["true"]).set("hooks", json!({ name: [{ "path": "/bin/true" }] }));
    let mount = |kind: &str, source: &str| {
        let mount = json!({ "destination": "/mnt", "type": kind, "source": source });
        Container::new(&["true"]).push("mounts", mount)
    };
    let inside = Container::new(&["true"]);
    let path = inside.rootfs().join("bin");
    let inside = inside.push("mounts", json!({ "destination": "/mnt", "type": "bind", "source": path }));
    for (what, c) in [
        ("a prestart hook", hook("prestart")),
        ("a createRuntime hook", hook("createRuntime")),
        ("a createContainer hook", hook("createContainer")),
        ("a bind from the rootfs", inside),
        ("a bind from /proc", mount("bind", "/proc/self")),
        ("a file system on a device", mount("ext4", "/dev/null")),
        ("a file system with paths in its options", mount("overlay", "overlay")),
        (
            "more binds than descriptors",
            (0..300).fold(Container::new(&["true"]), |c, n| {
                let bind = json!({ "destination": format!("/mnt/{n}"), "source": "/etc/hosts", "options": ["bind"] });
                c.push("mounts", bind)
            }),
        ),
        ("shared propagation", Container::new(&["true"]).set("linux/rootfsPropagation", json!("rshared"))),
        ("private propagation", Container::new(&["true"]).set("linux/rootfsPropagation", json!("private"))),
        (
            "no mount namespace",
            Container::new(&["true"]).without_namespace("mount").with(|config| {
                config["mounts"] = json!([]);
                config["linux"]["maskedPaths"] = json!([]);
                config["linux"]["readonlyPaths"] = json!([]);
                config["root"]["readonly"] = json!(false);
            }),
        ),
        ("a user namespace", Container::new(&["true"]).in_user_namespace()),
        ("the host's cgroup directories", Container::new(&["true"]).without_namespace("cgroup")),
    ] {
        assert!(!is_bare(&c), "{what}");
    }
    for name in ["startContainer", "poststart", "poststop"] {
        assert!(is_bare(&hook(name)), "{name}");
    }
    let c = Container::new(&["true"]);
    assert!(!c.plan_with(&["--no-pivot"]).ok().stdout.contains(STEP));
}

/// The kernel copies an unbindable mount with its mount namespace only, and then makes it the source of a bind or not: newer
/// ones do (seen with Linux 6.18, and not with 6.12).
#[test]
fn a_mount_that_cannot_be_taken_along_does_without() {
    let host = Container::sleeper();
    let source = host.path("source");
    fs::create_dir(&source).unwrap();
    let mount = HostMount::new(&["-t", "tmpfs", "tmpfs", &source]);
    assert!(Command::new("mount").args(["--make-unbindable", &source]).status().unwrap().success());
    fs::write(format!("{source}/file"), "bound").unwrap();
    let bind = json!({ "destination": "/mnt", "type": "bind", "source": source, "options": ["rbind"] });
    let c = Container::sh("cat /mnt/file").push("mounts", bind.clone());
    let full = with_the_hosts_mounts(Container::sh("cat /mnt/file").push("mounts", bind));
    let (here, there) = (c.run(), full.run());
    assert_eq!((here.code, &here.stdout), (there.code, &there.stdout), "{here:?} {there:?}");
    assert!(here.code == 0 && here.stdout == "bound" || here.stderr.contains("open the source"), "{here:?}");
    drop(mount);
    c.finish();
    full.finish();
    host.finish();
}

/// A script in a mount namespace of its own, with a /run of its own, which is shared, as systemd has it: with the program as
/// $1, the root as $2 and the id as $3, in the bundle. `forget` takes away what there is; `made` runs containers until there
/// is one: the kernel may refuse it several times (src/run/bare.rs).
fn on_a_new_host(c: &Container, script: &str) -> Out {
    c.write_config();
    let script = format!(
        "while umount /run/hilum.bare 2>/dev/null; do :; done
         mount -t tmpfs tmpfs /run; mount --make-rshared /run
         forget() {{ while umount /run/hilum.bare 2>/dev/null; do :; done; rm -f /run/hilum.bare; }}
         made() {{
             for try in $(seq 100); do
                 $1 --root $2 run $3
                 mounts=$(grep -c ' /hilum.bare /run/hilum.bare \\| mnt:.* /run/hilum.bare ' /proc/self/mountinfo)
                 if [ $mounts = 2 ]; then return; fi
                 : >/run/hilum.bare
             done
             grep hilum.bare /proc/self/mountinfo >&2
             return 1
         }}
         {script}"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", &script, "sh"]).arg(program());
    command.arg(c.root()).arg(&c.id).current_dir(c.bundle());
    c.finish_call(command, Stdio::null())
}

#[test]
fn the_first_container_makes_it_and_all_others_find_it() {
    if !hilum_only("the oracle copies the host's mounts") {
        return;
    }
    let c = Container::sh("true");
    let look = "made $@; echo $try $(stat -c %i /run/hilum.bare)";
    let out = on_a_new_host(&c, &[look; 3].join("; ")).ok();
    let inode = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    let lines = out.lines();
    assert_eq!(lines.len(), 3, "{out:?}");
    for line in &lines[1..] {
        assert_eq!(*line, format!("1 {}", inode(lines[0])), "{out:?}");
    }
    c.finish();
}

#[test]
fn there_is_nothing_in_it_but_the_null_device_and_nobody_can_write() {
    if !hilum_only("the oracle copies the host's mounts") {
        return;
    }
    let c = Container::sh("true");
    let look = "use POSIX; my $SYS_setns = 308; open(my $ns, '<', '/run/hilum.bare') or die; \
                syscall($SYS_setns, fileno($ns), 0x20000) == 0 or die $!; chdir '/'; \
                sub ls { opendir(my $d, $_[0]) or die; join(' ', sort grep { !/^\\.\\.?$/ } readdir $d) } \
                my @null = stat '/dev/null'; \
                print ls('/'), ', ', ls('/dev'), ', ', $null[6] >> 8, ':', $null[6] & 0xff, ', '; \
                mkdir('/new') and die; print $! == EROFS ? 'read-only' : $!;";
    if cfg!(not(target_arch = "x86_64")) && skip("the number of setns(2) is x86_64's") {
        return;
    }
    let out = on_a_new_host(&c, &format!("made $@; perl -e \"{}\"", look.replace('$', "\\$"))).ok();
    assert_eq!(out.stdout, "dev, null, 1:3, read-only");
    c.finish();
}

#[test]
fn a_creation_that_is_killed_while_it_makes_it_is_in_nobodys_way() {
    if !hilum_only("the oracle copies the host's mounts") || !has_strace() {
        return;
    }
    let c = Container::sh("true");
    let script = "killed=0
         for call in openat flock fsopen fsconfig fsmount open_tree statx mount clone3 sendto pidfd_send_signal; do
             for n in 1 2 3 4 5 6; do
                 forget
                 strace -f -qq -o /dev/null -e inject=$call:signal=KILL:when=$n $1 --root $2 run $3 2>/dev/null || killed=$((killed + 1))
                 $1 --root $2 delete --force $3
                 made $@ || { echo $call $n >&2; exit 1; }
             done
         done; echo $killed";
    let out = on_a_new_host(&c, script).ok();
    let killed: u32 = out.stdout.trim().parse().unwrap();
    assert!(killed > 30, "{out:?}");
    c.finish();
}

#[test]
fn several_at_once_make_one() {
    if !hilum_only("the oracle copies the host's mounts") {
        return;
    }
    let c = Container::sh("true");
    let script = "for round in 1 2 3 4 5 6 7 8 9 10; do
             forget
             for n in 1 2 3 4 5 6; do $1 --root $2 run $3-$n & done; wait
             made $@
         done";
    let out = on_a_new_host(&c, script).ok();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""));
    c.finish();
}

#[test]
fn what_the_kernel_refuses_again_and_again_is_not_tried_for_ever() {
    if !hilum_only("the oracle copies the host's mounts") {
        return;
    }
    let c = Container::sh("true");
    let script = "printf '................' >/run/hilum.bare; $1 --root $2 run $3; stat -c '%F %s' /run/hilum.bare";
    assert_eq!(on_a_new_host(&c, script).ok().stdout, "regular file 16\n");
    c.finish();
}

/// Linux before 5.12: mounts get their flags by the host's /proc, which is not there, so that nobody would use it.
#[test]
fn none_is_kept_without_mount_setattr() {
    if !hilum_only("the oracle copies the host's mounts") || !has_strace() {
        return;
    }
    let c = Container::new(&["true"]);
    c.write_config();
    // What is mounted below the host's /run stays in the list.
    let script = "count() { grep -c ' /run/hilum.bare ' /proc/self/mountinfo; }
        mount -t tmpfs run /run; count; \"$@\" && \"$@\" && { count; true; }";
    let trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=mount_setattr:error=ENOSYS"];
    let prefix = ["unshare", "--mount", "sh", "-c", script, "sh"].into_iter().chain(trace);
    let prefix: Vec<String> = prefix.map(String::from).collect();
    let out = c.finish_call(c.command_behind(&prefix, &["run", &c.id]), Stdio::null()).ok();
    let counts = out.lines();
    assert!(counts.len() == 2 && counts[0] == counts[1], "{out:?}");
    c.left_nothing();
}
