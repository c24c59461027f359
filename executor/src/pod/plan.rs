//! `plan`: brings the source, makes the graph, looks at the cache, and decides which stages need a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipway_dockerfile::Parsed;
use slipway_dockerfile::check::{self, CheckInput, Ignore};
use slipway_dockerfile::diagnostic::{Diagnostic, Severity};
use slipway_dockerfile::span::LineIndex;
use slipway_graph::ir::{Base, Graph, MountSource, Op, StageId};
use slipway_graph::request::{NamedContext, NoCache, Request};
use slipway_oci::Platform;
use slipway_protocol::paths;
use slipway_protocol::report::{Failure, PlanReport, PlannedStage};
use slipway_protocol::request::{BuildRequest, DockerfileRef};
use slipway_registry::Registry;
use slipway_store::Store;
use tokio::runtime::Handle;

use super::packing::{Wish, pack};
use super::reports::{fail, store_failed};
use super::source;
use super::wire::{self, PlanFile, PlannedContext};
use crate::cache::import::Importer;
use crate::cache::{Imported, Shelf};
use crate::engine::survey::{Forecast, survey};
use crate::engine::{Cause, lookup};
use crate::event::Events;
use crate::images::Freshness;
use crate::inputs::ContextTree;
use crate::local::lent::Lent;
use crate::plan::dockerfile::{self, DockerfileText};
use crate::plan::{PlanError, Planner, known_hashes};

/// How many warnings are told one by one.
const WARNINGS: usize = 20;

/// Where the work happens.
pub struct PlanPlaces<'a> {
    /// The store.
    pub store: &'a Store,
    /// Registries.
    pub registry: Arc<Registry>,
    /// Runs what needs the network.
    pub remotes: Handle,
    /// Who hears of it.
    pub events: Events,
}

/// Plans a build, and returns what to tell the operator; a failure is part of it.
pub fn plan(places: &PlanPlaces<'_>, request: &BuildRequest) -> PlanReport {
    let began = std::time::Instant::now();
    let mut report = PlanReport::default();
    if let Err(failure) = try_plan(places, request, &mut report) {
        report.failure = Some(*failure);
    }
    report.seconds = began.elapsed().as_secs_f64();
    report
}

