//! Tags and referrers, through oci-client: short questions that need none of the care for large transfers.
//!
//! The token is ours, so that the same rules decide who sees credentials; oci-client only speaks the protocol, with its
//! fallback to the tag scheme where a registry has no referrers API.

use oci_client::Client;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use reqwest::StatusCode;
use slipway_oci::{Descriptor, Digest, Reference};

use crate::Registry;
use crate::auth::Access;
use crate::endpoint::{Endpoint, api_host};
use crate::error::{Error, What};
use crate::pull::pull;
use crate::settings::Settings;

/// How many tags are asked for at once, and how many at all.
const PAGE: usize = 1000;
const MAX_PAGES: usize = 100;

/// What oci-client calls itself: it wants a text that lives forever.
const USER_AGENT: &str = concat!("slipway/", env!("CARGO_PKG_VERSION"));

impl Registry {
    /// Returns the tags of a repository, in the registry's order.
    pub async fn list_tags(&self, repository: &Reference) -> Result<Vec<String>, Error> {
        let endpoint = self.transport().registry(repository).await?;
        let subject = repository.name();
        let name = foreign(repository, None);
        self.transport()
            .retrying(&subject, &endpoint, async || {
                let (client, auth) = self.client(&endpoint, &pull(&endpoint, repository)).await?;
                let mut tags: Vec<String> = vec![];
                for _ in 0..MAX_PAGES {
                    let page =
                        client.list_tags(&name, &auth, Some(PAGE), tags.last().map(String::as_str)).await;
                    let page = page.map_err(|error| translate(&error))?.tags;
                    let full = page.len() >= PAGE;
                    tags.extend(page);
                    if !full {
                        break;
                    }
                }
                Ok(tags)
            })
            .await
    }

    /// Returns what refers to a manifest (signatures, attestations), those of one artifact type if one is given.
    pub async fn referrers(
        &self,
        repository: &Reference,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        let endpoint = self.transport().registry(repository).await?;
        let subject = repository.pinned(*digest);
        let name = foreign(repository, Some(digest));
        self.transport()
            .retrying(&subject.to_string(), &endpoint, async || {
                let access = pull(&endpoint, repository);
                let (client, auth) = self.client(&endpoint, &access).await?;
                client.store_auth_if_needed(name.resolve_registry(), &auth).await;
                let index =
                    client.pull_referrers(&name, artifact_type).await.map_err(|error| translate(&error))?;
                let entries = index.manifests.into_iter().filter_map(|entry| {
                    let digest = entry.digest.parse().ok()?;
                    let mut found =
                        Descriptor::new(entry.media_type, digest, u64::try_from(entry.size).ok()?);
                    found.artifact_type = entry.artifact_type;
                    found.annotations = entry.annotations.unwrap_or_default();
                    Some(found)
                });
                // Not every registry filters.
                let wanted = |found: &Descriptor| {
                    artifact_type.is_none_or(|t| found.artifact_type.as_deref() == Some(t))
                };
                Ok(entries.filter(wanted).collect())
            })
            .await
    }

    /// Makes an oci-client for one place, and who we are there.
    async fn client(&self, endpoint: &Endpoint, access: &Access) -> Result<(Client, RegistryAuth), What> {
        let transport = self.transport();
        let header = transport.authorization(endpoint, access).await?;
        let auth = match header.as_deref().and_then(|header| header.split_once(' ')) {
            Some(("Bearer", token)) => RegistryAuth::Bearer(token.to_owned()),
            Some((_, pair)) => basic(pair)?,
            None => RegistryAuth::Anonymous,
        };
        let config = config(&transport.settings, endpoint)?;
        let client = Client::try_from(config).map_err(|error| What::Settings(error.to_string()))?;
        Ok((client, auth))
    }
}

fn config(settings: &Settings, endpoint: &Endpoint) -> Result<ClientConfig, What> {
    let mut extra_root_certificates = vec![];
    for path in &settings.ca_files {
        let data =
            std::fs::read(path).map_err(|error| What::Settings(format!("{}: {error}", path.display())))?;
        extra_root_certificates.push(Certificate { encoding: CertificateEncoding::Pem, data });
    }
    Ok(ClientConfig {
        protocol: if endpoint.origin.scheme() == "http" {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        },
        accept_invalid_certificates: endpoint.lax,
        extra_root_certificates,
        connect_timeout: Some(settings.timeouts.connect),
        read_timeout: Some(settings.timeouts.idle),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    })
}

fn basic(pair: &str) -> Result<RegistryAuth, What> {
    use base64::Engine;
    let bad = || What::Credentials("not a name and a password".into());
    let text = base64::engine::general_purpose::STANDARD.decode(pair).map_err(|_| bad())?;
    let text = String::from_utf8(text).map_err(|_| bad())?;
    let (username, password) = text.split_once(':').ok_or_else(bad)?;
    Ok(RegistryAuth::Basic(username.to_owned(), password.to_owned()))
}

/// Returns a reference in oci-client's type.
fn foreign(reference: &Reference, digest: Option<&Digest>) -> oci_client::Reference {
    let (host, repository) = (api_host(reference.registry()).to_owned(), reference.repository().to_owned());
    match digest {
        Some(digest) => oci_client::Reference::with_digest(host, repository, digest.to_string()),
        None => {
            oci_client::Reference::with_tag(host, repository, reference.tag().unwrap_or("latest").to_owned())
        }
    }
}

/// Says in our words what oci-client says.
fn translate(error: &OciDistributionError) -> What {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            let message =
                envelope.errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ");
            match envelope.errors.first().map(|error| &error.code) {
                Some(OciErrorCode::NameUnknown | OciErrorCode::ManifestUnknown | OciErrorCode::NotFound) => {
                    What::NotFound { message }
                }
                Some(OciErrorCode::Toomanyrequests) => What::TooManyRequests { retry_after: None, message },
                Some(OciErrorCode::Denied) => What::Denied { as_whom: "these credentials".into(), message },
                _ => What::Protocol(message),
            }
        }
        OciDistributionError::ServerError { code, message, .. } => What::Status {
            status: StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            retry_after: None,
            message: message.clone(),
        },
        OciDistributionError::RequestError(error) => What::Cut { bytes: 0, reason: error.to_string() },
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            What::Unauthorized { tried: "with what there is".into(), hint: "check the credentials".into() }
        }
        other => What::Protocol(other.to_string()),
    }
}
