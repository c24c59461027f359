//! Development commands of Slipway, run as `cargo xtask <command>`.
//!
//! They need nothing but a Rust toolchain, Go and, for the cluster, root on Linux. Nothing here is part of the
//! product, and the product depends on nothing here.
#![expect(clippy::print_stdout, reason = "a command line whose product is what it prints")]

mod bases;
mod bench;
mod chaos;
mod chart;
mod cluster;
mod conformance;
mod cycle;
mod demo;
mod e2e;
mod fuzz;
mod generate;
mod gitops;
mod host;
mod images;
mod install;
mod monitoring;
mod peers;
mod readers;
mod release;
mod seeds;
mod soak;
mod speed;
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
    /// Installs, tests, upgrades, rolls back and uninstalls the chart with builds running.
    ChartCycle,
    /// Shows Flux's kustomize-controller on a folder of ImageBuilds.
    Gitops(install::Options),
    /// Asks a real Prometheus everything that dashboard and alert rules ask.
    Monitoring(install::Options),
    /// Measures builds by Slipway beside BuildKit's and buildah's, and writes `docs/benchmarks`.
    Bench(speed::Options),
    /// Measures a small build from `apply` to `Ready`, beside the same build by the command line in one pod.
    BenchCluster(bench::Options),
    /// Disturbs many builds in every way there is, and checks that each ends as it would have.
    Chaos(chaos::Options),
    /// Writes the files that are made from code: the CRD, its copy in the chart, references, the chart's schema.
    Gen(generate::Options),
    /// Builds the conformance cases and compares the results with BuildKit's or buildah's.
    Conformance(conformance::Options),
    /// Starts other builders to compare with, and builds with them.
    Peers {
        #[command(subcommand)]
        command: peers::Commands,
    },
    /// Makes a release: programs, images, chart, bill of materials, checksums.
    Release(release::Options),
    /// Builds the Dockerfiles of the documents that the project started from, and runs their images.
    Seeds(seeds::Options),
    /// Kills builds, lets registries fail and disks fill: the long form of what the tests do briefly.
    Soak(soak::Options),
    /// Measures the peaks of memory of very large builds.
    Memory,
    /// Runs the fuzz targets.
    Fuzz(fuzz::Options),
    /// Has images made by Slipway read by crane, skopeo, umoci, buildah and containerd.
    Readers,
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
        Command::Demo => {
            images::prerequisites()?;
            cluster::lent(demo::run)
        }
        Command::Images => cluster::lent(|access| images::push(access).map(drop)),
        Command::Install => cluster::lent(install::install),
        Command::ChartCycle => cluster::lent(cycle::run),
        Command::Gitops(options) => cluster::lent(|access| gitops::run(access, &options)),
        Command::Monitoring(options) => cluster::lent(|access| monitoring::run(access, &options)),
        Command::Bench(options) => speed::run(&options),
        Command::BenchCluster(options) => cluster::lent(|access| bench::run(access, &options)),
        Command::Chaos(options) => cluster::lent(|access| chaos::run(access, &options)),
        Command::Gen(options) => generate::run(&options),
        Command::Conformance(options) => conformance::run(&options),
        Command::Peers { command } => peers::run(command),
        Command::Release(options) => release::run(&options),
        Command::Seeds(options) => test::on_a_cluster(|access| seeds::run(access, &options)),
        Command::Soak(options) => soak::run(&options),
        Command::Memory => soak::memory(),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Readers => cluster::lent(readers::long),
        Command::Test(options) => test::run(&options),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use slipway_tests::docs::calls;

    use super::Cli;

    #[test]
    fn calls_in_the_documentation_are_understood() {
        let calls = calls("cargo xtask");
        assert!(calls.len() > 10, "{}", calls.len());
        for (place, words) in calls {
            let line = words.join(" ");
            let parsed = Cli::try_parse_from(std::iter::once("cargo xtask".to_owned()).chain(words));
            let refused = parsed.err().filter(clap::Error::use_stderr).map(|error| error.to_string());
            assert!(refused.is_none(), "{place}: cargo xtask {line}\n{}", refused.unwrap_or_default());
        }
    }
}
