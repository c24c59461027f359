//! The commands: from arguments and files to the library, and from its reports to the termination message.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};
use slipway_executor::event::{Events, Sink};
use slipway_executor::fetch::{FetchError, git, trust};
use slipway_executor::local::lent::Lent;
use slipway_executor::pod::agent;
use slipway_executor::pod::conduct::{ConductPlaces, conduct as conduct_build, planned};
use slipway_executor::pod::early;
use slipway_executor::pod::plan::{PlanPlaces, plan as plan_build};
use slipway_executor::pod::reports::{kept, stage_pod_report};
use slipway_executor::pod::wire::{self, PlanFile};
use slipway_executor::pod::worker::{Ended, Worker};
use slipway_executor::room::make_room;
use slipway_protocol::message::{Message, encode};
use slipway_protocol::paths::{self, CONDUCT_CONTAINER, EXIT_CANCELLED, EXIT_FAILED, PLAN_CONTAINER};
use slipway_protocol::report::{BuildReport, Failure, PlanReport, PollReport, StagePodReport, StageReport};
use slipway_protocol::request::{BuildRequest, RegistrySettings};
use slipway_registry::{Registry, Settings};
use slipway_sandbox::{Cancel, Isolation};
use slipway_store::{Policy, Store};
use tokio::runtime::Runtime;

use crate::log::{self, Log};

