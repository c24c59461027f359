//! What a name stands for in the end: one image, or an index of images for several platforms.

use std::collections::BTreeMap;

use slipway_graph::ir::StageId;
use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Digest, Index, Platform};
use slipway_store::Store;

use super::{AssembleError, Ready};

/// The images of a target.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// One a platform, in the order asked for.
    pub members: Vec<Member>,
    /// The index over them; none where there is one image, which then stands for itself.
    pub index: Option<Document>,
}

/// An image for a platform.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it runs on.
    pub platform: Platform,
    /// The stage that made it.
    pub stage: StageId,
    /// The image.
    pub ready: Ready,
}

/// A manifest or an index, as it is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The digest of the bytes.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Annotations of an index and of its entries.
#[derive(Clone, Debug, Default)]
pub struct IndexNotes {
    /// Of the index itself.
    pub index: BTreeMap<String, String>,
    /// Of its entries, by platform.
    pub entries: BTreeMap<Platform, BTreeMap<String, String>>,
}

impl Bundle {
    /// Puts images together. Several get an index, which goes into the store.
    pub fn new(
        store: &Store,
        members: Vec<Member>,
        flavour: Flavour,
        notes: &IndexNotes,
    ) -> Result<Self, AssembleError> {
        let index = match members.as_slice() {
            [_] | [] => None,
            several => {
                let mut index = Index::new(flavour, several.iter().map(|m| m.entry(notes)).collect());
                index.annotations.clone_from(&notes.index);
                let bytes = index.to_bytes();
                let digest = store.put_blob(&bytes)?;
                store.hold_blob(&digest)?;
                Some(Document { digest, media_type: index.content_type().to_owned(), bytes })
            }
        };
        Ok(Self { members, index })
    }

    /// Returns the document that a tag points to; none without any image.
    pub fn top(&self) -> Option<Document> {
        let own = || self.members.first().map(|member| member.ready.document());
        self.index.clone().or_else(own)
    }

    /// Returns the compressed bytes of all images.
    pub fn size(&self) -> u64 {
        self.members.iter().map(|member| member.ready.size()).sum()
    }
}

impl Member {
    fn entry(&self, notes: &IndexNotes) -> Descriptor {
        let mut entry = Descriptor::of(self.ready.media_type.as_str(), &self.ready.manifest);
        entry.platform = Some(self.platform.clone());
        entry.annotations = notes.entries.get(&self.platform).cloned().unwrap_or_default();
        entry
    }
}

impl Ready {
    /// Returns the manifest.
    pub fn document(&self) -> Document {
        Document { digest: self.digest, media_type: self.media_type.clone(), bytes: self.manifest.clone() }
    }
}
