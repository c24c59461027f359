//! Finding a step's result in the cache.
//!
//! A record counts only on the very layer that it was made on: a layer is a difference, and means nothing elsewhere. So
//! every layer has a name of its own, and the record of a step names the layer below it.
//!
//! A step is asked for by three keys, each only where the one before fails:
//!
//! 1. The graph's, known before anything runs.
//! 2. The same with the keys under which the trees that it reads were *made*: a tree that was found by content has the key
//!    of the build that made it, and what was built on it then is found on it now.
//! 3. By content: same step, same tree below, same bytes read from other stages. It finds the result when a stage was
//!    built again and gave the same files.

use jiff::Timestamp;
use slipway_graph::ir::{Base, CopyItem, Graph, Input, MountSource, Op, Stage, StageId, Step};
use slipway_graph::key::step::Read;
use slipway_graph::key::{Key, Tree, image_key, scratch_key, step_key};
use slipway_oci::Digest;
use slipway_store::{LayerId, Record, Store};

use super::Chain;
use crate::cache::Shelf;

/// The part of a record that names the layer below.
pub(crate) const BELOW: &str = "\u{0}below";

/// Returns the name of the tree below as records hold it.
pub(crate) fn below_name(graph: &Graph, below: &Chain) -> String {
    match below.layers.last() {
        Some(layer) => layer.to_string(),
        None => base_name(graph, below),
    }
}

/// Returns the name of the image at the bottom of a tree; empty where there is none.
pub(crate) fn base_name(graph: &Graph, tree: &Chain) -> String {
    let image = tree.image.and_then(|image| graph.images.get(image.0));
    image.map(|image| chain_name(&image.config.rootfs.diff_ids)).unwrap_or_default()
}

/// Images with the same layers are the same tree, whatever they are called.
pub(crate) fn chain_name(diff_ids: &[Digest]) -> String {
    if diff_ids.is_empty() {
        return String::new();
    }
    let text: Vec<String> = diff_ids.iter().map(ToString::to_string).collect();
    Digest::of(text.join("\n")).to_string()
}

/// Returns the layer that a key gave on this tree, where the store has it; holds it until the store is closed.
pub(crate) fn stored(store: &Store, key: &Digest, below: &str) -> Option<(LayerId, Record)> {
    let record = store.record(key)?;
    let layer = record.layer?;
    let fits = record.parts.iter().any(|(name, value)| name == BELOW && value == below);
    (fits && hold(store, &layer)).then_some((layer, record))
}

/// Holds a layer until the store is closed, and tells whether it is here.
pub(crate) fn hold(store: &Store, layer: &LayerId) -> bool {
    // A store that is only read cannot be held; whoever opened it for writing holds what the build needs.
    if store.is_readonly() { store.has_layer(layer) } else { store.hold_layer(layer).unwrap_or(false) }
}

/// Returns the record of a step that has just been made.
pub(crate) fn record(
    step: &Step,
    made: &Key,
    layer: LayerId,
    below: &str,
    created: Timestamp,
    seconds: f64,
    size: u64,
) -> Record {
    let mut parts: Vec<(String, String)> =
        step.parts.iter().map(|part| (part.name.clone(), part.value.clone())).collect();
    parts.push((BELOW.to_owned(), below.to_owned()));
    let made = (*made != step.key).then_some(made.0);
    Record { layer: Some(layer), created, seconds, size, parts, made, content: None }
}

/// Returns a name for a layer that nothing had before.
pub(crate) fn fresh_layer(step: &Step) -> LayerId {
    let now = Timestamp::now().as_nanosecond();
    LayerId::step(Digest::of(format!("{}\n{now}\n{}", step.key, std::process::id())))
}

/// Returns the key of the tree that a stage starts with, where that is not another stage.
pub(crate) fn base_key(graph: &Graph, base: Base) -> Key {
    match base {
        Base::Image(id) => graph.images.get(id.0).map_or_else(scratch_key, |image| image_key(&image.config)),
        Base::Scratch | Base::Stage(_) => scratch_key(),
    }
}

/// Returns a key for a tree of which no key tells what is in it: by its very layers.
pub(crate) fn key_of_layers(tree: &Chain) -> Key {
    let layers: Vec<String> = tree.layers.iter().map(ToString::to_string).collect();
    Key(Digest::of(format!("layers\n{}", layers.join("\n"))))
}

/// Returns what a step reads, stages by the keys under which they were made.
pub(crate) fn made_trees(op: &Op, trees: &[Tree], made: impl Fn(StageId) -> Option<Key>) -> Vec<Tree> {
    let reads = op.reads();
    let tree = |(at, tree): (usize, &Tree)| match (reads.get(at), tree) {
        (Some(Read::Tree { input: Input::Stage(id), .. }), Tree::Key(key)) => {
            Tree::Key(made(*id).unwrap_or(*key))
        }
        _ => *tree,
    };
    trees.iter().enumerate().map(tree).collect()
}

