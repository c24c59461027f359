//! Where requests go: a registry or one of its mirrors.

use std::net::IpAddr;

use reqwest::Url;
use slipway_oci::Reference;
use slipway_oci::reference::DOCKER_HUB;

use crate::error::What;
use crate::settings::Mirror;

/// Who answers for Docker Hub.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// A registry or a mirror, as it can be reached.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Scheme, host and port.
    pub(crate) origin: Url,
    /// What stands before each repository there: empty, or `path/`.
    pub(crate) prefix: String,
    /// The registry's name as references and credentials have it.
    pub(crate) name: String,
    /// Its certificate is not checked.
    pub(crate) lax: bool,
    /// For a mirror: whose copies it has.
    pub(crate) mirror_of: Option<String>,
}

/// Returns the base URL of a host.
pub(crate) fn base(scheme: &str, host: &str) -> Result<Url, What> {
    let url = format!("{scheme}://{host}/");
    url.parse::<Url>().map_err(|error| What::Settings(format!("`{host}`: {error}")))
}

impl Endpoint {
    /// Returns the repository's name at this place.
    pub(crate) fn repository(&self, reference: &Reference) -> String {
        format!("{}{}", self.prefix, reference.repository())
    }

    /// Returns the URL of something in a repository: `manifests/latest`.
    pub(crate) fn url(&self, reference: &Reference, path: &str) -> Result<Url, What> {
        self.url_in(&self.repository(reference), path)
    }

    pub(crate) fn url_in(&self, repository: &str, path: &str) -> Result<Url, What> {
        let mut url = self
            .origin
            .join(&format!("/v2/{repository}/{path}"))
            .map_err(|error| What::Settings(format!("no URL for {repository}: {error}")))?;
        if let Some(registry) = &self.mirror_of {
            url.query_pairs_mut().append_pair("ns", registry);
        }
        Ok(url)
    }

    /// Returns the key that tokens of this place are kept under.
    pub(crate) fn key(&self) -> String {
        self.origin.to_string()
    }

    /// Returns who it is, for people.
    pub(crate) fn shown(&self) -> String {
        match &self.mirror_of {
            Some(registry) => format!("{} (a mirror of {registry})", self.name),
            None => self.name.clone(),
        }
    }
}

/// What a mirror's location says: scheme if given, host, prefix.
pub(crate) fn read_mirror(mirror: &Mirror) -> Result<(Option<String>, String, String), What> {
    let bad =
        || What::Settings(format!("`{}` is not a mirror: host[:port][/path] expected", mirror.location));
    let (scheme, rest) = match mirror.location.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (Some(scheme.to_owned()), rest),
        Some(_) => return Err(bad()),
        None => (None, mirror.location.as_str()),
    };
    let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    let prefix = prefix.strip_prefix("v2/").unwrap_or(if prefix == "v2" { "" } else { prefix });
    if host.is_empty() || host.contains('@') {
        return Err(bad());
    }
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    Ok((scheme, host.to_owned(), prefix))
}

/// Returns the host that answers for a registry.
pub(crate) fn api_host(registry: &str) -> &str {
    if registry == DOCKER_HUB { DOCKER_HUB_API } else { registry }
}

/// Returns true for hosts that are this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = bare_host(host);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns true for addresses that cloud machines tell their secrets at.
pub(crate) fn is_link_local(host: &str) -> bool {
    match bare_host(host).parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_unicast_link_local() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local())
        }
        Err(_) => false,
    }
}

/// Returns a host without port and brackets.
fn bare_host(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    }
}

/// Returns a URL for people: queries and user parts may hold secrets.
pub(crate) fn shown_url(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), authority(url), url.path())
}

/// Returns host and port of a URL.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
