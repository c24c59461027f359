//! The build itself, from flags to the last line.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use slipway_dockerfile::diagnostic::Severity;
use slipway_dockerfile::render::Renderer;
use slipway_executor::assemble::export;
use slipway_executor::assemble::forms::Forms;
use slipway_executor::assemble::image::{Parts, Style};
use slipway_executor::assemble::publish::{Publisher, Wanted};
use slipway_executor::engine::{self, Excerpt, Job, Outcome, Permits};
use slipway_executor::event::{Event, Events, Quiet, StageInfo, StepInfo};
use slipway_executor::images::{Freshness, PulledImages};
use slipway_executor::inputs::{ContextTree, Inputs};
use slipway_executor::local::LocalHands;
use slipway_executor::plan::dockerfile::{self, DockerfileText};
use slipway_executor::plan::source::{self, Fetched, Source};
use slipway_executor::plan::{PlanError, Planner};
use slipway_executor::{assemble, size};
use slipway_graph::Graph;
use slipway_graph::ir::StageId;
use slipway_graph::request::{NamedContext, Request};
use slipway_oci::Reference;
use slipway_registry::Registry;
use slipway_sandbox::{Cancel, Finished, Isolation, Sandbox, Stream};
use slipway_store::Store;

use super::args::{self, Args};
use super::live::Live;
use super::outputs::Outputs;
use super::plain::{Json, Plain};
use super::summary::{self, Image};
use super::{inputs, outputs, warnings};

/// The build failed: the Dockerfile, a command, a registry.
const FAILED: u8 = 1;
/// Stopped by the user.
const STOPPED: u8 = 130;

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    // Before any thread is started: an ordinary user becomes root of a user namespace.
    slipway_sandbox::enter_user_namespace().context("cannot build as this user")?;
    let outputs = outputs::read(args)?;
    let mut request = inputs::request(args)?;
    let lent = inputs::lent(args)?;
    let store = Store::open(args.home.folder()?).context("cannot open the cache")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let registry = Arc::new(Registry::new(args.registry.settings())?);
    let progress = Progress::new(args);
    let cancel = Cancel::new();
    stop_on_signal(&runtime, &cancel);

    let (fetched, text) = read_source(args, &store, runtime.handle())?;
    let contexts = contexts(args, &mut request, &fetched, &text, &store, runtime.handle())?;
    let parsed = slipway_dockerfile::parse(&text.bytes);
    let source_text = String::from_utf8_lossy(&text.bytes).into_owned();
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    let renderer = Renderer::new(&text.path, &source_text).colour(colour);
    if !parsed.is_ok() {
        let errors = parsed.diagnostics.iter().filter(|problem| problem.severity == Severity::Error);
        say(&renderer.render_all(errors));
        return Ok(ExitCode::from(FAILED));
    }
    if !args.quiet {
        say(&warnings::told(&parsed, &text, &source_text, &request));
    }
    let planner = Planner {
        store: &store,
        registry: registry.clone(),
        remotes: runtime.handle().clone(),
        events: progress.events.clone(),
        freshness: if args.pull { Freshness::Insist } else { Freshness::Ask },
        lent: lent.clone(),
        contexts: contexts.clone(),
        hashes: slipway_executor::plan::known_hashes(&store),
    };
    let graph = match planner.graph(&parsed.file, &source_text, &request) {
        Ok(graph) => graph,
        Err(PlanError::Dockerfile { problems }) => {
            progress.finish();
            say(&renderer.render_all(&problems));
            return Ok(ExitCode::from(FAILED));
        }
        Err(error) => {
            progress.finish();
            say(&format!("error: {error}\n"));
            return Ok(ExitCode::from(FAILED));
        }
    };
    let names = outputs::names(args, &outputs, &graph)?;
    progress.events.event(planned(&graph));

    let work =
        Work { args, outputs: &outputs, names: &names, request: &request, store: &store, graph: &graph };
    let images = PulledImages::new(
        &graph,
        &store,
        registry.clone(),
        runtime.handle().clone(),
        progress.events.clone(),
    );
    let mut shape = outputs.shape;
    shape.clamp = request.source_date_epoch.filter(|_| outputs.rewrite_timestamp);
    let forms = Forms::new(&store, shape);
    let publisher = Publisher::new(
        &graph,
        &store,
        registry.clone(),
        runtime.handle().clone(),
        progress.events.clone(),
        &forms,
        &images,
        &work.wanted(),
    );
    let all_inputs =
        Inputs { graph: &graph, store: &store, images: &images, remotes: runtime.handle().clone(), contexts };
    let sandbox = LazySandbox::new(args.isolation, store.root(), progress.events.clone());
    let hands = LocalHands {
        store: &store,
        sandbox: &sandbox,
        inputs: &all_inputs,
        mounts: store.mounts("local")?,
        lent,
        events: progress.events.clone(),
        permits: args.max_parallelism.map_or_else(Permits::for_this_machine, Permits::new),
        follower: &publisher,
    };
    let job = Job {
        graph: &graph,
        store: &store,
        targets: graph.outputs.iter().map(|output| output.stage).collect(),
        subject: subject(&fetched, &text),
        events: progress.events.clone(),
    };
    let outcome = publisher.beside(|| engine::run(&job, &hands, &cancel));
    if !outcome.succeeded() {
        progress.finish();
        return Ok(report_failure(&outcome, &text.path, &source_text));
    }
    let parts = Parts { graph: &graph, store: &store, images: &images, forms: &forms };
    let made = work.finish(&parts, &publisher, &all_inputs, &outcome);
    progress.finish();
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            say(&format!("error: {:#}\n", anyhow::Error::new(error)));
            return Ok(ExitCode::from(FAILED));
        }
    };
    work.report(&outcome, &made, began)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard error.
fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// What is built is told by this name: it explains misses against the last build of the same thing.
fn subject(fetched: &Fetched, text: &DockerfileText) -> String {
    let place =
        fetched.folder.as_ref().filter(|_| fetched.honours_ignore).map(|folder| folder.display().to_string());
    format!("{}\n{}", place.unwrap_or_default(), text.path)
}

fn planned(graph: &Graph) -> Event {
    let info = |stage: &slipway_graph::ir::Stage| StageInfo {
        name: stage.name.clone(),
        steps: (stage.steps.iter().enumerate())
            .filter(|(_, step)| step.op.is_some())
            .map(|(number, step)| StepInfo { step: number, title: step.title.clone(), line: step.line })
            .collect(),
    };
    Event::Planned { platform: graph.platform.to_string(), stages: graph.stages.iter().map(info).collect() }
}

fn report_failure(outcome: &Outcome, path: &str, text: &str) -> ExitCode {
    for failed in &outcome.failures {
        say(&Excerpt { failed, path, text }.to_string());
    }
    if outcome.failures.is_empty() {
        say("stopped; what was finished is kept in the cache\n");
        return ExitCode::from(STOPPED);
    }
    ExitCode::from(FAILED)
}

/// Asks the build to stop at the first signal; a second one ends the program as usual.
fn stop_on_signal(runtime: &tokio::runtime::Runtime, cancel: &Cancel) {
    let cancel = cancel.clone();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            exit_at_once();
        }
    });
}

/// Ends at once: the store survives it.
#[allow(clippy::exit)] // the user asked twice
fn exit_at_once() {
    std::process::exit(i32::from(STOPPED))
}

/// Brings the context and finds the Dockerfile.
fn read_source(
    args: &Args,
    store: &Store,
    remotes: &tokio::runtime::Handle,
) -> anyhow::Result<(Fetched, DockerfileText)> {
    let stdin_file = args.file.as_deref() == Some("-");
    if args.context == "-" && stdin_file {
        bail!("standard input cannot be both the context and the Dockerfile");
    }
    let source = if args.context == "-" {
        let digest = source::spool(store, io::stdin().lock())?;
        Source::Stream(store.blob_path(&digest))
    } else {
        source::parse(&args.context)?
    };
    let local = matches!(source, Source::Folder(_));
    let fetched = source::fetch(store, remotes, &source)?;
    if stdin_file {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        let ignore = fetched.folder.as_deref().filter(|_| local).and_then(dockerfile::ignore_of);
        return Ok((fetched, DockerfileText { path: "-".into(), bytes, ignore }));
    }
    if let (Some(bytes), None) = (&fetched.dockerfile, &args.file) {
        let text = DockerfileText { path: args.context.clone(), bytes: bytes.clone(), ignore: None };
        return Ok((fetched, text));
    }
    let folder = fetched.folder.as_deref();
    let named = args.file.as_ref().map(|file| match folder {
        // As in Docker: from here where there is such a file, else from the context; in a remote context only from there.
        Some(folder) if !local || !Path::new(file).exists() => folder.join(file),
        _ => PathBuf::from(file),
    });
    let mut text = dockerfile::find(folder, named.as_deref(), !local)?;
    if !local {
        text.ignore = None;
        if let Some(short) = folder.and_then(|folder| Path::new(&text.path).strip_prefix(folder).ok()) {
            text.path = short.display().to_string();
        }
    }
    Ok((fetched, text))
}

