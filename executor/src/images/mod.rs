//! Base images: resolving references, and bringing layers into the store when somebody reads their files.

mod imported;
mod resolve;
mod unpack;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use slipway_graph::ir::{Graph, ImageId};
use slipway_oci::manifest::{self, Document};
use slipway_oci::{Descriptor, Digest, Manifest, Reference};
use slipway_registry::Registry;
use slipway_store::{LayerId, Store};
use tokio::runtime::Handle;

use crate::cache::Imported;
use crate::engine::{Cause, Chain};
use crate::event::{Event, Events};
use crate::inputs::Images;

pub(crate) use imported::avoided;
pub(crate) use resolve::remember;
pub use resolve::{Freshness, resolve};

/// The layers of an image, once somebody has asked for them.
type Slot = Arc<Mutex<Option<Vec<LayerId>>>>;

/// The images of a graph, from registries.
pub struct PulledImages<'a> {
    graph: &'a Graph,
    store: &'a Store,
    registry: Arc<Registry>,
    remotes: Handle,
    events: Events,
    /// One lock an image, so that of several readers one fetches.
    found: Mutex<HashMap<ImageId, Slot>>,
    /// What was imported for this build.
    imported: Option<&'a Imported>,
}

impl<'a> PulledImages<'a> {
    /// Knows where to fetch; fetches nothing yet.
    pub fn new(
        graph: &'a Graph,
        store: &'a Store,
        registry: Arc<Registry>,
        remotes: Handle,
        events: Events,
    ) -> Self {
        Self { graph, store, registry, remotes, events, found: Mutex::default(), imported: None }
    }

    /// Brings layers of an imported cache too.
    #[must_use]
    pub fn with_imported(self, imported: &'a Imported) -> Self {
        Self { imported: Some(imported), ..self }
    }

    /// Returns what was imported.
    pub(crate) fn all_imported(&self) -> &Imported {
        static NOTHING: LazyLock<Imported> = LazyLock::new(Imported::default);
        self.imported.unwrap_or(&NOTHING)
    }

    /// Returns the reference of an image, pinned to its manifest.
    pub fn reference(&self, image: ImageId) -> Result<Reference, Cause> {
        let missing = || Cause::Infrastructure(format!("the graph has no image {}", image.0));
        let image = self.graph.images.get(image.0).ok_or_else(missing)?;
        let reference: Reference =
            image.reference.parse().map_err(|error| Cause::Instruction(Cause::text(&error)))?;
        Ok(reference.with_digest(image.digest))
    }

    /// Returns the manifest of an image: what was resolved is in the store.
    pub fn manifest(&self, image: ImageId) -> Result<Manifest, Cause> {
        let reference = self.reference(image)?;
        let digest = reference.digest().copied().unwrap_or_else(|| Digest::of(""));
        let bytes = if let Some(bytes) = self.store.read_blob(&digest)? {
            bytes
        } else {
            let raw = self
                .remotes
                .block_on(self.registry.get_manifest_raw(&reference))
                .map_err(|error| content_cause(&error))?;
            self.store.put_blob(&raw.bytes)?;
            raw.bytes.to_vec()
        };
        match manifest::read(&bytes, None) {
            Ok(Document::Manifest(manifest)) => Ok(manifest),
            Ok(Document::Index(_)) => Err(Cause::NoImage(format!("{reference} is an index, not an image"))),
            Err(error) => Err(Cause::Image(format!("{reference}: {}", Cause::text(&error)))),
        }
    }

    /// Brings a layer's blob into the store and returns its path.
    pub fn blob(&self, reference: &Reference, layer: &Descriptor) -> Result<PathBuf, Cause> {
        if self.store.hold_blob(&layer.digest)? {
            return Ok(self.store.blob_path(&layer.digest));
        }
        // Of this process alone: two pods of one store may have the same process id.
        let temporary = self.store.temporary()?;
        let guard = Temporary(temporary.clone());
        let file = File::create(&temporary)
            .map_err(|error| Cause::Infrastructure(format!("cannot write a blob: {error}")))?;
        let sink = Counted {
            file,
            events: self.events.clone(),
            image: reference.familiar(),
            layer: layer.digest.to_string(),
            done: 0,
            told: 0,
            total: layer.size,
        };
        sink.tell();
        self.remotes
            .block_on(self.registry.fetch_blob(reference, layer, sink))
            .map_err(|error| content_cause(&error))?;
        self.store.adopt_blob(&temporary, &layer.digest)?;
        drop(guard);
        self.store.hold_blob(&layer.digest)?;
        Ok(self.store.blob_path(&layer.digest))
    }
}

/// Turns a registry's error into a cause.
pub fn pull_cause(error: &slipway_registry::Error) -> Cause {
    let text = Cause::text(error);
    if error.is_final() { Cause::NoImage(text) } else { Cause::Image(text) }
}

/// The same for what a resolved reference names: the registry had it for us a moment ago, and another try resolves anew.
fn content_cause(error: &slipway_registry::Error) -> Cause {
    Cause::Image(Cause::text(error))
}

impl Images for PulledImages<'_> {
    fn layers(&self, image: ImageId) -> Result<Vec<LayerId>, Cause> {
        let slot =
            self.found.lock().unwrap_or_else(PoisonError::into_inner).entry(image).or_default().clone();
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layers) = &*slot {
            return Ok(layers.clone());
        }
        let layers = unpack::layers(self, image)?;
        *slot = Some(layers.clone());
        Ok(layers)
    }

    fn bring(&self, tree: &Chain) -> Result<(), Cause> {
        imported::bring(self, tree)
    }
}

/// Removes a file when dropped; one that was renamed is not there any more.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How many bytes make an event worthwhile.
const TELL_EVERY: u64 = 1 << 20;

/// A file that tells how full it is.
struct Counted {
    file: File,
    events: Events,
    image: String,
    layer: String,
    done: u64,
    told: u64,
    total: u64,
}

impl Counted {
    fn tell(&self) {
        let (image, layer) = (self.image.clone(), self.layer.clone());
        self.events.event(Event::Pull { image, layer, done: self.done, total: self.total });
    }
}

impl slipway_registry::Sink for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        slipway_registry::Sink::write(&mut self.file, bytes)?;
        self.done += bytes.len() as u64;
        if self.done >= self.total || self.done - self.told >= TELL_EVERY {
            self.told = self.done;
            self.tell();
        }
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        (self.done, self.told) = (0, 0);
        slipway_registry::Sink::restart(&mut self.file)
    }
}

/// Opens a blob to read it.
fn open(path: &Path) -> Result<File, Cause> {
    File::open(path)
        .map_err(|error| Cause::Infrastructure(format!("cannot open `{}`: {error}", path.display())))
}
