//! Registries: pull, push, credentials, retries.
//!
//! [`Registry`] is one client for all registries; clones share connections, tokens and counters. It is async (tokio), and
//! what blocks (sinks, sources, readers) runs on threads where it may.
//!
//! ```no_run
//! # use slipway_registry::{Registry, Settings};
//! # use slipway_oci::{Descriptor, Platform, Reference};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::new(Settings {
//!     credential_files: vec!["/etc/slipway/push/.dockerconfigjson".into()],
//!     ..Settings::default()
//! })?;
//!
//! // Pull: the manifest and configuration for a platform, then layers into anything that is a `Sink`.
//! let base: Reference = "debian:12".parse()?;
//! let image = registry.resolve(&base, &Platform::host()).await?;
//! for layer in &image.manifest.layers {
//!     let file = std::fs::File::create("/tmp/layer")?;
//!     let _file = registry.fetch_blob(&base, layer, file).await?; // every byte was checked
//! }
//!
//! // Push: blobs first, in any order and side by side, the manifest last.
//! let target: Reference = "registry.example/shop:1".parse()?;
//! for layer in &image.manifest.layers {
//!     let blob = std::path::PathBuf::from("/tmp/layer");
//!     registry.push_blob(&target, layer, &blob, &[base.clone()]).await?;
//! }
//! let digest = registry.push_manifest(&target, image.raw.clone(), &image.media_type).await?;
//! # Ok(()) }
//! ```
//!
//! - A layer of a base that lies in another registry need not be stored on its way: [`Registry::remote_blob`] is a
//!   [`Source`] of [`Registry::push_blob`].
//! - A layer that is still being made is pushed with [`Registry::push_stream`], which returns its digest and size.
//! - Failures that may pass are repeated inside; what comes out as [`Error`] is final. [`Error::is_transient`] says whether
//!   a later attempt of the whole may help, [`Error::is_unauthorized`] and [`Error::is_not_found`] that it will not.
//! - [`usual_files`] names the places where a user's credentials are, for the command line; pods name theirs.
//! - [`Registry::counters`] tells retries, resumed transfers and bytes.
//! - Tests use `testing::FakeRegistry` (feature `testing`), which fails as told.
//!
//! Trust: a registry is believed nothing but what digests prove. Credentials go to the registry that they are for and to
//! the token service that it names over TLS; no redirect takes them elsewhere, and a manifest's `urls` are never asked.

mod auth;
mod challenge;
mod counters;
mod credentials;
mod endpoint;
mod error;
mod listing;
mod pull;
mod push;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;

use std::sync::Arc;

pub use counters::Counters;
pub use credentials::usual_files;
pub use error::{Error, What};
pub use pull::{RawManifest, RemoteBlob, Resolved, Sink};
pub use push::{Pushed, Source};
pub use settings::{Login, Mirror, Retry, Settings, Timeouts};

use transport::Transport;

/// A client of registries.
#[derive(Clone)]
pub struct Registry {
    transport: Arc<Transport>,
}

impl Registry {
    /// Makes a client. Reads the CA files; credentials are read when they are needed.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self { transport: Arc::new(Transport::new(settings)?) })
    }

    /// Returns what was done so far.
    pub fn counters(&self) -> Counters {
        self.transport.counters.read()
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

#[cfg(test)]
fn _futures_can_be_spawned(
    registry: &Registry,
    reference: &slipway_oci::Reference,
    blob: &slipway_oci::Descriptor,
) {
    fn sendable<T: Send>(_: T) {}
    sendable(registry.resolve(reference, &slipway_oci::Platform::host()));
    sendable(registry.digest(reference));
    sendable(registry.list_tags(reference));
    sendable(registry.referrers(reference, &blob.digest, None));
    sendable(registry.get_manifest_raw(reference));
    sendable(registry.fetch_blob(reference, blob, Vec::new()));
    sendable(registry.push_blob(reference, blob, &Vec::new(), &[]));
    sendable(registry.push_stream(reference, std::io::empty()));
    sendable(registry.push_manifest(reference, Vec::new(), ""));
}
