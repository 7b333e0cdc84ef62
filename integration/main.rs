//! Real clients on the runtime under test: Docker, containerd, its CRI plugin, podman, buildah. Needs root.
//!
//! `HILUM_UNDER_TEST=runc cargo test --test integration` runs the same assertions against runc, the oracle.
//! `cargo test --test integration -- docker::` runs one client's; `--list` names them all. Several names or parts of names
//! are divided by commas: `docker::limits,cri::pod`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod common;
mod containerd;
mod cri;
mod docker;
mod engine;
mod podman;
mod rootless;
mod speed;
mod supervise;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

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

/// A test's name, and what runs it on what its group shares.
type Test<T> = (&'static str, fn(&'static T));

/// Tests that run one after another, because they share daemons. Two rows go side by side, for the time that it takes.
#[derive(Default)]
struct Row {
    /// How many have ended.
    ended: Mutex<usize>,
    changed: Condvar,
}

/// The right to run.
struct Turn<'a>(&'a Row);

impl Row {
    fn turn(&self, number: usize) -> Turn<'_> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while *ended != number {
            ended = self.changed.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_all();
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if !arguments.list && std::env::var_os(supervise::DIR).is_none() {
        return supervise::run();
    }
    let rows = [
        vec![docker::group(), containerd::group(), cri::group(), speed::group()],
        vec![podman::group(), rootless::group()],
    ];
    let stops: Vec<fn()> = rows.iter().flatten().map(|group| group.stop).collect();
    let mut trials = Vec::new();
    for groups in rows {
        let row = Arc::new(Row::default());
        let mut number = 0;
        for (name, test) in groups.into_iter().flat_map(|group| {
            let prefix = group.name;
            group.tests.into_iter().map(move |(name, test)| (format!("{prefix}::{name}"), test))
        }) {
            // The harness would leave these out by itself, but then the row would wait for them.
            if !chosen(&arguments, &name) {
                continue;
            }
            let (row, own) = (Arc::clone(&row), number);
            number += 1;
            trials.push(Trial::test(name.clone(), move || {
                let _turn = row.turn(own);
                common::set_test(&name);
                test();
                Ok(())
            }));
        }
    }
    if !arguments.list {
        supervise::enter();
    }
    // Done above, also with several names.
    (arguments.filter, arguments.exact) = (None, false);
    arguments.skip.clear();
    // All but the two whose turn it is are waiting.
    arguments.test_threads = Some(trials.len().max(2));
    let conclusion = libtest_mimic::run(&arguments, trials);
    for stop in stops {
        stop();
    }
    conclusion.exit_code()
}

fn chosen(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &str| if arguments.exact { name == filter } else { name.contains(filter) };
    let any = |list: &String| list.split(',').any(&matches);
    arguments.filter.as_ref().is_none_or(any) && !arguments.skip.iter().any(any)
}
