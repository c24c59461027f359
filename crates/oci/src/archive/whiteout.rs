//! How a layer says that something of the layers below is gone.

use super::{Entry, Kind};

/// What the name of a file begins with that says that its sibling is gone.
pub const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// The name of a file that says that a directory shows nothing of the layers below.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a layer entry says beyond being a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// The path is gone.
    Removed(Vec<u8>),
    /// The directory hides what is below it.
    Opaque(Vec<u8>),
    /// A name that begins as whiteouts do and means nothing: aufs left-overs, or an attack (`.wh..`, `.wh.`).
    Invalid,
}

impl Whiteout {
    /// Reads a whiteout out of an entry's path; none for every other path.
    pub fn of(path: &[u8]) -> Option<Self> {
        let at = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
        let (parent, name) = path.split_at(at);
        let directory = parent.strip_suffix(b"/").unwrap_or(parent);
        if name == OPAQUE {
            return Some(Self::Opaque(directory.to_vec()));
        }
        let gone = name.strip_prefix(WHITEOUT_PREFIX)?;
        if matches!(gone, b"" | b"." | b"..") || gone.starts_with(WHITEOUT_PREFIX) {
            return Some(Self::Invalid);
        }
        Some(Self::Removed([parent, gone].concat()))
    }

    /// Makes the entry that says so: an empty file. None for [`Whiteout::Invalid`] and for a path without a name.
    pub fn entry(&self) -> Option<Entry> {
        let path = match self {
            Self::Removed(path) => {
                let at = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
                if path[at..].is_empty() {
                    return None;
                }
                [&path[..at], WHITEOUT_PREFIX, &path[at..]].concat()
            }
            Self::Opaque(directory) if directory.is_empty() => OPAQUE.to_vec(),
            Self::Opaque(directory) => [directory, &b"/"[..], OPAQUE].concat(),
            Self::Invalid => return None,
        };
        Some(Entry::new(path, Kind::File { size: 0 }, 0))
    }
}
