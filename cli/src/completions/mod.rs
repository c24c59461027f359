//! `slipway completions`: prints a completion script, made from the same definitions as the command line.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints a completion script for a shell.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete for.
    shell: Shell,
}

/// Runs the verb.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "slipway", &mut script);
    io::stdout().write_all(&script).context("failed to write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
