//! Machines with stores of their own around one registry. Their hands make layers that nobody can make again: every file
//! has a number that was never used, so equal digests prove that nothing was done twice.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slipway_executor::assemble::bundle::{Bundle, IndexNotes, Member};
use slipway_executor::assemble::forms::{Forms, Shape};
use slipway_executor::assemble::image::{Parts, Style, assemble};
use slipway_executor::assemble::publish::{Publisher, Wanted};
use slipway_executor::cache::export::{CacheTo, Exporter, Target, ahead};
use slipway_executor::cache::import::{CacheFrom, Importer};
use slipway_executor::cache::{Imported, Mode};
use slipway_executor::engine::{Cause, Hands, Job, Made, Outcome, Permits, StageOutcome, Task, run};
use slipway_executor::event::{Event, Events};
use slipway_executor::images::PulledImages;
use slipway_executor::inputs::Inputs;
use slipway_executor::local::Follower;
use slipway_graph::ir::{Graph, Op, StageId};
use slipway_graph::key::Tree;
use slipway_graph::{KnownFacts, Lowered, Request, lower};
use slipway_oci::media::Flavour;
use slipway_oci::{Digest, Platform, Reference};
use slipway_registry::testing::FakeRegistry;
use slipway_registry::{Registry, Retry, Settings};
use slipway_sandbox::Cancel;
use slipway_store::{LayerId, LayerMeta, Store};
use tokio::runtime::{Handle, Runtime};

/// A registry and what reaches it.
pub(crate) struct World {
    /// The registry, where it is ours.
    pub(crate) fake: Option<FakeRegistry>,
    host: String,
    runtime: Runtime,
}

impl World {
    pub(crate) fn new() -> Self {
        let runtime = runtime();
        let fake = runtime.block_on(FakeRegistry::start()).unwrap();
        Self { host: fake.host().to_owned(), fake: Some(fake), runtime }
    }

    /// Around the registry that the environment names.
    pub(crate) fn real(host: String) -> Self {
        Self { host, fake: None, runtime: runtime() }
    }

    pub(crate) fn fake(&self) -> &FakeRegistry {
        self.fake.as_ref().unwrap()
    }

    /// Names something in the registry that no other test names.
    pub(crate) fn name(&self, name: &str) -> Reference {
        let unique = format!("{}/cache-test-{}/{name}", self.host, std::process::id());
        unique.parse().unwrap()
    }

    /// Counts requests for blobs of a repository that were answered with their bytes.
    pub(crate) fn fetched(&self, name: &Reference) -> usize {
        let path = format!("/v2/{}/blobs/sha256:", name.repository());
        self.fake().seen().iter().filter(|seen| seen.method == "GET" && seen.path.starts_with(&path)).count()
    }

