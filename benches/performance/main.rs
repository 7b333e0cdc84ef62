//! What hilum costs, beside crun, runc and the bare kernel (benches/floor.c), measured in one run. Needs root.
//!
//! `performance [--rounds N] [--page] [PART…]`: the parts are `v2`, `v1` (private views of the host with one layout of
//! cgroups) and `clients` (containerd and Docker). Without one, all of them. What is not measured anew stays as it was in
//! target/bench. `--page` also writes docs/performance.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod bundle;
mod facts;
mod host;
mod life;
mod many;
mod measure;
mod report;
mod tool;

use measure::Results;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where the results are kept, and the programs that are compared.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

const PARTS: [&str; 3] = ["clients", "v2", "v1"];

fn main() -> ExitCode {
    let mut rounds = 40;
    let (mut parts, mut page, mut inside) = (Vec::new(), false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|text| text.parse().ok()).expect("--rounds N"),
            "--page" => page = true,
            // Of this program itself, in its view of the host.
            "--inside" => inside = args.next(),
            // What cargo adds.
            "--bench" => {}
            part if PARTS.contains(&part) => parts.push(part.to_owned()),
            other => panic!("{other}: not one of {PARTS:?}, --rounds N, --page"),
        }
    }
    if let Some(layout) = inside {
        return measure(&layout, rounds);
    }
    if parts.is_empty() {
        parts = PARTS.map(str::to_owned).to_vec();
    }
    std::fs::create_dir_all(target().join("bench")).unwrap();
    for part in &parts {
        if let Some(why) = host::cannot(part) {
            eprintln!("performance: {part} left out: {why}");
            continue;
        }
        let status = match part.as_str() {
            "clients" => host::clients(rounds),
            layout => host::in_view(layout, rounds),
        };
        if !status.success() {
            eprintln!("performance: {part}: {status}");
            return ExitCode::FAILURE;
        }
    }
    let results = Results::load_all();
    print!("{}", report::text(&results));
    if page {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
        std::fs::write(&path, report::page(&results)).unwrap();
        eprintln!("performance: wrote {}", path.display());
    }
    ExitCode::SUCCESS
}

/// All of one layout, in the view of the host that has it.
fn measure(layout: &str, rounds: usize) -> ExitCode {
    host::enter(layout);
    let stage = tool::Stage::new(layout);
    let mut results = Results::new(layout, &stage.tools);
    life::measure(&stage, &mut results, rounds);
    many::measure(&stage, &mut results, rounds);
    facts::measure(&stage, &mut results);
    results.save();
    ExitCode::SUCCESS
}

/// A command of the system that has to succeed.
pub fn must(command: &mut Command) {
    let status = command.status().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.success(), "{command:?}: {status}");
}
