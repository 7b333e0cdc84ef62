//! AppArmor: the profile of the config confines the process, and that of `exec` another one.

use crate::common::*;
use std::fs;
use std::process::Command;

/// A profile of the kernel's, removed on drop.
pub struct Profile {
    pub name: String,
    file: String,
}

impl Profile {
    pub fn load(c: &Container, suffix: &str, rules: &str) -> Profile {
        let name = format!("{}-{suffix}", c.id);
        let file = c.path(&name);
        let text = format!("profile {name} flags=(attach_disconnected,mediate_deleted) {{\n{rules}\n}}\n");
        fs::write(&file, text).unwrap();
        let out = Command::new("apparmor_parser").args(["--replace", "--skip-cache", &file]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Profile { name, file }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        _ = Command::new("apparmor_parser").args(["--remove", &self.file]).status();
    }
}

pub fn can_be_tested() -> bool {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    let parser = Command::new("apparmor_parser").arg("--version").output().is_ok_and(|out| out.status.success());
    (enabled || skip("AppArmor is not enabled in this kernel"))
        && (parser || skip("apparmor_parser is not installed (package apparmor)"))
}

pub fn current(pid: u32) -> String {
    read(&proc(pid, "attr/current")).trim().to_owned()
}

#[test]
fn the_profile_confines_the_process_and_what_joins_it() {
    if !can_be_tested() {
        return;
    }
    let c = Container::sh("touch /tmp/forbidden; touch /tmp/allowed; echo done; exec sleep 1000")
        .set("root/readonly", json!(false));
    let rules = "file,\nnetwork,\ncapability,\nsignal,\nptrace,\nmount,\nunix,\ndeny /tmp/forbidden w,";
    let profile = Profile::load(&c, "own", rules);
    let other = Profile::load(&c, "exec", &format!("{rules}\ndeny /tmp/** w,"));
    let c = c.set("process/apparmorProfile", json!(profile.name));
    c.up().says("done");
    assert_eq!(current(c.pid()), format!("{} (enforce)", profile.name));
    let made = |name: &str| c.rootfs().join("tmp").join(name).exists();
    assert_eq!((made("forbidden"), made("allowed")), (false, true));

    let attr = &["cat", "/proc/self/attr/current"];
    let id = c.id.as_str();
    assert_eq!(c.call(&[&["exec", id], &attr[..]].concat()).ok().stdout.trim(), format!("{} (enforce)", profile.name));
    let exec = |args: &[&str]| c.call(&[&["exec", "--apparmor", &other.name, id], args].concat());
    assert_eq!(exec(attr).ok().stdout.trim(), format!("{} (enforce)", other.name));
    assert_ne!(exec(&["touch", "/tmp/more"]).code, 0);
    c.finish();
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error_and_leaves_nothing() {
    if !can_be_tested() {
        return;
    }
    let c = Container::sleeper().set("process/apparmorProfile", json!("hilum-no-such-profile"));
    let out = c.run();
    assert_ne!(out.code, 0, "{out:?}");
    c.left_nothing();
}
