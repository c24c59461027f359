//! Image references, as far as the checks need to understand them.

/// The parts of a reference such as `ghcr.io/owner/name:1.2@sha256:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    /// Registry and path, as written.
    pub(super) name: &'a str,
    /// The tag.
    pub(super) tag: Option<&'a str>,
    /// The digest.
    pub(super) digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Reads a reference, or returns nothing where no registry would take it.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before a slash belongs to the registry's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let valid = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        valid.then_some(Self { name, tag, digest })
    }

    /// Returns the path without the registry and without Docker Hub's `library/`.
    pub(super) fn path(&self) -> &'a str {
        let path = match self.name.split_once('/') {
            Some((first, rest)) if is_registry(first) => rest,
            _ => self.name,
        };
        path.strip_prefix("library/").unwrap_or(path)
    }

    /// Returns the last part of the path.
    pub(super) fn short_name(&self) -> &'a str {
        self.path().rsplit('/').next().unwrap_or_default()
    }
}

fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.chars().any(|c| c.is_ascii_uppercase())
}

fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => {
            let host =
                first.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'));
            if !host {
                return false;
            }
            rest
        }
        _ => name,
    };
    let hash = path.len() == 64 && path.chars().all(|c| c.is_ascii_hexdigit());
    name.len() <= 255 && !hash && path.split('/').all(is_component)
}

/// Lowercase letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(part: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separator = String::new();
    for c in part.chars() {
        if inner(c) {
            if !(matches!(separator.as_str(), "" | "." | "_" | "__") || separator.chars().all(|c| c == '-')) {
                return false;
            }
            separator.clear();
        } else if matches!(c, '.' | '_' | '-') {
            separator.push(c);
        } else {
            return false;
        }
    }
    part.starts_with(inner) && separator.is_empty()
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.starts_with(word) && tag.len() <= 128 && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
            && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-' | '_'))
            && hex.len() >= 32
            && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn valid_ones_come_apart() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let pinned = format!("localhost:5000/a/b:1@{digest}");
        let table = [
            ("debian", "debian", "debian", None, None),
            ("library/debian:12", "library/debian", "debian", Some("12"), None),
            ("ghcr.io/Owner", "ghcr.io/Owner", "", None, None),
            ("docker.io/library/node:20-alpine", "docker.io/library/node", "node", Some("20-alpine"), None),
            ("localhost:5000/x", "localhost:5000/x", "x", None, None),
            (pinned.as_str(), "localhost:5000/a/b", "a/b", Some("1"), Some(digest.as_str())),
            ("a__b/c---d", "a__b/c---d", "a__b/c---d", None, None),
        ];
        for (text, name, path, tag, pin) in table {
            if path.is_empty() {
                assert_eq!(Reference::parse(text), None, "for {text}");
                continue;
            }
            let reference = Reference::parse(text).unwrap_or_else(|| panic!("{text} is valid"));
            assert_eq!(
                (reference.name, reference.path(), reference.tag, reference.digest),
                (name, path, tag, pin)
            );
        }
    }

    #[test]
    fn invalid_ones_are_told() {
        let long = "a".repeat(256);
        let hash = "0".repeat(64);
        for text in [
            "",
            ":1",
            "a:",
            "Debian",
            "a//b",
            "/a",
            "a/",
            "a_-b",
            "-a",
            "a.",
            "a:b:c",
            "a@sha256:12",
            "a b",
            &long,
            &hash,
        ] {
            assert_eq!(Reference::parse(text), None, "for {text:?}");
        }
    }
}
