//! Development commands of Slipway, run as `cargo xtask <command>`.
//!
//! They need nothing but a Rust toolchain, Go and, for the cluster, root on Linux. Nothing here is part of the
//! product, and the product depends on nothing here.
#![expect(clippy::print_stdout, reason = "a command line whose product is what it prints")]

mod bases;
mod bench;
mod chaos;
mod cluster;
mod demo;
mod e2e;
mod generate;
mod host;
mod images;
mod install;
mod peers;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development commands of Slipway")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boots, stops and inspects a real single-node Kubernetes, made of Go modules, without Docker.
    Cluster {
        #[command(subcommand)]
        command: cluster::Command,
    },
    /// Pushes base images, made of Debian packages, to the cluster's registry.
    Bases(bases::Options),
    /// Shows the main job: a cluster, the chart, an ImageBuild, its status, the image running.
    Demo,
    /// Builds the images of operator and executor with slipway itself, and pushes them to the cluster's registry.
    Images,
    /// Installs or upgrades the chart on the cluster, with images built from this checkout.
    Install,
    /// Measures a small build from `apply` to `Ready`, beside the same build by the command line in one pod.
    BenchCluster(bench::Options),
    /// Disturbs many builds in every way there is, and checks that each ends as it would have.
    Chaos(chaos::Options),
    /// Writes the files that are made from code: the CRD, its copy in the chart, the reference of its fields.
    Gen(generate::Options),
    /// Starts other builders to compare with, and builds with them.
    Peers {
        #[command(subcommand)]
        command: peers::Commands,
    },
    /// Runs everything that must pass before a change is merged.
    Test(test::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Causes in one line each, and never a backtrace: what failed is a program or the machine, not this code.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Cluster { command } => cluster::run(command),
        Command::Bases(options) => bases::run(&options),
        Command::Demo => cluster::lent(demo::run),
        Command::Images => cluster::lent(|access| images::push(access).map(drop)),
        Command::Install => cluster::lent(install::install),
        Command::BenchCluster(options) => cluster::lent(|access| bench::run(access, &options)),
        Command::Chaos(options) => cluster::lent(|access| chaos::run(access, &options)),
        Command::Gen(options) => generate::run(&options),
        Command::Peers { command } => peers::run(command),
        Command::Test(options) => test::run(&options),
    }
}
