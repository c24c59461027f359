//! Layers of imported caches: fetched when somebody reads their files, or needs their blob.
//!
//! A layer that cannot be had, or is not what the cache said, is lost: it and all that lies on it are built as if nobody
//! had offered them, now or in the next try.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use slipway_oci::{Descriptor, Digest};
use slipway_store::{Flight, Form, LayerId, Store};

use super::PulledImages;
use super::unpack::{FLIGHT_LIMIT, alone, over};
use crate::assemble::forms::Shape;
use crate::cache::{ImportedLayer, Place};
use crate::engine::{Cause, Chain};
use crate::inputs::Images;
use crate::room;

/// For how long a layer that could not be had is not asked for again.
const AVOIDED: SignedDuration = SignedDuration::from_mins(15);

/// Tells whether a blob of a cache could not be had a short while ago.
pub(crate) fn avoided(store: &Store, blob: &Digest) -> bool {
    let when: Option<Timestamp> = store.memo(&memo(blob));
    when.is_some_and(|when| Timestamp::now().duration_since(when).abs() < AVOIDED)
}

fn memo(blob: &Digest) -> String {
    format!("lost layer of a cache\n{blob}")
}

impl PulledImages<'_> {
    /// Returns an imported layer that is not in the store, with its blob.
    pub fn imported(&self, layer: &LayerId) -> Option<&ImportedLayer> {
        self.imported.and_then(|imported| imported.layer(layer))
    }

    /// Returns an imported layer with a blob.
    pub fn imported_as(&self, blob: &Digest) -> Option<&ImportedLayer> {
        self.imported.and_then(|imported| imported.layer_with(blob))
    }

    /// Brings a blob into the store where it is an imported layer's and not here.
    pub fn blob_at_hand(&self, blob: &Descriptor) -> Result<(), Cause> {
        match self.imported_as(&blob.digest) {
            Some(layer) if !self.store.hold_blob(&blob.digest)? => self.imported_blob(layer).map(drop),
            _ => Ok(()),
        }
    }

    /// Brings the blob of an imported layer into the store and returns its path.
    pub fn imported_blob(&self, layer: &ImportedLayer) -> Result<PathBuf, Cause> {
        let fetched = match &layer.place {
            Place::Registry(reference) => self.blob(reference, &layer.blob),
            Place::Folder(folder) => self.blob_of_folder(folder, &layer.blob),
        };
        fetched.map_err(|cause| match cause {
            Cause::Image(text) | Cause::NoImage(text) => self.lose(layer, &text),
            other => other,
        })
    }

    fn blob_of_folder(&self, folder: &Path, blob: &Descriptor) -> Result<PathBuf, Cause> {
        if !self.store.hold_blob(&blob.digest)? {
            let path = folder.join("blobs/sha256").join(blob.digest.hex());
            let failed = |error: io::Error| Cause::Image(format!("`{}`: {error}", path.display()));
            // One byte more than there should be is enough to see that it is another one.
            let mut from = File::open(&path).map_err(failed)?.take(blob.size.saturating_add(1));
            let mut to = self.store.blob_writer()?;
            copy(&mut from, &mut to, failed)?;
            to.finish(Some(blob.digest)).map_err(|error| Cause::Image(Cause::text(&error)))?;
            self.store.hold_blob(&blob.digest)?;
        }
        Ok(self.store.blob_path(&blob.digest))
    }

    /// Notes that a layer cannot be had.
    fn lose(&self, layer: &ImportedLayer, why: &str) -> Cause {
        if let Some(imported) = self.imported {
            imported.lose(layer.id);
        }
        if let Err(error) = self.store.put_memo(&memo(&layer.blob.digest), &Timestamp::now()) {
            tracing::warn!(%error, "cannot note that a layer of a cache is lost");
        }
        let (blob, place) = (layer.blob.digest.short(), &layer.place);
        Cause::Lost(format!("the layer {blob} of the cache {place} cannot be used: {why}"))
    }

    /// Makes what came known for the next build, which may not import anything.
    fn remember(&self, layer: &ImportedLayer) -> Result<(), Cause> {
        let record = layer.record();
        let content = record.content.map(|content| content.key);
        for key in layer.keys.iter().copied().chain(content) {
            if self.store.record(&key).is_none() {
                self.store.put_record(&key, &record)?;
            }
        }
        if let Some(content) = record.content {
            self.store.put_memo(&content.marker.to_string(), &true)?;
        }
        let form = Form {
            diff_id: layer.diff_id,
            blob: layer.blob.digest,
            size: layer.blob.size,
            media_type: layer.blob.media_type.clone(),
        };
        let shape = Shape::usual(&layer.blob.media_type);
        Ok(self.store.put_form(&layer.id, &shape.name(), &form)?)
    }
}

