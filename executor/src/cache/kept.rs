//! What of a build is exported: which steps, and by which keys they will be found.

use std::collections::{BTreeMap, HashMap};

use slipway_graph::ir::{Graph, Stage, StageId, Step as GraphStep};
use slipway_oci::Descriptor;
use slipway_oci::Digest;
use slipway_store::LayerId;

use super::format::{self, Document, InlineStep, MAX_DEPTH, MAX_STEPS, Step};
use super::{Mode, Shelf};
use crate::assemble::AssembleError;
use crate::assemble::config::lineage;
use crate::assemble::forms::Forms;
use crate::engine::lookup::{base_name, file_steps};
use crate::engine::survey::hits;
use crate::engine::{Chain, Outcome};

/// How many keys of a step are handed on.
const KEYS: usize = 8;

/// Steps and layers of one or several builds: one a platform.
#[derive(Debug, Default)]
pub struct Kept {
    steps: Vec<Step>,
    by_layer: HashMap<LayerId, usize>,
    blobs: BTreeMap<Digest, Descriptor>,
}

impl Kept {
    /// Adds a build that succeeded.
    pub fn add(
        &mut self,
        graph: &Graph,
        shelf: &Shelf<'_>,
        forms: &Forms<'_>,
        outcome: &Outcome,
        mode: Mode,
    ) -> Result<(), AssembleError> {
        let built = |stage: StageId| outcome.trees.get(stage.0).cloned().flatten();
        match mode {
            Mode::Min => {
                for output in &graph.outputs {
                    if let Some(tree) = built(output.stage) {
                        self.add_tree(graph, shelf, forms, output.stage, &tree)?;
                    }
                }
            }
            // Also what nobody asked for this time, since all that reads it was cached: the next build may.
            Mode::Max => {
                let known = hits(graph, shelf);
                for (stage, hits) in graph.stages.iter().zip(known) {
                    if let Some(tree) = built(stage.id).or_else(|| hits.map(|hits| hits.tree())) {
                        self.add_tree(graph, shelf, forms, stage.id, &tree)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add_tree(
        &mut self,
        graph: &Graph,
        shelf: &Shelf<'_>,
        forms: &Forms<'_>,
        stage: StageId,
        tree: &Chain,
    ) -> Result<(), AssembleError> {
        forms.prepare(tree)?;
        let mut below = None;
        for ((stage, step), layer) in lineage_steps(graph, stage).zip(&tree.layers) {
            if let Some(known) = self.by_layer.get(layer) {
                let keys = &mut self.steps[*known].keys;
                if !keys.contains(&step.key.0) && keys.len() < KEYS {
                    keys.push(step.key.0);
                }
                below = Some(*known);
                continue;
            }
            let record = shelf.record(&step.key.0, layer);
            let record =
                record.ok_or_else(|| AssembleError::Lost { stage: stage.name.clone(), line: step.line })?;
            let form = forms.get(layer, &stage.name)?;
            let number = self.steps.len();
            self.steps.push(Step {
                below,
                base: if below.is_none() { base_name(graph, tree) } else { String::new() },
                blob: form.blob,
                diff_id: form.diff_id,
                keys: keys(shelf, step, layer, record.made),
                content: record.content,
                created: record.created,
                seconds: record.seconds,
                size: record.size,
            });
            self.blobs
                .entry(form.blob)
                .or_insert_with(|| Descriptor::new(form.media_type, form.blob, form.size));
            self.by_layer.insert(*layer, number);
            below = Some(number);
        }
        Ok(())
    }

    /// Tells whether there is nothing to export.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Returns the number of steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Returns the layers, each once.
    pub fn blobs(&self) -> Vec<Descriptor> {
        self.blobs.values().cloned().collect()
    }

    /// Returns the document; none where it is larger than anybody would read it.
    pub fn document(&self) -> Option<Vec<u8>> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            depths.push(step.below.and_then(|below| depths.get(below)).copied().unwrap_or(0) + 1);
        }
        let fits = self.steps.len() <= MAX_STEPS && depths.iter().all(|depth| *depth <= MAX_DEPTH);
        let document = Document { version: format::VERSION, steps: self.steps.clone() };
        fits.then(|| document.to_bytes()).filter(|bytes| bytes.len() as u64 <= format::MAX_BYTES)
    }
}

/// Returns the steps that made the layers of a stage's tree, from the lowest stage of its lineage up.
pub(crate) fn lineage_steps(graph: &Graph, stage: StageId) -> impl Iterator<Item = (&Stage, &GraphStep)> {
    lineage(graph, stage).into_iter().flat_map(|stage| file_steps(stage).map(move |(_, step)| (stage, step)))
}

/// Returns the inline form of a step.
pub(crate) fn inline_step(shelf: &Shelf<'_>, step: &GraphStep, layer: &LayerId) -> Option<InlineStep> {
    let record = shelf.record(&step.key.0, layer)?;
    let keys = keys(shelf, step, layer, record.made);
    Some(InlineStep { keys, content: record.content, size: record.size })
}

/// Returns the keys that a step is known by: first the one under which it was made, then this build's, then others.
fn keys(shelf: &Shelf<'_>, step: &GraphStep, layer: &LayerId, made: Option<Digest>) -> Vec<Digest> {
    let mut keys = vec![made.unwrap_or(step.key.0)];
    let others = shelf.imported.layer(layer).map(|layer| layer.keys.clone()).unwrap_or_default();
    for key in std::iter::once(step.key.0).chain(others) {
        if !keys.contains(&key) && keys.len() < KEYS {
            keys.push(key);
        }
    }
    keys
}
