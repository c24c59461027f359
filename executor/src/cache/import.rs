//! Reading caches: one document each, and the proof that the layers of hits are there. No layer is fetched here.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use slipway_graph::ir::{Graph, StageId};
use slipway_oci::manifest::{self, Document as Found, MAX_CONFIG, MAX_MANIFEST};
use slipway_oci::media::{is_config, is_foreign, layer_format};
use slipway_oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference};
use slipway_registry::Registry;
use slipway_store::Store;
use tokio::runtime::Handle;

use super::folder::REF_NAME;
use super::format::{
    self, BUILDKIT_INLINE_FIELD, Document, FormatError, INLINE_FIELD, Inline, MAX_BYTES, MAX_LAYER,
    MEDIA_TYPE, Step,
};
use super::{Imported, Place, Shelf, Source, steps};
use crate::engine::Cause;
use crate::engine::lookup::chain_name;
use crate::engine::survey::{hits, survey};
use crate::event::{Event, Events};
use crate::images::avoided;

/// How many layers are asked for at once.
const ASKED_AT_ONCE: usize = 8;

/// How long answers are waited for, all together.
const ASKED_FOR: Duration = Duration::from_secs(10);

/// A cache to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheFrom {
    /// In a registry: a cache of its own, or an image with one inside.
    Registry(Reference),
    /// In an OCI layout.
    Folder {
        /// The layout's folder.
        path: PathBuf,
        /// The name in its index.
        tag: String,
        /// The digest of the manifest, instead of a name.
        digest: Option<Digest>,
    },
}

impl std::fmt::Display for CacheFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Folder { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// Why a cache was not read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] slipway_registry::Error),
    /// A file of the folder.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the folder is not what its name says.
    #[error("`{}` is damaged: its content does not have the digest in its name", .0.display())]
    Damaged(PathBuf),
    /// The folder has no such cache.
    #[error("the folder has no cache `{0}`")]
    NoEntry(String),
    /// A manifest or a configuration.
    #[error(transparent)]
    Manifest(#[from] manifest::ManifestError),
    /// The document.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A document that is larger than is read.
    #[error("its document has {0} bytes, more than the limit of {MAX_BYTES}")]
    TooLarge(u64),
    /// An image without a cache.
    #[error("the image holds no cache of Slipway (build it with `--cache-to type=inline`)")]
    Nothing,
    /// BuildKit's.
    #[error(
        "it is a cache of BuildKit, whose keys mean nothing here (write one with `slipway build --cache-to`)"
    )]
    BuildKit,
    /// Something else.
    #[error("it is neither a cache nor an image: its configuration is of type {0}")]
    Foreign(String),
}

/// What is needed to import.
pub struct Importer<'a> {
    /// The store.
    pub store: &'a Store,
    /// Registries.
    pub registry: Arc<Registry>,
    /// Runs what needs the network.
    pub remotes: Handle,
    /// Who hears of it.
    pub events: Events,
}

