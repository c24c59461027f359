//! How large trees are, from what is known without walking them; and sizes for people.

use slipway_graph::ir::Graph;
use slipway_store::{LayerId, Store};

use crate::engine::Chain;

/// Returns the unpacked bytes of a tree: the sum of its layers, as far as they are here.
pub fn unpacked(graph: &Graph, store: &Store, tree: &Chain) -> u64 {
    let image = tree.image.and_then(|image| graph.images.get(image.0));
    let base = image
        .into_iter()
        .flat_map(|image| &image.config.rootfs.diff_ids)
        .map(|diff_id| LayerId::diff(*diff_id));
    base.chain(tree.layers.iter().copied())
        .filter_map(|layer| store.layer_meta(&layer))
        .map(|meta| meta.size)
        .sum()
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
