//! `setup docker`: what becomes of daemon.json.

use crate::common::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

struct Daemon {
    dir: tempfile::TempDir,
    file: PathBuf,
}

impl Daemon {
    fn new(text: &str) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("daemon.json");
        fs::write(&file, text).unwrap();
        Daemon { dir, file }
    }

    fn setup(&self, options: &[&str]) -> Out {
        let mut command = Command::new(program());
        command.args(["setup", "docker", "--file"]).arg(&self.file).args(options);
        let out = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Out { code: out.status.code().unwrap(), stdout: text(out.stdout), stderr: text(out.stderr) }
    }

    fn text(&self) -> String {
        read(&self.file)
    }

    fn document(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }
}

fn own() -> String {
    fs::canonicalize(program()).unwrap().display().to_string()
}

#[test]
fn what_others_have_written_stays_as_it_is_written() {
    if !hilum_only("its own command") {
        return;
    }
    let text = r#"{
      "log-opts": {"max-size":   "10m", "b": 1, "a": 1.50},
  "insecure-registries" : [ "a" ,
     "b" ],
  "runtimes": { "kata": {"path": "/usr/bin/kata", "runtimeArgs": [] } }
}"#;
    let daemon = Daemon::new(text);
    fs::set_permissions(&daemon.file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&daemon.file, Some(0), Some(12)).unwrap();

    let printed = daemon.setup(&["--print"]).ok().stdout;
    assert_eq!(daemon.text(), text, "--print changed it");
    daemon.setup(&[]).ok();
    assert_eq!(daemon.text(), printed);
    for part in [
        r#""log-opts": {"max-size":   "10m", "b": 1, "a": 1.50}"#,
        "[ \"a\" ,\n     \"b\" ]",
        r#""kata": {"path": "/usr/bin/kata", "runtimeArgs": [] }"#,
    ] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    assert_eq!(daemon.document()["runtimes"]["hilum"], json!({ "path": own() }));
    assert!(daemon.document().get("default-runtime").is_none());
    let is = fs::metadata(&daemon.file).unwrap();
    assert_eq!((is.mode() & 0o7777, is.uid(), is.gid()), (0o640, 0, 12));

    // Again: there is nothing to do.
    assert!(daemon.setup(&[]).ok().stdout.contains("says so already"));
    assert_eq!(daemon.text(), printed);
    daemon.setup(&["--default"]).ok();
    assert_eq!(daemon.document()["default-runtime"], "hilum");
    daemon.setup(&["--remove"]).ok();
    let expected: Value = serde_json::from_str(text).unwrap();
    assert_eq!(daemon.document(), expected);
    assert_eq!(fs::read_dir(daemon.dir.path()).unwrap().count(), 1, "a file is left");
}

#[test]
fn where_there_is_none_it_is_made() {
    if !hilum_only("its own command") {
        return;
    }
    for (text, written) in [("", false), (" \n", false), ("{}", false), ("gone", true)] {
        let daemon = Daemon::new(text);
        if written {
            fs::remove_file(&daemon.file).unwrap();
        }
        daemon.setup(&["--default"]).ok();
        let expected = json!({ "runtimes": { "hilum": { "path": own() } }, "default-runtime": "hilum" });
        assert_eq!(daemon.document(), expected, "{text:?}");
        daemon.setup(&["--remove"]).ok();
        assert_eq!(daemon.document(), json!({}), "{text:?}");
    }
}

#[test]
fn a_link_stays_one() {
    if !hilum_only("its own command") {
        return;
    }
    let mut daemon = Daemon::new("{}");
    let link = daemon.dir.path().join("link");
    symlink("daemon.json", &link).unwrap();
    let target = std::mem::replace(&mut daemon.file, link);
    daemon.setup(&[]).ok();
    assert!(fs::symlink_metadata(&daemon.file).unwrap().is_symlink());
    assert!(read(&target).contains("hilum"));
}

#[test]
fn what_is_not_understood_is_not_changed() {
    if !hilum_only("its own command") {
        return;
    }
    for (text, options, says) in [
        ("[]", &[][..], "expected an object"),
        ("{ // by hand\n}", &[], "line 1 column 3"),
        (r#"{"a": 1, "a": 2}"#, &[], "is there twice"),
        (r#"{"runtimes": []}"#, &[], "runtimes: "),
        (r#"{"runtimes": {"hilum": 7}}"#, &[], "expected an object"),
        (r#"{"runtimes": {"hilum": {"path": "/opt/other"}}}"#, &[], "runtimes.hilum is there, with "),
        (r#"{"runtimes": {"hilum": {"runtimeType": "x"}}}"#, &[], "runtimes.hilum is there, with no path"),
        (r#"{"default-runtime": "kata"}"#, &["--default"], "default-runtime is "),
        ("\u{1}", &["--remove"], "line 1 column 1"),
    ] {
        let daemon = Daemon::new(text);
        let out = daemon.setup(options).fails(says);
        assert!(out.stderr.contains(&daemon.file.display().to_string()), "{out:?}");
        assert!(out.stderr.contains("nothing was changed"), "{out:?}");
        assert_eq!(daemon.text(), text);
    }
    let daemon = Daemon::new("");
    fs::remove_file(&daemon.file).unwrap();
    fs::create_dir(&daemon.file).unwrap();
    daemon.setup(&[]).fails("Is a directory");
}
