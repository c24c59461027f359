//! `slipway-executor`: what build and stage pods run. Also starts again as the first process of each command.

mod commands;
mod log;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use slipway_protocol::paths;

/// That of musl takes one lock for all threads, and gives large blocks back to the kernel each time.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plans, conducts and runs the stages of image builds.
#[derive(Debug, Parser)]
#[command(name = "slipway-executor", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Plans a build, says which stages need a pod, runs it through them, and pushes the images.
    Build(commands::build::Args),
    /// Ends when there is a plan, and leaves it to the kubelet.
    Report,
    /// Runs the commands that the build pod orders.
    Stage(commands::stage::Args),
    /// Says which revision a reference of a git repository has now.
    Poll(commands::PollArgs),
    /// Removes from the store what the limits do not let stay.
    Gc(commands::GcArgs),
}

fn main() -> ExitCode {
    slipway_sandbox::init_if_asked();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let filter = tracing_subscriber::EnvFilter::try_from_env(paths::LOG_ENV)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match Cli::parse().command {
        Command::Build(args) => commands::build::run(&args),
        Command::Report => commands::report(),
        Command::Stage(args) => commands::stage::run(&args),
        Command::Poll(args) => commands::poll(&args),
        Command::Gc(args) => commands::gc(&args),
    };
    slipway_sandbox::settle();
    result.unwrap_or_else(|error| {
        log::error(&format!("{error:#}"));
        ExitCode::from(paths::EXIT_FAILED)
    })
}
