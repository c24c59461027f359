//! The engine's decisions, with hands that only pretend to work: what runs, what is cached, what waits, what stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use slipway_executor::cache::{Imported, Shelf};
use slipway_executor::engine::survey::survey;
use slipway_executor::engine::{
    Cause, Exit, Hands, Job, Made, Outcome, Permits, StageOutcome, StepState, Task, run,
};
use slipway_executor::event::Quiet;
use slipway_graph::ir::{Graph, Op, StageId};
use slipway_graph::key::Tree;
use slipway_graph::request::NoCache;
use slipway_graph::{KnownFacts, Lowered, Request, lower};
use slipway_oci::{Digest, Platform};
use slipway_sandbox::Cancel;
use slipway_store::{LayerId, LayerMeta, Store};

/// A store in a folder that goes with it.
struct Bed {
    store: Store,
    path: PathBuf,
}

impl Bed {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("slipway-engine-{}-{number}", std::process::id()));
        Self { store: Store::open(&path).unwrap(), path }
    }

    fn build(&self, dockerfile: &str, hands: &Pretender<'_>) -> Outcome {
        self.run(&graph(dockerfile), hands)
    }

    fn run(&self, graph: &Graph, hands: &Pretender<'_>) -> Outcome {
        let targets = graph.outputs.iter().map(|output| output.stage).collect();
        let job = Job {
            graph,
            store: &self.store,
            imported: &Imported::default(),
            targets,
            subject: "test".into(),
            events: Arc::new(Quiet),
        };
        run(&job, hands, &Cancel::new())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn graph(dockerfile: &str) -> Graph {
    graph_of(dockerfile, &Request::new(Platform::host()))
}

fn graph_of(dockerfile: &str, request: &Request) -> Graph {
    let parsed = slipway_dockerfile::parse(dockerfile.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    match lower(&parsed.file, dockerfile, request, &KnownFacts::default()).unwrap() {
        Lowered::Ready(graph) => *graph,
        Lowered::Needs(needs) => panic!("asks for {needs:?}"),
    }
}

/// Hands that note what they are asked for. Commands that contain `fail` fail.
struct Pretender<'a> {
    store: &'a Store,
    made: Mutex<Vec<String>>,
    /// What copies read, whatever the stage did.
    content: Option<Digest>,
    /// So many commands must be running at once before one goes on.
    meeting: Option<(usize, Mutex<usize>, Condvar)>,
}

impl<'a> Pretender<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, made: Mutex::default(), content: None, meeting: None }
    }

    fn made(&self) -> Vec<String> {
        let mut made = self.made.lock().unwrap().clone();
        made.sort();
        made
    }
}

impl Hands for Pretender<'_> {
    fn make(&self, task: &Task<'_>, _cancel: &Cancel) -> Result<Made, Cause> {
        self.made.lock().unwrap().push(task.step.title.clone());
        if let (Some((wanted, here, changed)), Some(Op::Run(_))) = (&self.meeting, &task.step.op) {
            let mut count = here.lock().unwrap();
            *count += 1;
            changed.notify_all();
            let (_count, waited) =
                changed.wait_timeout_while(count, Duration::from_secs(20), |n| *n < *wanted).unwrap();
            assert!(!waited.timed_out(), "the stages do not run side by side");
        }
        if task.step.title.contains("fail") {
            return Err(Cause::Command { exit: Exit::Code(3), tail: vec!["last words".into()] });
        }
        let writer = self.store.layer_writer(&task.layer)?;
        writer.commit(LayerMeta { size: 1, ..LayerMeta::default() })?;
        Ok(Made { size: 1 })
    }

    fn content(&self, task: &Task<'_>, trees: &[Tree]) -> Result<Option<Vec<Digest>>, Cause> {
        match task.step.op {
            Some(Op::Copy(_)) => Ok(self.content.map(|content| vec![content; trees.len()])),
            _ => Ok(Some(vec![])),
        }
    }

    fn permits(&self, _task: &Task<'_>) -> Option<&Permits> {
        None
    }

    fn layer_ready(&self, _stage: StageId, _layer: &LayerId) {}

    fn stage_over(&self, _stage: StageId, _outcome: &StageOutcome) {}
}

const TWO_STAGES: &str = "FROM scratch AS a\nRUN one\nFROM scratch\nCOPY --from=a /x /\nRUN two\n";

#[test]
fn a_second_build_does_nothing() {
    let bed = Bed::new();
    let first = Pretender::new(&bed.store);
    assert!(bed.build(TWO_STAGES, &first).succeeded());
    assert_eq!(first.made(), ["COPY --from=a /x /", "RUN one", "RUN two"]);
    let second = Pretender::new(&bed.store);
    let outcome = bed.build(TWO_STAGES, &second);
    assert!(outcome.succeeded() && second.made().is_empty(), "{:?}", second.made());
    // The stage that only the cached COPY reads was not even looked at.
    assert_eq!(outcome.stages[0].count(StepState::NotNeeded), 1);
    assert_eq!(outcome.stages[1].count(StepState::Cached), 2);
}

#[test]
fn the_largest_stage_is_the_same_whether_it_was_built_or_not_looked_at() {
    let bed = Bed::new();
    let text = "FROM scratch AS large\nRUN one\nRUN two\nRUN three\nFROM scratch\nCOPY --from=large /a /a\n";
    let largest = |outcome: &Outcome| {
        let trees = outcome.trees.iter().flatten();
        slipway_executor::size::largest_stage(
            &graph(text),
            &Shelf { store: &bed.store, imported: &Imported::default() },
            trees,
        )
    };
    let first = bed.build(text, &Pretender::new(&bed.store));
    assert_eq!(largest(&first), 3);
    let again = bed.build(text, &Pretender::new(&bed.store));
    assert!(again.trees[0].is_none(), "the large stage was looked at");
    assert_eq!(largest(&again), 3);
}

