//! Finding a step's result in the cache.
//!
//! A record counts only on the very layer that it was made on: a layer is a difference, and means nothing elsewhere. So
//! every layer has a name of its own, and the record of a step names the layer below it.
//!
//! There are two keys. The graph's key is known before anything runs. The content key is asked for when the first one
//! fails: same step, same tree below, same bytes read. It finds the result when a stage was built again and gave the same
//! files.

use jiff::Timestamp;
use slipway_graph::ir::{Base, CopyItem, Graph, Input, MountSource, Op, Stage, StageId, Step};
use slipway_oci::Digest;
use slipway_store::{LayerId, Record, Store};

use super::{Chain, Task};

/// The part of a record that names the layer below.
const BELOW: &str = "\u{0}below";

/// Returns the name of the tree below as records hold it.
pub(crate) fn below_name(graph: &Graph, below: &Chain) -> String {
    match (below.layers.last(), below.image) {
        (Some(layer), _) => layer.to_string(),
        (None, Some(image)) => graph
            .images
            .get(image.0)
            .map(|image| chain_name(&image.config.rootfs.diff_ids))
            .unwrap_or_default(),
        (None, None) => String::new(),
    }
}

/// Images with the same layers are the same tree, whatever they are called.
fn chain_name(diff_ids: &[Digest]) -> String {
    if diff_ids.is_empty() {
        return String::new();
    }
    let text: Vec<String> = diff_ids.iter().map(ToString::to_string).collect();
    Digest::of(text.join("\n")).to_string()
}

/// Returns the layer that a key gave on this tree, where the cache has it; holds it until the store is closed.
pub(crate) fn find(store: &Store, key: &Digest, below: &str) -> Option<(LayerId, Record)> {
    let record = store.record(key)?;
    let layer = record.layer?;
    let fits = record.parts.iter().any(|(name, value)| name == BELOW && value == below);
    // A store that is only read cannot be held; whoever opened it for writing holds what the build needs.
    let there = fits && (store.is_readonly() || store.hold_layer(&layer).unwrap_or(false));
    there.then_some((layer, record))
}

/// Returns the record of a step that has just been made.
pub(crate) fn record(
    step: &Step,
    layer: LayerId,
    below: &str,
    created: Timestamp,
    seconds: f64,
    size: u64,
) -> Record {
    let mut parts: Vec<(String, String)> =
        step.parts.iter().map(|part| (part.name.clone(), part.value.clone())).collect();
    parts.push((BELOW.to_owned(), below.to_owned()));
    Record { layer: Some(layer), created, seconds, size, parts }
}

/// Returns a name for a layer that nothing had before.
pub(crate) fn fresh_layer(step: &Step) -> LayerId {
    let now = Timestamp::now().as_nanosecond();
    LayerId::step(Digest::of(format!("{}\n{now}\n{}", step.key, std::process::id())))
}

/// Returns the content key of a step, where what it reads has digest `content`.
pub(crate) fn content_key(task: &Task<'_>, below: &str, content: &Digest) -> Option<Digest> {
    let mut op = task.step.op.clone()?;
    forget_inputs(&mut op);
    // More goes in than the graph's key has (limits, hosts): that can only miss, never hit wrongly.
    let op = serde_json::to_string(&op).ok()?;
    Some(Digest::of(format!("slipway content key 1\n{}\n{below}\n{content}\n{op}", below.len())))
}

/// Replaces the names of trees by nothing: their content stands for them.
fn forget_inputs(op: &mut Op) {
    match op {
        Op::Run(run) => {
            for mount in &mut run.mounts {
                match &mut mount.source {
                    MountSource::Bind { input, .. } | MountSource::Cache { from: input, .. } => {
                        *input = Input::Empty;
                    }
                    _ => {}
                }
            }
        }
        Op::Copy(copy) => {
            for item in &mut copy.items {
                if let CopyItem::Path { input, .. } = item {
                    *input = Input::Empty;
                }
            }
        }
        Op::Workdir(_) => {}
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
