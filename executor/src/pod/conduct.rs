//! `conduct`: runs a planned build through its stage pods, pushes the images, and reports.

use std::sync::Arc;
use std::time::Instant;

use slipway_graph::ir::{Graph, Output};
use slipway_oci::Reference;
use slipway_protocol::paths;
use slipway_protocol::report::{BuildReport, Failure};
use slipway_protocol::request::BuildRequest;
use slipway_registry::Registry;
use slipway_sandbox::{Cancel, Sandbox};
use slipway_store::Store;
use tokio::runtime::Handle;

use super::destination::{Destination, destinations};
use super::finish::{finish, in_time};
use super::remote::RemoteHands;
use super::reports::{fail, failure, stage_report, store_failed};
use super::wire::{self, PlanFile};
use super::worker::contexts;
use crate::assemble::forms::{Forms, Shape};
use crate::assemble::image::Parts;
use crate::assemble::publish::{Publisher, Wanted};
use crate::cache::export::{ExportError, Exporter, ahead};
use crate::cache::{Imported, Shelf};
use crate::engine::{self, Cause, Excerpt, Job, Outcome, Permits, StepState};
use crate::event::{Event, Events, StageInfo, StepInfo};
use crate::images::PulledImages;
use crate::inputs::Inputs;
use crate::local::LocalHands;
use crate::local::lent::Lent;
use crate::size;

/// Where the work happens.
pub struct ConductPlaces<'a> {
    /// The store.
    pub store: &'a Store,
    /// Registries.
    pub registry: Arc<Registry>,
    /// Runs what needs the network.
    pub remotes: Handle,
    /// Who hears of it.
    pub events: Events,
}

/// Announces a graph.
pub fn planned(graph: &Graph) -> Event {
    let info = |stage: &slipway_graph::ir::Stage| StageInfo {
        name: stage.name.clone(),
        steps: engine::lookup::file_steps(stage)
            .map(|(number, step)| StepInfo { step: number, title: step.title.clone(), line: step.line })
            .collect(),
    };
    Event::Planned { platform: graph.platforms_line(), stages: graph.stages.iter().map(info).collect() }
}

/// Runs a build, and returns what to tell the operator; a failure is part of it.
pub fn conduct(places: &ConductPlaces<'_>, request: &BuildRequest, cancel: &Cancel) -> BuildReport {
    let mut report = BuildReport::default();
    if let Err(failed) = try_conduct(places, request, cancel, &mut report) {
        report.failure = Some(*failed);
    }
    report.retries = u32::try_from(places.registry.counters().retries).unwrap_or(u32::MAX);
    report.store_free = places.store.free().unwrap_or(0);
    report
}

