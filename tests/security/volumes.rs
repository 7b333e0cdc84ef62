//! A sibling that shares a volume, or the image itself, and exchanges what is in it for symbolic links meanwhile. (Rows 5, 6, 11,
//! 12 and 16.)

use super::*;

/// How often for each command.
fn races() -> u32 {
    rounds(60, 1000)
}

/// CVE-2023-27561: wherever proc came to be mounted, its masks are there, too. With `find_covered` going by the name alone:
/// "create: no mask on timer_list: … / /proc.link rw,relatime - proc".
#[test]
fn row_05_cve_2023_27561_a_proc_that_is_swapped_has_its_masks_or_is_none() {
    let tally = attacks("row 5: /proc is swapped for a symlink meanwhile");
    for bound in [false, true] {
        if bound && !hilum_only("the oracle follows it") {
            continue;
        }
        let mut c =
            Container::sleeper().set("linux/maskedPaths", json!(["/proc/keys", "/proc/timer_list", "/proc/kcore"]));
        if bound {
            c = c
                .set(
                    "mounts/0",
                    json!({ "destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"] }),
                )
                .without_namespace("pid");
        }
        fs::create_dir(c.rootfs().join("elsewhere")).unwrap();
        let proc = c.rootfs().join("proc");
        let link = link_beside(&proc, "/elsewhere");
        let masked: Vec<&str> =
            ["keys", "timer_list", "kcore"].into_iter().filter(|name| Path::new("/proc").join(name).exists()).collect();
        let mut created = 0;
        while_swapping(&[(&proc, &link)], races(), |_| {
            tally.tries();
            if c.create_with(&[]).code == 0 {
                created += 1;
                let mounts = mounts_of(c.pid());
                for it in mounts.iter().filter(|it| it.fstype == "proc" && it.root == "/" && !it.point.contains("/.")) {
                    // By its number: the name is another one in each moment.
                    let on_it: Vec<_> = mounts.iter().filter(|mount| mount.parent == it.id).collect();
                    for name in &masked {
                        let end = format!("/{name}");
                        assert!(
                            on_it.iter().any(|mask| mask.point.ends_with(&end)),
                            "create: no mask on {name}: {mounts:#?}"
                        );
                    }
                }
            }
            c.gone();
            tally.survives();
        });
        assert!(created > 0, "never was it a directory for long enough");
        c.finish();
    }
}

/// CVE-2021-30465: what is mounted after it shows whether it came to be mounted on the host's directory. A hook keeps the
/// host's mounts in sight (docs/architecture.md, "A bare mount namespace"). With `resolve` without RESOLVE_IN_ROOT: "create: on
/// the host's directory".
#[test]
fn row_06_cve_2021_30465_a_mount_target_that_is_swapped_does_not_lead_out() {
    let tally = attacks("row 6: a mount target is swapped for a symlink");
    let c = Container::sh("cat /seen/file; echo; grep -c escaped /proc/self/mountinfo").with_volume("/volume");
    let outside = Outside::of(&c);
    let c = c
        .push("mounts", json!({ "destination": "/volume/target", "type": "tmpfs", "source": "escaped" }))
        .push(
            "mounts",
            json!({ "destination": "/seen", "type": "bind", "source": outside.path(), "options": ["bind"] }),
        )
        .set("hooks", json!({ "createRuntime": [{ "path": "/bin/true" }] }));
    let target = c.volume().join("target");
    fs::create_dir(&target).unwrap();
    let link = link_beside(&target, &outside.climbing());
    let mut mounted = 0;
    for verb in CREATIONS {
        while_swapping(&[(&target, &link)], races(), |_| {
            tally.tries();
            // It may fail: then the target is not what it was when it was looked at.
            let out = c.created_by(verb);
            if out.code == 0 {
                mounted += 1;
                assert_eq!(out.lines(), ["untouched", "1"], "{verb}: on the host's directory");
            }
            tally.survives();
        });
        outside.is_untouched();
    }
    assert!(mounted > 0, "never was it a directory for long enough");
    c.finish();
}

