//! `slipway completions`: prints a completion script, made from the same definitions as the command line.

use std::{io, process::ExitCode};

use clap::CommandFactory;
use clap_complete::Shell;

/// Prints a completion script for a shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete for.
    shell: Shell,
}

/// Runs the verb.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "slipway", &mut io::stdout());
    Ok(ExitCode::SUCCESS)
}
