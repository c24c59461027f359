//! Layer archives: tar streams, written byte for byte the same for the same entries, and read with distrust.
//!
//! Nothing here touches a file system: [`Writer`] is told what to write, [`Reader`] says what an archive holds, and
//! whoever makes files of it decides how to stay below a root.

use std::collections::BTreeMap;

mod header;
mod limits;
mod pax;
mod read;
mod sparse;
mod whiteout;
mod write;

#[cfg(test)]
mod tests;

pub use limits::{Limits, Meter};
pub use read::{EntryReader, ReadError, Reader};
pub use whiteout::{OPAQUE, WHITEOUT_PREFIX, Whiteout};
pub use write::{WriteError, Writer};

/// Extended attributes by name.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Everything about an entry but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path below the archive's root: no leading and no trailing slash, no `.` or `..`; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The permission bits with set-uid, set-gid and sticky: at most `0o7777`.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// When it was changed last.
    pub mtime: Mtime,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Entry {
    /// Makes an entry of root's, at the epoch, without attributes.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind, mode: u32) -> Self {
        Self { path: path.into(), kind, mode, uid: 0, gid: 0, mtime: Mtime::default(), xattrs: Xattrs::new() }
    }

    /// Returns the size of the content that follows the entry.
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size } => size,
            _ => 0,
        }
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file with content.
    File {
        /// Its size.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it says, unchecked: to be resolved below the root at the use.
        target: Vec<u8>,
    },
    /// A second name of an earlier entry.
    Hardlink {
        /// The earlier entry's path, in the form of [`Entry::path`].
        target: Vec<u8>,
    },
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A time in seconds since 1970 and nanoseconds after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    /// Seconds, before 1970 negative.
    pub seconds: i64,
    /// Nanoseconds, below one second.
    pub nanos: u32,
}

impl Mtime {
    /// Returns a time at a full second.
    pub fn at(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Returns the earlier of this and a limit, as `rewrite-timestamp` clamps.
    #[must_use]
    pub fn clamped(self, latest: Option<i64>) -> Self {
        latest.map_or(self, |latest| self.min(Self::at(latest)))
    }
}
