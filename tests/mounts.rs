//! Every mount type and option of a config.json, as mountinfo shows it.

use crate::common::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

/// A container that shows its mounts after a script.
fn shows(script: &str, mounts: &[Value]) -> Container {
    let c = Container::sh(&format!("{script}\ncat /proc/self/mountinfo")).set("root/readonly", json!(false));
    mounts.iter().fold(c, |c, mount| c.push("mounts", mount.clone()))
}

fn bind(source: &str, destination: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": "bind", "source": source, "options": options })
}

#[test]
fn a_tmpfs_keeps_the_mode_of_the_images_directory() {
    let cases: [(Option<&str>, &[&str], &str); 4] = [
        (Some("700"), &[], "700"),
        (Some("2755"), &["size=1m"], "2755"),
        (Some("700"), &["mode=711"], "711"),
        (None, &[], "1777"),
    ];
    for (image, options, expected) in cases {
        let c = Container::new(&["stat", "-c", "%a", "/mnt"]).push("mounts", tmpfs(options));
        if let Some(mode) = image {
            fs::create_dir(c.rootfs().join("mnt")).unwrap();
            assert!(Command::new("chmod").arg(mode).arg(c.rootfs().join("mnt")).status().unwrap().success());
        }
        let out = c.run().ok();
        // An older runc (1.1) takes the image's even when another is asked for.
        let older = !is_hilum() && !options.is_empty() && Some(out.stdout.trim()) == image;
        assert!(older || out.stdout.trim() == expected, "{image:?} {options:?}: {out:?}");
        c.left_nothing();
    }
}

/// As podman asks for every tmpfs.
#[test]
fn tmpcopyup_begins_with_what_the_image_has() {
    let mut options = vec!["tmpcopyup", "nosuid", "size=1m"];
    for read_only in [false, true] {
        if read_only {
            if !hilum_only("runc mounts it read-only before it copies") {
                return;
            }
            options.push("ro");
        }
        let show = "cd /mnt && stat -c '%n %a %u:%g %F' . file deep deep/er deep/er/empty link && { [ ! -e pipe ] || stat -c '%n %a %F' pipe; } && cat file deep/er/big | sha256sum \
                    && readlink link && { touch new 2>/dev/null && echo writable; stat -c %Y file; }";
        let c = Container::sh(show).push("mounts", tmpfs(&options));
        let mnt = c.rootfs().join("mnt");
        fs::create_dir_all(mnt.join("deep/er")).unwrap();
        fs::write(mnt.join("file"), "text\n").unwrap();
        fs::write(mnt.join("deep/er/big"), vec![b'x'; 300_000]).unwrap();
        fs::write(mnt.join("deep/er/empty"), "").unwrap();
        symlink("/no/where", mnt.join("link")).unwrap();
        let script = "chown 5:6 file deep; chown -h 7:8 link; chmod 757 .; chmod 4755 file; chmod 711 deep; \
                      chmod 700 deep/er; chmod 644 deep/er/empty; touch -d @1000000000 file";
        assert!(Command::new("sh").args(["-ec", script]).current_dir(&mnt).status().unwrap().success());
        let sum =
            Command::new("sh").args(["-c", "cat file deep/er/big | sha256sum"]).current_dir(&mnt).output().unwrap();
        let mut expected = vec![
            ". 757 0:0 directory".to_owned(),
            "file 4755 5:6 regular file".to_owned(),
            "deep 711 5:6 directory".to_owned(),
            "deep/er 700 0:0 directory".to_owned(),
            "deep/er/empty 644 0:0 regular empty file".to_owned(),
            "link 777 7:8 symbolic link".to_owned(),
            String::from_utf8(sum.stdout).unwrap().trim().to_owned(),
            "/no/where".to_owned(),
        ];
        // runc fails at these.
        if is_hilum() {
            mknodat(CWD, mnt.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            expected.insert(6, "pipe 600 fifo".to_owned());
        }
        if !read_only {
            expected.push("writable".to_owned());
        }
        let out = c.run().ok();
        let (last, lines) = out.lines().split_last().map(|(last, lines)| (last.to_string(), lines.to_vec())).unwrap();
        assert_eq!(lines, expected);
        assert!(last == "1000000000" || !is_hilum(), "the time of file: {last}");
        // A copy: nothing of it comes back.
        assert!(!mnt.join("new").exists());
        c.left_nothing();
    }
}

#[test]
fn tmpcopyup_that_does_not_fit_says_so() {
    let c = Container::new(&["true"]).push("mounts", tmpfs(&["tmpcopyup", "size=64k"]));
    fs::create_dir(c.rootfs().join("mnt")).unwrap();
    fs::write(c.rootfs().join("mnt/big"), vec![b'x'; 300_000]).unwrap();
    let out = c.run().fails("/mnt");
    assert!(out.stderr.to_lowercase().contains("no space left on device"), "{}", out.stderr);
    c.left_nothing();
}

fn tmpfs(options: &[&str]) -> Value {
    json!({ "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": options })
}

/// The host's directory `name` beside the bundle, with a file in it.
fn volume(c: &Container, name: &str) -> String {
    fs::create_dir(c.path(name)).unwrap();
    fs::write(c.dir().join(name).join("file"), "from the host\n").unwrap();
    c.path(name)
}

#[test]
fn the_default_mounts_have_their_types_and_options() {
    let c = shows("", &[]);
    let mounts = parse_mounts(&c.run().ok().stdout);
    for (point, fstype, options) in [
        ("/proc", "proc", &["rw", "relatime"][..]),
        ("/dev", "tmpfs", &["rw", "nosuid", "size=65536k", "mode=755"]),
        ("/dev/pts", "devpts", &["nosuid", "noexec", "gid=5", "mode=620", "ptmxmode=666"]),
        ("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec", "size=65536k"]),
        ("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"]),
        ("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
    ] {
        let mount = mount_at(&mounts, point);
        assert_eq!(mount.fstype, fstype);
        for option in options {
            assert!(mount.has(option), "{point} lacks {option}: {mount:?}");
        }
    }
    c.finish();
}

