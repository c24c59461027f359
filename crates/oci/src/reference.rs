//! Image references, read and normalised as Docker does.
//!
//! `debian` is `docker.io/library/debian:latest`. A reference names an image, it says nothing about how or with which
//! credentials a registry is reached.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

#[cfg(test)]
mod tests;

/// The registry that references without a host mean.
pub const DOCKER_HUB: &str = "docker.io";

/// The tag that references without tag and digest mean.
pub const DEFAULT_TAG: &str = "latest";

/// The longest repository path that registries accept.
const MAX_REPOSITORY: usize = 255;

/// A normalised image reference: `host[:port]/path[:tag][@digest]`.
///
/// Where both a tag and a digest are given, the digest decides what is pulled and the tag is only a note.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why an image reference was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{reference}` is not an image reference: {reason}")]
pub struct InvalidReference {
    /// What was given.
    pub reference: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Reference {
    /// Returns the registry's name: `docker.io`, `registry.example:5000`. For Docker Hub this is not the host that
    /// answers requests; the registry client knows about that.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the path below the registry: `library/debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag; `latest` where neither tag nor digest was written, none where only a digest was.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, where the reference is pinned.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns registry and repository without tag and digest: `docker.io/library/debian`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the form that Docker shows: without `docker.io/`, and without `library/` below it.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        match full.strip_prefix("docker.io/") {
            Some(hub) => match hub.strip_prefix("library/") {
                Some(short) if !self.repository["library/".len()..].contains('/') => short.to_owned(),
                _ => hub.to_owned(),
            },
            None => full,
        }
    }

    /// Returns what a manifest request names: the digest where there is one, else the tag.
    pub fn locator(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// Returns the same repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        check_tag(tag)
            .map_err(|reason| InvalidReference { reference: format!("{}:{tag}", self.name()), reason })?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// Returns the same reference pinned to a digest; the tag stays as a note.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// Returns the same repository by digest alone.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        read(text).map_err(|reason| InvalidReference { reference: text.to_owned(), reason })
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn read(text: &str) -> Result<Reference, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.contains("://") {
        return Err("it must not have a scheme such as https://".into());
    }
    let (rest, digest) = match text.split_once('@') {
        None => (text, None),
        Some((rest, digest)) => {
            (rest, Some(digest.parse::<Digest>().map_err(|_| format!("`{digest}` is not a sha256 digest"))?))
        }
    };
    let (registry, path) = split_registry(rest);
    let (path, tag) = match path.split_once(':') {
        None => (path, None),
        Some((path, tag)) => (path, Some(tag)),
    };
    check_registry(&registry)?;
    check_repository(path)?;
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let official = registry == DOCKER_HUB && !path.contains('/');
    if official
        && digest.is_none()
        && tag.is_none()
        && path.len() == 64
        && path.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Err("64 hex digits name an image of a local engine, not one of a registry".into());
    }
    let repository = if official { format!("library/{path}") } else { path.to_owned() };
    if repository.len() > MAX_REPOSITORY {
        return Err(format!("its name is longer than {MAX_REPOSITORY} characters"));
    }
    let tag = match (tag, &digest) {
        (None, None) => Some(DEFAULT_TAG.to_owned()),
        (tag, _) => tag.map(ToOwned::to_owned),
    };
    Ok(Reference { registry, repository, tag, digest })
}

/// Splits off the registry: the part before the first slash, if it looks like a host.
fn split_registry(text: &str) -> (String, &str) {
    match text.split_once('/') {
        Some((host, path))
            if host == "localhost"
                || host.contains(['.', ':'])
                || host.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            let host = if host == "index.docker.io" { DOCKER_HUB } else { host };
            (host.to_owned(), path)
        }
        _ => (DOCKER_HUB.to_owned(), text),
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let bad = || format!("`{registry}` is not a registry host");
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(bad)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            (None, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(bad)?) })
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if host.is_some_and(|host| !host.split('.').all(label)) {
        return Err(bad());
    }
    match port {
        Some(port)
            if port.is_empty()
                || !port.bytes().all(|b| b.is_ascii_digit())
                || port.parse::<u16>().is_err() =>
        {
            Err(format!("`{port}` is not a port"))
        }
        _ => Ok(()),
    }
}

fn check_repository(path: &str) -> Result<(), String> {
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("the repository must be in lower case".into());
    }
    match path.split('/').find(|part| !is_path_component(part)) {
        None => Ok(()),
        Some("") => Err("the repository has an empty part".into()),
        Some(part) => Err(format!(
            "`{part}` may only have lower-case letters and digits, separated by `.`, `_`, `__` or dashes"
        )),
    }
}

/// Letters and digits, separated by one dot, one or two underscores, or any number of dashes.
fn is_path_component(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    if !bytes.first().copied().is_some_and(is_word) || !bytes.last().copied().is_some_and(is_word) {
        return false;
    }
    bytes
        .split(|b| is_word(*b))
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    let good = (1..=128).contains(&bytes.len())
        && word(bytes[0])
        && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'));
    if good {
        Ok(())
    } else {
        Err(format!(
            "`{tag}` is not a tag (letters, digits, `_`, `.`, `-`; at most 128, not starting with `.` or `-`)"
        ))
    }
}
