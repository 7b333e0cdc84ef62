//! Runs a container, and ends as it does: `cargo run --example run -- BUNDLE`, as root.

use hilum::{Result, Runtime};

fn main() -> std::process::ExitCode {
    let Some(bundle) = std::env::args().nth(1) else {
        eprintln!("usage: run BUNDLE");
        return 2.into();
    };
    run(&bundle)
        .unwrap_or_else(|error| {
            eprintln!("{error}"); // one line: what was attempted, what the kernel said, what to do
            1
        })
        .into()
}

fn run(bundle: &str) -> Result<u8> {
    let runtime = Runtime::new("/run/hilum-example")?;
    let container = runtime.create(&format!("example-{}", std::process::id()), bundle)?;
    let code = container.start().and_then(|()| container.wait());
    container.delete(true)?;
    Ok(code?.unwrap_or(1) as u8)
}