#[test]
fn the_cgroup_mount_shows_the_containers_own_cgroup_on_every_layout() {
    for host in Host::all() {
        let top = if host == Host::V2 { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/pids" };
        let c = shows(&format!("ls {top}; mkdir {top}/x"), &[]).on(host);
        let out = c.run().ok();
        let mounts = parse_mounts(&out.stdout);
        assert!(out.lines().contains(&"cgroup.procs") && out.stderr.contains("Read-only file system"), "{out:?}");
        match host {
            Host::V2 => {
                let mount = mount_at(&mounts, "/sys/fs/cgroup");
                assert_eq!((mount.fstype.as_str(), mount.root.as_str()), ("cgroup2", "/"));
                assert!(mount.has("ro") && mount.has("nosuid"), "{mount:?}");
            }
            Host::V1Hybrid => {
                assert_eq!(mount_at(&mounts, "/sys/fs/cgroup").fstype, "tmpfs");
                for controller in ["memory", "pids", "devices", "freezer"] {
                    let mount = mount_at(&mounts, &format!("/sys/fs/cgroup/{controller}"));
                    assert_eq!((mount.fstype.as_str(), mount.root.as_str()), ("cgroup", "/"));
                    assert!(mount.has("ro") && mount.has(controller), "{mount:?}");
                }
            }
        }
        c.finish();
    }
}

#[test]
fn the_cgroup_mount_works_without_a_cgroup_namespace() {
    for host in Host::all() {
        let mut c = shows("", &[]).on(host);
        c.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "cgroup");
        let mounts = parse_mounts(&c.run().ok().stdout);
        if host == Host::V2 {
            // All of the hierarchy is seen, as in the oracle.
            let mount = mount_at(&mounts, "/sys/fs/cgroup");
            assert!(mount.has("ro") && mount.fstype == "cgroup2", "{mount:?}");
        } else {
            let mount = mount_at(&mounts, "/sys/fs/cgroup/pids");
            assert!(mount.has("ro") && mount.root.ends_with(&c.id), "{mount:?}");
        }
        c.finish();
    }
}