/// Copies; what reading fails with is the cache's fault, what writing fails with is not.
fn copy(from: &mut impl Read, to: &mut impl Write, failed: impl Fn(io::Error) -> Cause) -> Result<(), Cause> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to
                .write_all(&buffer[..count])
                .map_err(|error| Cause::Infrastructure(format!("cannot write a blob: {error}")))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Brings the imported layers of a tree that are not here yet: blobs side by side, then one on the other.
pub(super) fn bring(images: &PulledImages<'_>, tree: &Chain) -> Result<(), Cause> {
    let mut missing: Vec<(usize, &ImportedLayer)> = Vec::new();
    for (at, id) in tree.layers.iter().enumerate() {
        if let Some(layer) = images.imported(id).filter(|_| !images.store.has_layer(id)) {
            missing.push((at, layer));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let unique: BTreeMap<Digest, &ImportedLayer> =
        missing.iter().map(|(_, layer)| (layer.blob.digest, *layer)).collect();
    thread::scope(|scope| {
        let begun: Vec<_> =
            unique.values().map(|layer| scope.spawn(|| images.imported_blob(layer).map(drop))).collect();
        let joined = begun.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| {
                Err(Cause::Infrastructure("fetching a layer failed without a word".to_owned()))
            })
        });
        joined.collect::<Result<Vec<()>, Cause>>()
    })?;
    for (at, layer) in missing {
        // Of several who want it, one unpacks it.
        let key = Digest::of(format!("unpacked imported layer\n{}", layer.id));
        let _flight: Flight = images.store.wait(&key, FLIGHT_LIMIT, &|| false)?;
        if images.store.hold_layer(&layer.id)? {
            continue;
        }
        let work = || unpacked(images, tree, at, layer, &images.imported_blob(layer)?);
        let done = match work() {
            // The copy in the store may be what is damaged.
            Err(cause) if !told(&cause) && !images.store.check_blob(&layer.blob.digest)? => work(),
            done => done,
        };
        done.map_err(|cause| {
            let cause = room::judge(cause, images.store.root(), images.store.root());
            // The bytes are the right ones, so whatever is wrong with them is the cache's fault.
            if told(&cause) { cause } else { images.lose(layer, &cause.to_string()) }
        })?;
        images.remember(layer)?;
    }
    Ok(())
}

/// Tells whether a cause says all that is to be said: nothing is the matter with the layer, or it is known.
fn told(cause: &Cause) -> bool {
    matches!(cause, Cause::Lost(_) | Cause::Full { .. } | Cause::Cancelled)
}

/// Unpacks a layer alone where that is possible, else over those below it.
fn unpacked(
    images: &PulledImages<'_>,
    tree: &Chain,
    at: usize,
    layer: &ImportedLayer,
    blob: &Path,
) -> Result<(), Cause> {
    if alone(images, blob, layer.diff_id, layer.id)? {
        return Ok(());
    }
    let mut below = match tree.image {
        Some(image) => images.layers(image)?,
        None => vec![],
    };
    below.extend(&tree.layers[..at]);
    over(images, blob, layer.diff_id, &below, layer.id)
}
