//! The container's terminal, where what is in /dev is not what it seems. (Row 13.)

use super::*;
use rustix::fs::{FileType, makedev, mknodat};
use std::os::unix::net::UnixListener;

/// A container with a terminal, and the socket for it. `dev` is a volume of the bundle.
struct Attempt {
    c: Container,
    _listener: UnixListener,
}

impl Attempt {
    fn on(c: Container) -> Attempt {
        let c = c.set("process/terminal", json!(true));
        let _listener = UnixListener::bind(c.path("console")).unwrap();
        Attempt { c, _listener }
    }

    /// Whatever comes of it.
    fn by(&self, verb: &str) -> Out {
        self.c.write_config();
        let detach = (verb == "run").then_some("--detach");
        let args = [verb].into_iter().chain(detach).chain(["--console-socket"]);
        let socket = self.c.path("console");
        self.c.call(&args.chain([socket.as_str(), &self.c.id]).collect::<Vec<_>>())
    }

    /// Of one that was made: its console is a slave of a devpts, and nothing else.
    #[track_caller]
    fn has_a_true_console(&self, verb: &str) {
        let pid = self.c.pid();
        let mounts = mounts_of(pid);
        let consoles: Vec<_> = mounts.iter().filter(|mount| mount.point.ends_with("/console")).collect();
        assert!(consoles.iter().all(|mount| mount.fstype == "devpts"), "{verb}: {consoles:?}");
        // By its file system: the name of its directory is another one in each moment.
        const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
        let found = rustix::fs::statfs(proc(pid, "fd/0")).unwrap().f_type as i64;
        assert_eq!(found, DEVPTS_SUPER_MAGIC, "{verb}: not of a devpts");
        let stat = fs::metadata(proc(pid, "fd/0")).unwrap();
        assert_eq!(
            rustix::fs::major(std::os::unix::fs::MetadataExt::rdev(&stat)),
            136,
            "{verb}: not a pseudo terminal"
        );
    }
}

