//! The engine: takes a graph and makes what its targets need, from the cache where it can, side by side where it may.
//!
//! The engine decides *what* happens: which stages are wanted, which steps the cache has, what waits for what, when to
//! stop. [`Hands`] do it: [`crate::local`] in this process, [`crate::pod`] through stage pods.
//!
//! A stage is one thread: its steps go in order. A stage begins when something needs it and not before, so a fully cached
//! build touches no more than records.

mod board;
mod explain;
mod failure;
pub(crate) mod lookup;
mod outcome;
mod permits;
mod schedule;
pub mod survey;

use std::collections::BTreeMap;

use slipway_graph::ir::{Graph, Stage, StageId, Step};
use slipway_graph::key::Tree;
use slipway_oci::Digest;
use slipway_sandbox::Cancel;
use slipway_store::{LayerId, Store};

pub use board::Chain;
pub use failure::{Cause, Excerpt, Exit, Failed};
pub use outcome::{StageOutcome, StepOutcome, StepState};
pub use permits::Permits;

use crate::cache::Imported;
use crate::event::{Events, StepAt};

/// What to build.
#[derive(Clone)]
pub struct Job<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Where results lie.
    pub store: &'a Store,
    /// What was imported for this build.
    pub imported: &'a Imported,
    /// The stages whose results are needed.
    pub targets: Vec<StageId>,
    /// What is built, by a name that stays the same from build to build: explains why a step was not cached.
    pub subject: String,
    /// Who wants to know how it goes.
    pub events: Events,
}

/// What carries out steps.
pub trait Hands: Sync {
    /// Makes a step's layer in the store, under the name that the task gives, and returns the bytes of its files.
    ///
    /// Long work looks at `cancel` now and then.
    fn make(&self, task: &Task<'_>, cancel: &Cancel) -> Result<Made, Cause>;

    /// Returns the digests of what a step reads besides the tree below it, in the order of [`slipway_graph::ir::Op::reads`]:
    /// equal digests, equal results for the same step. None where they cannot be told. `trees` are the same things as the
    /// step's key takes them.
    fn content(&self, task: &Task<'_>, trees: &[Tree]) -> Result<Option<Vec<Digest>>, Cause>;

    /// Tells whether a build may begin anew after a failure, with these hands.
    fn can_begin_again(&self) -> bool {
        false
    }

    /// Returns the permits that the step needs one of; none where it runs somewhere else.
    fn permits(&self, task: &Task<'_>) -> Option<&Permits>;

    /// Is told that a step's layer is there, whether it was made or found. Must not block.
    fn layer_ready(&self, stage: StageId, layer: &LayerId);

    /// Is told that nothing more is to be done for a stage.
    fn stage_over(&self, stage: StageId, outcome: &StageOutcome);
}

/// A step to carry out.
#[derive(Debug)]
pub struct Task<'a> {
    /// Its place.
    pub at: StepAt,
    /// The stage.
    pub stage: &'a Stage,
    /// The step.
    pub step: &'a Step,
    /// The tree below.
    pub below: &'a Chain,
    /// The trees of the stages that it reads.
    pub inputs: &'a BTreeMap<StageId, Chain>,
    /// The name for the layer.
    pub layer: LayerId,
}

/// What a step made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made {
    /// Bytes of the layer's files.
    pub size: u64,
}

/// Why a stage's thread stopped.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// One of its steps failed.
    Failed(Box<Failed>),
    /// Another stage failed, or the build was cancelled.
    Halted,
}

/// What came of a build.
#[derive(Debug)]
pub struct Outcome {
    /// Every stage of the graph, whether it was needed or not.
    pub stages: Vec<StageOutcome>,
    /// The trees of the stages that were needed and done, by their number.
    pub trees: Vec<Option<Chain>>,
    /// What failed, first things first; empty where all went well.
    pub failures: Vec<Failed>,
    /// True where the build was cancelled.
    pub cancelled: bool,
}

impl Outcome {
    /// Tells whether every target is there.
    pub fn succeeded(&self) -> bool {
        self.failures.is_empty() && !self.cancelled
    }
}

pub use schedule::run;
