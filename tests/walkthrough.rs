//! What the documents show is typed, and printed.

use crate::common::*;
use std::fs;
use std::process::Command;

#[test]
fn the_page_on_pods_does_what_it_says() {
    if !hilum_only("its own commands") {
        return;
    }
    let page = include_str!("../docs/pods.md");
    let session = Session::of(page, "console");
    assert!(session.len() > 20, "{} commands", session.len());
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program(), bin.join("hilum")).unwrap();
    // In a mount namespace, where /run/hilum is nobody else's; what goes wrong must not outlive it.
    let script = format!(
        "mkdir -p /run/hilum && mount -t tmpfs none /run/hilum && cd '{dir}' && PATH='{dir}/bin':$PATH\n\
         trap 'hilum pod rm -f shop jobs; for id in $(hilum list -q); do hilum delete -f $id; done' EXIT\n{}",
        session.script(&dir.path().join("out")),
        dir = dir.path().display(),
    );
    let log = dir.path().join("log");
    let stdout = fs::File::create(&log).unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "bash", "-c", &script]).stdin(std::process::Stdio::null());
    shell.stderr(stdout.try_clone().unwrap()).stdout(stdout);
    let code = wait_within(&mut shell.spawn().unwrap(), 4 * LIMIT, "docs/pods.md");
    assert_eq!(code, 0, "{}", read(&log));
    session.check(&dir.path().join("out"), &read(&log));
}
