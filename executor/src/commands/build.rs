//! `build`: plans a build, tells the operator, runs what it planned, and pushes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use slipway_executor::event::Events;
use slipway_executor::fetch::trust;
use slipway_executor::pod::conduct::{ConductPlaces, conduct};
use slipway_executor::pod::early;
use slipway_executor::pod::heart::Heart;
use slipway_executor::pod::plan::{PlanPlaces, plan};
use slipway_executor::pod::relay::Relay;
use slipway_executor::room::make_room;
use slipway_protocol::early::Part;
use slipway_protocol::message::{Message, encode};
use slipway_protocol::paths;
use slipway_protocol::report::{BuildReport, Failure, PlanReport};
use slipway_protocol::request::{BuildRequest, RegistrySettings};
use slipway_registry::{Registry, Settings};
use slipway_sandbox::Cancel;
use slipway_store::Store;
use tokio::runtime::Runtime;

use super::{StoreArgs, cancel_on_termination, ended, leave, runtime, scratch};
use crate::log::{self, Log};

/// Where the request is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request, as JSON.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs `build`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let relay = Relay::begin(&scratch());
    note_owners_where_needed();
    let runtime = runtime()?;
    Ok(match Build::of(args, runtime) {
        Ok(build) => build.run(relay),
        Err(failure) => failed(&PlanReport { failure: Some(*failure), ..PlanReport::default() }),
    })
}

/// Ends without a plan.
fn failed(report: &PlanReport) -> ExitCode {
    leave(report);
    ended(report.failure.as_ref())
}

/// A build of this pod.
struct Build {
    request: BuildRequest,
    store: Store,
    registry: Arc<Registry>,
    runtime: Runtime,
}

impl Build {
    fn of(args: &Args, runtime: Runtime) -> Result<Self, Box<Failure>> {
        let request = read_request(&args.request).map_err(|error| wrong_settings(&error))?;
        trust(&request)?;
        let store = Store::open(&args.store.store).map_err(|error| store_failed(&error.into()))?;
        let registry = registry(&request.registries).map_err(|error| wrong_settings(&error))?;
        Ok(Self { request, store, registry, runtime })
    }

    fn run(&self, relay: Relay) -> ExitCode {
        // Held before anything is removed to make room: the kubelet has mounted parts of it into the container that runs stages.
        let folder = match self.request.one_pod.then(|| self.store.build_dir(&self.request.id)).transpose() {
            Ok(folder) => folder.map(|folder| folder.path().to_owned()),
            Err(error) => {
                let failure = Some(*store_failed(&error.into()));
                return failed(&PlanReport { failure, ..PlanReport::default() });
            }
        };
        let _heart = folder.as_ref().map(|folder| Heart::start(&folder.join(paths::ALIVE_FILE)));
        make_room(&self.store, &events());
        let mut report = self.plan();
        // That container waits for a plan, and then for orders. Where it is not told, it hears no heart any more.
        let stop = || folder.as_ref().map(|folder| std::fs::write(folder.join(paths::CANCELLED_FILE), ""));
        if report.failure.is_some() {
            let _ = stop();
            return failed(&report);
        }
        relay.say(&encode(&report));
        // Without stage pods nobody waits for the plan, and the operator hears all at once.
        let waited_for = report.stages.iter().any(|stage| stage.pod.is_some());
        let (done, told) = std::thread::scope(|scope| {
            let telling = scope.spawn(|| waited_for && self.tell(Part::Plan, &report));
            (self.conduct(), telling.join().unwrap_or(false))
        });
        if told {
            // The operator has it; the last words have room for the result.
            (report.stages, report.warnings) = (vec![], vec![]);
        }
        let failed = done.failure.clone();
        if failed.is_some() {
            let _ = stop();
        }
        report.done = Some(Box::new(done));
        leave(&report);
        // A failure is left to the kubelet, who may know better why.
        if failed.is_none() {
            match report.done.as_deref() {
                Some(done) if told => self.tell(Part::Build, done),
                _ => self.tell(Part::Plan, &report),
            };
        }
        ended(failed.as_ref())
    }

    fn plan(&self) -> PlanReport {
        let places = PlanPlaces {
            store: &self.store,
            registry: self.registry.clone(),
            remotes: self.runtime.handle().clone(),
            events: events(),
        };
        let report = plan(&places, &self.request);
        for stage in &report.stages {
            let pod = stage.pod.map_or_else(|| "no pod".to_owned(), |pod| format!("pod {pod}"));
            log::say(&format!(
                "stage {}: {} of {} steps cached, {pod} {}",
                stage.name, stage.cached, stage.steps, stage.why
            ));
        }
        report.warnings.iter().for_each(|warning| log::say(&format!("warning: {warning}")));
        report
    }

    /// Carries the plan out until it is done or the pod is to go.
    fn conduct(&self) -> BuildReport {
        let cancel = Cancel::new();
        cancel_on_termination(&self.runtime, &cancel);
        let places = ConductPlaces {
            store: &self.store,
            registry: self.registry.clone(),
            remotes: self.runtime.handle().clone(),
            events: events(),
        };
        let work = || conduct(&places, &self.request, &cancel);
        // Where all is in one pod, the store goes with it: nobody waits for the disk.
        let report = if self.request.one_pod { work() } else { self.store.settle_beside(work) };
        for image in &report.images {
            log::say(&format!(
                "image {}: {} ({} bytes, {} layers)",
                image.target,
                image.reference,
                image.size,
                image.layers.len()
            ));
        }
        report
    }

    fn tell<M: Message>(&self, part: Part, report: &M) -> bool {
        early::tell(self.runtime.handle(), part, report)
    }
}

fn read_request(path: &Path) -> anyhow::Result<BuildRequest> {
    let bytes =
        std::fs::read(path).with_context(|| format!("cannot read the request `{}`", path.display()))?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("the request `{}` is not understood", path.display()))
}

/// Without the right to give files away, who owns what is noted.
fn note_owners_where_needed() {
    if !rustix::process::geteuid().is_root() {
        slipway_executor::tree::owners::note_owners();
    }
}

fn events() -> Events {
    Arc::new(Log::new())
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
    trust::add(Path::new(file), &scratch()).map_err(|error| wrong_settings(&error.into()))
}

fn wrong_settings(error: &anyhow::Error) -> Box<Failure> {
    let message = format!("{error:#}");
    Box::new(Failure { reason: "InvalidSettings".into(), message, ..Failure::default() })
}
