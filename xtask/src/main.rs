//! Development commands of Slipway, run as `cargo xtask <command>`.
//!
//! They need nothing but a Rust toolchain, Go and, for the cluster, root on Linux. Nothing here is part of the
//! product, and the product depends on nothing here.
#![expect(clippy::print_stdout, reason = "a command line whose product is what it prints")]

mod bases;
mod cluster;
mod demo;
mod e2e;
mod generate;
mod host;
mod images;
mod install;
mod peers;
mod soak;
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
    /// Writes the files that are made from code: the CRD, its copy in the chart, the reference of its fields.
    Gen(generate::Options),
    /// Starts other builders to compare with, and builds with them.
    Peers {
        #[command(subcommand)]
        command: peers::Commands,
    },
    /// Kills builds, lets registries fail and disks fill: the long form of what the tests do briefly.
    Soak(soak::Options),
    /// Measures the peaks of memory of very large builds.
    Memory,
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
        Command::Gen(options) => generate::run(&options),
        Command::Peers { command } => peers::run(command),
        Command::Soak(options) => soak::run(&options),
        Command::Memory => soak::memory(),
        Command::Test(options) => test::run(&options),
    }
}
