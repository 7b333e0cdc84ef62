//! Runs a container, and ends as it does: `cargo run --example run -- BUNDLE`, as root.

use std::path::Path;
use std::process::ExitCode;

use hilum::{Result, Runtime};

fn main() -> ExitCode {
    let Some(bundle) = std::env::args().nth(1) else {
        eprintln!("usage: run BUNDLE");
        return ExitCode::FAILURE;
    };
    match run(Path::new(&bundle)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error}"); // one line: what was attempted, what the kernel said, what to do
            ExitCode::FAILURE
        }
    }
}

fn run(bundle: &Path) -> Result<u8> {
    let runtime = Runtime::new("/run/hilum-example")?;
    let container = runtime.create(&format!("example-{}", std::process::id()), bundle)?;
    let code = container.start().and_then(|()| container.wait());
    container.delete(true)?;
    Ok(code?.unwrap_or(1) as u8)
}
