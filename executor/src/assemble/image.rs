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
    let chain = lineage(graph, stage);
    let steps = chain.iter().flat_map(|stage| {
        stage.steps.iter().filter(|step| step.op.is_some()).map(move |step| (*stage, step))
    });
    for ((stage, step), layer) in steps.zip(&tree.layers) {
        let form = forms.get(layer, &stage.name)?;
        let record = store.record(&step.key.0).filter(|record| record.layer == Some(*layer));
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
