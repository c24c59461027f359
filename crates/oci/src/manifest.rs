//! Manifests and indexes: strict reading, deterministic writing.
//!
//! A document's digest is the digest of the bytes that came, so readers keep those bytes beside what this module reads
//! from them. Reading refuses everything that two programs could understand differently.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::media::{self, Flavour};
use crate::platform::Platform;

mod keys;
mod select;
#[cfg(test)]
mod tests;

pub use select::select;

/// The largest manifest that is read or written; registries refuse larger ones.
pub const MAX_MANIFEST: usize = 4 << 20;

/// The largest image configuration that is read.
pub const MAX_CONFIG: usize = 8 << 20;

/// Names content: what it is, its digest and its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it is said to be. Never asked: whoever writes a manifest must not choose whom we talk to.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub urls: Vec<String>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_default")]
    pub annotations: BTreeMap<String, String>,
    /// What kind of artifact a manifest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What an image of an index runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Everything else (`data`).
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    /// Names content by its parts.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: vec![],
            annotations: BTreeMap::new(),
            artifact_type: None,
            platform: None,
            other: Map::new(),
        }
    }

    /// Names bytes at hand.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// An image manifest: a configuration and layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What the document says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is, where it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_default")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Manifest {
    /// Makes an image manifest; layer descriptors must already be of the flavour ([`media::convert_layer`]).
    pub fn new(flavour: Flavour, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(flavour.manifest().to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// Returns the document's bytes: the same for the same content, always.
    pub fn to_bytes(&self) -> Vec<u8> {
        write(self)
    }

    /// Returns the media type to push it with.
    pub fn content_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(media::OCI_MANIFEST)
    }

    /// Checks that a configuration has one diff_id a layer: readers pair them by position.
    pub fn check_config(&self, config: &ImageConfig) -> Result<(), ManifestError> {
        let (layers, diff_ids) = (self.layers.len(), config.rootfs.diff_ids.len());
        if layers == diff_ids { Ok(()) } else { Err(ManifestError::LayerCount { layers, diff_ids }) }
    }
}

/// An index: one entry a platform, and attestations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What the document says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The entries.
    #[serde(default, deserialize_with = "null_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_default")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Index {
    /// Makes an index of entries that carry their platform.
    pub fn new(flavour: Flavour, manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(flavour.index().to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// Returns the document's bytes: the same for the same content, always.
    pub fn to_bytes(&self) -> Vec<u8> {
        write(self)
    }

    /// Returns the media type to push it with.
    pub fn content_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(media::OCI_INDEX)
    }
}

/// What a manifest request answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // one at a time, taken apart at once
pub enum Document {
    /// An image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

/// Why a manifest or configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than any registry takes.
    #[error("the document has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("the document cannot be read")]
    Json(#[from] serde_json::Error),
    /// Programs would disagree on which of the two it is.
    #[error(
        "the document has both `layers` and `manifests`, so it could be read as an image and as an index"
    )]
    Ambiguous,
    /// Programs would disagree on which value counts.
    #[error("the document has the key `{0}` twice, or in two spellings")]
    RepeatedKey(String),
    /// A field that we would not read, and programs in Go would.
    #[error(
        "the document has the key `{0}`, which some programs take for the usual spelling and others do not"
    )]
    Spelling(String),
    /// An old or future format.
    #[error(
        "the document is of schema version {0}; only 2 is supported (push the image again with a current tool)"
    )]
    SchemaVersion(u64),
    /// The media types of header, document and content do not fit together.
    #[error("the document is named as `{claimed}`, but it is {actual}")]
    MediaType {
        /// What a header or the document itself says.
        claimed: String,
        /// What it is.
        actual: &'static str,
    },
    /// Layers and diff_ids do not pair up.
    #[error("the manifest has {layers} layers, its configuration has {diff_ids} diff_ids")]
    LayerCount {
        /// Layers of the manifest.
        layers: usize,
        /// diff_ids of the configuration.
        diff_ids: usize,
    },
    /// The index has no image for the platform.
    #[error("there is no image for {wanted}; there is one for {}", list(available))]
    NoPlatform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        available: Vec<String>,
    },
}

fn list(platforms: &[String]) -> String {
    if platforms.is_empty() { "no platform at all".into() } else { platforms.join(", ") }
}

/// The fields that decide what a document is and holds.
const FIELDS: [&str; 8] =
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "subject", "artifactType"];

/// Reads a manifest or an index; `content_type` is what the registry called it, if it said so.
pub fn read(bytes: &[u8], content_type: Option<&str>) -> Result<Document, ManifestError> {
    within(bytes, MAX_MANIFEST)?;
    let keys = keys::unique_keys(bytes)?;
    let has = |name: &str| keys.iter().any(|key| key.eq_ignore_ascii_case(name));
    let head: Head = serde_json::from_slice(bytes)?;
    if head.schema_version != 2 {
        return Err(ManifestError::SchemaVersion(head.schema_version));
    }
    if has("manifests") && (has("layers") || has("config")) {
        return Err(ManifestError::Ambiguous);
    }
    let usual = |key: &str| FIELDS.iter().find(|field| field.eq_ignore_ascii_case(key));
    if let Some(key) = keys.iter().find(|key| usual(key).is_some_and(|field| *field != key.as_str())) {
        return Err(ManifestError::Spelling(key.clone()));
    }
    let header = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
    // Some registries answer everything as JSON or as bytes: that claims nothing.
    let header = header.filter(|value| {
        !matches!(*value, "" | "application/json" | "application/octet-stream" | "text/plain")
    });
    let is_index = has("manifests");
    for claimed in [header, head.media_type.as_deref()].into_iter().flatten() {
        let fits = if is_index { media::is_index(claimed) } else { media::is_manifest(claimed) };
        if !fits {
            let actual = if is_index { "an index" } else { "an image manifest" };
            return Err(ManifestError::MediaType { claimed: claimed.to_owned(), actual });
        }
    }
    if let (Some(claimed), Some(own)) = (header, head.media_type.as_deref())
        && claimed != own
    {
        let actual = "of another type by its own word";
        return Err(ManifestError::MediaType { claimed: claimed.to_owned(), actual });
    }
    Ok(if is_index {
        Document::Index(serde_json::from_slice(bytes)?)
    } else {
        Document::Manifest(serde_json::from_slice(bytes)?)
    })
}

/// Reads an image configuration.
pub fn read_config(bytes: &[u8]) -> Result<ImageConfig, ManifestError> {
    within(bytes, MAX_CONFIG)?;
    keys::unique_keys(bytes)?;
    Ok(serde_json::from_slice(bytes)?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
}

fn within(bytes: &[u8], limit: usize) -> Result<(), ManifestError> {
    let size = bytes.len();
    if size > limit { Err(ManifestError::TooLarge { size, limit }) } else { Ok(()) }
}

/// Writes a document of ours; its types cannot fail to become JSON.
fn write(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(document).unwrap_or_default()
}

/// Reads `null` as the default, as Go programs write empty lists.
fn null_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