fn try_plan(
    places: &PlanPlaces<'_>,
    request: &BuildRequest,
    report: &mut PlanReport,
) -> Result<(), Box<Failure>> {
    let store = places.store;
    let build = store.build_dir(&request.id).map_err(|error| store_failed(&error))?;
    forget(build.path()).map_err(|error| store_failed(&error))?;
    let fetched = source::fetch(places, request)
        .map_err(|error| fail("SourceFailed", Cause::text(&error), error.is_retryable()))?;
    report.revision.clone_from(&fetched.revision);
    report.source_digest = fetched.layer.map(|layer| layer.digest().to_string()).unwrap_or_default();
    let folder = sub_folder(fetched.folder.as_deref(), &request.sub_path)?;
    let text = read_dockerfile(request, folder.as_deref())?;
    let parsed = slipway_dockerfile::parse(&text.bytes);
    let source_text = String::from_utf8_lossy(&text.bytes).into_owned();
    let lines = LineIndex::new(&source_text);
    if !parsed.is_ok() {
        return Err(invalid(&parsed.diagnostics, &lines, &source_text));
    }
    let platforms = platforms(request)?;
    let wanted = graph_request(request, &platforms)?;
    checks(request, &wanted, &parsed, &text, (&lines, &source_text), report)?;
    let contexts = BTreeMap::from([(
        "context".to_owned(),
        ContextTree { path: folder.clone().unwrap_or_default(), ignore: text.ignore.clone() },
    )]);
    let planner = Planner {
        store,
        registry: places.registry.clone(),
        remotes: places.remotes.clone(),
        events: places.events.clone(),
        freshness: Freshness::Ask,
        lent: Lent::default(),
        contexts,
        hashes: known_hashes(store),
    };
    let graph =
        planner.graph(&parsed.file, &source_text, &wanted, &platforms).map_err(|error| match error {
            PlanError::Dockerfile { problems } => invalid(&problems, &lines, &source_text),
            PlanError::Fact(cause) => fail(cause.reason(), cause.to_string(), cause.is_retryable()),
            error @ PlanError::Endless => fail("DockerfileInvalid", error.to_string(), false),
        })?;
    let targets: Vec<StageId> = graph.outputs.iter().map(|output| output.stage).collect();
    let importer = Importer {
        store,
        registry: places.registry.clone(),
        remotes: places.remotes.clone(),
        events: places.events.clone(),
    };
    let sources = if request.no_cache { vec![] } else { super::caches::from(request)? };
    let (sources, warnings) = importer.import(&sources, &graph, &targets);
    report.warnings.splice(0..0, warnings);
    let imported = Imported::new(&sources);
    let forecasts = survey(&graph, &Shelf { store, imported: &imported }, &targets, &request.subject);
    report.imported =
        forecasts.iter().filter(|forecast| forecast.wanted).map(|f| f.imported).sum::<usize>() as u32;
    let pods = assign(&graph, &forecasts, request);
    let always = request.one_pod.then_some(0);
    for pod in pods.iter().flatten().chain(&always) {
        let outbox = store.root().join(paths::outbox_dir(&request.id, *pod));
        fs::create_dir_all(outbox).map_err(|error| store_failed(&error))?;
    }
    // A stage of the file may stand in the graph once a platform.
    let needed: BTreeSet<usize> = graph.stages.iter().map(|stage| stage.index).collect();
    report.pruned = u32::try_from(parsed.file.stages.len().saturating_sub(needed.len())).unwrap_or(0);
    report.stages = planned_stages(&graph, &forecasts, &pods);
    let mut context =
        PlannedContext { layer: fetched.layer, folder: folder.unwrap_or_default(), ignore: text.ignore };
    if let Some(layer) = &context.layer
        && let Ok(below) = context.folder.strip_prefix(store.layer_path(layer))
    {
        context.folder = PathBuf::from(below);
    }
    let plan = PlanFile {
        version: wire::VERSION,
        graph,
        pods,
        contexts: BTreeMap::from([("context".to_owned(), context)]),
        isolation: request.isolation.clone(),
        dockerfile_path: text.path.clone(),
        dockerfile: source_text,
        revision: fetched.revision.clone(),
        epoch: wanted.source_date_epoch,
        imported: sources,
    };
    let bytes = serde_json::to_vec(&plan).map_err(|error| store_failed(&error))?;
    build.write(store, paths::PLAN_FILE, &bytes).map_err(|error| store_failed(&error))
}

/// Removes what an earlier pod of the same build, now gone, said to its stage pods.
fn forget(build: &Path) -> std::io::Result<()> {
    let gone = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    gone(fs::remove_file(build.join(paths::CANCELLED_FILE)))?;
    gone(fs::remove_dir_all(build.join("orders")))
}

/// Returns the folder of the source that is the context; it cannot leave the source.
fn sub_folder(folder: Option<&Path>, sub_path: &str) -> Result<Option<PathBuf>, Box<Failure>> {
    let Some(folder) = folder else { return Ok(None) };
    let sub_path = sub_path.trim_matches('/');
    if sub_path.is_empty() {
        return Ok(Some(folder.to_owned()));
    }
    let missing = || {
        fail("SourceFailed", format!("the source has no folder `{sub_path}` (spec.source.subPath)"), false)
    };
    let root = folder.canonicalize().map_err(|error| store_failed(&error))?;
    let path = root.join(sub_path).canonicalize().map_err(|_| missing())?;
    if path.starts_with(&root) && path.is_dir() { Ok(Some(path)) } else { Err(missing()) }
}