    /// Counts the uploads that were begun.
    pub(crate) fn uploaded(&self) -> usize {
        let sends = |method: &str| matches!(method, "PATCH" | "PUT");
        let seen = self.fake().seen();
        seen.iter()
            .filter(|seen| sends(&seen.method) && seen.path.contains("/blobs/uploads/") && seen.body > 0)
            .count()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A machine with a store.
pub(crate) struct Machine<'w> {
    world: &'w World,
    pub(crate) store: Store,
    pub(crate) path: PathBuf,
    pub(crate) registry: Arc<Registry>,
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// What to build.
#[derive(Clone, Default)]
pub(crate) struct Order {
    pub(crate) from: Vec<CacheFrom>,
    pub(crate) to: Vec<CacheTo>,
    pub(crate) push: Option<Reference>,
    /// What copies read, whatever the stages did.
    pub(crate) content: Option<Digest>,
    pub(crate) shape: Shape,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) outcome: Outcome,
    /// The steps that were carried out.
    pub(crate) made: Vec<String>,
    /// The image's digest; none where it was not built.
    pub(crate) digest: Option<Digest>,
    pub(crate) config: serde_json::Value,
    pub(crate) notes: Vec<String>,
    pub(crate) exported: Result<(), String>,
}

impl Built {
    pub(crate) fn noted(&self, words: &str) -> bool {
        self.notes.iter().any(|note| note.contains(words))
    }
}

pub(crate) fn registry_cache(name: &Reference, mode: Mode) -> CacheTo {
    CacheTo { mode, ..CacheTo::new(Target::Registry(name.clone())) }
}

impl<'w> Machine<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("slipway-cache-{}-{number}", std::process::id()));
        let settings = Settings {
            insecure: vec![world.host.clone()],
            retry: Retry { attempts: 2, first: Duration::from_millis(5), ..Retry::default() },
            ..Settings::default()
        };
        let registry = Arc::new(Registry::new(settings).unwrap());
        Self { world, store: Store::open(&path).unwrap(), path, registry }
    }

    pub(crate) fn remotes(&self) -> Handle {
        self.world.runtime.handle().clone()
    }

    pub(crate) fn build(&self, dockerfile: &str, order: &Order) -> Built {
        let graph = graph(dockerfile);
        let targets: Vec<StageId> = graph.outputs.iter().map(|output| output.stage).collect();
        let notes: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = notes.clone();
        let events: Events = Arc::new(move |event: Event| {
            if let Event::Note { text } = event {
                heard.lock().unwrap().push(text);
            }
        });
        let (store, remotes): (&Store, Handle) = (&self.store, self.remotes());
        let importer = Importer {
            store,
            registry: self.registry.clone(),
            remotes: remotes.clone(),
            events: events.clone(),
        };
        let (sources, _) = importer.import(&order.from, &graph, &targets);
        let imported = Imported::new(&sources);
        let images = PulledImages::new(&graph, store, self.registry.clone(), remotes.clone(), events.clone())
            .with_imported(&imported);
        let forms = Forms::new(store, order.shape).with_imported(&images);
        let wanted: Vec<Wanted> = targets
            .iter()
            .map(|stage| Wanted { stage: *stage, repositories: order.push.iter().cloned().collect() })
            .collect();
        let publisher = Publisher::new(
            &graph,
            store,
            self.registry.clone(),
            remotes.clone(),
            events.clone(),
            &forms,
            &images,
            &wanted,
        )
        .with_caches(ahead(&graph, &order.to, order.shape));
        let inputs = Inputs { graph: &graph, store, images: &images, remotes, contexts: [].into() };
        let hands = Maker {
            store,
            inputs: &inputs,
            publisher: &publisher,
            made: Mutex::default(),
            content: order.content,
        };
        let job = Job {
            graph: &graph,
            store,
            imported: &imported,
            targets: targets.clone(),
            subject: "test".into(),
            events: events.clone(),
        };
        let outcome = publisher.beside(|| run(&job, &hands, &Cancel::new()));
        let mut built = Built {
            made: hands.made(),
            digest: None,
            config: serde_json::Value::Null,
            notes: vec![],
            exported: Ok(()),
            outcome,
        };
        if built.outcome.succeeded() {
            let inline_cache = order.to.iter().any(|cache| cache.target == Target::Inline);
            let style = Style { inline_cache, ..Style::default() };
            let parts = Parts { graph: &graph, store, images: &images, forms: &forms };
            for output in &graph.outputs {
                let tree = built.outcome.trees[output.stage.0].clone().unwrap();
                let ready = assemble(&parts, output, &tree, &style).unwrap();
                built.config = serde_json::from_slice(&ready.config_bytes).unwrap();
                built.digest = Some(ready.digest);
                let member = Member { platform: output.platform.clone(), stage: output.stage, ready };
                let bundle = Bundle::new(store, vec![member], Flavour::Oci, &IndexNotes::default()).unwrap();
                if let Some(name) = &order.push {
                    publisher.push_bundle(&bundle, name, &["latest".to_owned()]).unwrap();
                }
            }
            let exporter = Exporter {
                graph: &graph,
                store,
                images: &images,
                forms: &forms,
                publisher: &publisher,
                events: &events,
            };
            built.exported = exporter.export(&built.outcome, &order.to).map_err(|error| Cause::text(&error));
        }
        built.notes.clone_from(&notes.lock().unwrap());
        built
    }
}

pub(crate) fn graph(dockerfile: &str) -> Graph {
    let parsed = slipway_dockerfile::parse(dockerfile.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    let request = Request::new("linux/amd64".parse::<Platform>().unwrap());
    match lower(&parsed.file, dockerfile, &request, &KnownFacts::default()).unwrap() {
        Lowered::Ready(graph) => *graph,
        Lowered::Needs(needs) => panic!("asks for {needs:?}"),
    }
}

/// Hands that read all that a step may read, and leave a file that nobody can make again.
struct Maker<'a> {
    store: &'a Store,
    inputs: &'a Inputs<'a>,
    publisher: &'a Publisher<'a>,
    made: Mutex<Vec<String>>,
    content: Option<Digest>,
}

impl Maker<'_> {
    fn made(&self) -> Vec<String> {
        let mut made = self.made.lock().unwrap().clone();
        made.sort();
        made
    }
}

impl Hands for Maker<'_> {
    fn make(&self, task: &Task<'_>, _cancel: &Cancel) -> Result<Made, Cause> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        self.inputs.stack(task.below)?;
        for chain in task.inputs.values() {
            self.inputs.stack(chain)?;
        }
        self.made.lock().unwrap().push(task.step.title.clone());
        if task.step.title.contains("fail") {
            return Err(Cause::Instruction("as asked".into()));
        }
        let writer = self.store.layer_writer(&task.layer)?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let text = format!("{} {number} {:?}", task.step.title, std::time::SystemTime::now());
        std::fs::write(writer.fs().join(format!("file-{}-{}", task.at.stage, task.at.step)), &text).unwrap();
        let size = text.len() as u64;
        writer.commit(LayerMeta { size, entries: 1, diff_id: None })?;
        Ok(Made { size })
    }

    fn content(&self, task: &Task<'_>, trees: &[Tree]) -> Result<Option<Vec<Digest>>, Cause> {
        match task.step.op {
            Some(Op::Copy(_)) => Ok(self.content.map(|content| vec![content; trees.len()])),
            _ => Ok(Some(vec![])),
        }
    }

    fn can_begin_again(&self) -> bool {
        true
    }

    fn permits(&self, _task: &Task<'_>) -> Option<&Permits> {
        None
    }

    fn layer_ready(&self, stage: StageId, layer: &LayerId) {
        self.publisher.layer_ready(stage, layer);
    }

    fn stage_over(&self, _stage: StageId, _outcome: &StageOutcome) {}
}
