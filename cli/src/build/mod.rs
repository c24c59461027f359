//! `slipway build`: builds images on this machine, without a daemon.

mod args;
mod inputs;
mod live;
mod outputs;
mod plain;
mod run;
pub(crate) mod settings;
mod settle;
mod summary;

use std::process::ExitCode;

pub(crate) use args::Args;
pub(crate) use plain::bytes;

/// Runs the verb.
#[allow(clippy::needless_pass_by_value)] // as all verbs
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    run::run(&args)
}
