//! `slipway`: checks, plans and builds Dockerfiles on one machine. Also installed as `kubectl-slipway`.
//!
//! This file only dispatches. Each verb is a module with `Args` and `run`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod build;
mod cache;
mod check;
mod completions;
mod inspect;
mod man;
mod plan;
mod push;

#[cfg(test)]
mod docs_test;

/// That of musl takes one lock for all threads, and gives large blocks back to the kernel each time.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Checks, plans and builds multi-stage Dockerfiles.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, arg_required_else_help = true, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do; the order here is the order of the help text.
#[derive(Debug, Subcommand)]
enum Verb {
    Build(Box<build::Args>),
    Check(check::Args),
    Plan(plan::Args),
    Push(push::Args),
    Cache(cache::Args),
    Inspect(inspect::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Man(man::Args),
}

/// Fails with 2, as clap does for usage errors: 1 is left to verbs that have a "no" to say, such as findings of `check`.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    // The sandbox starts this program again as the first process of each command.
    slipway_sandbox::init_if_asked();
    // One TLS provider for all of the program; a second call would only say that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match Cli::parse().verb {
        Verb::Build(args) => build::run(*args),
        Verb::Check(args) => check::run(args),
        Verb::Plan(args) => plan::run(args),
        Verb::Push(args) => push::run(args),
        Verb::Cache(args) => cache::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Completions(args) => completions::run(args),
        Verb::Man(args) => man::run(args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(FAILED)
    })
}
