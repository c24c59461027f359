//! What build and stage pods do: `plan` looks, `conduct` decides, stage pods run.

pub mod agent;
mod caches;
pub mod conduct;
mod destination;
pub mod early;
mod finish;
pub mod heart;
pub mod packing;
pub mod plan;
pub mod relay;
pub mod remote;
pub mod reports;
mod source;
mod tags;
pub mod wire;
pub mod worker;

use slipway_graph::ir::{ImageId, Input, MountSource, RunOp};

/// Returns the images that a RUN mounts.
pub(crate) fn images_read(run: &RunOp) -> Vec<ImageId> {
    let input = |source: &MountSource| match source {
        MountSource::Bind { input: Input::Image(id), .. }
        | MountSource::Cache { from: Input::Image(id), .. } => Some(*id),
        _ => None,
    };
    run.mounts.iter().filter_map(|mount| input(&mount.source)).collect()
}
