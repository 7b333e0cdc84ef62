//! Real clients on the runtime under test: Docker, containerd, its CRI plugin, podman, buildah. Needs root.
//!
//! `HILUM_UNDER_TEST=runc cargo test --test integration` runs the same assertions against runc, the oracle.
//! `cargo test --test integration -- docker::` runs one client's; `--list` names them all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod common;
mod containerd;
mod cri;
mod docker;
mod engine;
mod podman;
mod rootless;
mod supervise;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// A group of tests, in the order in which they run; and what ends the daemon that they share.
struct Group {
    name: &'static str,
    tests: Vec<(String, Box<dyn Fn() + Send>)>,
    stop: fn(),
}

impl Group {
    fn add(&mut self, name: &str, test: impl Fn() + Send + 'static) {
        self.tests.push((name.to_owned(), Box::new(test)));
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if !arguments.list && std::env::var_os(supervise::DIR).is_none() {
        return supervise::run();
    }
    // One after another: they share daemons, and the daemons share a host.
    arguments.test_threads = Some(1);
    let groups = [docker::group(), containerd::group(), cri::group(), podman::group(), rootless::group()];
    let stops = groups.each_ref().map(|group| group.stop);
    let mut trials = Vec::new();
    for group in groups {
        for (name, test) in group.tests {
            let name = format!("{}::{name}", group.name);
            let run = {
                let name = name.clone();
                move || {
                    common::set_test(&name);
                    test();
                    Ok(())
                }
            };
            trials.push(Trial::test(name, run));
        }
    }
    if !arguments.list {
        supervise::enter();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    for stop in stops {
        stop();
    }
    conclusion.exit_code()
}
