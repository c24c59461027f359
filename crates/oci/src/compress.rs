//! Compression of layers, in both directions.
//!
//! [`LayerWriter`] makes a layer blob in one pass: it compresses on several threads and computes both digests meanwhile.
//! The bytes depend on the input, the format and the level alone: not on the number of threads, nor on how the input was
//! cut into writes. [`Decoder`] reads what others made. Neither knows what is inside the stream.

mod decode;
mod guess;
mod gzip;
mod layer;
mod zstandard;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use layer::{LayerDigests, LayerWriter};

/// How a stream is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2: known by its first bytes only.
    Bzip2,
    /// xz: known by its first bytes only.
    Xz,
}

impl Format {
    /// How many first bytes [`Format::sniff`] wants to see.
    pub const SNIFF: usize = 6;

    /// Tells a format by a stream's first bytes.
    pub fn sniff(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }
}

/// How to pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, level 0 to 9.
    Gzip(u32),
    /// Zstandard, level 1 to 22.
    Zstd(i32),
}

impl Compression {
    /// gzip at a level that makes layers within 2% of level 6's size in three quarters of its time.
    pub const GZIP: Self = Self::Gzip(4);
    /// Zstandard at its usual level.
    pub const ZSTD: Self = Self::Zstd(3);

    /// Reads a name and a level as `--output compression=…,compression-level=…` give them.
    pub fn parse(name: &str, level: Option<i32>) -> Result<Self, InvalidCompression> {
        let bad_level =
            |range| InvalidCompression::Level { name: name.to_owned(), level: level.unwrap_or(0), range };
        match (name, level) {
            ("uncompressed" | "none", _) => Ok(Self::None),
            ("gzip", None) => Ok(Self::GZIP),
            ("gzip", Some(level @ 0..=9)) => Ok(Self::Gzip(level.unsigned_abs())),
            ("gzip", Some(_)) => Err(bad_level("0 to 9")),
            ("zstd", None | Some(0)) => Ok(Self::ZSTD),
            ("zstd", Some(level @ 1..=22)) => Ok(Self::Zstd(level)),
            ("zstd", Some(_)) => Err(bad_level("0 to 22")),
            _ => Err(InvalidCompression::Name(name.to_owned())),
        }
    }

    /// Returns the format.
    pub fn format(self) -> Format {
        match self {
            Self::None => Format::None,
            Self::Gzip(_) => Format::Gzip,
            Self::Zstd(_) => Format::Zstd,
        }
    }
}

/// Why a compression was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCompression {
    /// No such format.
    #[error("`{0}` is not a compression; there are uncompressed, gzip and zstd")]
    Name(String),
    /// No such level.
    #[error("{name} has no level {level}; there are {range}")]
    Level {
        /// The format.
        name: String,
        /// The level.
        level: i32,
        /// What there is.
        range: &'static str,
    },
}
