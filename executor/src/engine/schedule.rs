//! Runs a graph: a thread a wanted stage, its steps in order, each from the cache or made.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slipway_graph::content_key;
use slipway_graph::ir::{Base, Stage, StageId, Step};
use slipway_graph::key::{Key, Tree};
use slipway_oci::Digest;
use slipway_sandbox::Cancel;
use slipway_store::{ContentKey, Flight, LayerId, Record};

use super::board::{Board, Chain};
use super::lookup::{
    Hits, base_key, below_name, file_steps, first_hits, fresh_layer, key_of_layers, made_key, made_trees,
    reads_renewed, record, renewed, stages_read, stored,
};
use super::outcome::{StageOutcome, StepOutcome, StepState};
use super::{Cause, Failed, Hands, Job, Outcome, Stopped, Task, explain};
use crate::cache::Shelf;
use crate::event::{Event, StepAt};

/// What stages made.
type Trees = BTreeMap<StageId, Chain>;

/// How long one build waits for another that makes the same step.
const FLIGHT_LIMIT: Duration = Duration::from_hours(6);

/// Marks that a content key was ever stored for a step on a tree: without it, reading all content to look is in vain.
const MARKER: &str = "content key";

/// Builds the job's targets. `cancel` stops it from outside, and is set when a step fails.
///
/// Where a layer of an imported cache turns out not to be there, and the hands can begin again, the build goes on
/// without it: all that was done so far is in the store.
pub fn run(job: &Job<'_>, hands: &dyn Hands, cancel: &Cancel) -> Outcome {
    let again = !job.imported.is_empty() && hands.can_begin_again();
    loop {
        let outcome = once(job, hands, cancel, again);
        let lost = |failed: &Failed| matches!(failed.cause, Cause::Lost(_));
        if !again
            || cancel.is_cancelled()
            || outcome.failures.is_empty()
            || !outcome.failures.iter().all(lost)
        {
            if !outcome.failures.is_empty() {
                cancel.cancel();
            }
            return outcome;
        }
        for failed in &outcome.failures {
            let text = format!("warning: {}; building it instead", failed.cause);
            job.events.event(Event::Note { text });
        }
    }
}

/// Builds the job's targets once. `apart`: a failure does not set `cancel`.
fn once(job: &Job<'_>, hands: &dyn Hands, cancel: &Cancel, apart: bool) -> Outcome {
    let outside = apart.then(|| cancel.clone());
    let stop = if apart { Cancel::new() } else { cancel.clone() };
    let board = Board::new(job.graph.stages.iter().map(blank).collect(), stop, outside);
    for target in &job.targets {
        board.want(*target);
    }
    let asked_before = cancel.is_cancelled();
    let renewed = renewed(job.graph);
    thread::scope(|scope| {
        while let Some(id) = board.next_to_begin() {
            let (board, renewed) = (&board, &renewed[..]);
            scope.spawn(move || {
                let result = match job.graph.stages.get(id.0) {
                    Some(stage) => Runner { job, hands, board, stage, renewed, scope }.stage(),
                    None => Err(Stopped::Halted),
                };
                hands.stage_over(id, &board.outcome(id));
                board.ended(id, result);
            });
        }
    });
    let (stages, trees, failures) = board.finish();
    let cancelled = asked_before || (failures.is_empty() && cancel.is_cancelled());
    Outcome { stages, trees, failures, cancelled }
}

fn blank(stage: &Stage) -> StageOutcome {
    let steps = file_steps(stage).map(|(step, found)| StepOutcome {
        step,
        title: found.title.clone(),
        line: found.line,
        ..StepOutcome::default()
    });
    StageOutcome { name: stage.name.clone(), steps: steps.collect(), ..StageOutcome::default() }
}

/// What a stage's thread works with.
struct Runner<'scope, 'env> {
    job: &'env Job<'env>,
    hands: &'env dyn Hands,
    board: &'scope Board,
    stage: &'env Stage,
    /// The stages that are made anew, by number.
    renewed: &'scope [bool],
    scope: &'scope thread::Scope<'scope, 'env>,
}

/// How a step came to its layer.
enum Came {
    Cached(LayerId, Record),
    Made(LayerId, Record),
}

