//! Layouts to registries: blobs that are not there, then manifests, then the index, then the tags. No digest changes.

use slipway_oci::media;
use slipway_oci::{Digest, Reference};
use slipway_registry::{Pushed, Registry};

use super::{Layout, LayoutError, Part};
use crate::event::{Event, Events};

/// Why a layout was not pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutPushError {
    /// The layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry.
    #[error("pushing failed")]
    Push(#[source] Box<slipway_registry::Error>),
    /// A digest of the reference is not that of the image.
    #[error("`{reference}` names another digest than that of the image, {digest}; leave it out")]
    OtherDigest {
        /// The reference.
        reference: String,
        /// The image's digest.
        digest: Digest,
    },
}

impl From<slipway_registry::Error> for LayoutPushError {
    fn from(error: slipway_registry::Error) -> Self {
        Self::Push(Box::new(error))
    }
}

/// Pushes what [`Layout::parts`] returned to a reference; `siblings` are where it was pushed before, for mounts.
pub async fn push(
    registry: &Registry,
    layout: &Layout,
    parts: &[Part],
    reference: &Reference,
    siblings: &[Reference],
    events: &Events,
) -> Result<(), LayoutPushError> {
    let Some((top, below)) = parts.split_last() else { return Ok(()) };
    let digest = top.descriptor.digest;
    if reference.digest().is_some_and(|named| *named != digest) {
        return Err(LayoutPushError::OtherDigest { reference: reference.to_string(), digest });
    }
    let mut seen = std::collections::BTreeSet::new();
    let blobs: Vec<_> =
        parts.iter().flat_map(|part| &part.blobs).filter(|blob| seen.insert(blob.digest)).collect();
    let told = |what: String, how: &str, size: u64| {
        events.event(Event::Push { repository: reference.name(), what, how: how.to_owned(), size });
    };
    let uploads = blobs.into_iter().map(|blob| async move {
        let how = if registry.blob_exists(reference, &blob.digest).await? {
            "exists"
        } else {
            // Only now is it worth reading: what was pushed before was checked before.
            let place = tokio::task::block_in_place(|| layout.check(blob))?;
            match registry.push_blob(reference, blob, &place, siblings).await? {
                Pushed::Existed => "exists",
                Pushed::Mounted(_) => "mounted",
                Pushed::Uploaded => "uploaded",
            }
        };
        told(blob.digest.to_string(), how, blob.size);
        Ok::<_, LayoutPushError>(())
    });
    for result in futures::future::join_all(uploads).await {
        result?;
    }
    for part in below {
        let pinned = reference.pinned(part.descriptor.digest);
        manifest(registry, part, &pinned).await?;
        told(part.descriptor.digest.to_string(), kind(part), part.descriptor.size);
    }
    // By tag where there is one; a digest stays what it is.
    let target = match reference.tag() {
        Some(_) => reference.clone(),
        None => reference.pinned(top.descriptor.digest),
    };
    manifest(registry, top, &target).await?;
    let what = target.tag().map_or_else(|| top.descriptor.digest.to_string(), ToOwned::to_owned);
    told(what, kind(top), top.descriptor.size);
    Ok(())
}

async fn manifest(registry: &Registry, part: &Part, to: &Reference) -> Result<(), LayoutPushError> {
    registry.push_manifest(to, part.bytes.clone(), &part.descriptor.media_type).await?;
    Ok(())
}

fn kind(part: &Part) -> &'static str {
    if media::is_index(&part.descriptor.media_type) { "index" } else { "manifest" }
}