/// CVE-2024-45310: the parts of a mount target that are missing. With `resolve` without RESOLVE_IN_ROOT, and the host's mounts
/// in sight (`bare::suits` false), both together: "made outside of the root: made".
#[test]
fn row_11_cve_2024_45310_what_is_made_for_a_mount_is_not_made_outside() {
    if !hilum_only("the oracle lets it out within some twenty rounds") {
        return;
    }
    let tally = attacks("row 11: a parent is swapped while directories are made");
    for source in ["tmpfs", "file"] {
        let c = Container::new(&["true"]).with_volume("/volume");
        let outside = Outside::of(&c);
        fs::write(c.path("file"), "").unwrap();
        let at = "/volume/target/made/deep/er";
        let c = c.push(
            "mounts",
            match source {
                "tmpfs" => json!({ "destination": at, "type": "tmpfs", "source": "tmpfs" }),
                _ => json!({ "destination": at, "type": "bind", "source": "../file", "options": ["bind"] }),
            },
        );
        let target = c.volume().join("target");
        fs::create_dir(&target).unwrap();
        let link = link_beside(&target, &outside.climbing());
        for verb in CREATIONS {
            while_swapping(&[(&target, &link)], races() / 2, |_| {
                tally.tries();
                _ = c.created_by(verb);
                outside.is_untouched();
                for parent in [&target, &link] {
                    _ = fs::remove_dir_all(parent.join("made"));
                }
                tally.survives();
            });
        }
        c.finish();
    }
}

/// CVE-2025-31133, by a sibling. With `host_null` opening the root's dev/null: "create: of the image".
#[test]
fn row_12_cve_2025_31133_dev_null_that_is_swapped_is_never_a_mask() {
    if !hilum_only("the oracle binds whatever /dev/null is") {
        return;
    }
    let tally = attacks("row 12: /dev/null is swapped for a symlink meanwhile");
    let c = Container::sh("cat /secret; echo changed >/secret")
        .without_mounts_on("/dev")
        .with_volume("/dev")
        .set("linux/maskedPaths", json!(["/secret"]));
    let outside = Outside::of(&c);
    fs::write(c.rootfs().join("secret"), "password").unwrap();
    fs::write(c.rootfs().join("etc/target"), "of the image").unwrap();
    let null = c.volume().join("null");
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, &null, rustix::fs::FileType::CharacterDevice, 0o666.into(), device).unwrap();
    let link = link_beside(&null, "/etc/target");
    for verb in CREATIONS {
        while_swapping(&[(&null, &link)], races(), |_| {
            tally.tries();
            let out = c.created_by(verb);
            assert!(!out.stdout.contains("of the image") && !out.stdout.contains("password"), "{verb}: {}", out.stdout);
            assert_eq!(read(&c.rootfs().join("etc/target")), "of the image");
            assert_eq!(read(&c.rootfs().join("secret")), "password");
            tally.survives();
        });
    }
    outside.is_untouched();
    c.finish();
}

/// CVE-2026-41579, by a sibling. With `Root::find` following links, `resolve` without RESOLVE_IN_ROOT, and the host's mounts in
/// sight (`bare::suits` false), all three together: "made outside of the root: null, ptmx, fd, …".
#[test]
fn row_16_cve_2026_41579_dev_that_is_swapped_makes_nothing_on_the_host() {
    if !hilum_only("the oracle follows it") {
        return;
    }
    let tally = attacks("row 16: /dev is swapped for a symlink meanwhile");
    let c = Container::new(&["true"]).set("root/readonly", json!(false)).without_mounts_on("/dev");
    let outside = Outside::of(&c);
    let dev = c.rootfs().join("dev");
    let link = link_beside(&dev, &outside.climbing());
    for verb in CREATIONS {
        while_swapping(&[(&dev, &link)], races(), |_| {
            tally.tries();
            _ = c.created_by(verb);
            outside.is_untouched();
            tally.survives();
        });
    }
    c.finish();
}
