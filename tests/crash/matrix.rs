//! Every point of a command: killed there, its children killed there, the call failing there.

use super::stepper::{Call, RUNTIME, Strike, Walk, may_trace, walk};
use crate::common::*;
use nix::errno::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

/// A command, and what is to be so afterwards. It is prepared and removed again and again, under the same id.
pub trait Scene {
    /// What there is before the command.
    fn prepare(&self);
    fn command(&self) -> Command;
    /// Processes that have a part in it and are there already.
    fn others(&self) -> Vec<u32> {
        Vec::new()
    }
    /// For the command's output.
    fn dir(&self) -> &Path;
    /// The runtime was killed, or may have been: what it says of what there is, is so. It can go on from there.
    fn is_truthful(&self);
    /// The command has succeeded: what it is for is done.
    fn is_done(&self);
    /// It has succeeded, and said this.
    fn has_said(&self, _: &str) {}
    /// The command has failed: nothing is left of it, and nothing is harmed.
    fn is_undone(&self);
    /// The exit code of a failure.
    fn failure(&self) -> i32 {
        1
    }
    /// Takes away all that there is, with the command for that, which must succeed.
    fn remove(&self);
    /// What a sweep finds.
    fn leftovers(&self) -> Vec<String>;
    /// The id can be used again.
    fn once_more(&self);
}

/// All points of the command are tried with HILUM_TEST_LONG, else so many, or fewer where the machine is emulated: others in
/// each run. HILUM_TEST_SEED repeats a choice.
pub fn matrix(what: &str, at_most: usize) -> Matrix<'_> {
    Matrix { what, at_most }
}

pub struct Matrix<'m> {
    what: &'m str,
    at_most: usize,
}

impl Matrix<'_> {
    /// The runtime is killed after each of its calls that change something.
    pub fn runtime_killed<S: Scene>(&self, make: impl Fn() -> S) {
        let is_point = |call: &Call| call.who == RUNTIME && call.changes;
        self.run("Crash points", "the runtime killed", make, is_point, |call| vec![(*call, Strike::Kill)]);
    }

    /// Each of its children is.
    pub fn init_killed<S: Scene>(&self, make: impl Fn() -> S) {
        let is_point = |call: &Call| call.who != RUNTIME && call.changes;
        self.run("Crash points", "the init killed", make, is_point, |call| vec![(*call, Strike::Kill)]);
    }

    /// Each call of the runtime fails, in each way in which it could.
    pub fn runtime_fails<S: Scene>(&self, make: impl Fn() -> S) {
        self.run("Injected faults", "calls of the runtime", make, |call| call.who == RUNTIME, faults);
    }

    pub fn init_fails<S: Scene>(&self, make: impl Fn() -> S) {
        self.run("Injected faults", "calls of the init", make, |call| call.who != RUNTIME, faults);
    }

    fn run<S: Scene>(
        &self,
        part: &'static str,
        how: &str,
        make: impl Fn() -> S,
        is_point: impl Fn(&Call) -> bool,
        strikes: impl Fn(&Call) -> Vec<(Call, Strike)>,
    ) {
        if !can_step() {
            return;
        }
        let tally = Tally::of(part, &format!("{}, {how}", self.what));
        let mut scene = make();
        scene.prepare();
        let plain = walk(&scene.command(), scene.dir(), &scene.others(), None);
        assert!(plain.code == 0 && !plain.hung, "{}, as it is: {} {}", self.what, plain.code, plain.stderr);
        scene.is_done();
        scene.remove();
        let all: Vec<_> = plain.calls.iter().filter(|call| is_point(call)).flat_map(&strikes).collect();
        assert!(!all.is_empty(), "{}: no call of {how}", self.what);
        let mut failed = Vec::new();
        for (count, (nth, (call, strike))) in self.chosen(&all).into_iter().enumerate() {
            let says = match strike {
                Strike::Kill => format!("killed after {}", call.kind.name),
                Strike::Fail(errno) => format!("{} fails with {errno:?}", call.kind.name),
            };
            let at = format!("{}: process {} {says}, point {} of {}", self.what, call.who, nth + 1, all.len());
            tally.tries();
            let one = AssertUnwindSafe(|| attempt(&scene, call, strike, count % 8 == 0));
            let outcome = catch_unwind(one).map_err(|panic| words(&*panic));
            let left = settled(&scene);
            tally.leaves(left.len());
            match outcome {
                Ok(()) if left.is_empty() => tally.survives(),
                outcome => {
                    failed.push(format!("{at}: {} {left:#?}", outcome.err().unwrap_or_default()));
                    println!("{}", failed[failed.len() - 1]);
                    scene = make();
                }
            }
        }
        assert!(failed.is_empty(), "{} of {} points:\n{}", failed.len(), tally.tried(), failed.join("\n"));
    }

    fn chosen<T: Copy>(&self, all: &[T]) -> Vec<(usize, T)> {
        let most = (self.at_most / if patience() > 1 { 4 } else { 1 }).max(1);
        let step = rounds(all.len().div_ceil(most) as u32, 1) as usize;
        let seed = seed();
        if step > 1 {
            println!("{}: one in {step}; repeat it with HILUM_TEST_SEED={seed}", self.what);
        }
        all.iter().copied().enumerate().skip(seed as usize % step).step_by(step).collect()
    }
}

fn seed() -> u64 {
    let given = std::env::var("HILUM_TEST_SEED").ok();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    given.map_or_else(now, |text| text.parse().expect("HILUM_TEST_SEED is a number"))
}

fn faults(call: &Call) -> Vec<(Call, Strike)> {
    call.kind.errors.iter().map(|errno: &Errno| (*call, Strike::Fail(*errno))).collect()
}

fn can_step() -> bool {
    hilum_only("the oracle is not made to be killed anywhere") && may_trace()
}

fn attempt<S: Scene>(scene: &S, call: Call, strike: Strike, once_more: bool) {
    scene.prepare();
    let walk = walk(&scene.command(), scene.dir(), &scene.others(), Some((call.place(), strike)));
    assert!(!walk.hung, "it hung: {}", walk.stderr);
    check(scene, &walk, call.who == RUNTIME, matches!(strike, Strike::Kill));
    scene.remove();
    eventually("its processes have ended", || walk.left.iter().all(|pid| has_ended(*pid)));
    if once_more {
        scene.once_more();
    }
}

fn check<S: Scene>(scene: &S, walk: &Walk, of_runtime: bool, killed: bool) {
    assert!(!walk.stderr.contains("panicked"), "{}", walk.stderr);
    if walk.code == 0 {
        scene.has_said(&walk.stdout);
    }
    match walk.code {
        // Its own end; or the container's, of which a command in the foreground has the exit code.
        137 if killed => scene.is_truthful(),
        // What happens to the init when the command has done its part is the container's end, and not an error.
        0 if walk.struck.is_some() && !of_runtime => scene.is_truthful(),
        0 => scene.is_done(),
        code => {
            assert_eq!(code, scene.failure(), "exit code: {}", walk.stderr);
            let errors = walk.stderr.lines().filter(|line| line.contains("level=error"));
            assert_eq!(errors.count(), 1, "an error in one line: {:?}", walk.stderr);
            scene.is_undone();
        }
    }
}

/// What has not gone within a while.
fn settled<S: Scene>(scene: &S) -> Vec<String> {
    let deadline = deadline_in(5);
    loop {
        let left = scene.leftovers();
        if left.is_empty() || std::time::Instant::now() > deadline {
            return left;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
}
