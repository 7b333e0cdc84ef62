//! Many containers, one after another and at once.

use crate::measure::{Results, Times, time, time_all};
use crate::tool::Stage;
use std::time::Duration;

/// That many are there when they are listed.
const PRESENT: usize = 1000;
const AT_ONCE: usize = 16;
const TURN: usize = 10;

pub fn measure(stage: &Stage, results: &mut Results, rounds: usize) {
    at_once(stage, results, rounds.div_ceil(4));
    let (present, kept) = if rounds < 10 { (PRESENT / 10, " (few rounds: a tenth of them)") } else { (PRESENT, "") };
    let mut made = Times::default();
    let mut hundred: Vec<Duration> = vec![Duration::ZERO; stage.tools.len()];
    for turn in 0..present / TURN {
        for (tool, hundred) in stage.tools.iter().zip(&mut hundred) {
            for n in 0..TURN {
                let id = stage.id(tool, turn * TURN + n);
                let took = time(tool.create(&stage.long, &id)) + time(tool.of("start", &id));
                if turn < 100 / TURN {
                    *hundred += took;
                }
            }
        }
    }
    for (tool, hundred) in stage.tools.iter().zip(hundred) {
        made.add(tool, hundred);
    }
    results.add_times("create and start of 100 containers, one after another", made);
    let (mut list, mut state) = (Times::default(), Times::default());
    for round in 0..rounds.div_ceil(2) + 1 {
        for tool in &stage.tools {
            let (whole, one) = (time(tool.list()), time(tool.of("state", &stage.id(tool, 7))));
            if round > 0 {
                list.add(tool, whole);
                state.add(tool, one);
            }
        }
    }
    results.add_times(&format!("list, with {PRESENT} containers present{kept}"), list);
    results.add_times(&format!("state, with {PRESENT} containers present{kept}"), state);
    for n in 0..present {
        for tool in &stage.tools {
            tool.remove(&stage.id(tool, n));
        }
    }
}

fn at_once(stage: &Stage, results: &mut Results, rounds: usize) {
    let mut times = Times::default();
    for round in 0..rounds + 1 {
        for tool in &stage.tools {
            let ids: Vec<_> = (0..AT_ONCE).map(|n| stage.id(tool, format!("once{n}"))).collect();
            let took = time_all(ids.iter().map(|id| tool.create(&stage.long, id)).collect());
            if round > 0 {
                times.add(tool, took);
            }
            ids.iter().for_each(|id| tool.remove(id));
        }
    }
    results.add_times(&format!("{AT_ONCE} creates at once"), times);
}