#[test]
fn each_flag_of_a_mount_is_set() {
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["rw", "relatime"]),
        (&["ro"], &["ro"]),
        (&["ro", "rw"], &["rw"]),
        (&["nosuid", "nodev", "noexec"], &["nosuid", "nodev", "noexec"]),
        (&["noatime"], &["noatime"]),
        (&["nodiratime"], &["nodiratime"]),
        (&["relatime"], &["relatime"]),
        (&["sync"], &["sync"]),
        (&["dirsync"], &["dirsync"]),
        (&["size=64k"], &["size=64k"]),
        (&["mode=711", "uid=5", "gid=6"], &["mode=711", "uid=5", "gid=6"]),
        (&["rro", "rnosuid", "dev"], &["ro", "nosuid"]),
        (&["ro", "rrw"], &["rw"]),
        (&["iversion", "lazytime"], &["rw", "lazytime"]),
        (&["nr_inodes=100", "size=1m", "nosuid"], &["nr_inodes=100", "size=1024k", "nosuid"]),
    ];
    for (options, expected) in cases {
        let c = shows("", &[tmpfs(options)]);
        let mounts = parse_mounts(&c.run().ok().stdout);
        let mount = mount_at(&mounts, "/mnt");
        for option in *expected {
            assert!(mount.has(option), "{options:?} lacks {option}: {mount:?}");
        }
        c.finish();
    }
}

/// Such flags of a file system of its own are set as those of the one mount that it is.
#[test]
fn recursive_flags_of_a_new_mount_need_no_look_at_its_path_and_wait_for_the_devices() {
    if !hilum_only("the oracle makes /dev read-only before its devices") {
        return;
    }
    let link = json!({ "destination": "/var/run/x", "type": "tmpfs", "source": "tmpfs", "options": ["rnosuid"] });
    let c = shows(": > /dev/null; touch /dev/x 2>/dev/null && echo writable", &[link]).with(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        let dev = mounts.iter_mut().find(|mount| mount["destination"] == "/dev").unwrap();
        dev["options"].as_array_mut().unwrap().push(json!("rro"));
    });
    fs::create_dir_all(c.rootfs().join("var")).unwrap();
    symlink("/run", c.rootfs().join("var/run")).unwrap();
    let mounts = parse_mounts(&c.run().ok().stdout);
    assert!(mount_at(&mounts, "/dev").has("ro"), "{mounts:#?}");
    assert!(mount_at(&mounts, "/run/x").has("nosuid"), "{mounts:#?}");
    c.finish();
}

#[test]
fn strictatime_and_the_opposites_clear_a_flag() {
    let options = ["nosuid", "suid", "nodev", "dev", "noexec", "exec", "sync", "async", "strictatime"];
    let c = shows("", &[tmpfs(&options)]);
    let mounts = parse_mounts(&c.run().ok().stdout);
    let mount = mount_at(&mounts, "/mnt");
    for option in ["nosuid", "nodev", "noexec", "sync", "relatime", "noatime"] {
        assert!(!mount.has(option), "{option}: {mount:?}");
    }
    c.finish();
}

#[test]
fn a_bind_shows_the_hosts_directory_and_writes_go_there() {
    let c = Container::sh("cat /mnt/file; echo back > /mnt/new");
    let c = c.set("root/readonly", json!(false));
    let source = volume(&c, "volume");
    let c = c.push("mounts", bind(&source, "/mnt", &["rbind", "rw"]));
    assert_eq!(c.run().ok().stdout, "from the host\n");
    assert_eq!(read(&c.dir().join("volume/new")), "back\n");
    c.finish();
}

#[test]
fn a_bind_without_a_type_and_a_file_over_a_file_that_is_made() {
    let c = Container::sh("cat /made/here; touch /made/here");
    let source = volume(&c, "volume") + "/file";
    let c = c.set("root/readonly", json!(false));
    let c = c.push("mounts", json!({ "destination": "/made/here", "source": source, "options": ["bind", "ro"] }));
    let out = c.run();
    assert_eq!(out.stdout, "from the host\n");
    assert!(out.stderr.contains("Read-only"), "{out:?}");
    c.finish();
}

#[test]
fn a_relative_source_is_relative_to_the_bundle() {
    let c = Container::new(&["cat", "/mnt/file"]).set("root/readonly", json!(false));
    volume(&c, "bundle/volume");
    let c = c.push("mounts", bind("volume", "/mnt", &["bind"]));
    assert_eq!(c.run().ok().stdout, "from the host\n");
    c.finish();
}