/// Opens the contexts: the main one, and those that `--build-context` names.
fn contexts(
    args: &Args,
    request: &mut Request,
    fetched: &Fetched,
    text: &DockerfileText,
    store: &Store,
    remotes: &tokio::runtime::Handle,
) -> anyhow::Result<BTreeMap<String, ContextTree>> {
    let main = ContextTree { path: fetched.folder.clone().unwrap_or_default(), ignore: text.ignore.clone() };
    let mut trees = BTreeMap::from([("context".to_owned(), main)]);
    for given in &args.build_contexts {
        let (name, value) =
            given.split_once('=').with_context(|| format!("`--build-context {given}` is not NAME=VALUE"))?;
        if let Some(reference) = value.strip_prefix("docker-image://") {
            request.contexts.insert(name.to_owned(), NamedContext::Image(reference.to_owned()));
            continue;
        }
        if value.starts_with("oci-layout://") {
            bail!(
                "`--build-context {given}`: OCI layouts cannot be a context yet; push it to a registry and use docker-image://"
            );
        }
        let found = source::fetch(store, remotes, &source::parse(value)?)
            .with_context(|| format!("--build-context {given}"))?;
        let ignore = found.folder.as_deref().filter(|_| found.honours_ignore).and_then(dockerfile::ignore_of);
        trees.insert(name.to_owned(), ContextTree { path: found.folder.unwrap_or_default(), ignore });
        request.contexts.insert(name.to_owned(), NamedContext::Tree);
    }
    Ok(trees)
}

/// How progress is shown.
struct Progress {
    events: Events,
    live: Option<Arc<Live>>,
}

impl Progress {
    fn new(args: &Args) -> Self {
        let plain = || Self { events: Arc::new(Plain::new()), live: None };
        let terminal = io::stderr().is_terminal();
        match args.progress {
            _ if args.quiet => Self { events: Arc::new(Quiet), live: None },
            args::Progress::Json => Self { events: Arc::new(Json::new()), live: None },
            args::Progress::Auto | args::Progress::Tty if terminal => Self::live(),
            args::Progress::Plain | args::Progress::Auto | args::Progress::Tty => plain(),
        }
    }

    fn live() -> Self {
        let live = Arc::new(Live::new());
        let shown = live.clone();
        let events: Events = Arc::new(move |event| slipway_executor::event::Sink::event(&*shown, event));
        Self { events, live: Some(live) }
    }

    fn finish(&self) {
        if let Some(live) = &self.live {
            live.finish();
        }
    }
}

/// A sandbox that is chosen when the first command runs: a build without one needs none.
struct LazySandbox {
    isolation: Isolation,
    scratch: PathBuf,
    events: Events,
    chosen: OnceLock<Result<Box<dyn Sandbox>, String>>,
}

impl LazySandbox {
    fn new(isolation: args::Isolation, root: &Path, events: Events) -> Self {
        let isolation = match isolation {
            args::Isolation::Auto => Isolation::Auto,
            args::Isolation::Overlay => Isolation::Overlay,
            args::Isolation::Root => Isolation::Root,
        };
        Self { isolation, scratch: root.join("tmp"), events, chosen: OnceLock::new() }
    }
}

impl Sandbox for LazySandbox {
    fn name(&self) -> &str {
        match self.chosen.get() {
            Some(Ok(sandbox)) => sandbox.name(),
            _ => "not chosen yet",
        }
    }

    fn run(
        &self,
        spec: &slipway_sandbox::spec::RunSpec,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, slipway_sandbox::Error> {
        let chosen =
            self.chosen.get_or_init(|| match slipway_sandbox::choose(self.isolation, &self.scratch) {
                Ok((sandbox, choice)) => {
                    let text = format!("isolation: {} ({})", choice.way.name(), choice.reason);
                    self.events.event(Event::Note { text });
                    Ok(sandbox)
                }
                Err(error) => Err(error.to_string()),
            });
        match chosen {
            Ok(sandbox) => sandbox.run(spec, output, cancel),
            Err(text) => Err(slipway_sandbox::Error::NoWay(text.clone())),
        }
    }
}

/// What the end of a build works with.
struct Work<'a> {
    args: &'a Args,
    outputs: &'a Outputs,
    names: &'a [Vec<Reference>],
    request: &'a Request,
    store: &'a Store,
    graph: &'a Graph,
}

