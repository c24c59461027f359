//! `slipway build`: builds images on this machine, without a daemon.

mod annotations;
mod args;
mod cache;
mod context;
mod finish;
mod inputs;
mod live;
mod outputs;
mod plain;
pub(crate) mod progress;
mod run;
mod sandbox;
pub(crate) mod settings;
mod settle;
mod stop;
mod summary;
mod warnings;

use std::process::ExitCode;

pub(crate) use args::{Args, Progress as ProgressStyle};
pub(crate) use plain::bytes;

/// Runs the verb.
#[allow(clippy::needless_pass_by_value)] // as all verbs
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    run::run(&args)
}