fn read_dockerfile(request: &BuildRequest, folder: Option<&Path>) -> Result<DockerfileText, Box<Failure>> {
    match &request.dockerfile {
        DockerfileRef::Inline(text) => {
            let ignore = folder.and_then(dockerfile::ignore_of);
            Ok(DockerfileText { path: "Dockerfile".into(), bytes: text.clone().into_bytes(), ignore })
        }
        DockerfileRef::Path(path) => {
            let named = folder.map(|folder| folder.join(path.trim_start_matches('/')));
            let named = named.filter(|_| !path.is_empty() && path != "Dockerfile");
            let mut text = dockerfile::find(folder, named.as_deref(), true)
                .map_err(|error| fail("DockerfileMissing", missing_dockerfile(&error, folder), false))?;
            if let Some(short) = folder.and_then(|folder| Path::new(&text.path).strip_prefix(folder).ok()) {
                text.path = short.display().to_string();
            }
            Ok(text)
        }
    }
}

/// Paths are told as the user knows them: from the context's folder.
fn missing_dockerfile(error: &dockerfile::DockerfileError, folder: Option<&Path>) -> String {
    let text =
        error.to_string().replace("; name it with --file", " of the source; name it in spec.dockerfile.path");
    match folder {
        Some(folder) => text.replace(&format!("{}/", folder.display()), ""),
        None => format!("{text} (there is no source; write it in spec.dockerfile.inline)"),
    }
}

/// Makes one failure of all problems of a Dockerfile: the first one's place counts.
fn invalid(problems: &[Diagnostic], lines: &LineIndex, text: &str) -> Box<Failure> {
    let errors: Vec<&Diagnostic> =
        problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let line = errors.first().map_or(0, |problem| lines.line(problem.span.start));
    let told: Vec<String> = errors.iter().map(|problem| told(problem, lines, text)).collect();
    let mut failure = fail("DockerfileInvalid", told.join("; "), false);
    failure.line = u32::try_from(line).unwrap_or(0);
    failure
}

/// Writes a problem on one line: `12:5 code message (help)`.
fn told(problem: &Diagnostic, lines: &LineIndex, text: &str) -> String {
    let place = lines.place(problem.span.start, text);
    let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{}:{} {} {}{help}", place.line, place.column, problem.code, problem.message)
}

fn checks(
    request: &BuildRequest,
    wanted: &Request,
    parsed: &Parsed,
    text: &DockerfileText,
    (lines, source): (&LineIndex, &str),
    report: &mut PlanReport,
) -> Result<(), Box<Failure>> {
    let args: Vec<(String, String)> = wanted.build_args.clone().into_iter().collect();
    let ignore =
        text.ignore.as_deref().and_then(|text| slipway_dockerfile::pattern::IgnoreFile::parse(text).ok());
    let input = CheckInput {
        build_args: &args,
        ignore: ignore.as_ref().map_or(Ignore::Missing, Ignore::Present),
        ..CheckInput::default()
    };
    let findings = check::check(parsed, &input);
    let worth = |finding: &&Diagnostic| finding.severity >= Severity::Warning;
    report.warning_count = u32::try_from(findings.iter().filter(worth).count()).unwrap_or(u32::MAX);
    report.warnings =
        findings.iter().filter(worth).take(WARNINGS).map(|finding| told(finding, lines, source)).collect();
    let limit = match request.checks_fail_on.as_str() {
        "warning" => Severity::Warning,
        "error" => Severity::Error,
        _ => return Ok(()),
    };
    let bad: Vec<&Diagnostic> = findings.iter().filter(|finding| finding.severity >= limit).collect();
    let Some(first) = bad.first() else { return Ok(()) };
    let all: Vec<String> = bad.iter().map(|finding| told(finding, lines, source)).collect();
    let mut failure = fail("ChecksFailed", all.join("; "), false);
    failure.line = u32::try_from(lines.line(first.span.start)).unwrap_or(0);
    Err(failure)
}

