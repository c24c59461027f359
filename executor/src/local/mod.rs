//! Carries out steps in this process: [`crate::engine::Hands`] over the store, the trees and a sandbox.

mod copy;
pub mod files;
pub mod lent;
pub mod output;
mod run;

use std::path::Path;

use slipway_graph::ir::{Op, StageId};
use slipway_graph::key::Tree;
use slipway_oci::Digest;
use slipway_sandbox::{Cancel, Sandbox};
use slipway_store::{Committed, LayerId, LayerMeta, LayerWriter, Mounts, Need, Store};

use crate::engine::{Cause, Hands, Made, Permits, StageOutcome, Task};
use crate::event::Events;
use crate::inputs::Inputs;
use crate::room;
use crate::tree::{LayerStack, Time, TreeError};
use lent::Lent;

pub(crate) use copy::ignore_of;
pub use run::{RunPlaces, run_command};

/// Works in this process.
pub struct LocalHands<'a> {
    /// Where layers go.
    pub store: &'a Store,
    /// Runs commands.
    pub sandbox: &'a dyn Sandbox,
    /// The trees that steps read.
    pub inputs: &'a Inputs<'a>,
    /// Directories that live on between builds.
    pub mounts: Mounts,
    /// Secrets and agents.
    pub lent: Lent,
    /// Who hears the output.
    pub events: Events,
    /// How many steps run at once.
    pub permits: Permits,
    /// Is told of finished layers.
    pub follower: &'a dyn Follower,
}

/// Follows a build: makes archives of layers, uploads them.
pub trait Follower: Sync {
    /// A layer of a stage is there. Must not block.
    fn layer_ready(&self, _stage: StageId, _layer: &LayerId) {}
    /// Nothing more is to be done for a stage.
    fn stage_over(&self, _stage: StageId, _outcome: &StageOutcome) {}
}

/// Follows nothing.
#[derive(Debug)]
pub struct Nobody;

impl Follower for Nobody {}

impl Hands for LocalHands<'_> {
    fn make(&self, task: &Task<'_>, cancel: &Cancel) -> Result<Made, Cause> {
        // What did not fit is tried again with more room: a step begins with nothing, so nothing of it was done.
        for need in [Need::Quarter, Need::Everything] {
            match self.try_make(task, cancel) {
                Err(Cause::Full { .. }) if room::make_more(self.store, need, &self.events) => {}
                other => return other,
            }
        }
        self.try_make(task, cancel)
    }

    fn content(&self, task: &Task<'_>, trees: &[Tree]) -> Result<Option<Vec<Digest>>, Cause> {
        self.content_read(task, trees)
    }

    fn can_begin_again(&self) -> bool {
        true
    }

    fn permits(&self, _task: &Task<'_>) -> Option<&Permits> {
        Some(&self.permits)
    }

    fn layer_ready(&self, stage: StageId, layer: &LayerId) {
        self.follower.layer_ready(stage, layer);
    }

    fn stage_over(&self, stage: StageId, outcome: &StageOutcome) {
        self.follower.stage_over(stage, outcome);
    }
}

impl LocalHands<'_> {
    /// Makes a step's layer, as far as there is room.
    fn try_make(&self, task: &Task<'_>, cancel: &Cancel) -> Result<Made, Cause> {
        let writer = self.store.layer_writer(&task.layer)?;
        let judged = |cause| room::judge(cause, writer.fs(), self.store.root());
        let meta = self.fill(task, &writer, cancel).map_err(judged)?;
        match writer.commit(meta)? {
            Committed::First | Committed::Lost => Ok(Made { size: meta.size }),
        }
    }

    fn fill(&self, task: &Task<'_>, writer: &LayerWriter<'_>, cancel: &Cancel) -> Result<LayerMeta, Cause> {
        match &task.step.op {
            Some(Op::Run(op)) => {
                let places = RunPlaces { upper: writer.fs(), work: writer.work() };
                run_command(self, task, op, &places, cancel)
            }
            Some(Op::Copy(op)) => self.copy(task, op, writer.fs(), cancel),
            Some(Op::Workdir(op)) => {
                let below = self.below(task)?;
                crate::tree::workdir::workdir(writer.fs(), &below, op, Time::now()).map_err(tree_cause)?;
                measure(writer.fs())
            }
            None => Ok(LayerMeta::default()),
        }
    }

    /// Returns the tree below a step.
    fn below(&self, task: &Task<'_>) -> Result<LayerStack, Cause> {
        self.inputs.stack(task.below)
    }
}

/// Turns an error of a tree into a cause: what the file system refused is no fault of the Dockerfile.
#[allow(clippy::needless_pass_by_value)] // the form that `map_err` wants
pub(crate) fn tree_cause(error: TreeError) -> Cause {
    let text = Cause::text(&error);
    match error {
        TreeError::Io { .. } => Cause::Infrastructure(text),
        _ => Cause::Instruction(text),
    }
}

/// Returns what is known of a layer by walking it.
pub(crate) fn measure(layer: &Path) -> Result<LayerMeta, Cause> {
    let size = crate::tree::size::of(&LayerStack::plain(layer).map_err(tree_cause)?).map_err(tree_cause)?;
    Ok(LayerMeta { size: size.bytes, entries: size.entries, diff_id: None })
}
