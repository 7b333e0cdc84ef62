//! `--version`, in the lines that Docker and podman read.

use crate::error::Result;
use crate::plan::seccomp;
use crate::state::OCI_VERSION;

pub fn run() -> Result<u8> {
    println!("hilum version {}", env!("CARGO_PKG_VERSION"));
    println!("commit: {}", env!("HILUM_COMMIT"));
    println!("spec: {OCI_VERSION}");
    println!("libseccomp: {}", seccomp::version());
    Ok(0)
}
