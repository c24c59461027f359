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
        let (architecture, variant) = normal(architecture, None);
        Self { os: "linux".into(), architecture: architecture.into(), variant: variant.map(Into::into) }
    }

    /// Tells whether a machine of this platform is made to run programs of another one, without emulation.
    pub fn runs(&self, other: &Self) -> bool {
        let known = match self.architecture.as_str() {
            "amd64" => &["amd64", "386"][..],
            "arm64" => &["arm64", "arm"],
            own => &[own],
        };
        self.os == other.os && known.contains(&other.architecture.as_str())
    }

    /// Returns it as a folder's name: `linux_arm_v7`.
    pub fn folder(&self) -> String {
        self.to_string().replace('/', "_")
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
        let os = if os == "macos" { "darwin" } else { os };
        let (arch, variant) = normal(arch, variant);
        Ok(Self { os: os.into(), architecture: arch.into(), variant: variant.map(Into::into) })
    }
}

/// Returns the usual one of several spellings of a processor, as containerd does.
fn normal<'a>(arch: &'a str, variant: Option<&'a str>) -> (&'a str, Option<&'a str>) {
    match (arch, variant) {
        ("x86_64" | "x86-64" | "amd64", v) => ("amd64", v.filter(|v| *v != "v1")),
        ("aarch64" | "arm64", None | Some("8" | "v8" | "v8.0")) => ("arm64", None),
        ("aarch64" | "arm64", Some("9" | "9.0" | "v9.0")) => ("arm64", Some("v9")),
        ("aarch64", v) => ("arm64", v),
        ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
        ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        ("i386", _) => ("386", None),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_become_one_as_in_containerd() {
        let table = [
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("Linux/ARM64/v8", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("linux/aarch64/8", "linux/arm64"),
            ("linux/arm64/9", "linux/arm64/v9"),
            ("arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("i386", "linux/386"),
            ("linux", "linux/amd64"),
            ("macos/arm64", "darwin/arm64"),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Platform>().map(|p| p.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "linux/", "a/b/c/d", "linux/arm 7"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_machine_runs_its_own_and_what_its_processor_also_knows() {
        let runs = |on: &str, what: &str| {
            let on: Platform = on.parse().unwrap_or_else(|_| Platform::host());
            what.parse::<Platform>().is_ok_and(|what| on.runs(&what))
        };
        assert!(runs("linux/amd64", "linux/amd64/v2") && runs("linux/amd64", "linux/386"));
        assert!(runs("linux/arm64", "linux/arm/v7"));
        assert!(!runs("linux/amd64", "linux/arm64") && !runs("linux/amd64", "windows/amd64"));
        assert!(!runs("linux/arm/v7", "linux/arm64"));
    }
}
