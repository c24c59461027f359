//! The store: one directory that holds blobs, unpacked layers, records, cache mounts and the work of running builds.
//!
//! Many processes use one store at once: build pods write, stage pods read, a collector removes. Three rules keep it whole:
//!
//! - **Write-once names.** A thing is made under a temporary name and renamed to the name of its content or of its key. The first
//!   writer wins; the others find that theirs was not needed.
//! - **Crash-only.** A process may be killed at any moment. Locks are `flock`s and go with their process; what was not renamed
//!   is swept. Data is not synced file by file: each process keeps a journal of what it made since the last [`Store::settle`],
//!   and after a crash of the *machine* the next one drops what that journal names.
//! - **Damage is a miss.** Documents carry a checksum and blobs their digest. What does not fit is treated as absent.
//!
//! It is synchronous and knows files only: no images, no Dockerfiles, no network.

mod blobs;
mod builds;
pub mod error;
mod files;
pub mod flight;
pub mod gc;
mod id;
mod layers;
mod lease;
mod mounts;
mod records;
mod room;
mod settle;
mod usage;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use blobs::BlobWriter;
pub use builds::BuildDir;
pub use error::Error;
pub use flight::Flight;
pub use gc::{Collected, Policy};
pub use id::LayerId;
pub use layers::{Committed, LayerMeta, LayerWriter};
pub use mounts::{MountLease, Mounts, Sharing};
pub use records::{ContentKey, Form, Record};
pub use room::{Need, Room};
pub use usage::{Kind, Usage, UsageItem};
pub use verify::Verified;

/// The version of the layout; a store of another version is refused.
const VERSION: &str = "slipway-store 1\n";

/// Directories below the root, made when a store is opened for writing.
const DIRECTORIES: &[&str] = &[
    "blobs/sha256",
    "layers",
    "forms",
    "records",
    "memos",
    "mounts",
    "builds",
    "leases",
    "flights",
    "tmp",
    "trash",
];

/// An open store.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    readonly: bool,
    /// This handle's journal and lease; made at the first write.
    lease: Mutex<Option<lease::Journal>>,
}

impl Store {
    /// Opens a store for reading and writing, making it where there is none.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, Error> {
        let root = root.as_ref();
        if !root.exists() {
            // Layers hold set-uid programs of whatever age: nobody else on this machine needs to reach them.
            files::make_dir(root)?;
            files::set_mode(root, 0o700)?;
        }
        for directory in DIRECTORIES {
            files::make_dir(&root.join(directory))?;
        }
        match files::read_optional(&root.join("version"))? {
            None => {
                let temporary = root.join("tmp").join(format!("version-{}", files::unique()));
                files::write_atomically(&temporary, &root.join("version"), VERSION.as_bytes())?;
            }
            Some(found) => check_version(root, &found)?,
        }
        let store = Self { root: absolute(root)?, readonly: false, lease: Mutex::new(None) };
        store.take_over()?;
        Ok(store)
    }

    /// Opens a store that this process only reads.
    ///
    /// Nothing is created or locked, so it works on a read-only mount. What is read can be removed meanwhile unless another
    /// process holds it (see [`Store::hold_layer`]).
    pub fn open_readonly(root: impl AsRef<Path>) -> Result<Self, Error> {
        let root = root.as_ref();
        let found = files::read_optional(&root.join("version"))?
            .ok_or_else(|| Error::NotAStore { path: root.to_owned() })?;
        check_version(root, &found)?;
        Ok(Self { root: absolute(root)?, readonly: true, lease: Mutex::new(None) })
    }

    /// Returns the directory of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Tells whether the store was opened for reading only.
    pub fn is_readonly(&self) -> bool {
        self.readonly
    }

    /// Refuses to go on in a store that is only read.
    fn writable(&self) -> Result<(), Error> {
        if self.readonly { Err(Error::ReadOnly { path: self.root.clone() }) } else { Ok(()) }
    }

    fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }
}

fn check_version(root: &Path, found: &[u8]) -> Result<(), Error> {
    if found == VERSION.as_bytes() {
        return Ok(());
    }
    Err(Error::Version { path: root.to_owned(), found: String::from_utf8_lossy(found).trim().to_owned() })
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::fs::canonicalize(path).map_err(|source| Error::io("resolve", path, source))
}

#[cfg(test)]
mod tests;