impl<'env> Runner<'_, 'env> {
    /// Takes the stage to its end, and returns its tree with the key under which that was made.
    fn stage(&self) -> Result<(Chain, Key), Stopped> {
        self.want_inputs(None);
        let mut made = base_key(self.job.graph, self.stage.base);
        let start = match self.stage.base {
            Base::Scratch => Chain::default(),
            Base::Image(image) => Chain { image: Some(image), layers: vec![] },
            Base::Stage(id) => {
                self.board.want(id);
                let (chain, key) = self.board.wait_for(id)?;
                made = key;
                chain
            }
        };
        self.board.update(self.stage.id, |outcome| {
            outcome.started = unix_now();
            outcome.finished = outcome.started;
        });
        let hits = first_hits(self.job.graph, &self.shelf(), (self.stage, self.renewed), &start);
        let mut anything_new = false;
        let result = self.steps(hits, &mut made, &mut anything_new);
        // After a failure too: the next build asks what changed since this one.
        if anything_new && let Err(error) = explain::remember(self.job.store, &self.job.subject, self.stage) {
            tracing::warn!(%error, "cannot remember this build to explain the next one");
        }
        Ok((result?, made))
    }

    fn shelf(&self) -> Shelf<'env> {
        Shelf { store: self.job.store, imported: self.job.imported }
    }

    /// Takes the steps in order, and returns the tree after the last one.
    fn steps(&self, hits: Hits, made: &mut Key, anything_new: &mut bool) -> Result<Chain, Stopped> {
        let mut chain = hits.below;
        let mut found = hits.found.into_iter();
        for (number, step) in file_steps(self.stage) {
            self.board.check()?;
            let at = StepAt { stage: self.stage.id.0, step: number };
            let came = self.step(at, step, (&chain, *made), found.next(), anything_new);
            self.board.update(self.stage.id, |outcome| outcome.finished = unix_now());
            let (layer, key) = came.map_err(|cause| self.failed(at, step, cause))?;
            self.hands.layer_ready(self.stage.id, &layer);
            chain.layers.push(layer);
            *made = key;
        }
        Ok(chain)
    }

    /// Wants the stages that steps will read if they are not cached, so that those begin while this one works: from the
    /// step on that was missed, or from the first one that the cache does not know.
    fn want_inputs(&self, missed: Option<usize>) {
        let mut missing = missed.is_some();
        for (number, step) in file_steps(self.stage) {
            // What a step before reads is not needed any more: it is there.
            if missed.is_some_and(|missed| number < missed) {
                continue;
            }
            missing |= self.by_content(step) || !self.shelf().knows(&step.key.0);
            if missing {
                for id in stages_read(step) {
                    self.board.want(id);
                }
            }
        }
    }

    /// Takes one step, notes how it went, and returns its layer with the key under which that was made.
    fn step(
        &self,
        at: StepAt,
        step: &'env Step,
        below: (&Chain, Key),
        found: Option<(LayerId, Record)>,
        anything_new: &mut bool,
    ) -> Result<(LayerId, Key), Cause> {
        let why = std::cell::OnceCell::new();
        let began = Instant::now();
        let came = match found {
            Some((layer, record)) => Ok(Came::Cached(layer, record)),
            None => self.come_by(at, step, below, &why),
        };
        let seconds = began.elapsed().as_secs_f64();
        let mut outcome = StepOutcome {
            step: at.step,
            title: step.title.clone(),
            line: step.line,
            why: why.get().cloned().unwrap_or_default(),
            ..StepOutcome::default()
        };
        let result = match came {
            Ok(Came::Cached(layer, record)) => {
                self.job.events.event(Event::Cached { at });
                (outcome.state, outcome.seconds, outcome.size) =
                    (StepState::Cached, record.seconds, record.size);
                outcome.layer = Some(layer);
                outcome.imported = !self.job.store.has_layer(&layer);
                *anything_new |= why.get().is_some() || outcome.imported;
                Ok((layer, record.made.map_or(step.key, Key)))
            }
            Ok(Came::Made(layer, record)) => {
                self.job.events.event(Event::Finished { at, seconds: record.seconds, size: record.size });
                (outcome.state, outcome.seconds, outcome.size) =
                    (StepState::Ran, record.seconds, record.size);
                outcome.layer = Some(layer);
                *anything_new = true;
                Ok((layer, record.made.map_or(step.key, Key)))
            }
            Err(cause) => {
                if !matches!(cause, Cause::Cancelled) {
                    *anything_new = true;
                    self.job.events.event(Event::Failed { at, message: cause.to_string() });
                    (outcome.state, outcome.seconds) = (StepState::Failed, seconds);
                }
                Err(cause)
            }
        };
        self.board.note(self.stage.id, at.step, outcome);
        result
    }

    /// Finds a step's layer, or makes it.
    fn come_by(
        &self,
        at: StepAt,
        step: &'env Step,
        (below, below_made): (&Chain, Key),
        why: &std::cell::OnceCell<String>,
    ) -> Result<Came, Cause> {
        let (store, shelf) = (self.job.store, self.shelf());
        let below_is = below_name(self.job.graph, below);
        if !self.by_content(step)
            && let Some((layer, record)) = shelf.find(&step.key.0, &below_is)
        {
            return Ok(Came::Cached(layer, record));
        }
        let why = why.get_or_init(|| explain::why(store, &self.job.subject, self.stage, at.step, step));
        self.want_inputs(Some(at.step));
        let (inputs, keys) = self.inputs(at, step)?;
        let trees = step
            .op
            .as_ref()
            .map(|op| made_trees(op, &step.trees, |id| keys.get(&id).copied()))
            .unwrap_or_default();
        let made = made_key(self.stage, step, &below_made, &trees);
        let layer = fresh_layer(step);
        let task = Task { at, stage: self.stage, step, below, inputs: &inputs, layer };
        let mut content = None;
        if !step.no_cache {
            if let Some(found) = shelf.find(&made.0, &below_is) {
                return self.known_as(step, made.0, found);
            }
            content = self.content(&task, &below_made, &trees)?;
            if let Some(key) = content.map(|content| content.key)
                && let Some(found) = shelf.find(&key, &below_is)
            {
                return self.known_as(step, key, found);
            }
        }
        let cancel = self.board.stop();
        let _flight = if self.by_content(step) {
            None
        } else {
            match store.wait(&step.key.0, FLIGHT_LIMIT, &|| cancel.is_cancelled())? {
                // Another build made it meanwhile.
                Flight::Done(_) => match stored(store, &step.key.0, &below_is) {
                    Some((layer, record)) => return Ok(Came::Cached(layer, record)),
                    None => None,
                },
                Flight::Mine(guard) => Some(guard),
                Flight::Theirs => None,
            }
        };
        let _permit = match self.hands.permits(&task) {
            Some(permits) => Some(permits.take(cancel).ok_or(Cause::Cancelled)?),
            None => None,
        };
        if cancel.is_cancelled() {
            return Err(Cause::Cancelled);
        }
        self.job.events.event(Event::Started { at, why: why.clone() });
        let began = Instant::now();
        let size = self.hands.make(&task, cancel)?.size;
        let seconds = began.elapsed().as_secs_f64();
        let record = record(step, &made, layer, &below_is, Timestamp::now(), seconds, size);
        self.put(&step.key.0, &record)?;
        if made != step.key {
            self.put(&made.0, &record)?;
        }
        self.remember_content(&task, content, below_made, trees, record.clone());
        Ok(Came::Made(layer, record))
    }

    /// Tells whether a step's key does not count: it is made anew, or at most found again by what it reads.
    fn by_content(&self, step: &Step) -> bool {
        step.no_cache || reads_renewed(step, self.renewed)
    }

    /// Makes a layer that was found under another key known under the graph's.
    fn known_as(&self, step: &Step, key: Digest, found: (LayerId, Record)) -> Result<Came, Cause> {
        let (layer, mut record) = found;
        record.made.get_or_insert(key);
        if self.job.store.has_layer(&layer) {
            self.put(&step.key.0, &record)?;
        }
        Ok(Came::Cached(layer, record))
    }

    /// Waits for the stages that a step reads, and returns their trees with the keys under which those were made.
    fn inputs(&self, at: StepAt, step: &Step) -> Result<(Trees, BTreeMap<StageId, Key>), Cause> {
        let began = Instant::now();
        let (mut inputs, mut keys) = (BTreeMap::new(), BTreeMap::new());
        for id in stages_read(step) {
            self.board.want(id);
            if !self.board.is_done(id) {
                let for_stage =
                    self.job.graph.stages.get(id.0).map(|stage| stage.name.clone()).unwrap_or_default();
                self.job.events.event(Event::Waiting { at, for_stage });
            }
            let (chain, key) = self.board.wait_for(id).map_err(|_| Cause::Cancelled)?;
            let renewed = self.renewed.get(id.0).copied().unwrap_or(false);
            keys.insert(id, if renewed { key_of_layers(&chain) } else { key });
            inputs.insert(id, chain);
        }
        let waited = began.elapsed().as_secs_f64();
        self.board.update(self.stage.id, |outcome| outcome.waited += waited);
        Ok((inputs, keys))
    }

    /// Returns the content key where there may be something under it.
    fn content(&self, task: &Task<'_>, below: &Key, trees: &[Tree]) -> Result<Option<ContentKey>, Cause> {
        let Some(marker) = marker(task, below, trees) else { return Ok(None) };
        let known = self.job.store.memo::<bool>(&marker.to_string()).is_some();
        if !known && !self.job.imported.has_marker(&marker) {
            return Ok(None);
        }
        Ok(self.hands.content(task, trees)?.and_then(|contents| by_content(task, below, marker, &contents)))
    }

    /// Stores a step under its content key too, beside the work: reading what a copy read takes time.
    fn remember_content(
        &self,
        task: &Task<'_>,
        known: Option<ContentKey>,
        below: Key,
        trees: Vec<Tree>,
        record: Record,
    ) {
        let (job, hands, cancel) = (self.job, self.hands, self.board.stop().clone());
        let (stage, step, chain, inputs) = (self.stage, task.step, task.below.clone(), task.inputs.clone());
        let Some(step) = stage.steps.get(task.at.step).filter(|found| found.key == step.key) else { return };
        let (at, layer) = (task.at, task.layer);
        let Some(marker) = marker(task, &below, &trees) else { return };
        self.scope.spawn(move || {
            let task = Task { at, stage, step, below: &chain, inputs: &inputs, layer };
            let find_out = || {
                let contents = hands.content(&task, &trees).ok().flatten()?;
                by_content(&task, &below, marker, &contents)
            };
            let content = known.or_else(|| if cancel.is_cancelled() { None } else { find_out() });
            if let Some(content) = content
                && let Err(error) = put_content(job, step, record, content)
            {
                tracing::warn!(%error, "cannot store a step under its content");
            }
        });
    }

    fn put(&self, key: &Digest, record: &Record) -> Result<(), Cause> {
        Ok(self.job.store.put_record(key, record)?)
    }

    fn failed(&self, at: StepAt, step: &Step, cause: Cause) -> Stopped {
        if matches!(cause, Cause::Cancelled) {
            return Stopped::Halted;
        }
        Stopped::Failed(Box::new(Failed {
            at,
            stage: self.stage.name.clone(),
            title: step.title.clone(),
            line: step.line,
            end_line: step.end_line,
            cause,
        }))
    }
}

