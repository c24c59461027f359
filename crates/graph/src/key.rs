//! Cache keys: typed, length-prefixed, injective.
//!
//! [`encode`] turns typed values into bytes that can be read back in one way only; [`step`] says which parts of an
//! operation decide its result.

pub mod encode;
pub mod step;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use slipway_oci::Digest;

pub use self::encode::Encoder;
pub use self::step::{content_key, image_key, layer_key, scratch_key, step_key};

/// The name of a result: equal keys, equal file systems.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub Digest);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One named input of a key, kept beside it to explain a miss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// What it is: `command`, `arg NODE_VERSION`, `env PATH`, `file src/a.go`, `base debian:bookworm`, `stage build`.
    pub name: String,
    /// Its value, or the digest of it where it is long or a file.
    pub value: String,
}

/// How a file tree that a step reads enters the step's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tree {
    /// By what is selected of it.
    Content(Digest),
    /// By the key of the whole tree: no content is needed to know it.
    Key(Key),
}
