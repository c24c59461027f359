//! Where blobs were brought to: a registry can link one from another of its repositories.

use slipway_oci::{Digest, Reference};
use slipway_store::Store;

/// How many places are remembered of a blob, the latest first.
const MOST: usize = 4;

/// Returns the repositories that once had a blob.
pub(super) fn of(store: &Store, blob: &Digest) -> Vec<Reference> {
    names(store, blob).iter().filter_map(|name| name.parse().ok()).collect()
}

/// Remembers that a repository has a blob.
pub(super) fn remember(store: &Store, blob: &Digest, repository: &Reference) {
    let mut names = names(store, blob);
    let name = repository.name();
    if names.first() == Some(&name) {
        return;
    }
    names.retain(|known| *known != name);
    names.insert(0, name);
    names.truncate(MOST);
    if let Err(error) = store.put_memo(&memo(blob), &names) {
        tracing::debug!(%error, "cannot remember where a blob is");
    }
}

fn names(store: &Store, blob: &Digest) -> Vec<String> {
    store.memo(&memo(blob)).unwrap_or_default()
}

fn memo(blob: &Digest) -> String {
    format!("places of {blob}")
}
