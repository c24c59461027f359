//! `slipway man`: writes a man page for the program and one for each verb, from the same definitions as the command line.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::CommandFactory;

/// Writes man pages into a folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; made where it is missing.
    folder: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = args.folder;
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    clap_mangen::generate_to(crate::Cli::command(), &folder)
        .with_context(|| format!("failed to write man pages to {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