impl Importer<'_> {
    /// Reads caches for a graph. What cannot be read is told in words, and left out.
    pub fn import(
        &self,
        from: &[CacheFrom],
        graph: &Graph,
        targets: &[StageId],
    ) -> (Vec<Source>, Vec<String>) {
        let (mut sources, mut warnings) = (Vec::new(), Vec::new());
        if from.is_empty() {
            return (sources, warnings);
        }
        let keys: HashSet<Digest> =
            graph.stages.iter().flat_map(|stage| &stage.steps).map(|step| step.key.0).collect();
        for from in from {
            self.events.event(Event::Preparing { what: format!("import the cache {from}") });
        }
        let read = from.iter().map(|from| self.read(from, &graph.platforms));
        let results = self.remotes.block_on(futures::future::join_all(read));
        for (from, result) in from.iter().zip(results) {
            match result {
                Ok(read) => {
                    let count = read.iter().map(|source| source.document.steps.len()).sum();
                    self.events.event(Event::Note { text: format!("cache {from}: {}", steps(count)) });
                    sources.extend(read);
                }
                Err(error) => {
                    let text = format!("the cache {from} was not read: {}", Cause::text(&error));
                    self.events.event(Event::Note { text: format!("warning: {text}") });
                    warnings.push(text);
                }
            }
        }
        for source in &mut sources {
            source.narrow(&keys);
            source.blobs.retain(|blob| !avoided(self.store, &blob.digest));
        }
        self.leave_out_missing(&mut sources, graph, targets);
        (sources, warnings)
    }

    /// Reads a cache: of an image for several platforms, what each of them holds.
    async fn read(&self, from: &CacheFrom, platforms: &[Platform]) -> Result<Vec<Source>, ImportError> {
        let (mut sources, mut first) = (Vec::new(), None);
        let manifests = match from {
            CacheFrom::Registry(reference) => self.manifests(reference, platforms).await?,
            CacheFrom::Folder { path, tag, digest } => manifests_of(path, tag, digest.as_ref(), platforms)?,
        };
        for manifest in manifests {
            let source = match from {
                CacheFrom::Registry(reference) => self.source(reference, &manifest).await,
                CacheFrom::Folder { path, .. } => source_of(path, &manifest),
            };
            match source {
                Ok(source) => sources.push(source),
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        match first {
            Some(error) if sources.is_empty() => Err(error),
            _ => Ok(sources),
        }
    }

    /// Returns the manifest that a reference names, or those of an index that are for these platforms.
    async fn manifests(
        &self,
        reference: &Reference,
        platforms: &[Platform],
    ) -> Result<Vec<Manifest>, ImportError> {
        let raw = self.registry.get_manifest_raw(reference).await?;
        let index = match manifest::read(&raw.bytes, Some(&raw.media_type))? {
            Found::Manifest(manifest) => return Ok(vec![manifest]),
            Found::Index(index) => index,
        };
        let mut manifests = Vec::new();
        for entry in entries(&index, platforms)? {
            let raw = self.registry.get_manifest_raw(&reference.with_digest(entry.digest)).await?;
            if let Found::Manifest(manifest) = manifest::read(&raw.bytes, Some(&raw.media_type))? {
                manifests.push(manifest);
            }
        }
        Ok(manifests)
    }

    async fn source(&self, reference: &Reference, manifest: &Manifest) -> Result<Source, ImportError> {
        if manifest.config.size > config_limit(manifest)? {
            return Err(ImportError::TooLarge(manifest.config.size));
        }
        let config = self.registry.fetch_blob(reference, &manifest.config, Vec::new()).await?;
        source(Place::Registry(reference.clone()), manifest, &config)
    }

    /// Asks registries for the layers that will be counted on, and leaves out those that are not there.
    fn leave_out_missing(&self, sources: &mut [Source], graph: &Graph, targets: &[StageId]) {
        let imported = Imported::new(sources);
        let shelf = Shelf { store: self.store, imported: &imported };
        let forecasts = survey(graph, &shelf, targets, "");
        let found = hits(graph, &shelf);
        let wanted = forecasts.iter().zip(&found).filter(|(forecast, _)| forecast.wanted);
        let mut asked: HashSet<(Reference, Digest)> = HashSet::new();
        for (layer, _) in wanted.filter_map(|(_, hits)| hits.as_ref()).flat_map(|hits| &hits.found) {
            if let Some(layer) = imported.layer(layer).filter(|layer| !self.store.has_layer(&layer.id))
                && let Some(repository) = layer.place.repository()
            {
                asked.insert((repository.clone(), layer.blob.digest));
            }
        }
        let registry = &self.registry;
        let missing: HashSet<(Reference, Digest)> = self.remotes.block_on(async {
            let deadline = tokio::time::Instant::now() + ASKED_FOR;
            let ask = |(repository, digest): (Reference, Digest)| async move {
                // Who does not answer may still have it (a mirror does, say): only a clear no counts.
                let answer = tokio::time::timeout_at(deadline, registry.blob_exists(&repository, &digest));
                matches!(answer.await, Ok(Ok(false))).then_some((repository, digest))
            };
            let answers = futures::stream::iter(asked).map(ask).buffer_unordered(ASKED_AT_ONCE);
            answers.filter_map(std::future::ready).collect().await
        });
        for source in sources.iter_mut().filter(|_| !missing.is_empty()) {
            let Some(repository) = source.place.repository().cloned() else { continue };
            let before = source.blobs.len();
            source.blobs.retain(|blob| !missing.contains(&(repository.clone(), blob.digest)));
            if source.blobs.len() < before {
                let count = before - source.blobs.len();
                let text = format!("warning: the cache {} has lost {count} of its layers", source.place);
                self.events.event(Event::Note { text });
            }
        }
    }
}

/// Returns the most bytes that a manifest's configuration may have, by what it is.
fn config_limit(manifest: &Manifest) -> Result<u64, ImportError> {
    match manifest.config.media_type.as_str() {
        MEDIA_TYPE => Ok(MAX_BYTES),
        image if is_config(image) => Ok(MAX_CONFIG as u64),
        other if is_buildkit(other) => Err(ImportError::BuildKit),
        other => Err(ImportError::Foreign(other.to_owned())),
    }
}

fn is_buildkit(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.buildkit.cacheconfig.")
}

/// Returns the entries of an index for platforms, each once.
fn entries<'i>(index: &'i Index, platforms: &[Platform]) -> Result<Vec<&'i Descriptor>, ImportError> {
    // BuildKit's older caches are indexes of layers.
    if index.manifests.iter().any(|entry| is_buildkit(&entry.media_type)) {
        return Err(ImportError::BuildKit);
    }
    let mut found: Vec<&Descriptor> = Vec::new();
    let mut missing = None;
    for platform in platforms {
        match manifest::select(index, platform) {
            Ok(entry) if found.iter().all(|known| known.digest != entry.digest) => found.push(entry),
            Ok(_) => {}
            Err(error) => missing = Some(error),
        }
    }
    match missing {
        Some(error) if found.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}