#[test]
fn a_destination_is_made_with_its_parents() {
    let c = shows("", &[json!({ "destination": "/a/b/c", "type": "tmpfs", "source": "tmpfs" })]);
    mount_at(&parse_mounts(&c.run().ok().stdout), "/a/b/c");
    assert!(c.rootfs().join("a/b/c").is_dir());
    c.finish();
}

/// Directories for later mounts are made with a tmpfs; what is bound there may be a file, and a name may be too long for any.
#[test]
fn what_is_mounted_in_a_new_tmpfs_finds_its_place() {
    let dir = |path: &str, option| json!({ "destination": path, "type": "tmpfs", "source": "x", "options": [option] });
    let c = Container::sh("cd /t; stat -c '%n %F %a' * three/deep").set("root/readonly", json!(false));
    volume(&c, "volume");
    let file = bind(&format!("{}/volume/file", c.dir().display()), "/t/file", &["bind"]);
    let all = [
        dir("/t", "size=64k"),
        dir("/t/one", "size=64k"),
        dir("/t/three/deep", "size=64k"),
        dir("/t/two", "mode=750"),
        dir("/./t/two/", "mode=700"),
        file,
    ];
    let c = all.iter().fold(c, |c, mount| c.push("mounts", mount.clone()));
    let (file, one, two) = ("file regular file 644", "one directory 1777", "two directory 700");
    let three = ["three directory 755", "three/deep directory 1777"];
    assert_eq!(c.run().ok().lines(), [file, one, three[0], two, three[1]]);
    c.finish();

    let c = shows("", &[dir("/t", "size=64k"), dir(&format!("/t/{}", "x".repeat(256)), "mode=700")]);
    c.run().fails("File name too long");
    c.left_nothing();
}

#[test]
fn a_readonly_bind_keeps_the_flags_of_its_source() {
    let c = shows("", &[bind("/dev/shm", "/mnt", &["rbind", "ro", "nosuid", "nodev"])]);
    let mounts = parse_mounts(&c.run().ok().stdout);
    let mount = mount_at(&mounts, "/mnt");
    assert!(mount.has("ro") && mount.has("nosuid") && mount.has("nodev"), "{mount:?}");
    c.finish();
}

/// A tree of two mounts for the container: /outer of `first`, and /outer/inner below it, bound to /copy.
fn tree(options: &[&str]) -> (Container, Vec<Mount>) {
    let c = shows("touch /copy/inner/x 2>/dev/null", &[]);
    let (outer, inner) = (volume(&c, "outer"), volume(&c, "inner"));
    fs::create_dir(format!("{outer}/inner")).unwrap();
    let c = c.push("mounts", bind(&outer, "/copy", options));
    let mounted = HostMount::new(&["--bind", &inner, &format!("{outer}/inner")]);
    let out = c.run();
    drop(mounted);
    let mounts = parse_mounts(&out.ok().stdout);
    (c, mounts)
}

#[test]
fn bind_takes_one_mount_and_rbind_takes_the_tree() {
    let (c, mounts) = tree(&["bind"]);
    assert!(!mounts.iter().any(|m| m.point == "/copy/inner"), "{mounts:#?}");
    c.finish();
    let (c, mounts) = tree(&["rbind"]);
    mount_at(&mounts, "/copy/inner");
    c.finish();
}

#[test]
fn ro_covers_one_mount_and_rro_covers_the_tree() {
    let (c, mounts) = tree(&["rbind", "ro"]);
    assert!(mount_at(&mounts, "/copy").has("ro") && mount_at(&mounts, "/copy/inner").has("rw"), "{mounts:#?}");
    assert!(c.dir().join("inner/x").exists());
    c.finish();
    let (c, mounts) = tree(&["rbind", "rro"]);
    assert!(mount_at(&mounts, "/copy").has("ro") && mount_at(&mounts, "/copy/inner").has("ro"), "{mounts:#?}");
    assert!(!c.dir().join("inner/x").exists());
    c.finish();
}

