//! Which entry of a Docker configuration is for which image.
//!
//! As the kubelet: a key is a host, `host:port` or `host/path`; `*` stands for a part of the host between dots (or a piece
//! of one) and never for several; a path matches itself and what is below. So `azurecr.io` is not `evilazurecr.io`,
//! `*.io` is not `a.b.io`, and a key without port is not for a registry with one.

use slipway_oci::Reference;

/// Docker Hub's key in files that Docker writes.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// How specific a host without a path is; longer paths rank above.
pub(super) const HOST_RANK: usize = 1 << 16;

/// Returns what credential helpers call a registry.
pub(super) fn server_of(registry: &str) -> &str {
    if registry == slipway_oci::reference::DOCKER_HUB { DOCKER_HUB_KEY } else { registry }
}

/// A key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    host: String,
    port: Option<String>,
    path: String,
}

impl Pattern {
    /// Reads a key; none if it can match nothing.
    pub(super) fn read(key: &str) -> Option<Self> {
        let key = key.trim();
        let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // `/v1/` and `/v2/` are part of the protocol, not of a repository.
        let path = path.strip_prefix("v1/").or_else(|| path.strip_prefix("v2/")).unwrap_or(path);
        let path = if matches!(path, "v1" | "v2") { "" } else { path };
        let (host, port) = split_port(authority);
        let host = host.to_ascii_lowercase();
        if host.is_empty() || host.contains(['@', '?', '#']) {
            return None;
        }
        let host = match host.as_str() {
            "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
            _ => host,
        };
        Some(Self { host, port: port.map(str::to_owned), path: path.trim_end_matches('/').to_owned() })
    }

    /// Returns how specific the match is; none if it is none.
    pub(super) fn matches(&self, reference: &Reference) -> Option<usize> {
        let (host, port) = split_port(reference.registry());
        if self.port.as_deref() != port || !host_matches(&self.host, &host.to_ascii_lowercase()) {
            return None;
        }
        let repository = reference.repository();
        let below = match repository.strip_prefix(self.path.as_str()) {
            Some(rest) => self.path.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        let wildcards = self.host.bytes().filter(|b| matches!(b, b'*' | b'?' | b'[')).count();
        below.then(|| HOST_RANK + (self.path.len() << 4) - wildcards.min(15))
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, Some(port))
        }
        _ => (authority, None),
    }
}

/// Compares hosts part by part.
fn host_matches(pattern: &str, host: &str) -> bool {
    let (patterns, parts): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    patterns.len() == parts.len()
        && patterns.iter().zip(parts).all(|(pattern, part)| part_matches(pattern.as_bytes(), part.as_bytes()))
}

/// Matches `*` and `?` within a part.
fn part_matches(pattern: &[u8], part: &[u8]) -> bool {
    match (pattern.split_first(), part.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => part_matches(rest, part),
        (Some((b'*', rest)), Some((_, after))) => part_matches(rest, part) || part_matches(pattern, after),
        (Some((b'?', rest)), Some((_, after))) => part_matches(rest, after),
        (Some((a, rest)), Some((b, after))) => a == b && part_matches(rest, after),
        _ => false,
    }
}
