//! Platforms as `os/arch/variant`.

use std::fmt;

/// A platform in its normal form: `amd64`, not `x86_64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    pub arch: String,
    /// Such as `v7`; mostly empty.
    pub variant: String,
}

const SYSTEMS: [&str; 10] =
    ["linux", "windows", "darwin", "freebsd", "android", "aix", "dragonfly", "netbsd", "openbsd", "solaris"];
const ARCHITECTURES: [&str; 14] = [
    "amd64", "arm64", "arm", "386", "ppc64le", "ppc64", "s390x", "riscv64", "loong64", "mips", "mipsle",
    "mips64", "mips64le", "wasm",
];

impl Platform {
    /// Reads a platform; a part alone is an operating system or an architecture.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<String> = text.split('/').map(str::to_lowercase).collect();
        let sane = |part: &String| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
        };
        if !parts.iter().all(sane) {
            return None;
        }
        let normal = |arch: &str, variant: &str| {
            let (arch, implied) = normal_arch(arch);
            let variant = if variant.is_empty() { implied } else { variant };
            // `arm64/v8` and `arm/v7` are what these say without a variant.
            let variant = match (arch, variant) {
                ("arm64", "v8" | "8") => "",
                ("arm", "" | "7") => "v7",
                (_, variant) => variant,
            };
            (arch.to_owned(), variant.to_owned())
        };
        let (os, (arch, variant)) = match parts.as_slice() {
            [os] if SYSTEMS.contains(&os.as_str()) => (os.clone(), normal("amd64", "")),
            [arch] if ARCHITECTURES.contains(&normal_arch(arch).0) => ("linux".to_owned(), normal(arch, "")),
            [os, arch] => (os.clone(), normal(arch, "")),
            [os, arch, variant] => (os.clone(), normal(arch, variant)),
            _ => return None,
        };
        let os = if os == "macos" { "darwin".to_owned() } else { os };
        Some(Self { os, arch, variant })
    }
}

fn normal_arch(arch: &str) -> (&str, &str) {
    match arch {
        "x86_64" | "x86-64" => ("amd64", ""),
        "aarch64" => ("arm64", ""),
        "i386" | "i686" => ("386", ""),
        "armhf" => ("arm", "v7"),
        "armel" => ("arm", "v6"),
        other => (other, ""),
    }
}

/// `linux/amd64`.
impl Default for Platform {
    fn default() -> Self {
        Self { os: "linux".into(), arch: "amd64".into(), variant: String::new() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::Platform;

    #[test]
    fn table() {
        let table = [
            ("linux/amd64", Some("linux/amd64")),
            ("linux/x86_64", Some("linux/amd64")),
            ("Linux/ARM64/v8", Some("linux/arm64")),
            ("arm64", Some("linux/arm64")),
            ("linux", Some("linux/amd64")),
            ("linux/arm", Some("linux/arm/v7")),
            ("linux/arm/v6", Some("linux/arm/v6")),
            ("windows/amd64", Some("windows/amd64")),
            ("nonsense", None),
            ("a/b/c/d", None),
            ("linux/", None),
            ("$X", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(Platform::parse(text).map(|p| p.to_string()).as_deref(), wanted, "for {text:?}");
        }
    }
}