#[test]
fn recursive_attributes_cover_the_tree() {
    let all = ["nosuid", "nodev", "noexec", "nodiratime", "noatime", "nosymfollow"];
    let flags_of = |mount: &Mount| all.into_iter().filter(|option| mount.has(option)).collect::<Vec<_>>();
    // Those that the file system of the tests' files is mounted with.
    let (c, mounts) = tree(&["rbind"]);
    let own = flags_of(mount_at(&mounts, "/copy"));
    c.finish();
    for option in all {
        let (c, mounts) = tree(&["rbind", &format!("r{option}")]);
        let expected: Vec<_> = all.into_iter().filter(|flag| *flag == option || own.contains(flag)).collect();
        for point in ["/copy", "/copy/inner"] {
            assert_eq!(flags_of(mount_at(&mounts, point)), expected, "{point}: {mounts:#?}");
        }
        c.finish();
    }
}

#[test]
fn recursive_opposites_clear_what_the_mounts_below_have() {
    let flags = "ro,nosuid,nodev,noexec,nodiratime,noatime,nosymfollow";
    for (option, cleared) in [
        ("rrw", "ro"),
        ("rsuid", "nosuid"),
        ("rdev", "nodev"),
        ("rexec", "noexec"),
        ("rdiratime", "nodiratime"),
        ("ratime", "noatime"),
        ("rrelatime", "noatime"),
        ("rstrictatime", "noatime"),
        ("rnorelatime", "noatime"),
        ("rnostrictatime", "noatime"),
        ("rsymfollow", "nosymfollow"),
    ] {
        let c = shows("", &[]);
        let (outer, inner) = (volume(&c, "outer"), volume(&c, "inner"));
        fs::create_dir(format!("{outer}/inner")).unwrap();
        let c = c.push("mounts", bind(&outer, "/copy", &["rbind", option]));
        let mounted = HostMount::new(&["-o", "bind", &inner, &format!("{outer}/inner")]);
        let remount = format!("remount,bind,{flags}");
        assert!(Command::new("mount").args(["-o", &remount, &mounted.0]).status().unwrap().success());
        let out = c.run();
        drop(mounted);
        let mounts = parse_mounts(&out.ok().stdout);
        let below = mount_at(&mounts, "/copy/inner");
        for flag in flags.split(',') {
            assert_eq!(below.has(flag), flag != cleared, "{option} {flag}: {below:?}");
        }
        assert_eq!(below.has("relatime"), matches!(option, "ratime" | "rrelatime" | "rnorelatime" | "rnostrictatime"));
        c.finish();
    }
}

/// Also where the tree is there already, and where the runtime makes one: the cgroup mounts of version 1.
#[test]
fn recursive_attributes_of_a_remount_and_of_the_cgroups_cover_the_tree() {
    if !hilum_only("the oracle changes the topmost mount alone") {
        return;
    }
    let c = shows("", &[]);
    let (outer, inner) = (volume(&c, "outer"), volume(&c, "inner"));
    fs::create_dir(format!("{outer}/inner")).unwrap();
    let remount = json!({ "destination": "/copy", "type": "none", "options": ["remount", "noexec", "rnosuid"] });
    let mut c = c.push("mounts", bind(&outer, "/copy", &["rbind"])).push("mounts", remount);
    let mounts = c.config["mounts"].as_array_mut().unwrap();
    let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
    cgroup["options"] = json!(["nosuid", "nodev", "rnoexec", "rro"]);
    let mounted = HostMount::new(&["--bind", &inner, &format!("{outer}/inner")]);
    let out = c.run();
    drop(mounted);
    let mounts = parse_mounts(&out.ok().stdout);
    assert!(mount_at(&mounts, "/copy").has("nosuid") && mount_at(&mounts, "/copy").has("noexec"), "{mounts:#?}");
    let below = mount_at(&mounts, "/copy/inner");
    assert!(below.has("nosuid") && !below.has("noexec"), "{below:?}");
    let cgroups: Vec<_> = mounts.iter().filter(|mount| mount.point.starts_with("/sys/fs/cgroup")).collect();
    assert!(!cgroups.is_empty() && cgroups.iter().all(|m| m.has("ro") && m.has("noexec")), "{cgroups:#?}");
    c.finish();
}

