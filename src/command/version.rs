//! `--version`, in the lines that Docker and podman read.

use crate::error::Result;
use crate::plan::seccomp;
use crate::state::OCI_VERSION;

pub fn run() -> Result<u8> {
    super::print(&format!(
        "hilum version {}\ncommit: {}\nspec: {OCI_VERSION}\nlibseccomp: {}\n",
        env!("CARGO_PKG_VERSION"),
        env!("HILUM_COMMIT"),
        seccomp::version()
    ))?;
    Ok(0)
}