/// Makes a source of a manifest and its configuration.
fn source(place: Place, manifest: &Manifest, config: &[u8]) -> Result<Source, ImportError> {
    let plain = |blob: &&Descriptor| {
        layer_format(&blob.media_type).is_some() && !is_foreign(&blob.media_type) && blob.size <= MAX_LAYER
    };
    let blobs: Vec<Descriptor> = manifest.layers.iter().filter(plain).cloned().collect();
    let document = if manifest.config.media_type == MEDIA_TYPE {
        let known: HashSet<&Digest> = blobs.iter().map(|blob| &blob.digest).collect();
        Document::read(config, |blob| known.contains(blob))?
    } else {
        let config = manifest::read_config(config)?;
        manifest.check_config(&config)?;
        inline(manifest, &config)?
    };
    Ok(Source { place, document, blobs })
}

/// Reads the cache inside an image.
fn inline(manifest: &Manifest, config: &ImageConfig) -> Result<Document, ImportError> {
    let Some(value) = config.other.get(INLINE_FIELD) else {
        let buildkit = config.other.contains_key(BUILDKIT_INLINE_FIELD);
        return Err(if buildkit { ImportError::BuildKit } else { ImportError::Nothing });
    };
    let diff_ids = &config.rootfs.diff_ids;
    let inline = Inline::read(value, diff_ids.len())?;
    let base = diff_ids.len() - inline.steps.len();
    let time = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
    let times: Vec<Option<Timestamp>> =
        config.history.iter().filter(|entry| !entry.empty_layer).map(|entry| time(&entry.created)).collect();
    let steps = inline.steps.into_iter().enumerate().map(|(at, step)| Step {
        below: at.checked_sub(1),
        base: if at == 0 { chain_name(&diff_ids[..base]) } else { String::new() },
        blob: manifest.layers[base + at].digest,
        diff_id: diff_ids[base + at],
        keys: step.keys,
        content: step.content,
        created: times.get(base + at).copied().flatten().unwrap_or(Timestamp::UNIX_EPOCH),
        seconds: 0.0,
        size: step.size,
    });
    Ok(Document { version: format::VERSION, steps: steps.collect() })
}

/// Returns the manifest that a layout has under a name, or those of an index that are for these platforms.
fn manifests_of(
    path: &Path,
    tag: &str,
    digest: Option<&Digest>,
    platforms: &[Platform],
) -> Result<Vec<Manifest>, ImportError> {
    let wanted = || ImportError::NoEntry(digest.map_or_else(|| tag.to_owned(), ToString::to_string));
    let Found::Index(index) = manifest::read(&small(&path.join("index.json"), MAX_MANIFEST as u64)?, None)?
    else {
        return Err(wanted());
    };
    let named = |entry: &&Descriptor| match digest {
        Some(digest) => entry.digest == *digest,
        None => entry.annotations.get(REF_NAME).is_some_and(|name| name == tag),
    };
    let read = |entry: &Descriptor| -> Result<Found, ImportError> {
        Ok(manifest::read(&blob(path, &entry.digest, MAX_MANIFEST as u64)?, Some(&entry.media_type))?)
    };
    let inner = match read(index.manifests.iter().find(named).ok_or_else(wanted)?)? {
        Found::Manifest(manifest) => return Ok(vec![manifest]),
        Found::Index(inner) => inner,
    };
    let mut manifests = Vec::new();
    for entry in entries(&inner, platforms)? {
        if let Found::Manifest(manifest) = read(entry)? {
            manifests.push(manifest);
        }
    }
    Ok(manifests)
}

/// Reads a cache out of a layout.
fn source_of(path: &Path, manifest: &Manifest) -> Result<Source, ImportError> {
    let config = blob(path, &manifest.config.digest, config_limit(manifest)?)?;
    // Taken from where it lies, whatever the working directory is by then.
    let place =
        fs::canonicalize(path).map_err(|source| ImportError::File { path: path.to_owned(), source })?;
    source(Place::Folder(place), manifest, &config)
}

/// Reads a small blob and checks it.
fn blob(folder: &Path, digest: &Digest, limit: u64) -> Result<Vec<u8>, ImportError> {
    let path = folder.join("blobs/sha256").join(digest.hex());
    let bytes = small(&path, limit)?;
    if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(ImportError::Damaged(path)) }
}

fn small(path: &Path, limit: u64) -> Result<Vec<u8>, ImportError> {
    let failed = |source| ImportError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let read = File::open(path).map_err(failed)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 > limit { Err(ImportError::TooLarge(read as u64)) } else { Ok(bytes) }
}
