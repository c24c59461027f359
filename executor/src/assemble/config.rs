//! The configuration of a built image: history, layers and times. Pure.
//!
//! Times: a layer has the time at which its step ran, which its record keeps, so a fully cached build gives the same
//! bytes on another day. Steps without a layer take the time of the step before them. `SOURCE_DATE_EPOCH` replaces the
//! times of the new steps; those of the base image stay.

use jiff::Timestamp;
use slipway_graph::ir::{Base, Graph, Output, Stage, StageId};
use slipway_oci::{Digest, History, ImageConfig};

use crate::cache::format::{BUILDKIT_INLINE_FIELD, INLINE_FIELD};

/// One layer of a built image that a step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeLayer {
    /// The digest of its uncompressed archive.
    pub diff_id: Digest,
    /// When its step ran.
    pub created: Timestamp,
}

/// Returns the stages from the one that starts from an image or from nothing, up to `stage`.
pub fn lineage(graph: &Graph, stage: StageId) -> Vec<&Stage> {
    let mut chain = Vec::new();
    let mut at = graph.stages.get(stage.0);
    while let Some(found) = at {
        chain.push(found);
        at = match found.base {
            // A stage starts from earlier ones only, so this ends.
            Base::Stage(id) if id < found.id => graph.stages.get(id.0),
            _ => None,
        };
    }
    chain.reverse();
    chain
}

/// Returns the configuration of the base image below a stage, if there is one.
pub fn base_config(graph: &Graph, stage: StageId) -> Option<&ImageConfig> {
    match lineage(graph, stage).first()?.base {
        Base::Image(id) => graph.images.get(id.0).map(|image| &image.config),
        _ => None,
    }
}

/// Returns the configuration of the image of a target for a platform.
///
/// `made` has one layer for every step with an operation, from the lowest stage of the lineage up.
pub fn image_config(
    graph: &Graph,
    output: &Output,
    made: &[MadeLayer],
    epoch: Option<Timestamp>,
) -> ImageConfig {
    let chain = lineage(graph, output.stage);
    let base = base_config(graph, output.stage);
    let mut config = chain.last().map(|last| last.config.clone()).unwrap_or_default();
    config.architecture.clone_from(&output.platform.architecture);
    config.os.clone_from(&output.platform.os);
    config.variant.clone_from(&output.platform.variant);
    config.history = base.map(|base| base.history.clone()).unwrap_or_default();
    // A cache inside the base tells of the base alone.
    config.other.retain(|field, _| field != INLINE_FIELD && field != BUILDKIT_INLINE_FIELD);
    config.rootfs.kind = "layers".into();
    config.rootfs.diff_ids = base.map(|base| base.rootfs.diff_ids.clone()).unwrap_or_default();

    let mut time = epoch.unwrap_or_else(|| base.and_then(last_time).unwrap_or(Timestamp::UNIX_EPOCH));
    let mut layers = made.iter();
    for step in chain.iter().flat_map(|stage| &stage.steps) {
        let mut entry = step.history.clone();
        entry.empty_layer = step.op.is_none();
        if step.op.is_some()
            && let Some(layer) = layers.next()
        {
            config.rootfs.diff_ids.push(layer.diff_id);
            time = epoch.unwrap_or(layer.created);
        }
        entry.created = Some(time.to_string());
        config.history.push(entry);
    }
    config.created = Some(time.to_string());
    config
}

/// Returns when an image's last step ran.
fn last_time(config: &ImageConfig) -> Option<Timestamp> {
    let of = |entry: &History| entry.created.as_ref()?.parse().ok();
    config.history.iter().rev().find_map(of).or_else(|| config.created.as_ref()?.parse().ok())
}
