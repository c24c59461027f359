//! Cache that travels: steps and their layers in a registry, in a folder, or in the image itself.
//!
//! What travels is a [`format::Document`]: steps by key, each with the step below it, its layer's blob and what is needed
//! to tell the same image from it again. It is the configuration of an image manifest whose layers are the cached ones, or
//! a field of an ordinary image's configuration (`inline`).
//!
//! An imported layer is not here yet. It has a name ([`Imported`]), lies in the chain of a stage like any other, and is
//! fetched when somebody reads its files or needs its blob: [`crate::images`] does that. An image whose steps are all
//! imported is pushed without one byte of its layers coming by here.
//!
//! Trust: whoever can write to a cache that is read chooses layers of the image, as whoever can write a base image does.
//! Nothing else is believed: documents are bounded and checked as a whole ([`format`]), blobs must have their digests and
//! unpack to what the document says, and what does not is left out with a warning.

pub mod export;
pub mod folder;
pub mod format;
pub mod import;
mod imported;
pub mod kept;

use slipway_oci::Digest;
use slipway_store::{LayerId, Record, Store};

use crate::engine::lookup::{hold, stored};

pub use imported::{Imported, ImportedLayer, Place, Source};

/// Where results of steps are looked for: in the store, and in what was imported.
#[derive(Clone, Copy, Debug)]
pub struct Shelf<'a> {
    /// The store.
    pub store: &'a Store,
    /// What was imported.
    pub imported: &'a Imported,
}

impl Shelf<'_> {
    /// Returns the layer that a key gave on this tree, and holds it where it is here.
    pub fn find(&self, key: &Digest, below: &str) -> Option<(LayerId, Record)> {
        stored(self.store, key, below).or_else(|| {
            let (layer, record) = self.imported.find(key, below)?;
            hold(self.store, &layer);
            Some((layer, record))
        })
    }

    /// Tells whether a key is known at all, on whatever tree.
    pub fn knows(&self, key: &Digest) -> bool {
        self.store.record(key).is_some() || self.imported.knows(key)
    }

    /// Returns the bytes of the files that a key gave, on whatever tree.
    pub fn size(&self, key: &Digest) -> Option<u64> {
        self.store.record(key).map(|record| record.size).or_else(|| self.imported.size(key))
    }

    /// Returns what is known of a layer that a key gave.
    pub fn record(&self, key: &Digest, layer: &LayerId) -> Option<Record> {
        let stored = self.store.record(key).filter(|record| record.layer == Some(*layer));
        stored.or_else(|| self.imported.record(layer))
    }
}

/// How much of a build is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The layers of the images that come out.
    #[default]
    Min,
    /// The layers of all stages.
    Max,
}

/// Counts steps in words.
fn steps(count: usize) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}
