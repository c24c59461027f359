//! The long forms of tests that every run does briefly: faults, and peaks of memory.

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::ValueEnum;

use crate::host::{
    command::{Run, cargo},
    folders,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many builds are killed.
    #[arg(long, default_value_t = 200)]
    builds: u64,
    /// How many builds go through a failing registry.
    #[arg(long, default_value_t = 60)]
    rounds: u64,
    /// Does again what a run with this number did. [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fault {
    /// Builds are killed at random moments.
    Kill,
    /// A registry cuts, delays, refuses and lies.
    Registry,
    /// The disk is full.
    Disk,
    /// Many builds at once over one store.
    Flight,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let by_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_millis() as u64);
    let seed = options.seed.unwrap_or_else(by_clock);
    println!("seed {seed}: `--seed {seed}` does the same again");
    let only = options.only.iter().map(|fault| format!("{fault:?}::").to_lowercase());
    long_test("soak")
        .args(only)
        .env("SLIPWAY_SOAK_BUILDS", options.builds.to_string())
        .env("SLIPWAY_SOAK_ROUNDS", options.rounds.to_string())
        .env("SLIPWAY_SOAK_SEED", seed.to_string())
        .run()
}

/// Measures the peaks of memory of builds that are as large as the limit is promised for.
pub(crate) fn memory() -> Result<()> {
    long_test("memory").env("SLIPWAY_MEMORY", "long").run()
}

/// One of the command line's tests, one case after the other, with all that it prints.
fn long_test(name: &str) -> Command {
    let mut command = cargo();
    command
        .current_dir(folders::checkout())
        // With the workspace's features, so that dependencies are not compiled once more.
        .args(["test", "--locked", "--workspace", "--test", name])
        .args(["--", "--nocapture", "--test-threads=1"]);
    command
}