fn devpts(on: &str) -> Value {
    json!({ "destination": on, "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] })
}

/// CVE-2025-52565. With links followed in `terminal::open`: "create, link to another: exit code 0". With any device taken for
/// the multiplexer: "create, multiplexer: exit code 0"; what else there is the kernel refuses to unlock.
#[test]
fn row_13_cve_2025_52565_what_is_no_ptmx_of_a_devpts_gives_no_terminal() {
    let tally = attacks("row 13: /dev/pts is of the image");
    let c = Container::sleeper().without_mounts_on("/dev").with_volume("/dev/pts");
    // Beside the multiplexer, where the kernel looks for the devpts of one in another file system; and one elsewhere.
    let c = c.push("mounts", devpts("/dev/pts/pts")).push("mounts", devpts("/another"));
    let outside = Outside::of(&c);
    let it = Attempt::on(c);
    let ptmx = it.c.volume().join("ptmx");
    let node = |kind: FileType, device: u64| mknodat(CWD, &ptmx, kind, 0o666.into(), device).unwrap();
    type Make<'m> = &'m dyn Fn();
    let fakes: [(&str, Make<'_>); 9] = [
        ("none", &|| {}),
        ("file", &|| fs::write(&ptmx, "").unwrap()),
        ("zero", &|| node(FileType::CharacterDevice, makedev(1, 5))),
        ("console", &|| node(FileType::CharacterDevice, makedev(5, 1))),
        ("fifo", &|| node(FileType::Fifo, 0)),
        ("link to the host's", &|| symlink("/dev/pts/ptmx", &ptmx).unwrap()),
        ("link outside", &|| symlink(outside.climbing(), &ptmx).unwrap()),
        ("link to another", &|| symlink("/another/ptmx", &ptmx).unwrap()),
        // A real multiplexer's numbers, in a directory that is no devpts.
        ("multiplexer", &|| node(FileType::CharacterDevice, makedev(5, 2))),
    ];
    for (name, make) in fakes {
        _ = fs::remove_file(&ptmx);
        make();
        for verb in CREATIONS {
            tally.tries();
            let out = it.by(verb);
            assert_eq!(out.code, 1, "{verb}, {name}: exit code {}: {}", out.code, out.stderr);
            it.c.gone();
            outside.is_untouched();
            tally.survives();
        }
    }
    it.c.finish();
}

/// CVE-2025-52565: the console itself. With links followed in `terminal::bind`: "create -> …/outside/made: exit code 0", which
/// was made in the root, as RESOLVE_IN_ROOT held.
#[test]
fn row_13_cve_2025_52565_dev_console_as_a_symlink_is_not_followed() {
    if !hilum_only("the oracle follows it") {
        return;
    }
    let tally = attacks("row 13: /dev/console is a symlink");
    let c = Container::sleeper().without_mounts_on("/dev/").with(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/dev");
    });
    let c = c.with_volume("/dev");
    let c = c.push("mounts", devpts("/dev/pts"));
    let outside = Outside::of(&c);
    let it = Attempt::on(c);
    let console = it.c.volume().join("console");
    for target in [
        format!("{}/made", outside.climbing()),
        format!("{}/made", outside.path()),
        "/etc/target".into(),
        "pts/0".into(),
    ] {
        for verb in CREATIONS {
            _ = fs::remove_file(&console);
            symlink(&target, &console).unwrap();
            tally.tries();
            let out = it.by(verb);
            assert_eq!(out.code, 1, "{verb} -> {target}: exit code {}: {}", out.code, out.stderr);
            it.c.gone();
            outside.is_untouched();
            assert!(!it.c.rootfs().join("etc/target").exists(), "{verb}: made elsewhere");
            tally.survives();
        }
    }
    it.c.finish();
}

/// CVE-2025-52565: a sibling swaps the directory of the terminals and the console while they are looked for. With `Root::find`
/// following links, `resolve` without RESOLVE_IN_ROOT, and the host's mounts in sight (`bare::suits` false), all three
/// together: "made outside of the root: made".
#[test]
fn row_13_cve_2025_52565_pts_and_console_that_are_swapped_give_a_terminal_or_none() {
    if !hilum_only("the oracle follows it") {
        return;
    }
    let tally = attacks("row 13: /dev/pts and /dev/console are swapped meanwhile");
    let c = Container::sleeper().without_mounts_on("/dev").with_volume("/dev");
    let c = c.push("mounts", devpts("/dev/pts"));
    let outside = Outside::of(&c);
    let it = Attempt::on(c);
    let (pts, console) = (it.c.volume().join("pts"), it.c.volume().join("console"));
    fs::create_dir(&pts).unwrap();
    fs::write(&console, "").unwrap();
    // The link of the directory leads to one with a multiplexer that is none.
    let fake = it.c.rootfs().join("fake");
    fs::create_dir(&fake).unwrap();
    mknodat(CWD, fake.join("ptmx"), FileType::CharacterDevice, 0o666.into(), makedev(5, 2)).unwrap();
    let links = [link_beside(&pts, "/fake"), link_beside(&console, &format!("{}/made", outside.climbing()))];
    let mut made = 0;
    for verb in CREATIONS {
        while_swapping(&[(&pts, &links[0]), (&console, &links[1])], rounds(60, 1000), |_| {
            tally.tries();
            if it.by(verb).code == 0 {
                made += 1;
                it.has_a_true_console(verb);
            }
            it.c.gone();
            outside.is_untouched();
            tally.survives();
        });
    }
    assert!(made > 0, "never was there a terminal");
    it.c.finish();
}

/// CVE-2025-52565, for `exec --tty`: in a container that runs, the directory is swapped. With links followed in
/// `terminal::open`: "exec: a terminal of /another/0".
#[test]
fn row_13_cve_2025_52565_exec_has_a_terminal_of_the_containers_devpts_or_none() {
    if !hilum_only("the oracle takes what is there") {
        return;
    }
    let tally = attacks("row 13: exec --tty while /dev/pts is swapped");
    let c = Container::sleeper().without_mounts_on("/dev").with_volume("/dev");
    let c = c.push("mounts", devpts("/dev/pts")).push("mounts", devpts("/another"));
    let pts = c.volume().join("pts");
    fs::create_dir(&pts).unwrap();
    c.up();
    let link = link_beside(&pts, "/another");
    let mut executed = 0;
    while_swapping(&[(&pts, &link)], rounds(100, 1000), |_| {
        tally.tries();
        let out = c.call(&["exec", "--tty", &c.id, "readlink", "/proc/self/fd/0"]);
        if out.code == 0 {
            executed += 1;
            assert!(out.stdout.trim().starts_with("/dev/pts"), "exec: a terminal of {}", out.stdout);
        } else {
            assert_eq!(out.code, 255, "{out:?}");
        }
        tally.survives();
    });
    assert!(executed > 0, "never was there a terminal");
    c.finish();
}
