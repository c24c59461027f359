//! Writing caches: layers that are not there yet, then the document, then the manifest.

use std::collections::BTreeSet;
use std::path::PathBuf;

use slipway_graph::ir::{Graph, StageId};
use slipway_oci::compress::Compression;
use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Manifest, Reference};
use slipway_store::Store;

use super::format::MEDIA_TYPE;
use super::kept::Kept;
use super::{Mode, Shelf, folder, steps};
use crate::assemble::AssembleError;
use crate::assemble::config::lineage;
use crate::assemble::forms::{Forms, Shape};
use crate::assemble::publish::Publisher;
use crate::engine::{Cause, Outcome};
use crate::event::{Event, Events};
use crate::images::PulledImages;

/// A cache to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTo {
    /// Where.
    pub target: Target,
    /// How much.
    pub mode: Mode,
    /// How layers are packed that are not packed yet; as the image's where nothing is said.
    pub compression: Option<Compression>,
    /// Pack layers anew that are packed in another way.
    pub force_compression: bool,
    /// Go on where it cannot be written.
    pub ignore_error: bool,
}

/// Where a cache is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a registry.
    Registry(Reference),
    /// Into an OCI layout.
    Folder {
        /// The layout's folder.
        path: PathBuf,
        /// The name in its index.
        tag: String,
    },
    /// Into the image's configuration.
    Inline,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Folder { path, .. } => write!(f, "{}", path.display()),
            Self::Inline => f.write_str("inline"),
        }
    }
}

impl CacheTo {
    /// Makes one with everything as usual.
    pub fn new(target: Target) -> Self {
        Self { target, mode: Mode::Min, compression: None, force_compression: false, ignore_error: false }
    }

    /// Tells whether layers are packed exactly as the image's.
    fn packs_as(&self, image: Shape) -> bool {
        self.shape(image) == image && !self.force_compression
    }

    /// Returns how layers are packed. Times are kept as they are, whatever the image does with them.
    pub fn shape(&self, image: Shape) -> Shape {
        Shape { compression: self.compression.unwrap_or(image.compression), clamp: None }
    }
}

/// What caches are written from.
#[derive(Clone, Copy)]
pub struct Exporter<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The store.
    pub store: &'a Store,
    /// The base images, and what was imported.
    pub images: &'a PulledImages<'a>,
    /// The image's layers as blobs.
    pub forms: &'a Forms<'a>,
    /// Brings blobs to registries.
    pub publisher: &'a Publisher<'a>,
    /// Who hears of it.
    pub events: &'a Events,
}

/// Why a cache was not written.
#[derive(Debug, thiserror::Error)]
#[error("the cache {to} was not written")]
pub struct ExportError {
    /// Where to.
    pub to: String,
    /// Why.
    pub source: Box<AssembleError>,
}

impl Exporter<'_> {
    /// Writes all caches of a build that succeeded.
    pub fn export(&self, outcome: &Outcome, caches: &[CacheTo]) -> Result<(), ExportError> {
        for cache in caches.iter().filter(|cache| cache.target != Target::Inline) {
            match self.one(outcome, cache) {
                Ok(0) => self.note(format!("cache {}: there is nothing to write", cache.target)),
                Ok(count) => self.note(format!("cache {}: wrote {}", cache.target, steps(count))),
                Err(source) => {
                    let failed = ExportError { to: cache.target.to_string(), source: Box::new(source) };
                    if !cache.ignore_error {
                        return Err(failed);
                    }
                    self.note(format!("warning: {}", Cause::text(&failed)));
                }
            }
        }
        Ok(())
    }

    fn note(&self, text: String) {
        self.events.event(Event::Note { text });
    }

    /// Writes one cache, and returns how many steps it has.
    ///
    /// An imported layer that cannot be had is left out, unless an image needs it.
    fn one(&self, outcome: &Outcome, cache: &CacheTo) -> Result<usize, AssembleError> {
        let mut lost = String::new();
        loop {
            match self.try_one(outcome, cache) {
                Err(AssembleError::Base(Cause::Lost(text))) if text != lost => {
                    self.note(format!("warning: {text}"));
                    lost = text;
                }
                result => return result,
            }
        }
    }

    fn try_one(&self, outcome: &Outcome, cache: &CacheTo) -> Result<usize, AssembleError> {
        let shelf = Shelf { store: self.store, imported: self.images.all_imported() };
        let mut kept = Kept::default();
        if cache.packs_as(self.forms.shape()) {
            kept.add(self.graph, &shelf, self.forms, outcome, cache.mode)?;
        } else {
            let forms = Forms::new(self.store, cache.shape(self.forms.shape()))
                .with_imported(self.images)
                .strict(cache.force_compression);
            kept.add(self.graph, &shelf, &forms, outcome, cache.mode)?;
        }
        if !kept.is_empty() {
            self.write(&kept, &cache.target)?;
        }
        Ok(kept.len())
    }

    fn write(&self, kept: &Kept, target: &Target) -> Result<(), AssembleError> {
        let document = kept.document().ok_or(AssembleError::CacheTooLarge { steps: kept.len() })?;
        let config = Descriptor::of(MEDIA_TYPE, &document);
        let blobs = kept.blobs();
        let manifest = Manifest::new(Flavour::Oci, config.clone(), blobs.clone());
        match target {
            Target::Registry(reference) => {
                self.publisher.deliver(reference, &blobs, &[])?;
                self.publisher.document(reference, &config, &document, &manifest)
            }
            Target::Folder { path, tag } => {
                for blob in &blobs {
                    if !path.join("blobs/sha256").join(blob.digest.hex()).exists() {
                        self.images.blob_at_hand(blob).map_err(AssembleError::Base)?;
                    }
                }
                folder::write(self.store, path, tag, &blobs, (&config, &document), &manifest)
                    .map_err(|source| AssembleError::Output { path: path.display().to_string(), source })
            }
            Target::Inline => Ok(()),
        }
    }
}

/// Returns the stages whose layers go to the repositories of caches while the build runs, where they are packed as the
/// image's.
pub fn ahead(graph: &Graph, caches: &[CacheTo], image: Shape) -> Vec<(StageId, Reference)> {
    let mut all = Vec::new();
    for cache in caches.iter().filter(|cache| cache.packs_as(image)) {
        let Target::Registry(reference) = &cache.target else { continue };
        let stages: Vec<StageId> = match cache.mode {
            Mode::Max => graph.stages.iter().map(|stage| stage.id).collect(),
            Mode::Min => graph.outputs.iter().map(|output| output.stage).collect(),
        };
        let stages = stages.into_iter().flat_map(|stage| lineage(graph, stage)).map(|stage| stage.id);
        for stage in stages.collect::<BTreeSet<_>>() {
            all.push((stage, reference.clone()));
        }
    }
    all
}
