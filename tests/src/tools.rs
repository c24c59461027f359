//! Programs of other projects that tests run. `cargo xtask test --only chart` provides them.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Returns the program that a variable names; without it, tells why the test is left out.
pub fn tool(variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    if named.is_none() {
        eprintln!("left out: {variable} names no program; `cargo xtask test --only chart` provides it");
    }
    named
}

/// What a program did.
#[derive(Debug)]
pub struct Done {
    /// Whether it says that all is well.
    pub success: bool,
    /// What it printed, standard output first.
    pub said: String,
}

/// Runs a program with a text on its standard input.
pub fn run(command: &mut Command, input: &str) -> Result<Done> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {shown}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not want its input may be gone already.
        let _ = pipe.write_all(input.as_bytes());
    }
    let done = child.wait_with_output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    Ok(Done { success: done.status.success(), said })
}

/// Returns a path in the checkout.
pub fn checkout(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}
