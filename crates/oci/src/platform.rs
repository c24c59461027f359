//! Platforms: `os/architecture[/variant]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The operating system, `linux`; empty where an index does not say.
    #[serde(default)]
    pub os: String,
    /// The processor, in Go's words: `amd64`, `arm64`; empty where an index does not say.
    #[serde(default)]
    pub architecture: String,
    /// The processor's variant: `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a platform was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform of the form os/architecture[/variant]")]
pub struct InvalidPlatform(pub String);

impl Platform {
    /// Returns the platform that this program was built for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    /// Reads a platform with the aliases that Docker knows (`x86_64`, `aarch64`, `armhf`, a lone architecture).
    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let invalid = || InvalidPlatform(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let mut parts: Vec<&str> = lower.split('/').collect();
        if parts.iter().any(|part| {
            part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }) {
            return Err(invalid());
        }
        if let [one] = parts[..] {
            parts = if matches!(one, "linux" | "windows" | "darwin" | "freebsd") {
                vec![one, "amd64"]
            } else {
                vec!["linux", one]
            };
        }
        let (os, arch, variant) = match parts[..] {
            [os, arch] => (os, arch, None),
            [os, arch, variant] => (os, arch, Some(variant)),
            _ => return Err(invalid()),
        };
        let (arch, variant) = match (arch, variant) {
            ("x86_64" | "x86-64", v) => ("amd64", v),
            ("aarch64", None | Some("8" | "v8")) | ("arm64", Some("8" | "v8")) => ("arm64", None),
            ("armel", _) => ("arm", Some("v6")),
            ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("i386", v) => ("386", v),
            other => other,
        };
        Ok(Self { os: os.into(), architecture: arch.into(), variant: variant.map(Into::into) })
    }
}
