//! From a reference to a digest and a configuration, with as few requests as can be.

use serde::{Deserialize, Serialize};
use slipway_graph::{ImageFact, ImageNeed};
use slipway_oci::manifest::{self, Document};
use slipway_oci::{Digest, ImageConfig, Platform, Reference};
use slipway_registry::Registry;
use slipway_store::Store;

use crate::engine::Cause;
use crate::layout;

/// How much the cache's word counts for a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// The registry is asked; where it does not answer, what is known must do.
    #[default]
    Ask,
    /// The registry must answer.
    Insist,
}

/// What is known of a reference for a platform.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// What the reference named: an index or a manifest.
    top: Digest,
    /// The manifest.
    manifest: Digest,
}

/// Resolves an image. Returns a note where the registry did not answer and an older answer was taken.
pub async fn resolve(
    registry: &Registry,
    store: &Store,
    need: &ImageNeed,
    freshness: Freshness,
) -> Result<(ImageFact, Option<String>), Cause> {
    let reference: Reference =
        need.reference.parse().map_err(|error| Cause::Instruction(Cause::text(&error)))?;
    let memo = memo_name(&reference, &need.platform);
    let known: Option<(Known, ImageConfig)> = store.memo(&memo).and_then(|known: Known| {
        let config = config_of(store, &known.manifest)?;
        Some((known, config))
    });
    if reference.registry() == layout::HOST {
        let fact = known.map(|(known, config)| ImageFact { digest: known.manifest, config });
        let missing = || layout::missing(store, &reference, &need.platform);
        return fact.map(|fact| (fact, None)).ok_or_else(missing);
    }
    if let Some((known, config)) = known {
        let fact = ImageFact { digest: known.manifest, config };
        match registry.digest(&reference).await {
            Ok(top) if top == known.top => return Ok((fact, None)),
            Ok(_) => {}
            Err(error) if freshness == Freshness::Ask && error.is_transient() => {
                let note = format!(
                    "{}: {}; the digest of the last build is used",
                    reference.familiar(),
                    Cause::text(&error)
                );
                return Ok((fact, Some(note)));
            }
            Err(error) => return Err(super::pull_cause(&error)),
        }
    }
    let found = match registry.resolve(&reference, &need.platform).await {
        Ok(found) => found,
        // A tag that moved in between: what it named is gone, and it names something else.
        Err(error) if error.is_not_found() && is_there(registry, &reference).await => {
            return Err(Cause::Image(Cause::text(&error)));
        }
        Err(error) => return Err(super::pull_cause(&error)),
    };
    store.put_blob(&found.raw)?;
    store.put_blob(&found.config_raw)?;
    store.put_memo(&memo, &Known { top: found.top, manifest: found.digest })?;
    Ok((ImageFact { digest: found.digest, config: found.config }, None))
}

/// Whether a registry has something under a tag.
async fn is_there(registry: &Registry, reference: &Reference) -> bool {
    reference.digest().is_none() && registry.digest(reference).await.is_ok()
}

/// Remembers what a reference is for a platform; manifest and configuration are in the store.
pub(crate) fn remember(
    store: &Store,
    reference: &Reference,
    platform: &Platform,
    top: Digest,
    manifest: Digest,
) -> Result<(), slipway_store::Error> {
    store.put_memo(&memo_name(reference, platform), &Known { top, manifest })
}

fn memo_name(reference: &Reference, platform: &Platform) -> String {
    format!("image\n{reference}\n{platform}")
}

/// Returns the configuration of a manifest, where both are in the store.
fn config_of(store: &Store, manifest_digest: &Digest) -> Option<ImageConfig> {
    let read = |digest: &Digest| {
        store.hold_blob(digest).ok().filter(|there| *there)?;
        store.read_blob(digest).ok().flatten()
    };
    let Ok(Document::Manifest(found)) = manifest::read(&read(manifest_digest)?, None) else { return None };
    manifest::read_config(&read(&found.config.digest)?).ok()
}
