//! Pulling: manifests and images, each byte checked.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use slipway_oci::manifest::{self, Document, MAX_CONFIG, MAX_MANIFEST, Manifest};
use slipway_oci::{Descriptor, Digest, ImageConfig, Platform, Reference, media};

use crate::Registry;
use crate::auth::Access;
use crate::endpoint::Endpoint;
use crate::error::{Error, What};
use crate::transport::refused;

mod blob;
mod remote;
mod sink;

pub use remote::RemoteBlob;
pub use sink::Sink;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// An image, found.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What was asked for.
    pub reference: Reference,
    /// The digest of the manifest for the platform: the digest of `raw`.
    pub digest: Digest,
    /// The digest of what the reference names: the index if the manifest came out of one, else `digest`.
    pub top: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's bytes as they came.
    pub raw: Bytes,
    /// What the manifest was sent as.
    pub media_type: String,
    /// The configuration; its digest was checked.
    pub config: ImageConfig,
    /// The configuration's bytes as they came.
    pub config_raw: Bytes,
    /// Who answered.
    pub host: String,
}

/// A manifest or an index, as it came.
#[derive(Clone, Debug)]
pub struct RawManifest {
    /// The bytes.
    pub bytes: Bytes,
    /// What it was sent as.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

impl Registry {
    /// Finds an image for a platform: asks mirrors first, picks the platform out of an index, reads the configuration.
    pub async fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, Error> {
        self.first_source(reference, |endpoint| async move {
            self.resolve_at(&endpoint, reference, platform).await
        })
        .await
    }

    /// Returns the digest that a reference stands for, without counting as a pull where the registry allows.
    pub async fn digest(&self, reference: &Reference) -> Result<Digest, Error> {
        if let Some(digest) = reference.digest() {
            return Ok(*digest);
        }
        self.first_source(reference, |endpoint| async move {
            let endpoint = &*endpoint;
            let transport = self.transport();
            let subject = reference.to_string();
            let asked = transport.retrying(&subject, endpoint, async || {
                let url = endpoint.url(reference, &format!("manifests/{}", reference.locator()))?;
                let mut call = transport.call(Method::HEAD, url);
                call.headers.insert(ACCEPT, accept());
                let answer = transport.send(endpoint, &pull(endpoint, reference), &call).await?;
                match answer.status() {
                    StatusCode::OK => {
                        Ok(answer.header(&CONTENT_DIGEST).and_then(|digest| digest.parse().ok()))
                    }
                    // Some registries know GET alone.
                    StatusCode::METHOD_NOT_ALLOWED => Ok(None),
                    _ => Err(refused(answer).await),
                }
            });
            match asked.await? {
                Some(digest) => Ok(digest),
                None => Ok(self.manifest_at(endpoint, reference, None).await?.digest),
            }
        })
        .await
    }

    /// Returns the manifest or index that a reference names, as it is; its digest is checked.
    pub async fn get_manifest_raw(&self, reference: &Reference) -> Result<RawManifest, Error> {
        self.first_source(
            reference,
            |endpoint| async move { self.manifest_at(&endpoint, reference, None).await },
        )
        .await
    }