#[test]
fn a_failure_stops_the_build_and_keeps_what_is_done() {
    let bed = Bed::new();
    let hands = Pretender::new(&bed.store);
    let outcome = bed.build("FROM scratch\nRUN one\nRUN fail\nRUN three\n", &hands);
    assert_eq!(hands.made(), ["RUN fail", "RUN one"]);
    let failed = &outcome.failures[0];
    assert_eq!(
        (failed.line, failed.exit_code(), failed.tail()),
        (3, Some(3), ["last words".to_owned()].as_slice())
    );
    let again = Pretender::new(&bed.store);
    bed.build("FROM scratch\nRUN one\nRUN fixed\nRUN three\n", &again);
    assert_eq!(again.made(), ["RUN fixed", "RUN three"]);
}

#[test]
fn stages_that_need_nothing_of_each_other_run_side_by_side() {
    let bed = Bed::new();
    let mut hands = Pretender::new(&bed.store);
    hands.meeting = Some((3, Mutex::default(), Condvar::new()));
    let outcome = bed.build(
        "FROM scratch AS a\nRUN one\nFROM scratch AS b\nRUN two\nFROM scratch AS c\nRUN three\nFROM a\n\
         COPY --from=b / /\nCOPY --from=c / /\n",
        &hands,
    );
    assert!(outcome.succeeded());
}

#[test]
fn a_stage_that_gives_the_same_files_again_changes_nothing_after_it() {
    let bed = Bed::new();
    let mut first = Pretender::new(&bed.store);
    first.content = Some(Digest::of("the same"));
    assert!(bed.build(TWO_STAGES, &first).succeeded());
    let mut second = Pretender::new(&bed.store);
    second.content = first.content;
    let outcome = bed.build(&TWO_STAGES.replace("RUN one", "RUN another way"), &second);
    assert!(outcome.succeeded());
    assert_eq!(second.made(), ["RUN another way"]);
    let mut third = Pretender::new(&bed.store);
    third.content = Some(Digest::of("something else"));
    assert!(bed.build(&TWO_STAGES.replace("RUN one", "RUN a third way"), &third).succeeded());
    assert_eq!(third.made(), ["COPY --from=a /x /", "RUN a third way", "RUN two"]);
}

#[test]
fn a_stage_that_is_to_be_made_anew_is_made_though_only_a_cached_copy_reads_it() {
    let bed = Bed::new();
    let mut hands = Pretender::new(&bed.store);
    hands.content = Some(Digest::of("the same"));
    assert!(bed.build(TWO_STAGES, &hands).succeeded());
    let mut request = Request::new(Platform::host());
    request.no_cache = NoCache::Stages(vec!["a".into()]);
    let graph = graph_of(TWO_STAGES, &request);
    let targets = [graph.outputs[0].stage];
    assert!(
        survey(&graph, &Shelf { store: &bed.store, imported: &Imported::default() }, &targets, "test")[0]
            .runs
    );
    let mut same = Pretender::new(&bed.store);
    same.content = hands.content;
    assert!(bed.run(&graph, &same).succeeded());
    assert_eq!(same.made(), ["RUN one"]);
    let mut other = Pretender::new(&bed.store);
    other.content = Some(Digest::of("something else"));
    assert!(bed.run(&graph, &other).succeeded());
    assert_eq!(other.made(), ["COPY --from=a /x /", "RUN one", "RUN two"]);
}

#[test]
fn a_lost_layer_is_made_again_with_all_that_lies_on_it() {
    let bed = Bed::new();
    let outcome = bed.build("FROM scratch\nRUN one\nRUN two\n", &Pretender::new(&bed.store));
    let lost = outcome.stages[0].steps[0].layer.unwrap();
    bed.store.evict_layer(&lost).unwrap();
    let again = Pretender::new(&bed.store);
    let outcome = bed.build("FROM scratch\nRUN one\nRUN two\n", &again);
    assert_eq!(again.made(), ["RUN one", "RUN two"]);
    assert_eq!(outcome.stages[0].steps[1].why, "a step before it ran again");
}

#[test]
fn a_survey_knows_which_stages_run_user_code() {
    let bed = Bed::new();
    let graph = graph(TWO_STAGES);
    let targets = [graph.outputs[0].stage];
    let shelf = Shelf { store: &bed.store, imported: &Imported::default() };
    let before = survey(&graph, &shelf, &targets, "test");
    assert!(before.iter().all(|stage| stage.wanted && stage.runs && stage.cached == 0));
    assert!(bed.build(TWO_STAGES, &Pretender::new(&bed.store)).succeeded());
    let after = survey(&graph, &shelf, &targets, "test");
    assert!(!after[0].wanted && !after[1].runs && after[1].cached == 2, "{after:?}");
}

#[test]
fn builds_of_the_same_thing_at_once_make_each_step_once() {
    let bed = Bed::new();
    let hands = Pretender::new(&bed.store);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(bed.build("FROM scratch\nRUN one\nRUN two\n", &hands).succeeded()));
        }
    });
    assert_eq!(hands.made(), ["RUN one", "RUN two"]);
}

#[test]
fn a_step_that_runs_does_not_want_what_cached_steps_before_it_read() {
    let bed = Bed::new();
    let outcome = bed.build(TWO_STAGES, &Pretender::new(&bed.store));
    bed.store.evict_layer(&outcome.stages[0].steps[0].layer.unwrap()).unwrap();
    let again = Pretender::new(&bed.store);
    assert!(bed.build(&TWO_STAGES.replace("RUN two", "RUN changed"), &again).succeeded());
    assert_eq!(again.made(), ["RUN changed"]);
}
