//! Namespace entries that must be refused.

use crate::common::*;
use std::fs;

#[test]
fn a_type_that_is_listed_twice_is_refused() {
    let c = Container::new(&["true"]).push("linux/namespaces", json!({ "type": "ipc" }));
    let out = c.create_with(&[]).fails("");
    if hilum_only("text") {
        assert!(out.stderr.contains("ipc"), "{out:?}");
    }
    c.left_nothing();
}

#[test]
fn an_unknown_type_is_refused() {
    let c = Container::new(&["true"]).push("linux/namespaces", json!({ "type": "nonsense" }));
    c.create_with(&[]).fails("nonsense");
    c.left_nothing();
}

/// Creates with a bad namespace path: an error that names it, and nothing left.
fn refused(kind: &str, path: &str, texts: &[&str]) {
    let c = Container::new(&["true"]).join(kind, path);
    let out = c.create_with(&[]);
    assert_eq!(out.code, 1, "{out:?}");
    if hilum_only("text") {
        for text in texts {
            assert!(out.stderr.contains(text), "{text:?} is not in {:?}", out.stderr);
        }
    }
    c.left_nothing();
}

#[test]
fn a_path_of_another_type_is_refused() {
    let helper = Helper::start(&["unshare", "-n", "-i", "-u", "sleep", "1000"], "sleep");
    let path = |kind: &str| proc(helper.pid(), "ns").join(kind).display().to_string();
    refused("network", &path("ipc"), &["network", "ipc"]);
    refused("ipc", &path("uts"), &["ipc", "uts"]);
    refused("uts", &path("net"), &["uts", "net"]);
    refused("pid", &path("net"), &["pid", "net"]);
    refused("user", &path("net"), &["user", "net"]);
}

#[test]
fn a_path_that_is_gone_is_refused() {
    refused("network", "/nonexistent/net", &["/nonexistent/net"]);
    let mut helper = Helper::start(&["unshare", "-n", "sleep", "1000"], "sleep");
    let path = proc(helper.pid(), "ns/net").display().to_string();
    helper.0.kill().unwrap();
    helper.0.wait().unwrap();
    refused("network", &path, &[&path]);
}

#[test]
fn a_path_outside_nsfs_is_refused() {
    let c = Container::new(&["true"]);
    fs::write(c.path("file"), "").unwrap();
    refused("network", &c.path("file"), &[&c.path("file")]);
    refused("network", "/", &["/"]);
    refused("ipc", "/dev/null", &["/dev/null"]);
    refused("uts", "/proc/self/status", &["/proc/self/status"]);
}

#[test]
fn a_relative_path_is_refused() {
    refused("network", "self/ns/net", &["self/ns/net"]);
    refused("network", "../../../../proc/1/ns/net", &["proc/1/ns/net"]);
}
