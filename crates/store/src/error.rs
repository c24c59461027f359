//! What can go wrong in a store.

use std::io;
use std::path::{Path, PathBuf};

use slipway_oci::Digest;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The directory holds no store.
    #[error("`{}` holds no store: it has no file `version`", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The store was written by another version.
    #[error("the store `{}` has layout `{found}`, which this version cannot use; give it another directory, or remove that one", path.display())]
    Version {
        /// The store.
        path: PathBuf,
        /// What its `version` file says.
        found: String,
    },
    /// A write to a store that was opened for reading.
    #[error("the store `{}` is open for reading only", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// Content that is not what its name says.
    #[error("the content has digest {actual} and not {expected} as announced")]
    Mismatch {
        /// The digest that was promised.
        expected: Digest,
        /// The digest that was found.
        actual: Digest,
    },
    /// Something that must be a directory is not.
    #[error("`{}` is not a directory, so it cannot become a layer", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// A name that cannot be part of a path.
    #[error(
        "`{name}` cannot be used as a name in the store: only letters, digits, `.`, `_` and `-`, at most 200 of them"
    )]
    Name {
        /// The name.
        name: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// Tells whether the file system is full: the caller may collect garbage and try again, or go on without the cache.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}