impl Work<'_> {
    /// Tells whether an output of the graph becomes an image, and not only a result in the cache.
    fn needs_image(&self, at: usize) -> bool {
        let asked = self.args.quiet || self.args.iidfile.is_some() || self.args.metadata_file.is_some();
        let last = at + 1 == self.graph.outputs.len();
        !self.names[at].is_empty()
            || (last && (asked || self.outputs.exports.iter().any(export::Export::needs_blobs)))
    }

    fn wanted(&self) -> Vec<Wanted> {
        let of = |(at, output): (usize, &slipway_graph::ir::Output)| Wanted {
            stage: output.stage,
            repositories: if self.outputs.push { self.names[at].clone() } else { vec![] },
        };
        self.graph.outputs.iter().enumerate().filter(|(at, _)| self.needs_image(*at)).map(of).collect()
    }

    /// Makes the images and brings them where they belong.
    fn finish(
        &self,
        parts: &Parts<'_>,
        publisher: &Publisher<'_>,
        inputs: &Inputs<'_>,
        outcome: &Outcome,
    ) -> Result<Vec<Image>, assemble::AssembleError> {
        let mut images = Vec::new();
        let last = self.graph.outputs.len().saturating_sub(1);
        for (at, output) in self.graph.outputs.iter().enumerate() {
            let Some(tree) = outcome.trees.get(output.stage.0).and_then(Option::as_ref) else { continue };
            let exports = if at == last { self.outputs.exports.as_slice() } else { &[] };
            if exports.iter().any(|export| !export.needs_blobs()) {
                let stack = inputs.stack(tree).map_err(assemble::AssembleError::Base)?;
                for export in exports {
                    export::files(export, &stack, self.request.source_date_epoch)?;
                }
            }
            if !self.needs_image(at) {
                continue;
            }
            let style = Style {
                flavour: self.outputs.flavour,
                epoch: self
                    .request
                    .source_date_epoch
                    .and_then(|seconds| Timestamp::from_second(seconds).ok()),
                labels: BTreeMap::new(),
                annotations: self.annotations(),
            };
            let ready = assemble::image::assemble(parts, output.stage, tree, &style)?;
            if exports.iter().any(export::Export::needs_blobs) {
                publisher.fetch_base(output.stage, &ready)?;
                for export in exports {
                    export::image(self.store, export, &ready, &self.graph.platform, &self.names[at])?;
                }
            }
            if self.outputs.push {
                self.push(publisher, output.stage, &ready, &self.names[at])?;
            }
            images.push(Image {
                target: output.target.clone(),
                names: self.names[at].iter().map(Reference::familiar).collect(),
                pushed: self.outputs.push && !self.names[at].is_empty(),
                digest: ready.digest.to_string(),
                config_digest: ready.config.digest.to_string(),
                media_type: ready.media_type.clone(),
                manifest_size: ready.manifest.len() as u64,
                size: ready.size(),
                unpacked: ready.unpacked,
                layers: ready.layers.iter().map(|layer| layer.size).collect(),
            });
        }
        Ok(images)
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let given = inputs::pairs(&self.args.annotations, "--annotation").unwrap_or_default();
        given.into_iter().chain(self.outputs.annotations.iter().cloned()).collect()
    }

    /// Pushes to each repository once, with all its tags.
    fn push(
        &self,
        publisher: &Publisher<'_>,
        stage: StageId,
        ready: &assemble::Ready,
        names: &[Reference],
    ) -> Result<(), assemble::AssembleError> {
        let mut repositories: BTreeMap<String, (Reference, Vec<String>)> = BTreeMap::new();
        for name in names {
            let (_, tags) = repositories.entry(name.name()).or_insert_with(|| (name.clone(), vec![]));
            tags.extend(name.tag().filter(|_| !self.outputs.by_digest).map(ToOwned::to_owned));
        }
        for (repository, tags) in repositories.values() {
            publisher.push(stage, ready, repository, tags)?;
        }
        Ok(())
    }

    /// Says how it went.
    fn report(&self, outcome: &Outcome, images: &[Image], began: Instant) -> anyhow::Result<()> {
        let digest = images.last().map(|image| image.digest.as_str());
        let largest = size::largest_stage(self.graph, self.store, outcome.trees.iter().flatten());
        if let Some(path) = &self.args.metadata_file {
            summary::metadata(path, images, largest)?;
        }
        if let (Some(path), Some(image)) = (&self.args.iidfile, images.last()) {
            std::fs::write(path, &image.digest)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        if self.args.quiet {
            if let Some(digest) = digest {
                writeln!(io::stdout().lock(), "{digest}")?;
            }
            return Ok(());
        }
        say("\n");
        say(&summary::stages(&outcome.stages));
        say(&summary::images(images, largest));
        let took = super::plain::seconds(began.elapsed().as_secs_f64());
        let kept = if images.is_empty() {
            "; the result is in the cache (name it with --tag, write it with --output)"
        } else {
            ""
        };
        say(&format!("done in {took}{kept}\n"));
        Ok(())
    }
}
