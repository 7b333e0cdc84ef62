//! What the documents show is typed, and printed.

use crate::common::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Types a page's session in a directory, behind `before`; and what goes wrong ends with `at_exit`.
fn type_it(name: &str, session: &Session, dir: &Path, before: &str, at_exit: &str, limit: u32) {
    let script =
        format!("cd '{}' && {before}\ntrap '{at_exit}' EXIT\n{}", dir.display(), session.script(&dir.join("out")));
    let log = dir.join("log");
    let stdout = fs::File::create(&log).unwrap();
    let mut shell = Command::new("unshare");
    // In a mount namespace of its own, or in none: `before` says it.
    shell.args(["--mount", "--propagation", "unchanged", "bash", "-c", &script]).stdin(Stdio::null());
    shell.stderr(stdout.try_clone().unwrap()).stdout(stdout);
    let code = wait_within(&mut shell.spawn().unwrap(), limit * LIMIT, name);
    assert_eq!(code, 0, "{name}: {}", read(&log));
    session.check(&dir.join("out"), &read(&log));
}

/// On a host that others use as well: /run/hilum is this page's alone, and nothing of it outlives the test.
fn type_beside_others(name: &str, (page, kind): (&str, &str), at_least: usize, before: &str, pods: &str) {
    let session = Session::of(page, kind);
    assert!(session.len() >= at_least, "{name}: {} commands", session.len());
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program(), bin.join("hilum")).unwrap();
    let before = format!(
        "mount --make-rprivate / && mkdir -p /run/hilum && mount -t tmpfs none /run/hilum && PATH='{}':$PATH\n{before}",
        bin.display()
    );
    let at_exit = format!("hilum pod rm -f {pods}; for id in $(hilum list -q); do hilum delete -f $id; done");
    type_it(name, &session, dir.path(), &before, &at_exit, 4);
}

#[test]
fn the_page_on_pods_does_what_it_says() {
    if hilum_only("its own commands") {
        type_beside_others("docs/pods.md", (include_str!("../docs/pods.md"), "console"), 21, "", "shop jobs");
    }
}

/// The two bundles of README.md, in which busybox is all programs.
const BUNDLES: &str = r#"
for name in app sidecar; do
    mkdir -p $name-bundle/rootfs/bin $name-bundle/rootfs/proc $name-bundle/rootfs/dev $name-bundle/rootfs/sys
    cp "$(command -v busybox)" $name-bundle/rootfs/bin/hostname
    cp "$(command -v busybox)" $name-bundle/rootfs/bin/sleep
    hilum spec -b $name-bundle
    jq '.process.terminal = false | .process.args = ["sleep", "1000"]' $name-bundle/config.json >edited
    mv edited $name-bundle/config.json
done"#;

#[test]
fn readme_does_what_it_shows() {
    if hilum_only("its own commands") {
        let page = include_str!("../README.md");
        type_beside_others("README.md", (page, "console"), 8, &format!("{BUNDLES}\ncp -a app-bundle/rootfs ."), "none");
        type_beside_others("README.md", (page, "console recorded"), 6, BUNDLES, "web");
    }
}

#[test]
fn the_recording_is_that_of_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new(root.join("scripts/recording")).arg(made.path()).status().unwrap();
    assert!(status.success());
    let shown = read(&root.join("docs/pod.svg"));
    assert!(shown == read(made.path()), "docs/pod.svg is not what README.md shows: run scripts/recording");
    let session = Session::of(include_str!("../README.md"), "console recorded");
    assert_eq!(shown.matches("class=\"typed\"").count(), session.len());
}

/// A machine that is thrown away afterwards, with hilum's packages: what the first hours install and write would stay.
fn machine() -> Option<PathBuf> {
    let packages = std::env::var_os("HILUM_PACKAGES").map(PathBuf::from);
    if packages.is_none() {
        skip(
            "HILUM_PACKAGES names no directory with hilum's packages, on a machine that may be changed: make vm-test has one",
        );
    }
    packages
}

/// A directory with the packages in it, and an image called busybox. One after the other: each installs the package.
fn first_hour(name: &str, page: &str, packages: &Path, before: &str) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let session = Session::of(page, "console");
    assert!(session.len() > 10, "{name}: {} commands", session.len());
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(packages).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name();
        if [".deb", ".tar.gz"].iter().any(|end| name.to_string_lossy().ends_with(end)) {
            fs::copy(entry.path(), dir.path().join(name)).unwrap();
        }
    }
    let image = "mkdir -p image/bin image/tmp && cp \"$(command -v busybox)\" image/bin/ && chroot image /bin/busybox --install -s /bin";
    let before = format!("set -e\n{image}\n{before}\nset +e");
    let at_exit = "dpkg --remove hilum >/dev/null 2>&1";
    type_it(name, &session, dir.path(), &before, at_exit, 1);
}

#[test]
fn an_hour_with_docker() {
    if !hilum_only("its package") {
        return;
    }
    let Some(packages) = machine() else { return };
    let before = "systemctl start docker\ntar -C image -c . | docker import - busybox >/dev/null";
    first_hour("walkthroughs/docker.md", include_str!("../docs/walkthroughs/docker.md"), &packages, before);
}

#[test]
fn an_hour_for_who_operates_hosts() {
    if !hilum_only("its package") {
        return;
    }
    let Some(packages) = machine() else { return };
    let before = "systemctl start docker containerd\n\
        tar -C image -c . | podman import - docker.io/library/busybox:latest >/dev/null\n\
        podman save docker.io/library/busybox:latest | ctr image import - >/dev/null";
    first_hour("walkthroughs/operator.md", include_str!("../docs/walkthroughs/operator.md"), &packages, before);
}

#[test]
#[ignore = "make msrv: builds hilum in a clean Debian, which takes minutes"]
fn an_hour_for_a_rust_engineer() {
    let page = include_str!("../docs/walkthroughs/engineer.md");
    let session = Session::of(page, "console");
    assert!(session.len() > 10, "{} commands", session.len());
    let dir = tempfile::tempdir().unwrap();
    let (script, out) = (dir.path().join("script"), dir.path().join("out"));
    // What is written there is gone afterwards.
    let show = "for file in /tmp/out.*; do echo \"== $file\"; cat $file; done";
    fs::write(&script, format!("{}\n{show}\n", session.script(Path::new("/tmp/out")))).unwrap();
    let printed = dir.path().join("printed");
    let mut there = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/msrv"));
    there.arg(&script).stdin(Stdio::null()).stdout(fs::File::create(&printed).unwrap());
    let code = wait_within(&mut there.spawn().unwrap(), 40 * LIMIT, "docs/walkthroughs/engineer.md");
    if code == 125 {
        skip("there is no clean Debian to be had here, see above");
        return;
    }
    let printed = read(&printed);
    assert_eq!(code, 0, "{printed}");
    for part in printed.split("== /tmp/out.").skip(1) {
        let (number, text) = part.split_once('\n').unwrap();
        fs::write(format!("{}.{number}", out.display()), text).unwrap();
    }
    session.check(&out, &printed);
}