/// Returns the platforms to build for, each once; this machine's where none is named.
fn platforms(request: &BuildRequest) -> Result<Vec<Platform>, Box<Failure>> {
    let mut platforms = Vec::new();
    for text in &request.platforms {
        let wrong = |error| fail("SpecInvalid", format!("spec.platforms: {}", Cause::text(&error)), false);
        let platform: Platform = text.parse().map_err(wrong)?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(if platforms.is_empty() { vec![Platform::host()] } else { platforms })
}

fn graph_request(request: &BuildRequest, platforms: &[Platform]) -> Result<Request, Box<Failure>> {
    let mut wanted = Request::new(platforms.first().cloned().unwrap_or_else(Platform::host));
    wanted.build_platform = Platform::host();
    for image in &request.images {
        if !wanted.targets.contains(&image.target) {
            wanted.targets.push(image.target.clone());
        }
    }
    // The last stage has no name to ask for, so it cannot stand among others that have one.
    if wanted.targets.iter().all(String::is_empty) {
        wanted.targets.clear();
    }
    wanted.build_args.clone_from(&request.args);
    let image = |(name, image): (&String, &String)| (name.clone(), NamedContext::Image(image.clone()));
    wanted.contexts = request.contexts.iter().map(image).collect();
    wanted.no_cache = if request.no_cache { NoCache::All } else { NoCache::Use };
    if let Some(text) = request.args.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) {
        let wrong =
            |_| fail("SpecInvalid", format!("SOURCE_DATE_EPOCH `{text}` is not a number of seconds"), false);
        wanted.source_date_epoch = Some(text.parse().map_err(wrong)?);
    }
    Ok(wanted)
}

/// Returns the numbers of the stages that a stage reads.
fn needs(stage: &slipway_graph::ir::Stage) -> Vec<usize> {
    let base = match stage.base {
        Base::Stage(id) => Some(id.0),
        _ => None,
    };
    let read = lookup::file_steps(stage).flat_map(|(_, step)| lookup::stages_read(step)).map(|id| id.0);
    let all: std::collections::BTreeSet<usize> = read.chain(base).collect();
    all.into_iter().collect()
}

fn assign(graph: &Graph, forecasts: &[Forecast], request: &BuildRequest) -> Vec<Option<u32>> {
    let wish = |stage: &slipway_graph::ir::Stage| Wish {
        runs: forecasts.get(stage.id.0).is_some_and(|forecast| forecast.wanted && forecast.runs),
        base: match stage.base {
            Base::Stage(id) => Some(id.0),
            _ => None,
        },
        needs: needs(stage),
        apart: request.pods.apart.iter().any(|name| name.eq_ignore_ascii_case(stage.file_name())),
    };
    let wishes: Vec<Wish> = graph.stages.iter().map(wish).collect();
    pack(&wishes, &request.pods)
}

fn planned_stages(graph: &Graph, forecasts: &[Forecast], pods: &[Option<u32>]) -> Vec<PlannedStage> {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let planned = |stage: &slipway_graph::ir::Stage| {
        let forecast = forecasts.get(stage.id.0).cloned().unwrap_or_default();
        let steps = lookup::file_steps(stage).count();
        PlannedStage {
            name: stage.name.clone(),
            steps: number(steps),
            cached: number(if forecast.wanted { forecast.cached } else { steps }),
            pod: pods.get(stage.id.0).copied().flatten(),
            needs: needs(stage).into_iter().map(number).collect(),
            secrets: secrets(stage),
            why: if forecast.wanted { forecast.why } else { String::new() },
        }
    };
    graph.stages.iter().map(planned).collect()
}

/// Returns the ids of the secrets and agents that a stage mounts.
fn secrets(stage: &slipway_graph::ir::Stage) -> Vec<String> {
    let mut ids = Vec::new();
    for step in &stage.steps {
        let Some(Op::Run(run)) = &step.op else { continue };
        for mount in &run.mounts {
            if let MountSource::Secret { id, .. } | MountSource::Ssh { id, .. } = &mount.source {
                ids.push(id.clone());
            }
        }
    }
    ids.sort();
    ids.dedup();
    ids
}
