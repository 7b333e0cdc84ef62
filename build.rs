//! Builds the init program (src/init), which the binary carries inside itself.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// No C library, no start files, no relocations: the program starts with its first own instruction.
const FLAGS: &str = "-Ctarget-feature=+crt-static -Crelocation-model=static -Cpanic=abort \
    -Clink-arg=-nostartfiles -Clink-arg=-nostdlib -Clink-arg=-static -Clink-arg=-Wl,--build-id=none -Clink-arg=-Wl,-z,norelro";

/// Nothing unwinds (panic = "abort"), but the standard and the C library bring the tables for it, and the compiler makes
/// more of them to match: a tenth of the binary.
const NO_UNWIND_TABLES: &str =
    "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.gcc_except_table .gcc_except_table.*) } } INSERT AFTER .text;\n";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rustc-env=HILUM_COMMIT={}", commit().unwrap_or("unknown".into()));
    for watched in ["build.rs", "src/init", "src/sys", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let target = env::var("TARGET")?;
    let dir = out.join("init");
    // Its own target directory: the outer cargo holds the lock of the usual one.
    let status = Command::new(env::var("CARGO")?)
        .args(["build", "--release", "--package", "hilum-init", "--bin", "hilum-init"])
        .args(["--target", &target])
        .args(["--config", "profile.release.opt-level='z'"])
        .arg("--target-dir")
        .arg(&dir)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env("RUSTFLAGS", FLAGS)
        .status()?;
    if !status.success() {
        return Err("the init program could not be built".into());
    }
    if env::var("PROFILE")? == "release" {
        let script = out.join("no-unwind-tables.ld");
        fs::write(&script, NO_UNWIND_TABLES)?;
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,-T,{}", script.display());
        // 3000 relocations in 1 KiB, and not in 72.
        if c_library_relocates_by_bitmap() {
            println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
    fs::copy(dir.join(&target).join("release/hilum-init"), out.join("hilum-init"))?;
    Ok(())
}

/// DT_RELR: glibc 2.36, whose start code is in a static binary, too.
fn c_library_relocates_by_bitmap() -> bool {
    let version = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let number = text.trim().strip_prefix("glibc 2.").and_then(|minor| minor.parse::<u32>().ok());
    number.is_some_and(|minor| minor >= 36)
}

/// Of the sources, for `--version`; a release's tarball has none, though it may be unpacked below another repository.
fn commit() -> Option<String> {
    let own = fs::canonicalize(env::var("CARGO_MANIFEST_DIR").ok()?).ok()?;
    if fs::canonicalize(git(&["--show-toplevel"])?).ok()? != own {
        return None;
    }
    // For cargo, a file that is not there has always changed.
    if let Some(log) = git(&["--git-path", "logs/HEAD"]).filter(|log| fs::exists(log).is_ok_and(|there| there)) {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["--short=12", "HEAD"])
}

fn git(question: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("rev-parse").args(question).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}
