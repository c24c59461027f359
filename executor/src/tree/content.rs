//! Digests of contents, for cache keys: equal digests, equal results of copying.
//!
//! What counts is what a copy brings: names below the selection, types, modes, owners, link targets, attributes, bytes, and
//! which names are one file. Times do not count. Everything is written with its length, so that no two selections can look
//! the same by running together.

mod found;
mod gather;
mod hashes;

#[cfg(test)]
mod tests;

use slipway_dockerfile::pattern::IgnoreFile;
use slipway_graph::{ContentFact, Selection};
use slipway_oci::Digest;

use super::TreeError;
use super::pool;
use super::source::{Rules, Source, base_name};

pub use hashes::Hashes;

/// Digests what a selection copies.
pub fn digest(source: &Source<'_>, selection: &Selection) -> Result<ContentFact, TreeError> {
    digest_with(source, selection, &Hashes::forgetful())
}

/// Like [`digest`], without the list of files: for keys that nobody explains.
pub fn sum(source: &Source<'_>, selection: &Selection) -> Result<Digest, TreeError> {
    let found = found::Found::unlisted();
    find(source, selection, &Hashes::forgetful(), &found)?;
    Ok(found.sum().digest)
}

/// Like [`digest`], but does not read again what is known and has not changed since.
pub fn digest_with(
    source: &Source<'_>,
    selection: &Selection,
    hashes: &Hashes,
) -> Result<ContentFact, TreeError> {
    let found = found::Found::default();
    find(source, selection, hashes, &found)?;
    Ok(found.sum())
}

fn find(
    source: &Source<'_>,
    selection: &Selection,
    hashes: &Hashes,
    found: &found::Found,
) -> Result<(), TreeError> {
    let exclude =
        IgnoreFile::from_patterns(selection.exclude.iter().map(String::as_str)).map_err(|error| {
            TreeError::Exclude { pattern: selection.exclude.join(","), reason: error.to_string() }
        })?;
    let exclude = Rules::new(Some(&exclude));
    pool::with_pool(pool::threads(), |pool| {
        let mut gather = gather::Gather::new(source, hashes, pool, found);
        if selection.parents {
            gather.with_parents(&selection.pattern, &exclude)?;
        } else if selection.literal {
            gather.selected(&source.literal(&selection.pattern)?, None, &exclude)?;
        } else {
            for selected in source.select(&selection.pattern)? {
                let name = base_name(&selected.path).map(ToOwned::to_owned);
                gather.selected(&selected, name.as_deref(), &exclude)?;
            }
        }
        gather.finish()
    })
}
