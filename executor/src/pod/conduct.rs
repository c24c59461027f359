//! `conduct`: runs a planned build through its stage pods, pushes the images, and reports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use slipway_graph::ir::{Graph, Output};
use slipway_oci::Reference;
use slipway_oci::media::Flavour;
use slipway_protocol::paths;
use slipway_protocol::report::{BuildReport, Failure, ImageReport, PlatformReport};
use slipway_protocol::request::{BuildRequest, ImageRequest};
use slipway_registry::Registry;
use slipway_sandbox::{Cancel, Sandbox};
use slipway_store::Store;
use tokio::runtime::Handle;

use super::remote::RemoteHands;
use super::reports::{failure, stage_report};
use super::wire::{self, PlanFile};
use super::worker::contexts;
use crate::assemble::AssembleError;
use crate::assemble::bundle::{Bundle, IndexNotes, Member};
use crate::assemble::forms::{Forms, Shape};
use crate::assemble::image::{Parts, Style, assemble};
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

fn fail(reason: &str, message: impl Into<String>, retryable: bool) -> Box<Failure> {
    Box::new(Failure { reason: reason.into(), message: message.into(), retryable, ..Failure::default() })
}

fn store_failed(error: &dyn std::error::Error) -> Box<Failure> {
    fail("StoreFailed", Cause::text(error), true)
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

/// Checks `spec.budgets.duration`.
fn in_time(request: &BuildRequest, report: &BuildReport) -> Result<(), Box<Failure>> {
    if request.max_build_seconds <= 0.0 || report.build_seconds <= request.max_build_seconds {
        return Ok(());
    }
    let text = format!(
        "the stages took {:.1} s, more than spec.budgets.duration allows ({} s)",
        report.build_seconds, request.max_build_seconds
    );
    Err(fail("BudgetExceeded", text, false))
}

/// Makes all images, and pushes them only when every one of them is fine.
fn finish(
    request: &BuildRequest,
    plan: &PlanFile,
    names: &[Destination],
    parts: &Parts<'_>,
    publisher: &Publisher<'_>,
    outcome: &Outcome,
    report: &mut BuildReport,
) -> Result<(), Box<Failure>> {
    let assembling = |error: AssembleError| fail("PushFailed", Cause::text(&error), error.is_retryable());
    let mut all: Vec<(&Destination, Bundle)> = Vec::new();
    for (destination, image) in names.iter().zip(&request.images) {
        let style = Style {
            epoch: plan.epoch.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            labels: image.labels.clone(),
            annotations: image.annotations.clone(),
            ..Style::default()
        };
        let mut members = Vec::new();
        for output in &destination.outputs {
            let Output { target, stage, platform } = output;
            let tree = outcome.trees.get(stage.0).and_then(Option::as_ref).ok_or_else(|| {
                fail("BuildFailed", format!("`{target}` was not built, and nothing says why"), true)
            })?;
            let ready = assemble(parts, output, tree, &style).map_err(assembling)?;
            if request.max_image_size > 0 && ready.size() > request.max_image_size {
                let text = format!(
                    "the image of `{target}` for {platform} has {} bytes compressed, more than spec.budgets.imageSize allows ({})",
                    ready.size(),
                    request.max_image_size
                );
                return Err(fail("BudgetExceeded", text, false));
            }
            members.push(Member { platform: platform.clone(), stage: *stage, ready });
        }
        let notes = IndexNotes { index: image.annotations.clone(), ..IndexNotes::default() };
        all.push((
            destination,
            Bundle::new(parts.store, members, Flavour::default(), &notes).map_err(assembling)?,
        ));
    }
    for (destination, bundle) in &all {
        if let Some(repository) = &destination.repository {
            publisher.push_bundle(bundle, repository, &destination.tags).map_err(|error| {
                let retryable = error.is_retryable();
                fail("PushFailed", format!("{}: {}", repository.name(), Cause::text(&error)), retryable)
            })?;
        }
        report.images.extend(image_report(destination, bundle));
    }
    Ok(())
}

/// Tells of an image; of several platforms, the largest one's sizes count.
fn image_report(destination: &Destination, bundle: &Bundle) -> Option<ImageReport> {
    let top = bundle.top()?;
    let largest = bundle.members.iter().max_by_key(|member| member.ready.size())?;
    let pinned = destination.repository.as_ref().map(|repository| repository.pinned(top.digest).to_string());
    let platform = |member: &Member| PlatformReport {
        platform: member.platform.to_string(),
        digest: member.ready.digest.to_string(),
        size: member.ready.size(),
    };
    Some(ImageReport {
        target: destination.target.clone(),
        reference: pinned.unwrap_or_else(|| top.digest.to_string()),
        tags: destination.tags.clone(),
        size: largest.ready.size(),
        unpacked_size: largest.ready.unpacked,
        layers: largest.ready.layers.iter().map(|layer| layer.size).collect(),
        platforms: bundle.index.iter().flat_map(|_| bundle.members.iter().map(platform)).collect(),
    })
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

/// Where an image goes.
struct Destination {
    target: String,
    /// One a platform.
    outputs: Vec<Output>,
    repository: Option<Reference>,
    tags: Vec<String>,
}

fn destinations(request: &BuildRequest, plan: &PlanFile) -> Result<Vec<Destination>, Box<Failure>> {
    let names = SourceNames::of(&plan.revision);
    request.images.iter().map(|image| destination(image, plan, &names)).collect()
}

fn destination(
    image: &ImageRequest,
    plan: &PlanFile,
    names: &SourceNames,
) -> Result<Destination, Box<Failure>> {
    let wrong = |message: String| fail("SpecInvalid", message, false);
    let named = |outputs: &&[Output]| {
        outputs.first().is_some_and(|output| output.target.eq_ignore_ascii_case(&image.target))
    };
    let mut groups = plan.graph.targets();
    let found = plan.graph.targets().find(named);
    let outputs = found
        .or_else(|| groups.next_back().filter(|_| image.target.is_empty()))
        .ok_or_else(|| wrong(format!("the plan has no target `{}`", image.target)))?;
    let target = outputs.first().map(|output| output.target.clone()).unwrap_or_default();
    let outputs = outputs.to_vec();
    if image.name.is_empty() {
        return Ok(Destination { target, outputs, repository: None, tags: vec![] });
    }
    let repository: Reference = image
        .name
        .parse()
        .map_err(|error: slipway_oci::reference::InvalidReference| wrong(error.to_string()))?;
    let mut tags = Vec::new();
    for template in &image.tags {
        let tag = names.fill(template).map_err(wrong)?;
        if let Err(error) = repository.with_tag(&tag) {
            return Err(wrong(format!("tag `{template}`: {error}")));
        }
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.is_empty() {
        tags.extend(repository.tag().map(ToOwned::to_owned));
    }
    Ok(Destination { target, outputs, repository: Some(repository), tags })
}

/// What templates of tags can say of the source.
struct SourceNames(BTreeMap<&'static str, String>);

impl SourceNames {
    /// Reads a revision: `main@sha1:…`, `tags/v1@sha1:…`, `sha1:…`, `sha256:…`.
    fn of(revision: &str) -> Self {
        let (reference, id) = revision.rsplit_once('@').unwrap_or(("", revision));
        let sha = id.rsplit_once(':').map_or(id, |(_, hex)| hex);
        let mut names = BTreeMap::new();
        if !sha.is_empty() {
            names.insert("sha", sha.to_owned());
            names.insert("shortSha", sha.chars().take(7).collect());
        }
        if let Some(tag) = reference.strip_prefix("tags/") {
            names.insert("tag", clean(tag));
        } else if !reference.is_empty() {
            names.insert("branch", clean(reference.trim_start_matches("heads/")));
        }
        let now = Timestamp::now();
        names.insert("date", now.strftime("%Y%m%d").to_string());
        names.insert("unixTime", now.as_second().to_string());
        Self(names)
    }

    /// Fills in a template.
    fn fill(&self, template: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let (name, after) =
                after.split_once("}}").ok_or_else(|| format!("tag `{template}`: `{{{{` without `}}}}`"))?;
            let known: Vec<&str> = self.0.keys().copied().collect();
            let value = self.0.get(name.trim()).ok_or_else(|| {
                format!("tag `{template}`: this source has no `{}`; it has {}", name.trim(), known.join(", "))
            })?;
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Makes a branch's name fit for a tag.
fn clean(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
    name.trim_start_matches(['.', '-', '/']).chars().map(fits).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_the_words_of_the_source() {
        let names = SourceNames::of("feature/login@sha1:0123456789abcdef");
        assert_eq!(names.fill("{{branch}}-{{shortSha}}").as_deref(), Ok("feature-login-0123456"));
        assert!(names.fill("{{tag}}").is_err_and(|text| text.contains("no `tag`")));
        let names = SourceNames::of("tags/v1.2@sha1:0123456789abcdef");
        assert_eq!(names.fill("{{tag}}").as_deref(), Ok("v1.2"));
        assert!(names.fill("{{tag").is_err());
    }
}