fn try_conduct(
    places: &ConductPlaces<'_>,
    request: &BuildRequest,
    cancel: &Cancel,
    report: &mut BuildReport,
) -> Result<(), Box<Failure>> {
    let store = places.store;
    let build = store.build_dir(&request.id).map_err(|error| store_failed(&error))?;
    let plan: PlanFile = wire::read(&build.path().join(paths::PLAN_FILE))
        .map_err(|error| store_failed(&error))?
        .filter(|plan: &PlanFile| plan.version == wire::VERSION)
        .ok_or_else(|| fail("StoreFailed", "the plan of this build is not in the store", true))?;
    let graph = &plan.graph;
    for layer in plan.contexts.values().filter_map(|context| context.layer) {
        if !store.hold_layer(&layer).map_err(|error| store_failed(&error))? {
            return Err(fail("StoreFailed", "the source that was planned is no longer in the store", true));
        }
    }
    let names = destinations(request, &plan)?;
    places.events.event(planned(graph));

    let caches = super::caches::to(request)?;
    let imported = Imported::new(&plan.imported);
    let images = PulledImages::new(
        graph,
        store,
        places.registry.clone(),
        places.remotes.clone(),
        places.events.clone(),
    )
    .with_imported(&imported);
    let forms = Forms::new(store, Shape::default())
        .with_imported(&images)
        .only_pushed(true)
        .cancelled_by(cancel.clone());
    let of = |name: &Destination| {
        let repositories: Vec<Reference> = name.repository.iter().cloned().collect();
        let wanted = |output: &Output| Wanted { stage: output.stage, repositories: repositories.clone() };
        name.outputs.iter().map(wanted).collect::<Vec<_>>()
    };
    let wanted: Vec<Wanted> = names.iter().flat_map(of).collect();
    let publisher = Publisher::new(
        graph,
        store,
        places.registry.clone(),
        places.remotes.clone(),
        places.events.clone(),
        &forms,
        &images,
        &wanted,
    )
    .with_caches(ahead(graph, &caches, forms.shape()));
    let inputs = Inputs {
        graph,
        store,
        images: &images,
        remotes: places.remotes.clone(),
        contexts: contexts(store, &plan),
    };
    let local = LocalHands {
        store,
        sandbox: &NoSandbox,
        inputs: &inputs,
        mounts: store.mounts("local").map_err(|error| store_failed(&error))?,
        lent: Lent::default(),
        events: places.events.clone(),
        permits: Permits::for_this_machine(),
        follower: &publisher,
    };
    let hands = RemoteHands::new(local, &plan, build.path().to_owned(), request.one_pod)
        .map_err(|error| store_failed(&error))?;
    let job = Job {
        graph,
        store,
        imported: &imported,
        targets: graph.outputs.iter().map(|output| output.stage).collect(),
        subject: request.subject.clone(),
        events: places.events.clone(),
    };
    let began = Instant::now();
    let outcome = publisher.beside(|| {
        let outcome = engine::run(&job, &hands, cancel);
        hands.end_all(!outcome.succeeded());
        outcome
    });
    report.build_seconds = began.elapsed().as_secs_f64();
    tell(report, &plan, &outcome, &Shelf { store, imported: &imported });
    if let Some(failed) = outcome.failures.first() {
        let excerpt = Excerpt { failed, path: &plan.dockerfile_path, text: &plan.dockerfile };
        places.events.event(Event::Note { text: excerpt.to_string() });
        return Err(Box::new(failure(failed)));
    }
    if outcome.cancelled {
        return Err(fail("Cancelled", "the build was stopped", false));
    }
    report.pods = hands.last_words();
    let began = Instant::now();
    let parts = Parts { graph, store, images: &images, forms: &forms };
    let events = &places.events;
    let exporter = Exporter { graph, store, images: &images, forms: &forms, publisher: &publisher, events };
    // Looking at the whole store takes a while, and so does pushing.
    let (result, used) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| store.usage().map_or(0, |usage| usage.total()));
        let result = in_time(request, report)
            .and_then(|()| finish(request, &plan, &names, &parts, &publisher, &outcome, report))
            .and_then(|()| {
                let failed = |error: ExportError| {
                    fail("CacheExportFailed", Cause::text(&error), error.source.is_retryable())
                };
                exporter.export(&outcome, &caches).map_err(failed)
            });
        (result, looking.join().unwrap_or(0))
    });
    report.push_seconds = began.elapsed().as_secs_f64();
    report.store_used = used;
    result
}

/// Fills in what the engine saw.
fn tell(report: &mut BuildReport, plan: &PlanFile, outcome: &Outcome, shelf: &Shelf<'_>) {
    for (at, stage) in outcome.stages.iter().enumerate() {
        let own = plan.pods.get(at).copied().flatten().is_none();
        if own && stage.started > 0.0 {
            report.stages.push(stage_report(stage));
        }
        let cached = stage.steps.iter().filter(|step| step.state == StepState::Cached);
        report.bytes_reused += cached.map(|step| step.size).sum::<u64>();
    }
    let trees = outcome.trees.iter().flatten();
    report.largest_stage = size::largest_stage(&plan.graph, shelf, trees);
}

/// The build pod holds credentials, so no command runs here.
struct NoSandbox;

impl Sandbox for NoSandbox {
    fn name(&self) -> &'static str {
        "none"
    }

    fn run(
        &self,
        _spec: &slipway_sandbox::spec::RunSpec,
        _output: &mut dyn FnMut(slipway_sandbox::Stream, &[u8]),
        _cancel: &Cancel,
    ) -> Result<slipway_sandbox::Finished, slipway_sandbox::Error> {
        Err(slipway_sandbox::Error::Invalid("the build pod runs no commands".to_owned()))
    }
}
