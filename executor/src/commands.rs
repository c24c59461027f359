//! The commands: from arguments and files to the library, and from its reports to the termination message.

pub(crate) mod build;
pub(crate) mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use slipway_executor::fetch::{FetchError, git, trust};
use slipway_executor::pod::relay;
use slipway_protocol::message::{Message, encode};
use slipway_protocol::paths::{self, EXIT_CANCELLED, EXIT_FAILED};
use slipway_protocol::report::{Failure, PollReport};
use slipway_sandbox::Cancel;
use slipway_store::{Policy, Store};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::log;

/// What a poll looks at.
#[derive(Debug, clap::Args)]
pub(crate) struct PollArgs {
    /// The repository.
    #[arg(long)]
    url: String,
    /// A branch, tag or full reference; the default branch where empty.
    #[arg(long = "ref", default_value = "")]
    reference: String,
    /// A folder with credentials.
    #[arg(long)]
    credentials: Option<PathBuf>,
}

/// What may stay in the store.
#[derive(Debug, clap::Args)]
pub(crate) struct GcArgs {
    /// The most bytes.
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,
    /// Hours without use after which a thing goes.
    #[arg(long, value_name = "HOURS")]
    max_age: Option<u64>,
    /// Bytes that the volume must have left.
    #[arg(long, value_name = "BYTES")]
    min_free: Option<u64>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Where the store is.
#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// The store.
    #[arg(long, value_name = "FOLDER", env = paths::STORE_ENV, default_value = paths::STORE)]
    store: PathBuf,
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Returns the folder that the containers of a build pod share.
fn scratch() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| paths::SCRATCH.into())
}

/// Leaves the last words of the container.
fn leave<M: Message>(report: &M) {
    leave_text(&encode(report));
}

fn leave_text(words: &str) {
    let path = std::env::var(paths::TERMINATION_ENV).unwrap_or_else(|_| paths::TERMINATION_LOG.to_owned());
    if let Err(error) = std::fs::write(&path, words) {
        log::error(&format!("cannot write the report to `{path}`: {error}"));
    }
}

fn ended(failure: Option<&Failure>) -> ExitCode {
    let Some(failure) = failure else { return ExitCode::SUCCESS };
    let place = if failure.line > 0 { format!(" (line {})", failure.line) } else { String::new() };
    log::error(&format!("{}{place}: {}", failure.reason, failure.message));
    ExitCode::from(if failure.reason == "Cancelled" { EXIT_CANCELLED } else { EXIT_FAILED })
}

/// Trusts the certificates that stand in the environment, for a pod without a request.
fn trust_given() -> anyhow::Result<()> {
    let Some(text) = std::env::var_os(paths::CA_ENV).filter(|text| !text.is_empty()) else { return Ok(()) };
    let scratch = scratch();
    let file = scratch.join(paths::CA_FILE);
    std::fs::write(&file, text.as_encoded_bytes())
        .with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(trust::add(&file, &scratch)?)
}

/// Runs `poll`.
pub(crate) fn poll(args: &PollArgs) -> anyhow::Result<ExitCode> {
    let look = async {
        trust_given()?;
        let source = git::Source { reference: args.reference.clone(), ..git::Source::parse(&args.url)? };
        anyhow::Ok(git::resolve(&source, &git::Credentials(args.credentials.clone())).await?)
    };
    let report = match runtime()?.block_on(look) {
        Ok(commit) => PollReport { revision: commit.revision(), failure: None },
        Err(error) => {
            let failure = Failure {
                reason: "SourceFailed".into(),
                retryable: error.downcast_ref::<FetchError>().is_some_and(FetchError::is_retryable),
                message: format!("{error:#}"),
                ..Failure::default()
            };
            PollReport { failure: Some(failure), ..PollReport::default() }
        }
    };
    if report.failure.is_none() {
        log::say(&report.revision);
    }
    leave(&report);
    Ok(ended(report.failure.as_ref()))
}

/// Runs `report`.
pub(crate) fn report() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = scratch();
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            words = relay::wait(&folder) => leave_text(&words),
            _ = terminated.recv() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Stops the work when the pod is to go.
fn cancel_on_termination(runtime: &Runtime, cancel: &Cancel) {
    let cancel = cancel.clone();
    runtime.spawn(async move {
        let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        cancel.cancel();
    });
}

/// Runs `gc`.
pub(crate) fn gc(args: &GcArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let store = Store::open(&args.store.store)?;
    store.settle()?;
    let policy = Policy {
        max_bytes: args.max_size,
        max_age: args.max_age.map(|hours| Duration::from_secs(hours.saturating_mul(3600))),
        keep_free: args.min_free,
        ..Policy::default()
    };
    let collected = store.collect(&policy, SystemTime::now())?;
    log::say(&format!("removed {} bytes in {:.1}s", collected.bytes, began.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}