/// Where the request is.
#[derive(Debug, clap::Args)]
pub(crate) struct RequestArgs {
    /// The request, as JSON.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

/// Which pod of which build this is.
#[derive(Debug, clap::Args)]
pub(crate) struct StageArgs {
    /// The build.
    #[arg(long, value_name = "ID")]
    build: String,
    /// The pod's number.
    #[arg(long, value_name = "N")]
    pod: u32,
    /// Where answers go.
    #[arg(long, value_name = "FOLDER", default_value = paths::OUTBOX)]
    outbox: PathBuf,
    /// RUN cache mounts.
    #[arg(long, value_name = "FOLDER", default_value = paths::MOUNTS)]
    mounts: PathBuf,
    /// Secrets, one file an id.
    #[arg(long, value_name = "FOLDER", default_value = paths::SECRETS)]
    secrets: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

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

fn events() -> Events {
    Arc::new(Log::new())
}

fn read_request(path: &Path) -> anyhow::Result<BuildRequest> {
    let bytes =
        std::fs::read(path).with_context(|| format!("cannot read the request `{}`", path.display()))?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("the request `{}` is not understood", path.display()))
}

fn registry(settings: &RegistrySettings) -> anyhow::Result<Arc<Registry>> {
    let mut all = Settings::default();
    for (host, mirrors) in &settings.mirrors {
        all.mirrors.insert(host.clone(), mirrors.iter().map(|mirror| mirror.as_str().into()).collect());
    }
    all.insecure.clone_from(&settings.insecure);
    all.ca_files = Some(PathBuf::from(&settings.ca_file))
        .filter(|path| !path.as_os_str().is_empty())
        .into_iter()
        .collect();
    all.credential_files = settings.credentials.iter().map(PathBuf::from).collect();
    Ok(Arc::new(Registry::new(all)?))
}

/// Leaves the last words of the container.
fn leave<M: Message>(report: &M) {
    let path = std::env::var(paths::TERMINATION_ENV).unwrap_or_else(|_| paths::TERMINATION_LOG.to_owned());
    if let Err(error) = std::fs::write(&path, encode(report)) {
        log::error(&format!("cannot write the report to `{path}`: {error}"));
    }
}

fn ended(failure: Option<&Failure>) -> ExitCode {
    let Some(failure) = failure else { return ExitCode::SUCCESS };
    let place = if failure.line > 0 { format!(" (line {})", failure.line) } else { String::new() };
    log::error(&format!("{}{place}: {}", failure.reason, failure.message));
    ExitCode::from(if failure.reason == "Cancelled" { EXIT_CANCELLED } else { EXIT_FAILED })
}

/// Opens the store; where that fails, the report says so.
fn open_store(path: &Path) -> Result<Store, Box<Failure>> {
    Store::open(path).map_err(|error| store_failed(&error.into()))
}

fn store_failed(error: &anyhow::Error) -> Box<Failure> {
    let message = format!("{error:#}");
    Box::new(Failure { reason: "StoreFailed".into(), message, retryable: true, ..Failure::default() })
}

/// Trusts the certificates of the installation; where they are of no use, the report says so.
fn trust(request: &BuildRequest) -> Result<(), Box<Failure>> {
    let file = &request.registries.ca_file;
    if file.is_empty() {
        return Ok(());
    }
    let scratch = std::env::current_dir().unwrap_or_else(|_| paths::SCRATCH.into());
    trust::add(Path::new(file), &scratch).map_err(|error| {
        Box::new(Failure {
            reason: "InvalidSettings".into(),
            message: format!("{:#}", anyhow::Error::new(error)),
            ..Failure::default()
        })
    })
}

/// Trusts the certificates that stand in the environment, for a pod without a request.
fn trust_given() -> anyhow::Result<()> {
    let Some(text) = std::env::var_os(paths::CA_ENV).filter(|text| !text.is_empty()) else { return Ok(()) };
    let scratch = std::env::current_dir().unwrap_or_else(|_| paths::SCRATCH.into());
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

/// Without the right to give files away, who owns what is noted.
fn note_owners_where_needed() {
    if !rustix::process::geteuid().is_root() {
        slipway_executor::tree::owners::note_owners();
    }
}

/// Runs `plan`.
pub(crate) fn plan(args: &RequestArgs) -> anyhow::Result<ExitCode> {
    note_owners_where_needed();
    let request = read_request(&args.request)?;
    let store = match trust(&request).and_then(|()| open_store(&args.store.store)) {
        Ok(store) => store,
        Err(failure) => {
            leave(&PlanReport { failure: Some((*failure).clone()), ..PlanReport::default() });
            return Ok(ended(Some(&failure)));
        }
    };
    make_room(&store, &events());
    let runtime = runtime()?;
    let registry = registry(&request.registries)?;
    let places = PlanPlaces {
        store: &store,
        registry: registry.clone(),
        remotes: runtime.handle().clone(),
        events: events(),
    };
    let mut report = plan_build(&places, &request);
    for stage in &report.stages {
        let pod = stage.pod.map_or_else(|| "no pod".to_owned(), |pod| format!("pod {pod}"));
        log::say(&format!(
            "stage {}: {} of {} steps cached, {pod} {}",
            stage.name, stage.cached, stage.steps, stage.why
        ));
    }
    report.warnings.iter().for_each(|warning| log::say(&format!("warning: {warning}")));
    // Where nothing is to be run, or the operator knows already what is, the next container would only take time: a kubelet needs
    // about a second to see that one ended and to start another. In one pod it brings the container for the stages with it.
    let nothing_to_run = report.stages.iter().all(|stage| stage.pod.is_none());
    let fine = report.failure.is_none();
    let told =
        fine && !nothing_to_run && !request.one_pod && early::tell(runtime.handle(), PLAN_CONTAINER, &report);
    let goes_on = fine && (nothing_to_run || (told && !early::hands_over()));
    if !goes_on {
        if fine {
            log::say("planned; the container `conduct` goes on");
        }
        leave(&report);
        return Ok(ended(report.failure.as_ref()));
    }
    let done = carry_out(&store, registry, &runtime, &request);
    let failed = done.failure.clone();
    if failed.is_none()
        && let Err(error) = report_file(&store, &request).and_then(|file| Ok(wire::write(&file, &done)?))
    {
        // `conduct` finds everything in the cache instead.
        tracing::warn!(error = format!("{error:#}"), "no room for the report that `conduct` would repeat");
    }
    if told {
        // The operator has it; the last words have room for the result.
        (report.stages, report.warnings) = (vec![], vec![]);
    }
    report.done = Some(Box::new(done));
    leave(&report);
    if failed.is_none() {
        match report.done.as_deref() {
            Some(done) if told => early::tell(runtime.handle(), CONDUCT_CONTAINER, done),
            _ => early::tell(runtime.handle(), PLAN_CONTAINER, &report),
        };
    }
    Ok(ended(failed.as_ref()))
}

/// Returns where the report of a build lies that `plan` has done.
fn report_file(store: &Store, request: &BuildRequest) -> anyhow::Result<PathBuf> {
    Ok(store.build_dir(&request.id)?.path().join(paths::REPORT_FILE))
}

/// Conducts a planned build until it ends or the pod is to go.
fn carry_out(
    store: &Store,
    registry: Arc<Registry>,
    runtime: &Runtime,
    request: &BuildRequest,
) -> BuildReport {
    let cancel = Cancel::new();
    cancel_on_termination(runtime, &cancel);
    let places = ConductPlaces { store, registry, remotes: runtime.handle().clone(), events: events() };
    let report = store.settle_beside(|| conduct_build(&places, request, &cancel));
    say_images(&report);
    report
}

fn say_images(report: &BuildReport) {
    for image in &report.images {
        log::say(&format!(
            "image {}: {} ({} bytes, {} layers)",
            image.target,
            image.reference,
            image.size,
            image.layers.len()
        ));
    }
}

/// Runs `conduct`.
pub(crate) fn conduct(args: &RequestArgs) -> anyhow::Result<ExitCode> {
    note_owners_where_needed();
    let request = read_request(&args.request)?;
    let store = match trust(&request).and_then(|()| open_store(&args.store.store)) {
        Ok(store) => store,
        Err(failure) => {
            leave(&BuildReport { failure: Some((*failure).clone()), ..BuildReport::default() });
            return Ok(ended(Some(&failure)));
        }
    };
    match report_file(&store, &request).and_then(|file| Ok(wire::read::<BuildReport>(&file)?)) {
        Ok(None) => {}
        Ok(Some(report)) => {
            log::say("all is done already: see the log of the container `plan`");
            leave(&report);
            return Ok(ended(report.failure.as_ref()));
        }
        Err(error) => {
            let failure = store_failed(&error);
            leave(&BuildReport { failure: Some((*failure).clone()), ..BuildReport::default() });
            return Ok(ended(Some(&failure)));
        }
    }
    let runtime = runtime()?;
    let report = carry_out(&store, registry(&request.registries)?, &runtime, &request);
    leave(&report);
    if report.failure.is_none() {
        early::tell(runtime.handle(), CONDUCT_CONTAINER, &report);
    }
    Ok(ended(report.failure.as_ref()))
}

/// Runs `stage`.
pub(crate) fn stage(args: &StageArgs) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let cancel = Cancel::new();
    cancel_on_termination(&runtime, &cancel);
    let store = Store::open_readonly(&args.store.store)?;
    let build = store
        .find_build_dir(&args.build)?
        .with_context(|| format!("there is no build `{}` in the store", args.build))?;
    let plan: PlanFile =
        wire::read(&build.path().join(paths::PLAN_FILE))?.context("the build has no plan")?;
    if plan.version != wire::VERSION {
        bail!("the plan was written by another version of this program");
    }
    let isolation = match plan.isolation.as_str() {
        "Overlay" => Isolation::Overlay,
        "Root" => Isolation::Root,
        _ => Isolation::Auto,
    };
    let (sandbox, choice) = match slipway_sandbox::choose(isolation, &args.outbox) {
        Ok(chosen) => chosen,
        Err(error) => {
            let failure =
                Failure { reason: "SandboxFailed".into(), message: error.to_string(), ..Failure::default() };
            return Ok(stopped(&failure));
        }
    };
    log::say(&format!("isolation: {} ({})", choice.way.name(), choice.reason));
    let keys = agent::wanted(&plan.graph, &plan.pods, args.pod);
    let agents = match agent::start(&keys, &args.secrets, &std::env::current_dir()?) {
        Ok(agents) => agents,
        Err(error) => {
            let failure = Failure {
                reason: "SecretInvalid".into(),
                message: format!("{:#}", anyhow::Error::new(error)),
                ..Failure::default()
            };
            return Ok(stopped(&failure));
        }
    };
    let log = Log::new();
    log.event(planned(&plan.graph));
    let worker = Worker {
        store: &store,
        build: build.path().to_owned(),
        pod: args.pod,
        outbox: args.outbox.clone(),
        mounts: args.mounts.clone(),
        lent: Lent { folder: Some(args.secrets.clone()), agents: agents.sockets.clone(), ..Lent::default() },
        sandbox: &*sandbox,
        kept: kept(&choice),
        events: Arc::new(log),
        remotes: runtime.handle().clone(),
        failures: std::sync::Mutex::default(),
    };
    let over = worker.work(&plan, &cancel);
    let failures = worker.failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let over = match over {
        Ok(over) => over,
        // What a command said comes first; without one it is the volume's fault.
        Err(_) if !failures.is_empty() => Ended::Done(wire::End::default()),
        Err(error) => {
            let failure = Failure {
                reason: "StoreFailed".into(),
                message: format!("the stage pod cannot write to the claim: {error}"),
                retryable: true,
                ..Failure::default()
            };
            return Ok(stopped(&failure));
        }
    };
    let cancelled = matches!(over, Ended::Cancelled);
    let end = match over {
        Ended::Done(end) => end,
        Ended::Cancelled => wire::End::default(),
    };
    let report = stage_pod_report(&plan, &end, &failures, &kept(&choice));
    leave(&report);
    let failure = report.stages.iter().find_map(|stage| stage.failure.as_ref());
    if failure.is_none() && cancelled {
        return Ok(ExitCode::from(EXIT_CANCELLED));
    }
    Ok(ended(failure))
}

/// Ends a stage pod with a failure that no step had.
fn stopped(failure: &Failure) -> ExitCode {
    let stage = StageReport { failure: Some(failure.clone()), ..StageReport::default() };
    leave(&StagePodReport { stages: vec![stage], ..StagePodReport::default() });
    ended(Some(failure))
}

/// Stops the work when the pod is to go.
fn cancel_on_termination(runtime: &Runtime, cancel: &Cancel) {
    let cancel = cancel.clone();
    runtime.spawn(async move {
        let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        else {
            return;
        };
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
