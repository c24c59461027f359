//! How large trees are, from what is known without walking them; and sizes for people.

use slipway_graph::ir::{Base, Graph, Stage};
use slipway_oci::Digest;
use slipway_store::{LayerId, Store};

use crate::assemble::config::lineage;
use crate::cache::Shelf;
use crate::engine::Chain;

/// Returns the unpacked bytes of a tree: the sum of its layers, as far as they are known.
pub fn unpacked(graph: &Graph, shelf: &Shelf<'_>, tree: &Chain) -> u64 {
    let image = tree.image.and_then(|image| graph.images.get(image.0));
    let base = image.map_or(&[][..], |image| &image.config.rootfs.diff_ids);
    let made = tree.layers.iter().filter_map(|layer| {
        let here = shelf.store.layer_meta(layer).map(|meta| meta.size);
        here.or_else(|| shelf.imported.record(layer).map(|record| record.size))
    });
    layers(shelf.store, base) + made.sum::<u64>()
}

/// Returns the unpacked bytes of the largest stage.
///
/// A stage counts also where nobody looked at it, since all that others take from it was cached: what its steps made is
/// in the records. So the answer does not depend on how much of a build was cached.
pub fn largest_stage<'a>(graph: &Graph, shelf: &Shelf<'_>, trees: impl Iterator<Item = &'a Chain>) -> u64 {
    let seen = trees.map(|tree| unpacked(graph, shelf, tree));
    seen.chain(graph.stages.iter().filter_map(|stage| recorded(graph, shelf, stage))).max().unwrap_or(0)
}

/// Returns the unpacked bytes of a stage whose steps all have records.
fn recorded(graph: &Graph, shelf: &Shelf<'_>, stage: &Stage) -> Option<u64> {
    let chain = lineage(graph, stage.id);
    let base = match chain.first()?.base {
        Base::Image(image) => &graph.images.get(image.0)?.config.rootfs.diff_ids[..],
        _ => &[],
    };
    let steps = chain.iter().flat_map(|stage| &stage.steps).filter(|step| step.op.is_some());
    let made: Option<u64> = steps.map(|step| shelf.size(&step.key.0)).sum();
    Some(layers(shelf.store, base) + made?)
}

/// Adds up the layers of a base image that are here.
fn layers(store: &Store, diff_ids: &[Digest]) -> u64 {
    diff_ids.iter().filter_map(|id| store.layer_meta(&LayerId::diff(*id))).map(|meta| meta.size).sum()
}

/// Writes bytes for people.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[allow(clippy::cast_precision_loss)] // one decimal is shown
    let mut rest = value as f64;
    let mut unit = 0;
    while rest >= 1024.0 && unit + 1 < UNITS.len() {
        rest /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{rest:.1} {}", UNITS[unit]) }
}
