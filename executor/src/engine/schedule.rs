//! Runs a graph: a thread a wanted stage, its steps in order, each from the cache or made.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slipway_graph::ir::{Base, Stage, StageId, Step};
use slipway_oci::Digest;
use slipway_sandbox::Cancel;
use slipway_store::{Flight, LayerId, Record};

use super::board::{Board, Chain};
use super::lookup::{
    below_name, content_key, file_steps, find, fresh_layer, reads_renewed, record, renewed, stages_read,
};
use super::outcome::{StageOutcome, StepOutcome, StepState};
use super::{Cause, Failed, Hands, Job, Outcome, Stopped, Task, explain};
use crate::event::{Event, StepAt};

/// How long one build waits for another that makes the same step.
const FLIGHT_LIMIT: Duration = Duration::from_hours(6);

/// Marks that a content key was ever stored for a step on a tree: without it, reading all content to look is in vain.
const MARKER: &str = "content key";

/// Builds the job's targets. `cancel` stops it from outside, and is set when a step fails.
pub fn run(job: &Job<'_>, hands: &dyn Hands, cancel: &Cancel) -> Outcome {
    let board = Board::new(job.graph.stages.iter().map(blank).collect(), cancel.clone());
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
    /// Takes the stage to its end.
    fn stage(&self) -> Result<Chain, Stopped> {
        self.want_inputs(0);
        let mut chain = match self.stage.base {
            Base::Scratch => Chain::default(),
            Base::Image(image) => Chain { image: Some(image), layers: vec![] },
            Base::Stage(id) => {
                self.board.want(id);
                self.board.wait_for(id)?
            }
        };
        self.board.update(self.stage.id, |outcome| {
            outcome.started = unix_now();
            outcome.finished = outcome.started;
        });
        let mut anything_new = false;
        let result = self.steps(&mut chain, &mut anything_new);
        // After a failure too: the next build asks what changed since this one.
        if anything_new && let Err(error) = explain::remember(self.job.store, &self.job.subject, self.stage) {
            tracing::warn!(%error, "cannot remember this build to explain the next one");
        }
        result?;
        Ok(chain)
    }

    /// Takes the steps in order, and adds their layers to the chain.
    fn steps(&self, chain: &mut Chain, anything_new: &mut bool) -> Result<(), Stopped> {
        for (number, step) in file_steps(self.stage) {
            self.board.check()?;
            let at = StepAt { stage: self.stage.id.0, step: number };
            let came = self.step(at, step, chain, anything_new);
            self.board.update(self.stage.id, |outcome| outcome.finished = unix_now());
            let layer = came.map_err(|cause| self.failed(at, step, cause))?;
            self.hands.layer_ready(self.stage.id, &layer);
            chain.layers.push(layer);
        }
        Ok(())
    }

    /// Wants the stages that steps from `first` on will read, if they are not cached: so those begin while this one works.
    fn want_inputs(&self, first: usize) {
        let mut missing = false;
        for (number, step) in file_steps(self.stage) {
            missing |=
                self.by_content(step) || number < first || self.job.store.record(&step.key.0).is_none();
            if missing {
                for id in stages_read(step) {
                    self.board.want(id);
                }
            }
        }
    }

    /// Takes one step, and notes how it went.
    fn step(
        &self,
        at: StepAt,
        step: &'env Step,
        below: &Chain,
        anything_new: &mut bool,
    ) -> Result<LayerId, Cause> {
        let why = std::cell::OnceCell::new();
        let began = Instant::now();
        let came = self.come_by(at, step, below, &why);
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
                *anything_new |= why.get().is_some();
                Ok(layer)
            }
            Ok(Came::Made(layer, record)) => {
                self.job.events.event(Event::Finished { at, seconds: record.seconds, size: record.size });
                (outcome.state, outcome.seconds, outcome.size) =
                    (StepState::Ran, record.seconds, record.size);
                outcome.layer = Some(layer);
                *anything_new = true;
                Ok(layer)
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
        below: &Chain,
        why: &std::cell::OnceCell<String>,
    ) -> Result<Came, Cause> {
        let store = self.job.store;
        let below_is = below_name(self.job.graph, below);
        if !self.by_content(step)
            && let Some((layer, record)) = find(store, &step.key.0, &below_is)
        {
            return Ok(Came::Cached(layer, record));
        }
        let why = why.get_or_init(|| explain::why(store, &self.job.subject, self.stage, at.step, step));
        self.want_inputs(at.step);
        let inputs = self.inputs(at, step)?;
        let layer = fresh_layer(step);
        let task = Task { at, stage: self.stage, step, below, inputs: &inputs, layer };
        let content = if step.no_cache { None } else { self.content(&task, &below_is)? };
        if let Some(key) = content
            && let Some((layer, record)) = find(store, &key, &below_is)
        {
            self.put(&step.key.0, &record)?;
            return Ok(Came::Cached(layer, record));
        }
        let cancel = self.board.stop();
        let _flight = if self.by_content(step) {
            None
        } else {
            match store.wait(&step.key.0, FLIGHT_LIMIT, &|| cancel.is_cancelled())? {
                // Another build made it meanwhile.
                Flight::Done(_) => match find(store, &step.key.0, &below_is) {
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
        let made = self.hands.make(&task, cancel)?;
        let record =
            record(step, layer, &below_is, Timestamp::now(), began.elapsed().as_secs_f64(), made.size);
        self.put(&step.key.0, &record)?;
        self.remember_content(&task, content, below_is, record.clone());
        Ok(Came::Made(layer, record))
    }

    /// Tells whether a step's key does not count: it is made anew, or at most found again by what it reads.
    fn by_content(&self, step: &Step) -> bool {
        step.no_cache || reads_renewed(step, self.renewed)
    }

    /// Waits for the stages that a step reads.
    fn inputs(&self, at: StepAt, step: &Step) -> Result<BTreeMap<StageId, Chain>, Cause> {
        let began = Instant::now();
        let mut inputs = BTreeMap::new();
        for id in stages_read(step) {
            self.board.want(id);
            if !self.board.is_done(id) {
                let for_stage =
                    self.job.graph.stages.get(id.0).map(|stage| stage.name.clone()).unwrap_or_default();
                self.job.events.event(Event::Waiting { at, for_stage });
            }
            let chain = self.board.wait_for(id).map_err(|_| Cause::Cancelled)?;
            inputs.insert(id, chain);
        }
        let waited = began.elapsed().as_secs_f64();
        self.board.update(self.stage.id, |outcome| outcome.waited += waited);
        Ok(inputs)
    }

    /// Returns the content key where there may be something under it.
    fn content(&self, task: &Task<'_>, below: &str) -> Result<Option<Digest>, Cause> {
        let Some(marker) = content_key(task, below, &Digest::of(MARKER)) else { return Ok(None) };
        if self.job.store.memo::<bool>(&marker.to_string()).is_none() {
            return Ok(None);
        }
        Ok(self.hands.content(task)?.and_then(|content| content_key(task, below, &content)))
    }

    /// Stores a step under its content key too, beside the work: reading what a copy read takes time.
    fn remember_content(&self, task: &Task<'_>, known: Option<Digest>, below: String, record: Record) {
        let (job, hands, cancel) = (self.job, self.hands, self.board.stop().clone());
        let (stage, step, chain, inputs) = (self.stage, task.step, task.below.clone(), task.inputs.clone());
        let Some(step) = stage.steps.get(task.at.step).filter(|found| found.key == step.key) else { return };
        let (at, layer) = (task.at, task.layer);
        self.scope.spawn(move || {
            let task = Task { at, stage, step, below: &chain, inputs: &inputs, layer };
            let find_out = || {
                hands.content(&task).ok().flatten().and_then(|content| content_key(&task, &below, &content))
            };
            let key = known.or_else(|| if cancel.is_cancelled() { None } else { find_out() });
            let marker = content_key(&task, &below, &Digest::of(MARKER));
            if let (Some(key), Some(marker)) = (key, marker) {
                let stored = job
                    .store
                    .put_record(&key, &record)
                    .and_then(|()| job.store.put_memo(&marker.to_string(), &true));
                if let Err(error) = stored {
                    tracing::warn!(%error, "cannot store a step under its content");
                }
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

fn unix_now() -> f64 {
    #[allow(clippy::cast_precision_loss)] // milliseconds are enough
    let millis = Timestamp::now().as_millisecond() as f64;
    millis / 1000.0
}
