//! What a running build knows: which stages are wanted, how far each is, and whether to stop. Shared by all threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slipway_graph::ir::{ImageId, StageId};
use slipway_graph::key::Key;
use slipway_sandbox::Cancel;
use slipway_store::LayerId;

use super::outcome::{StageOutcome, StepOutcome};
use super::{Failed, Stopped};

/// A file tree by the names of its layers: those of an image, which need not be here yet, and those built on top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The image below.
    pub image: Option<ImageId>,
    /// The built layers, lowest first.
    pub layers: Vec<LayerId>,
}

#[derive(Debug, Default)]
struct State {
    stages: Vec<StageState>,
    running: usize,
    failures: Vec<Failed>,
}

#[derive(Debug, Default)]
struct StageState {
    wanted: bool,
    spawned: bool,
    /// The tree, and the key under which it was made.
    done: Option<(Chain, Key)>,
    outcome: StageOutcome,
}

/// The board.
#[derive(Debug)]
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Condvar,
    stop: Cancel,
    /// A wish to stop from outside that `stop` does not hear of by itself.
    outside: Option<Cancel>,
}

impl Board {
    pub(crate) fn new(outcomes: Vec<StageOutcome>, stop: Cancel, outside: Option<Cancel>) -> Self {
        let stages =
            outcomes.into_iter().map(|outcome| StageState { outcome, ..StageState::default() }).collect();
        let state = Mutex::new(State { stages, ..State::default() });
        Self { state, changed: Condvar::new(), stop, outside }
    }

    /// Waits for a change, or a moment: a wish to stop from outside wakes nobody.
    fn pause<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a stage's result is needed.
    pub(crate) fn want(&self, stage: StageId) {
        if let Some(state) = self.lock().stages.get_mut(stage.0)
            && !state.wanted
        {
            state.wanted = true;
            self.changed.notify_all();
        }
    }

    /// Returns the next stage to begin; waits where none is wanted yet. None: all that was wanted is over.
    pub(crate) fn next_to_begin(&self) -> Option<StageId> {
        let mut state = self.lock();
        loop {
            if self.outside.as_ref().is_some_and(Cancel::is_cancelled) {
                self.stop.cancel();
            }
            let halted = self.stop.is_cancelled();
            let found =
                state.stages.iter().position(|stage| stage.wanted && !stage.spawned).filter(|_| !halted);
            if let Some(found) = found {
                state.stages[found].spawned = true;
                state.running += 1;
                return Some(StageId(found));
            }
            if state.running == 0 {
                return None;
            }
            state = self.pause(state);
        }
    }

    /// Says that a stage's thread is over.
    pub(crate) fn ended(&self, stage: StageId, result: Result<(Chain, Key), Stopped>) {
        let mut state = self.lock();
        state.running -= 1;
        match result {
            Ok(done) => {
                if let Some(stage) = state.stages.get_mut(stage.0) {
                    stage.done = Some(done);
                }
            }
            Err(Stopped::Failed(failed)) => {
                state.failures.push(*failed);
                self.stop.cancel();
            }
            Err(Stopped::Halted) => {}
        }
        self.changed.notify_all();
    }

    /// Waits until a stage is done; returns its tree and the key under which that was made.
    pub(crate) fn wait_for(&self, stage: StageId) -> Result<(Chain, Key), Stopped> {
        let mut state = self.lock();
        loop {
            if let Some(done) = state.stages.get(stage.0).and_then(|stage| stage.done.clone()) {
                return Ok(done);
            }
            if self.stop.is_cancelled() {
                return Err(Stopped::Halted);
            }
            state = self.pause(state);
        }
    }

    /// Tells whether a stage is done.
    pub(crate) fn is_done(&self, stage: StageId) -> bool {
        self.lock().stages.get(stage.0).is_some_and(|stage| stage.done.is_some())
    }

    /// Fails where the build is to stop.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.stop.is_cancelled() { Err(Stopped::Halted) } else { Ok(()) }
    }

    /// Returns what tells the hands to stop.
    pub(crate) fn stop(&self) -> &Cancel {
        &self.stop
    }

    /// Notes how a step went.
    pub(crate) fn note(&self, stage: StageId, step: usize, outcome: StepOutcome) {
        if let Some(stage) = self.lock().stages.get_mut(stage.0)
            && let Some(place) = stage.outcome.steps.iter_mut().find(|known| known.step == step)
        {
            *place = outcome;
        }
    }

    /// Changes what is known of a stage.
    pub(crate) fn update(&self, stage: StageId, change: impl FnOnce(&mut StageOutcome)) {
        if let Some(stage) = self.lock().stages.get_mut(stage.0) {
            change(&mut stage.outcome);
        }
    }

    /// Returns what is known of a stage.
    pub(crate) fn outcome(&self, stage: StageId) -> StageOutcome {
        self.lock().stages.get(stage.0).map(|stage| stage.outcome.clone()).unwrap_or_default()
    }

    /// Returns everything at the end: outcomes, results, failures.
    pub(crate) fn finish(self) -> (Vec<StageOutcome>, Vec<Option<Chain>>, Vec<Failed>) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (outcomes, chains) = (state.stages.into_iter())
            .map(|stage| (stage.outcome, stage.done.map(|(chain, _)| chain)))
            .unzip();
        (outcomes, chains, state.failures)
    }
}
