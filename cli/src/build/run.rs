//! The build itself, from flags to the last line.

use std::env;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use slipway_dockerfile::diagnostic::Severity;
use slipway_dockerfile::render::Renderer;
use slipway_executor::assemble::AssembleError;
use slipway_executor::assemble::forms::Forms;
use slipway_executor::assemble::image::Parts;
use slipway_executor::assemble::publish::Publisher;
use slipway_executor::cache::Shelf;
use slipway_executor::cache::export::{Exporter, ahead};
use slipway_executor::engine::{self, Cause, Job, Permits};
use slipway_executor::event::Event;
use slipway_executor::images::{Freshness, PulledImages};
use slipway_executor::inputs::Inputs;
use slipway_executor::local::LocalHands;
use slipway_executor::plan::{PlanError, Planner};
use slipway_graph::request::Request;
use slipway_oci::Platform;
use slipway_registry::Registry;
use slipway_sandbox::Cancel;
use slipway_store::Store;

use super::args::Args;
use super::context::{contexts, read_source, subject};
use super::finish::Work;
use super::outputs::Outputs;
use super::progress::{Progress, planned, report_failure, say};
use super::sandbox::LazySandbox;
use super::stop::{FAILED, stop_on_signal};
use super::{cache, inputs, outputs, settle, warnings};

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    // Before any thread is started: an ordinary user becomes root of a user namespace.
    slipway_sandbox::enter_user_namespace().context("cannot build as this user")?;
    let platforms = inputs::platforms(args)?;
    let outputs = outputs::read(args, &platforms)?;
    let request = inputs::request(args, &platforms)?;
    let lent = inputs::lent(args)?;
    let store = Store::open(args.home.folder()?).context("cannot open the cache")?;
    let result = build(args, &platforms, request, lent, &outputs, &store, began);
    slipway_sandbox::settle();
    let root = store.root().to_owned();
    settle::after(store);
    result.map_err(|error| anyhow::anyhow!(slipway_executor::room::explained(format!("{error:#}"), &root)))
}

/// Builds with an open store.
fn build(
    args: &Args,
    platforms: &[Platform],
    mut request: Request,
    lent: slipway_executor::local::lent::Lent,
    outputs: &Outputs,
    store: &Store,
    began: Instant,
) -> anyhow::Result<ExitCode> {
    let caches = cache::read(args, &request)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let registry = Arc::new(Registry::new(args.registry.settings())?);
    let progress = Progress::new(args.progress, args.quiet);
    slipway_executor::room::make_room(store, &progress.events);
    let cancel = Cancel::new();
    stop_on_signal(&runtime, &cancel);

    let (fetched, text) = read_source(args, store, runtime.handle())?;
    let contexts = contexts(args, &mut request, platforms, &fetched, &text, store, runtime.handle())?;
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
        store,
        registry: registry.clone(),
        remotes: runtime.handle().clone(),
        events: progress.events.clone(),
        freshness: if args.pull { Freshness::Insist } else { Freshness::Ask },
        lent: lent.clone(),
        contexts: contexts.clone(),
        hashes: slipway_executor::plan::known_hashes(store),
    };
    let graph = match planner.graph(&parsed.file, &source_text, &request, platforms) {
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
    let names = outputs::names(args, outputs, &graph)?;
    for text in inputs::strangers(&request.no_cache, &parsed.file) {
        progress.events.event(Event::Note { text });
    }
    progress.events.event(planned(&graph));

    let imported = caches.import(&graph, store, &registry, runtime.handle(), &progress.events);
    let work = Work {
        args,
        outputs,
        names: &names,
        request: &request,
        shelf: Shelf { store, imported: &imported },
        graph: &graph,
        inline_cache: caches.inline(),
    };
    let images =
        PulledImages::new(&graph, store, registry.clone(), runtime.handle().clone(), progress.events.clone())
            .with_imported(&imported);
    let mut shape = outputs.shape;
    shape.clamp = request.source_date_epoch.filter(|_| outputs.rewrite_timestamp);
    let only_pushed = outputs.only_pushed() && !caches.needs_blobs();
    let forms =
        Forms::new(store, shape).with_imported(&images).only_pushed(only_pushed).cancelled_by(cancel.clone());
    let publisher = Publisher::new(
        &graph,
        store,
        registry.clone(),
        runtime.handle().clone(),
        progress.events.clone(),
        &forms,
        &images,
        &work.wanted(),
    )
    .with_caches(ahead(&graph, &caches.to, shape));
    let all_inputs =
        Inputs { graph: &graph, store, images: &images, remotes: runtime.handle().clone(), contexts };
    let sandbox = LazySandbox::new(args.isolation, store.temporary()?, progress.events.clone());
    let hands = LocalHands {
        store,
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
        store,
        imported: &imported,
        targets: graph.outputs.iter().map(|output| output.stage).collect(),
        subject: subject(&fetched, &text),
        events: progress.events.clone(),
    };
    let parts = Parts { graph: &graph, store, images: &images, forms: &forms };
    let exporter = Exporter {
        graph: &graph,
        store,
        images: &images,
        forms: &forms,
        publisher: &publisher,
        events: &progress.events,
    };
    let mut outcome = publisher.beside(|| engine::run(&job, &hands, &cancel));
    let made = loop {
        if !outcome.succeeded() {
            progress.finish();
            return Ok(report_failure(&outcome, &text.path, &source_text));
        }
        match work.finish(&parts, &publisher, &all_inputs, &outcome) {
            // An imported layer that only the output needs cannot be had: it is not counted on any more.
            Err(AssembleError::Base(Cause::Lost(text))) => {
                progress.events.event(Event::Note { text: format!("warning: {text}; building it instead") });
                outcome = engine::run(&job, &hands, &cancel);
            }
            Err(error) => break Err(anyhow::Error::new(error)),
            Ok(made) => break exporter.export(&outcome, &caches.to).map(|()| made).map_err(Into::into),
        }
    };
    progress.finish();
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            say(&format!("error: {error:#}\n"));
            return Ok(ExitCode::from(FAILED));
        }
    };
    work.report(&outcome, &made, began)?;
    Ok(ExitCode::SUCCESS)
}
