//! `slipway build`: builds images on this machine, without a daemon.

mod args;
mod inputs;
mod live;
mod outputs;
mod plain;
mod run;
pub(crate) mod settings;
mod summary;

use std::process::ExitCode;

pub(crate) use args::Args;

/// Runs the verb.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    run::run(&args)
}
