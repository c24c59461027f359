//! What tests of the whole share.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub mod cluster;
pub mod docs;
pub mod monitoring;
pub mod repository;
pub mod schema;
pub mod server;
pub mod tools;
pub mod web;

/// Finds the program that is tested, beside the tests.
pub fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("an odd place for a test")?;
    let program = folder.join("slipway");
    ensure!(program.exists(), "`{}` is not built: cargo build -p slipway-cli", program.display());
    Ok(program)
}
