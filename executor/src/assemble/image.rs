//! One image: its layers by form, its configuration, its manifest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use slipway_graph::ir::{Base, Graph, Output};
use slipway_oci::media::{self, Flavour};
use slipway_oci::{Descriptor, Manifest};
use slipway_store::{LayerId, Store};

use super::config::{MadeLayer, image_config, lineage};
use super::forms::Forms;
use super::{AssembleError, Ready};
use crate::cache::Shelf;
use crate::cache::format::{self, Inline};
use crate::cache::kept::{inline_step, lineage_steps};
use crate::engine::Chain;
use crate::images::PulledImages;

/// What an image is to be like.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// OCI's or Docker's types.
    pub flavour: Flavour,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<Timestamp>,
    /// Labels on top of the Dockerfile's.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The image holds its own cache.
    pub inline_cache: bool,
}

/// Where everything is.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The store.
    pub store: &'a Store,
    /// The base images.
    pub images: &'a PulledImages<'a>,
    /// Layers as blobs.
    pub forms: &'a Forms<'a>,
}

/// Makes the documents of a target's image for a platform, and puts them into the store.
pub fn assemble(
    parts: &Parts<'_>,
    output: &Output,
    tree: &Chain,
    style: &Style,
) -> Result<Ready, AssembleError> {
    let Parts { graph, store, images, forms } = *parts;
    let stage = output.stage;
    let mut layers: Vec<Descriptor> = Vec::new();
    let mut unpacked = 0;
    if let Some(Base::Image(image)) = lineage(graph, stage).first().map(|first| first.base) {
        let manifest = images.manifest(image).map_err(AssembleError::Base)?;
        let config = &graph.images.get(image.0).ok_or(AssembleError::Died)?.config;
        manifest.check_config(config)?;
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            // One manifest speaks one language.
            let media_type =
                media::convert_layer(&layer.media_type, style.flavour).unwrap_or(&layer.media_type);
            layers.push(Descriptor {
                media_type: media_type.to_owned(),
                ..Descriptor::new("", layer.digest, layer.size)
            });
            unpacked += store.layer_meta(&LayerId::diff(*diff_id)).map_or(layer.size, |meta| meta.size);
        }
    }
    let base_layers = layers.len();
    let mut made = Vec::new();
    let mut inline = Inline { version: format::VERSION, steps: vec![] };
    let shelf = Shelf { store, imported: images.all_imported() };
    forms.prepare(tree)?;
    for ((stage, step), layer) in lineage_steps(graph, stage).zip(&tree.layers) {
        let form = forms.get(layer, &stage.name)?;
        let record = shelf.record(&step.key.0, layer);
        inline.steps.extend(inline_step(&shelf, step, layer));
        let lost = || AssembleError::Lost { stage: stage.name.clone(), line: step.line };
        let record = record.ok_or_else(lost)?;
        made.push(MadeLayer { diff_id: form.diff_id, created: record.created });
        let media_type =
            media::convert_layer(&form.media_type, style.flavour).unwrap_or(&form.media_type).to_owned();
        layers.push(Descriptor::new(media_type, form.blob, form.size));
        unpacked += record.size;
    }
    let mut config = image_config(graph, output, &made, style.epoch);
    config.config.labels.extend(style.labels.clone());
    if style.inline_cache && !inline.steps.is_empty() {
        let value = serde_json::to_value(&inline).unwrap_or_default();
        config.other.insert(format::INLINE_FIELD.to_owned(), value);
    }
    let config_bytes = serde_json::to_vec(&config).unwrap_or_default();
    let config = Descriptor::of(style.flavour.config(), &config_bytes);
    let mut manifest = Manifest::new(style.flavour, config.clone(), layers.clone());
    manifest.annotations.extend(style.annotations.clone());
    let bytes = manifest.to_bytes();
    store.put_blob(&config_bytes)?;
    let digest = store.put_blob(&bytes)?;
    Ok(Ready {
        digest,
        media_type: manifest.content_type().to_owned(),
        manifest: bytes,
        config,
        config_bytes,
        layers,
        base_layers,
        unpacked,
    })
}
