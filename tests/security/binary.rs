//! The runtime's own program and descriptors, as the container's processes could see them. (Rows 1, 2 and 3.)

use super::*;
use rustix::fs::{SealFlags, fcntl_get_seals};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

/// Looks into every process of the runtime's that there is in its pid namespace. To open /proc/PID/mem asks for the same right
/// as ptrace(2) does; a link of /proc/PID/fd for the lesser one. Read again behind it, the name says that it was still the
/// runtime's.
const SPY: &str = r#"
    echo ready
    while :; do
        for p in /proc/[0-9]*; do
            read name <$p/comm || continue
            case $name in hilum*|runc*) ;; *) continue ;; esac
            echo "saw $p"
            found=
            true <$p/mem && found=mem
            for f in $p/cwd $p/root $p/fd/*; do l=$(readlink $f) && found="$found $f=$l"; done
            read after <$p/comm && [ "$after" = "$name" ] && [ "$found" ] && echo "leak $p $found"
        done
    done 2>/dev/null"#;

/// Creates, runs and executes beside a spy, each with the runtime slowed down where its process waits for it, and then fast.
fn is_not_looked_into(tally: &Tally, user: Value) {
    let spy = Container::sh(SPY).set("process/user", user.clone());
    spy.up().says("ready");
    let sees = |what: &str, attempt: &dyn Fn()| {
        tally.tries();
        let before = spy.output().len();
        attempt();
        let said = spy.output()[before..].to_owned();
        assert!(!said.contains("leak"), "{what}: {said}");
        tally.survives();
        said.contains("saw")
    };
    let c = Container::sleeper().seen_by(&spy).set("process/user", user.clone());
    let saw = sees("create", &|| {
        c.create();
        std::thread::sleep(std::time::Duration::from_millis(500) * patience());
        c.gone();
    });
    assert!(saw, "the spy has not seen what waits for start");
    c.finish();
    let uid = user["uid"].to_string();
    let exec = ["exec", "--user", &uid, &spy.id, "true"];
    if has_strace() {
        let c = Container::new(&["true"]).seen_by(&spy).set("process/user", user.clone());
        c.write_config();
        let slow = |c: &Container, args: &[&str]| drop(c.finish_call(slowed_down(c, args), Stdio::null()).ok());
        assert!(sees("run", &|| slow(&c, &["run", &c.id])), "the spy has not seen what is run");
        assert!(sees("exec", &|| slow(&spy, &exec)), "the spy has not seen what is executed");
        c.finish();
    }
    let runs = Container::new(&["true"]).seen_by(&spy).set("process/user", user);
    for _ in 0..rounds(20, 500) {
        sees("runs", &|| drop(runs.run().ok()));
        sees("execs", &|| drop(spy.call(&exec).ok()));
    }
    runs.finish();
    spy.finish();
}

/// CVE-2016-9962. With `process::hide` doing nothing: "create: … leak /proc/2 mem /proc/2/cwd=/ … /proc/2/fd/23=socket:[…]".
#[test]
fn row_01_cve_2016_9962_what_is_not_yet_the_users_process_is_not_looked_into() {
    let tally = attacks("row 1: ptrace and /proc/PID/fd by a spy");
    is_not_looked_into(&tally, json!({ "uid": 0, "gid": 0 }));
    // Who changes its ids becomes dumpable where the host's fs.suid_dumpable says so, and is seen by processes of that user.
    is_not_looked_into(&tally, json!({ "uid": 1000, "gid": 1000 }));
}

/// CVE-2016-9962: who has CAP_SYS_PTRACE may look, and finds nothing but sockets. Without the `close_all_but` before `Ready`:
/// "/proc/2/fd/17=/sys/fs/cgroup/pids/…/cgroup.procs … /proc/2/fd/21=/proc", which are the host's.
#[test]
fn row_01_cve_2016_9962_what_waits_for_start_has_nothing_of_the_hosts_open() {
    if !hilum_only("the oracle holds a FIFO and its own log open") {
        return;
    }
    let tally = attacks("row 1: a spy with CAP_SYS_PTRACE");
    let spy = Container::sh(SPY).privileged();
    spy.up().says("ready");
    let c = Container::sleeper().privileged().seen_by(&spy);
    tally.tries();
    c.create();
    spy.says("leak");
    let links = |said: &str| -> Vec<String> {
        let lines = said.lines().filter(|line| line.starts_with("leak")).flat_map(|line| line.split(' '));
        lines.filter(|word| word.contains("/fd/")).map(String::from).collect()
    };
    // While it is created it has more; what the last look found is what it waits with.
    let deadline = deadline_in(20);
    loop {
        let said = spy.output();
        let last: String = said.lines().rfind(|line| line.starts_with("leak")).unwrap().into();
        let standard = |link: &String| ["/fd/0=", "/fd/1=", "/fd/2="].iter().any(|fd| link.contains(fd));
        let open: Vec<String> =
            links(&last).into_iter().filter(|link| !standard(link) && !link.contains("=socket:")).collect();
        if open.is_empty() && links(&last).len() >= 5 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{open:?} of {last}");
    }
    tally.survives();
    c.finish();
    spy.finish();
}

/// CVE-2016-9962: every descriptor of the runtime's is closed when the user's process starts. Without the last `close_all_but`:
/// "create: [0, 1, 2, 3, 7]"; without either: nineteen of them.
#[test]
fn row_01_cve_2016_9962_the_users_process_has_three_descriptors() {
    let tally = attacks("row 1: descriptors of the user's process");
    // `ls` has the directory open as its fourth.
    let list = ["ls", "/proc/self/fd"];
    let c = Container::new(&list).privileged();
    for verb in CREATIONS {
        tally.tries();
        assert_eq!(c.created_by(verb).ok().lines(), ["0", "1", "2", "3"], "{verb}");
        tally.survives();
    }
    c.finish();
    let c = Container::sleeper().privileged();
    c.up();
    tally.tries();
    assert_eq!(c.call(&[&["exec", &c.id], &list[..]].concat()).ok().lines(), ["0", "1", "2", "3"]);
    tally.survives();
    c.finish();
}

fn runtime_file() -> PathBuf {
    let program = program();
    if program.is_absolute() {
        return program;
    }
    let out = Command::new("sh").args(["-c", "command -v \"$0\""]).arg(&program).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().into()
}

fn fingerprint(path: &Path) -> (u64, u64, i64, Vec<u8>) {
    let meta = fs::metadata(path).unwrap();
    (meta.ino(), meta.size(), meta.mtime_nsec(), fs::read(path).unwrap())
}

/// CVE-2019-5736: an image whose program is the runtime's. With `init_program` giving /proc/self/exe, and hilum able to be its
/// own init program: "exec … code: 0, stdout: hilum version …", so that the container executes the host's file. What would be
/// written to it, the next test says.
#[test]
fn row_02_cve_2019_5736_an_entrypoint_that_is_the_runtime_itself_cannot_overwrite_it() {
    let tally = attacks("row 2: #!/proc/self/exe");
    let before = fingerprint(&runtime_file());
    let with_entry = |args: &[&str]| {
        let c = Container::new(args).privileged();
        fs::write(c.rootfs().join("entry"), "#!/proc/self/exe\n").unwrap();
        fs::set_permissions(c.rootfs().join("entry"), fs::Permissions::from_mode(0o755)).unwrap();
        c
    };
    let unchanged = |out: Out| {
        // Executes the memfd without its plan, if anything: it must end, and change nothing.
        assert_ne!(out.code, 0, "{out:?}");
        assert!(fingerprint(&runtime_file()) == before, "the runtime's file was changed");
        tally.survives();
    };
    for entry in [&["/entry"][..], &["/proc/self/exe", "--version"], &["/proc/self/exe", "init"]] {
        for verb in CREATIONS {
            tally.tries();
            let c = with_entry(entry);
            c.write_config();
            // Its own exit code is not that of `create`.
            let out = if verb == "create" { c.create_with(&[]) } else { c.run() };
            let started = if out.code == 0 { c.call(&["start", &c.id]) } else { out };
            unchanged(Out { code: 1, ..started });
            c.finish();
        }
    }
    let c = with_entry(&["sleep", "1000"]);
    c.up();
    for entry in [&["/entry"][..], &["/proc/self/exe", "--version"], &["/proc/self/exe", "init"]] {
        tally.tries();
        unchanged(c.call(&[&["exec", &c.id], entry].concat()));
    }
    c.finish();
}

/// Takes hold of the program of every process of the runtime's, and writes to it: at once, and when it is not executed any
/// more. It does not truncate it, which is another seal.
const OVERWRITE: &str = r#"
    echo ready
    while :; do
        for p in /proc/[0-9]*; do
            read name <$p/comm || continue
            case $name in hilum*|runc*) ;; *) continue ;; esac
            (
                exec 9<$p/exe || exit
                case $(readlink /proc/self/fd/9) in *busybox*) exit ;; esac
                echo "held $p"
                for i in 1 2 3 4 5 6 7 8 9 10; do
                    (echo overwritten 1<>/proc/self/fd/9) && echo "written $p"
                    sleep 0.05
                done
            ) &
            sleep 0.05
        done
    done 2>/dev/null"#;

/// CVE-2019-5736, from a privileged process of the container. With a memfd that lacks `SealFlags::WRITE`: "create: held
/// /proc/2, written /proc/2". With `init_program` giving /proc/self/exe the same, and the file of hilum on the host began with
/// "overwritten".
#[test]
fn row_02_cve_2019_5736_the_program_that_enters_a_container_cannot_be_written() {
    let tally = attacks("row 2: /proc/PID/exe opened for writing");
    let spy = Container::sh(OVERWRITE).privileged();
    let before = fingerprint(&runtime_file());
    spy.up().says("ready");
    let entered = |what: &str, enter: &dyn Fn()| {
        tally.tries();
        let from = spy.output().len();
        enter();
        // Until it has tried often enough on what is not executed any more.
        std::thread::sleep(std::time::Duration::from_millis(700) * patience());
        let said = spy.output()[from..].to_owned();
        assert!(!said.contains("written"), "{what}: {said}");
        assert!(fingerprint(&runtime_file()) == before, "{what}: the runtime's file was changed");
        tally.survives();
        said.contains("held")
    };
    let c = Container::sleeper().privileged().seen_by(&spy);
    let created = entered("create", &|| {
        c.create();
        std::thread::sleep(std::time::Duration::from_millis(300) * patience());
        c.gone();
    });
    assert!(created, "the spy has not got hold of it");
    c.finish();
    let c = Container::new(&["true"]).privileged().seen_by(&spy);
    c.write_config();
    if has_strace() {
        let slow = |c: &Container, args: &[&str]| drop(c.finish_call(slowed_down(c, args), Stdio::null()).ok());
        assert!(entered("run", &|| slow(&c, &["run", &c.id])), "the spy has not got hold of it");
        assert!(entered("exec", &|| slow(&spy, &["exec", &spy.id, "true"])), "the spy has not got hold of it");
    }
    for _ in 0..rounds(2, 50) {
        entered("runs", &|| (0..10).for_each(|_| drop(c.run().ok())));
        entered("execs", &|| (0..10).for_each(|_| drop(spy.call(&["exec", &spy.id, "true"]).ok())));
    }
    c.finish();
    spy.finish();
}

/// Not a file of the host's, and nobody can change it.
#[track_caller]
fn is_a_sealed_copy(pid: u32) {
    let exe = fs::File::open(proc(pid, "exe")).unwrap();
    let (own, host) = (exe.metadata().unwrap(), fs::metadata(runtime_file()).unwrap());
    let link = fs::read_link(proc(pid, "exe")).unwrap();
    assert_ne!((own.dev(), own.ino()), (host.dev(), host.ino()), "the host's own file");
    assert!(link.to_string_lossy().starts_with("/memfd:"), "{}", link.display());
    // Pages of a file that it was bound or laid over would be that file's, whatever its mount says.
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    assert!(fcntl_get_seals(&exe).unwrap().contains(seals), "{:?}", fcntl_get_seals(&exe));
}

/// The process of the runtime's that is on its way into the container, beside its first one.
fn on_its_way(c: &Container, besides: &[u32]) -> u32 {
    let mut found = None;
    eventually("a process on its way in", || {
        let dirs = cgroups_named(&c.id);
        let pids = dirs.iter().flat_map(|dir| {
            let procs = read(&dir.join("cgroup.procs"));
            procs.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>()
        });
        found =
            pids.into_iter().find(|pid| !besides.contains(pid) && read(&proc(*pid, "comm")).starts_with("hilum:init"));
        found.is_some()
    });
    found.unwrap()
}

/// Poisoning of the page cache. With `init_program` giving /proc/self/exe, and hilum able to be its own init program: "the
/// host's own file".
#[test]
fn row_03_page_cache_what_enters_a_container_shares_no_page_with_the_hosts_file() {
    if !hilum_only("the oracle binds its own file read-only") || !has_strace() {
        return;
    }
    let tally = attacks("row 3: the program that enters a container");
    tally.tries();
    let c = Container::sleeper();
    c.create();
    is_a_sealed_copy(c.pid());
    tally.survives();
    c.start();
    let first = c.pid();
    let slow = |c: &Container, args: &[&str]| {
        let mut command = slowed_down(c, args);
        Helper(command.stdin(Stdio::null()).spawn().unwrap())
    };
    tally.tries();
    let exec = slow(&c, &["exec", &c.id, "true"]);
    is_a_sealed_copy(on_its_way(&c, &[first]));
    assert_eq!(exec.exit_code(), 0);
    tally.survives();
    c.finish();

    tally.tries();
    let c = Container::new(&["true"]);
    c.write_config();
    let run = slow(&c, &["run", &c.id]);
    is_a_sealed_copy(on_its_way(&c, &[]));
    assert_eq!(run.exit_code(), 0);
    tally.survives();
    c.finish();
}
