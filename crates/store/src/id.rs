//! Names of layers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use slipway_oci::Digest;

use crate::usage::Kind;

/// The name of an unpacked layer: where it comes from, and a digest.
///
/// The origin is part of the name, so a layer that somebody pulls can never stand for a step's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerId {
    origin: Origin,
    digest: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Origin {
    Diff,
    Chain,
    Step,
    Source,
}

impl Origin {
    const ALL: [Self; 4] = [Self::Diff, Self::Chain, Self::Step, Self::Source];

    fn prefix(self) -> &'static str {
        match self {
            Self::Diff => "diff",
            Self::Chain => "chain",
            Self::Step => "step",
            Self::Source => "source",
        }
    }
}

/// Why a layer's name was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a layer's name: (diff|chain|step|source)-<64 hex digits>")]
pub struct InvalidLayerId(pub String);

impl LayerId {
    /// Names a pulled layer by the digest of its uncompressed archive.
    pub fn diff(diff_id: Digest) -> Self {
        Self { origin: Origin::Diff, digest: diff_id }
    }

    /// Names a pulled layer by its chain: one whose archive can only be understood on top of the layers below, because it
    /// leaves out parent directories or links to files there.
    pub fn chain(chain_id: Digest) -> Self {
        Self { origin: Origin::Chain, digest: chain_id }
    }

    /// Names a built layer by the key of its step.
    pub fn step(key: Digest) -> Self {
        Self { origin: Origin::Step, digest: key }
    }

    /// Names a source tree (a context, a checkout) by what it was fetched from or by its content. It is a plain tree: nothing
    /// in it is a whiteout.
    pub fn source(digest: Digest) -> Self {
        Self { origin: Origin::Source, digest }
    }

    /// Returns the digest in the name.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns what it counts as.
    pub(crate) fn kind(&self) -> Kind {
        match self.origin {
            Origin::Diff | Origin::Chain => Kind::PulledLayer,
            Origin::Step => Kind::BuiltLayer,
            Origin::Source => Kind::Source,
        }
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.origin.prefix(), self.digest.hex())
    }
}

impl FromStr for LayerId {
    type Err = InvalidLayerId;

    fn from_str(text: &str) -> Result<Self, InvalidLayerId> {
        let invalid = || InvalidLayerId(text.to_owned());
        let (prefix, hex) = text.split_once('-').ok_or_else(invalid)?;
        let origin = Origin::ALL.into_iter().find(|origin| origin.prefix() == prefix).ok_or_else(invalid)?;
        let digest = format!("sha256:{hex}").parse().map_err(|_| invalid())?;
        // One name a layer: a file named with capital hex digits is not ours.
        let id = Self { origin, digest };
        if id.to_string() == text { Ok(id) } else { Err(invalid()) }
    }
}

impl TryFrom<String> for LayerId {
    type Error = InvalidLayerId;

    fn try_from(text: String) -> Result<Self, InvalidLayerId> {
        text.parse()
    }
}

impl From<LayerId> for String {
    fn from(id: LayerId) -> Self {
        id.to_string()
    }
}