/// Returns the key of a step on a tree and over trees by the keys under which they were made.
pub(crate) fn made_key(stage: &Stage, step: &Step, below: &Key, trees: &[Tree]) -> Key {
    step.op.as_ref().map_or(step.key, |op| step_key(op, below, &stage.platform, trees))
}

/// What the cache has for the first steps of a stage, by the graph's keys.
pub(crate) struct Hits {
    /// The tree below the first step: what the stage starts from, perhaps made of other layers with the same keys.
    pub(crate) below: Chain,
    /// The layers of the first steps.
    pub(crate) found: Vec<(LayerId, Record)>,
}

impl Hits {
    /// Returns the tree after the last step that was found.
    pub(crate) fn tree(&self) -> Chain {
        let mut tree = self.below.clone();
        tree.layers.extend(self.found.iter().map(|(layer, _)| layer));
        tree
    }
}

/// Looks for the first steps of a stage, step by step on `start`; where an imported cache goes further on layers of its
/// own, it is followed instead: equal keys say that its layers are as good.
///
/// `renewed` tells of which stages the keys do not count.
pub(crate) fn first_hits(
    graph: &Graph,
    shelf: &Shelf<'_>,
    (stage, renewed): (&Stage, &[bool]),
    start: &Chain,
) -> Hits {
    let counts = |step: &&Step| !step.no_cache && !reads_renewed(step, renewed);
    let steps: Vec<&Step> = file_steps(stage).map(|(_, step)| step).take_while(counts).collect();
    let mut hits = Hits { below: start.clone(), found: vec![] };
    extend(graph, shelf, &steps, &mut hits);
    let own = start.layers.len();
    for at in (hits.found.len()..steps.len()).rev() {
        let base = base_name(graph, start);
        if let Some(mut chain) = shelf.imported.chain(&steps[at].key.0, &base, own + at + 1) {
            for (layer, _) in &chain {
                hold(shelf.store, layer);
            }
            let found = chain.split_off(own);
            hits.below.layers = chain.into_iter().map(|(layer, _)| layer).collect();
            hits.found = found;
            extend(graph, shelf, &steps, &mut hits);
            break;
        }
    }
    hits
}

/// Goes on with the next steps, as far as each is found on the one before.
fn extend(graph: &Graph, shelf: &Shelf<'_>, steps: &[&Step], hits: &mut Hits) {
    let mut tree = hits.tree();
    for step in steps.iter().skip(hits.found.len()) {
        let Some((layer, record)) = shelf.find(&step.key.0, &below_name(graph, &tree)) else { return };
        tree.layers.push(layer);
        hits.found.push((layer, record));
    }
}

/// Returns the stages that a step reads besides the one below it.
pub(crate) fn stages_read(step: &Step) -> Vec<StageId> {
    let inputs: Vec<&Input> = match &step.op {
        Some(Op::Run(run)) => run
            .mounts
            .iter()
            .filter_map(|mount| match &mount.source {
                MountSource::Bind { input, .. } | MountSource::Cache { from: input, .. } => Some(input),
                _ => None,
            })
            .collect(),
        Some(Op::Copy(copy)) => copy
            .items
            .iter()
            .filter_map(|item| match item {
                CopyItem::Path { input, .. } => Some(input),
                _ => None,
            })
            .collect(),
        _ => vec![],
    };
    let mut stages: Vec<StageId> = inputs
        .into_iter()
        .filter_map(|input| match input {
            Input::Stage(id) => Some(*id),
            _ => None,
        })
        .collect();
    stages.sort_unstable();
    stages.dedup();
    stages
}

/// Tells for each stage whether any of it, or of what it is made from, is not to come from the cache.
///
/// What such a stage will hold is not known by a key: whoever reads it waits for it, and goes by what is in it.
pub(crate) fn renewed(graph: &Graph) -> Vec<bool> {
    let mut renewed = vec![false; graph.stages.len()];
    for stage in &graph.stages {
        let of = |id: &StageId| renewed.get(id.0).copied().unwrap_or(false);
        let base = matches!(&stage.base, Base::Stage(id) if of(id));
        let any = |step: &Step| step.no_cache || stages_read(step).iter().any(of);
        let own = base || stage.steps.iter().any(any);
        if let Some(slot) = renewed.get_mut(stage.id.0) {
            *slot = own;
        }
    }
    renewed
}

/// Tells whether a step reads a stage that is made anew, so that its key alone says nothing.
pub(crate) fn reads_renewed(step: &Step, renewed: &[bool]) -> bool {
    stages_read(step).iter().any(|id| renewed.get(id.0).copied().unwrap_or(false))
}

/// Returns the steps of a stage that make or change files, with their numbers.
pub(crate) fn file_steps(stage: &Stage) -> impl DoubleEndedIterator<Item = (usize, &Step)> {
    stage.steps.iter().enumerate().filter(|(_, step)| step.op.is_some())
}
