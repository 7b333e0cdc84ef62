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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

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

/// The right to run, in the order of asking.
fn turn() -> impl Drop {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static SERVED: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
    struct Turn;
    impl Drop for Turn {
        fn drop(&mut self) {
            *SERVED.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            SERVED.1.notify_all();
        }
    }
    let own = ASKED.fetch_add(1, Ordering::SeqCst);
    let mut served = SERVED.0.lock().unwrap_or_else(PoisonError::into_inner);
    while *served != own {
        served = SERVED.1.wait(served).unwrap_or_else(PoisonError::into_inner);
    }
    Turn
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if !arguments.list && std::env::var_os(supervise::DIR).is_none() {
        return supervise::run();
    }
    // One after another: they share daemons, and the daemons share a host. With a thread to spare, because with one
    // alone the harness writes half a line before each test, which what the test writes would end.
    arguments.test_threads = Some(2);
    let groups = [docker::group(), containerd::group(), cri::group(), podman::group(), rootless::group()];
    let stops = groups.each_ref().map(|group| group.stop);
    let mut trials = Vec::new();
    for group in groups {
        for (name, test) in group.tests {
            let name = format!("{}::{name}", group.name);
            let run = {
                let name = name.clone();
                move || {
                    let _turn = turn();
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
