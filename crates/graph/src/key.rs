//! Cache keys: typed, length-prefixed, injective.

use std::fmt;

use serde::{Deserialize, Serialize};
use slipway_oci::Digest;

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