/// Returns the content key's marker; none for a step whose key is its content key already.
fn marker(task: &Task<'_>, below: &Key, trees: &[Tree]) -> Option<Digest> {
    trees.iter().any(|tree| matches!(tree, Tree::Key(_))).then_some(())?;
    let marks = vec![Digest::of(MARKER); trees.len()];
    task.step.op.as_ref().map(|op| content_key(op, below, &task.stage.platform, &marks).0)
}

/// Returns the content key of a step, where what it reads has these digests.
fn by_content(task: &Task<'_>, below: &Key, marker: Digest, contents: &[Digest]) -> Option<ContentKey> {
    let op = task.step.op.as_ref()?;
    Some(ContentKey { key: content_key(op, below, &task.stage.platform, contents).0, marker })
}

/// Stores a step under its content key, and the content key with the step.
fn put_content(
    job: &Job<'_>,
    step: &Step,
    mut record: Record,
    content: ContentKey,
) -> Result<(), slipway_store::Error> {
    record.content = Some(content);
    let made = record.made.unwrap_or(step.key.0);
    for key in [step.key.0, made] {
        // Unless another build has put its own one there meanwhile.
        if job.store.record(&key).is_some_and(|known| known.layer == record.layer) {
            job.store.put_record(&key, &record)?;
        }
    }
    record.made = Some(made);
    job.store.put_record(&content.key, &record)?;
    job.store.put_memo(&content.marker.to_string(), &true)
}

fn unix_now() -> f64 {
    #[allow(clippy::cast_precision_loss)] // milliseconds are enough
    let millis = Timestamp::now().as_millisecond() as f64;
    millis / 1000.0
}