#[test]
fn propagation_options_set_the_propagation_of_a_mount() {
    for (options, expected) in [
        (["bind", "private"], ""),
        (["rbind", "rprivate"], ""),
        (["bind", "shared"], "shared:"),
        (["rbind", "rshared"], "shared:"),
        (["bind", "unbindable"], "unbindable"),
    ] {
        let c = shows("", &[bind("/dev/shm", "/mnt", &options)]);
        let mounts = parse_mounts(&c.run().ok().stdout);
        let tags = &mount_at(&mounts, "/mnt").tags;
        assert!(tags.starts_with(expected) && tags.is_empty() == expected.is_empty(), "{options:?}: {tags:?}");
        c.finish();
    }
    if hilum_only("the oracle leaves it as it is") {
        let remount = json!({ "destination": "/mnt", "options": ["remount", "ro", "shared"] });
        let c = shows("", &[bind("/dev/shm", "/mnt", &["bind"]), remount]);
        let mounts = parse_mounts(&c.run().ok().stdout);
        let mount = mount_at(&mounts, "/mnt");
        assert!(mount.has("ro") && mount.tags.starts_with("shared:"), "{mount:?}");
        c.finish();
    }
}

#[test]
fn rslave_receives_mounts_from_the_host_and_rprivate_does_not() {
    for (option, receives) in [("rslave", true), ("rprivate", false)] {
        let c = Container::sleeper().set("root/readonly", json!(false));
        let source = volume(&c, "volume");
        fs::create_dir(format!("{source}/later")).unwrap();
        let c =
            c.set("linux/rootfsPropagation", json!("rslave")).push("mounts", bind(&source, "/mnt", &["rbind", option]));
        let shared = HostMount::new(&["--bind", &source, &source]);
        assert!(Command::new("mount").args(["--make-shared", &source]).status().unwrap().success());
        c.create();
        let later = HostMount::new(&["-t", "tmpfs", "tmpfs", &format!("{source}/later")]);
        let mounts = mounts_of(c.pid());
        drop(later);
        drop(shared);
        assert_eq!(mounts.iter().any(|m| m.point == "/mnt/later"), receives, "{option}: {mounts:#?}");
        c.finish();
    }
}

#[test]
fn a_destination_through_a_symlink_stays_in_the_root() {
    let c = shows("", &[json!({ "destination": "/link/sub", "type": "tmpfs", "source": "tmpfs" })]);
    let outside = c.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, c.rootfs().join("link")).unwrap();
    let mounts = parse_mounts(&c.run().ok().stdout);
    mount_at(&mounts, &format!("{outside}/sub"));
    assert!(!c.dir().join("outside/sub").exists());
    c.finish();
}

#[test]
fn later_mounts_cover_earlier_ones() {
    let one = json!({ "destination": "/mnt", "type": "tmpfs", "source": "one" });
    let two = json!({ "destination": "/mnt", "type": "tmpfs", "source": "two" });
    let c = shows("", &[one, two]);
    assert_eq!(mount_at(&parse_mounts(&c.run().ok().stdout), "/mnt").source, "two");
    c.finish();
}

#[test]
fn a_missing_source_an_unknown_type_and_a_bad_option_are_errors() {
    for (mount, text) in [
        (bind("/nonexistent/source", "/mnt", &["bind"]), "/nonexistent/source"),
        (json!({ "destination": "/mnt", "type": "nonsensefs", "source": "x" }), "/mnt"),
        (tmpfs(&["size=nonsense"]), "/mnt"),
    ] {
        let c = shows("", &[mount]);
        c.run().fails(text);
        c.left_nothing();
    }
}

/// Not to the directory that the command is called in.
#[test]
fn the_proc_that_is_bound_on_proc_is_looked_for_from_the_bundle() {
    if !hilum_only("plan") {
        return;
    }
    let c = Container::new(&["true"]);
    let up = "../".repeat(c.bundle().components().count() - 1);
    let c = c.set("mounts/0", bind(&format!("{up}proc"), "/proc", &["rbind"]));
    c.write_config();
    let bundle = c.bundle().display().to_string();
    let mut command = c.command(&["plan", "--bundle", &bundle, &c.id]);
    command.current_dir(c.rootfs());
    c.finish_call(command, Stdio::null()).ok();
}
