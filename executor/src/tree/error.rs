//! What can go wrong in a tree.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use slipway_dockerfile::pattern::PatternError;
use slipway_oci::archive::{ReadError, WriteError};

/// An error of this module. Paths are those inside the tree, as the user knows them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
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
    /// A link leads to itself.
    #[error("`{}` goes through too many symbolic links", path.display())]
    Loop {
        /// The path.
        path: PathBuf,
    },
    /// Something above the path is no directory.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory {
        /// What is in the way.
        path: PathBuf,
    },
    /// A source that is not there.
    #[error("`{path}` not found{hint}")]
    NotFound {
        /// The source as written.
        path: String,
        /// What may explain it.
        hint: String,
    },
    /// A file would come where a directory is.
    #[error("cannot replace to directory `{}` with file", path.display())]
    FileOverDirectory {
        /// The destination.
        path: PathBuf,
    },
    /// A directory would come where a file is.
    #[error("cannot copy to non-directory: `{}`", path.display())]
    DirectoryOverFile {
        /// The destination.
        path: PathBuf,
    },
    /// A pattern that cannot be read.
    #[error("the pattern `{pattern}` cannot be read")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        source: PatternError,
    },
    /// An exclude pattern that cannot be read.
    #[error("`--exclude={pattern}` cannot be read: {reason}")]
    Exclude {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A mode that cannot be read.
    #[error("`--chmod={mode}` is neither octal (as `0755`) nor symbolic (as `u=rwX,go=rX`)")]
    Mode {
        /// The mode.
        mode: String,
    },
    /// A user or group that cannot be read.
    #[error("{0}")]
    User(String),
    /// An archive that cannot be read.
    #[error("failed to unpack `{archive}`")]
    Archive {
        /// Its name.
        archive: String,
        /// Why.
        source: ReadError,
    },
    /// An archive's entry that cannot be made into a file.
    #[error("the archive's entry `{}` {reason}", path.display())]
    Entry {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer that cannot be written as an archive.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The tree is too large for what is asked.
    #[error("`{}`: {reason}", path.display())]
    Limit {
        /// Where.
        path: PathBuf,
        /// Which limit.
        reason: String,
    },
}

impl TreeError {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// An error on a child: joins the path only when there is an error.
    pub(crate) fn at(action: &'static str, dir: &Path, name: &OsStr, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: dir.join(name), source: source.into() }
    }

    /// A name of the user's that readers of an image would take for a whiteout.
    pub(crate) fn like_a_whiteout(path: PathBuf) -> Self {
        let reason = "begins with `.wh.`, which in an image means that a file is gone; rename or remove it";
        Self::Entry { path, reason: reason.to_owned() }
    }

    /// Tells whether the file system is full.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}