    /// Asks mirrors and then the registry until one can answer. The registry's own failure is the one reported, with those of
    /// the mirrors after it.
    async fn first_source<T, F: Future<Output = Result<T, Error>>>(
        &self,
        reference: &Reference,
        ask: impl Fn(Arc<Endpoint>) -> F,
    ) -> Result<T, Error> {
        let mut passed = Vec::new();
        for endpoint in self.transport().sources(reference).await? {
            let endpoint = Arc::new(endpoint);
            match ask(Arc::clone(&endpoint)).await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    if endpoint.mirror_of.is_some() {
                        tracing::warn!(%error, "a mirror could not help, asking the next");
                    }
                    passed.push(error);
                }
            }
        }
        Err(Error::last_of(passed, &reference.to_string()))
    }

    async fn resolve_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Resolved, Error> {
        let failed = |what| Error::new(reference.to_string(), endpoint.shown(), what);
        let read = |raw: &RawManifest| {
            manifest::read(&raw.bytes, Some(&raw.media_type)).map_err(|source| failed(source.into()))
        };
        let mut raw = self.manifest_at(endpoint, reference, None).await?;
        let top = raw.digest;
        let mut document = read(&raw)?;
        if let Document::Index(index) = &document {
            let entry = manifest::select(index, platform).map_err(|source| failed(source.into()))?;
            let pinned = reference.with_digest(entry.digest);
            raw = self.manifest_at(endpoint, &pinned, Some(entry)).await?;
            document = read(&raw)?;
        }
        let Document::Manifest(manifest) = document else {
            return Err(failed(What::Protocol("an index within an index".into())));
        };
        if !media::is_config(&manifest.config.media_type) {
            let reason =
                format!("this is no image: its configuration is of type {}", manifest.config.media_type);
            return Err(failed(What::Protocol(reason)));
        }
        let config_raw = self.small_blob(endpoint, reference, &manifest.config, MAX_CONFIG).await?;
        let config = manifest::read_config(&config_raw).map_err(|source| failed(source.into()))?;
        manifest.check_config(&config).map_err(|source| failed(source.into()))?;
        Ok(Resolved {
            reference: reference.clone(),
            digest: raw.digest,
            top,
            manifest,
            raw: raw.bytes,
            media_type: raw.media_type,
            config,
            config_raw,
            host: endpoint.name.clone(),
        })
    }

    /// Gets a manifest from one place and checks it against the digest asked for, the size, and the registry's own word.
    async fn manifest_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: Option<&Descriptor>,
    ) -> Result<RawManifest, Error> {
        let transport = self.transport();
        transport
            .retrying(&reference.to_string(), endpoint, async || {
                let url = endpoint.url(reference, &format!("manifests/{}", reference.locator()))?;
                let mut call = transport.call(Method::GET, url);
                call.headers.insert(ACCEPT, accept());
                let answer = transport.send(endpoint, &pull(endpoint, reference), &call).await?;
                if answer.status() != StatusCode::OK {
                    return Err(refused(answer).await);
                }
                let media_type = answer.header(&CONTENT_TYPE).unwrap_or_default().to_owned();
                let word = answer.header(&CONTENT_DIGEST).and_then(|digest| digest.parse::<Digest>().ok());
                let bytes = answer.bytes(MAX_MANIFEST).await?;
                let digest = Digest::of(&bytes);
                if let Some(expected) =
                    reference.digest().copied().or(word).filter(|expected| *expected != digest)
                {
                    return Err(What::Digest { expected, got: digest.to_string() });
                }
                if let Some(expected) = descriptor.map(|d| d.size).filter(|size| *size != bytes.len() as u64)
                {
                    return Err(What::Size { expected, got: bytes.len().to_string() });
                }
                Ok(RawManifest { bytes, media_type, digest })
            })
            .await
    }

    /// Gets a blob into memory and checks it.
    async fn small_blob(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        limit: usize,
    ) -> Result<Bytes, Error> {
        let subject = format!("{} of {reference}", descriptor.digest.short());
        if descriptor.size > limit as u64 {
            let what = What::Size { expected: limit as u64, got: format!("{} announced", descriptor.size) };
            return Err(Error::new(subject, endpoint.shown(), what));
        }
        let transport = self.transport();
        transport
            .retrying(&subject, endpoint, async || {
                let url = endpoint.url(reference, &format!("blobs/{}", descriptor.digest))?;
                let call = transport.call(Method::GET, url);
                let answer = transport.send(endpoint, &pull(endpoint, reference), &call).await?;
                if answer.status() != StatusCode::OK {
                    return Err(refused(answer).await);
                }
                let bytes = answer.bytes(limit).await?;
                let digest = Digest::of(&bytes);
                if bytes.len() as u64 != descriptor.size {
                    return Err(What::Size { expected: descriptor.size, got: bytes.len().to_string() });
                }
                if digest != descriptor.digest {
                    return Err(What::Digest { expected: descriptor.digest, got: digest.to_string() });
                }
                Ok(bytes)
            })
            .await
    }
}

/// What a pull may do.
pub(crate) fn pull(endpoint: &Endpoint, reference: &Reference) -> Access {
    Access { repository: endpoint.repository(reference), push: false, from: None }
}

fn accept() -> HeaderValue {
    // The types are constants: they can stand in a header.
    HeaderValue::try_from(media::ACCEPT_MANIFESTS.join(", ")).unwrap_or(HeaderValue::from_static("*/*"))
}
