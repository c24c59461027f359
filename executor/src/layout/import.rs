//! A layout as a build context: its images come into the store, under a name that no registry answers to.

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};
use slipway_oci::manifest::{self, Document};
use slipway_oci::{Descriptor, Digest, Platform, Reference};
use slipway_store::Store;

use super::{Layout, LayoutError, Part};
use crate::engine::Cause;
use crate::images::remember;

/// The registry that images of layouts are named after; names that end so belong to nobody.
pub const HOST: &str = "oci-layout.invalid";

/// What is kept of a layout, to say what it has when it lacks something.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    layout: String,
    platforms: Vec<String>,
}

/// Brings an image of a layout into the store for some platforms, as far as it has them, and returns its reference.
pub fn import(
    store: &Store,
    layout: &Layout,
    top: &Descriptor,
    name: &str,
    platforms: &[Platform],
) -> Result<Reference, LayoutError> {
    let reference = reference(layout, name, top.digest)?;
    let mut available = BTreeSet::new();
    if let (Document::Index(index), _) = layout.document(top)? {
        let images = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
        available.extend(images.filter(|p| p.os != "unknown").map(ToString::to_string));
    }
    for platform in platforms {
        let parts = match layout.parts(top, Some(platform)) {
            Ok(parts) => parts,
            // Whether it is needed shows later.
            Err(LayoutError::Document { source, .. })
                if matches!(*source, manifest::ManifestError::NoPlatform { .. }) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(image) = parts.last() else { continue };
        take(store, layout, image)?;
        remember(store, &reference, platform, top.digest, image.descriptor.digest)?;
    }
    let kept = Kept { layout: layout.path.display().to_string(), platforms: available.into_iter().collect() };
    store.put_memo(&memo(&reference), &kept)?;
    Ok(reference)
}

/// Says why an image of a layout cannot be had: [`import`] brought what there is.
pub(crate) fn missing(store: &Store, reference: &Reference, platform: &Platform) -> Cause {
    Cause::NoImage(match store.memo::<Kept>(&memo(reference)) {
        Some(kept) => {
            let there = if kept.platforms.is_empty() {
                "no platform at all".into()
            } else {
                kept.platforms.join(", ")
            };
            format!("the layout `{}` has no image for {platform}; there is one for {there}", kept.layout)
        }
        None => format!("{reference} is an image of a layout that is no longer in the store; build again"),
    })
}

fn memo(reference: &Reference) -> String {
    format!("layout\n{reference}")
}

/// Names an image after its context: `oci-layout.invalid/base@sha256:…`.
fn reference(layout: &Layout, name: &str, digest: Digest) -> Result<Reference, LayoutError> {
    let letters: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    // Several dashes in a row are no name.
    let parts: Vec<&str> = letters.split('-').filter(|part| !part.is_empty()).collect();
    let name = if parts.is_empty() { "image".to_owned() } else { parts.join("-") };
    format!("{HOST}/{name}@{digest}")
        .parse()
        .map_err(|error: slipway_oci::reference::InvalidReference| layout.wrong(error.to_string()))
}

/// Copies an image's documents and layers into the store, checking each.
fn take(store: &Store, layout: &Layout, image: &Part) -> Result<(), LayoutError> {
    store.put_blob(&image.bytes)?;
    store.hold_blob(&image.descriptor.digest)?;
    for blob in &image.blobs {
        if store.hold_blob(&blob.digest)? {
            continue;
        }
        let place = layout.place(blob)?;
        let failed = |source| LayoutError::Io { path: place.path.display().to_string(), source };
        let mut writer = store.blob_writer()?;
        io::copy(&mut place.reader(0).map_err(failed)?, &mut writer).map_err(failed)?;
        match writer.finish(Some(blob.digest)) {
            Ok(_) => {}
            Err(slipway_store::Error::Mismatch { actual, .. }) => {
                return Err(layout.content(blob, actual.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        store.hold_blob(&blob.digest)?;
    }
    Ok(())
}
