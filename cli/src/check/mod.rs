//! `slipway check`: looks a Dockerfile over and says what is wrong with it or could be better.

use std::process::ExitCode;

/// Checks a Dockerfile without building it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
