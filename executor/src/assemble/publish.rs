//! Pushing: layers as soon as they are there, while the build goes on; configuration and manifests last.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use slipway_graph::ir::{Base, Graph, StageId};
use slipway_oci::{Descriptor, Digest, Reference, media};
use slipway_registry::{Pushed, Registry, Source, What};
use slipway_store::{LayerId, Store};
use tokio::runtime::Handle;

use super::bundle::{Bundle, Document};
use super::config::lineage;
use super::forms::Forms;
use super::{AssembleError, Ready};
use crate::event::{Event, Events};
use crate::images::PulledImages;
use crate::local::Follower;

mod ahead;
mod places;

/// How many layers are packed at once: each is packed by as many threads as there are processors.
const PACKERS: usize = 2;

/// One upload at a time of a blob to a repository.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// Packs and uploads layers while the build goes on.
pub struct Publisher<'a> {
    graph: &'a Graph,
    store: &'a Store,
    registry: Arc<Registry>,
    remotes: Handle,
    events: Events,
    forms: &'a Forms<'a>,
    images: &'a PulledImages<'a>,
    /// The repositories that want the layers of a stage.
    wanted: HashMap<StageId, Vec<Reference>>,
    /// Stages whose layers are packed, for a registry or another output.
    packed: HashSet<StageId>,
    /// The repositories of caches that want the layers of a stage, and not those of its base.
    cached: HashMap<StageId, Vec<Reference>>,
    queue: Mutex<Option<Sender<(StageId, LayerId)>>>,
    incoming: Mutex<Receiver<(StageId, LayerId)>>,
    /// What is known to be in a repository: by its name and the blob's digest.
    there: Mutex<HashSet<(String, Digest)>>,
    /// Whose turn it is to bring a blob into a repository.
    turns: Mutex<HashMap<(String, Digest), Turn>>,
}

/// An image that goes to a registry or elsewhere.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The stage.
    pub stage: StageId,
    /// The repositories that it is pushed to.
    pub repositories: Vec<Reference>,
}

impl<'a> Publisher<'a> {
    /// Prepares for the images that are wanted.
    #[allow(clippy::too_many_arguments)] // all of them are places
    pub fn new(
        graph: &'a Graph,
        store: &'a Store,
        registry: Arc<Registry>,
        remotes: Handle,
        events: Events,
        forms: &'a Forms<'a>,
        images: &'a PulledImages<'a>,
        wanted: &[Wanted],
    ) -> Self {
        let mut by_stage: HashMap<StageId, Vec<Reference>> = HashMap::new();
        let mut packed = HashSet::new();
        for want in wanted {
            for stage in lineage(graph, want.stage) {
                packed.insert(stage.id);
                let repositories = by_stage.entry(stage.id).or_default();
                for repository in &want.repositories {
                    if !repositories.iter().any(|known| known.name() == repository.name()) {
                        repositories.push(repository.clone());
                    }
                }
            }
        }
        let (sender, receiver) = channel();
        Self {
            graph,
            store,
            registry,
            remotes,
            events,
            forms,
            images,
            wanted: by_stage,
            packed,
            cached: HashMap::new(),
            queue: Mutex::new(Some(sender)),
            incoming: Mutex::new(receiver),
            there: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// Uploads the layers of stages to the repositories of caches too.
    #[must_use]
    pub fn with_caches(mut self, caches: Vec<(StageId, Reference)>) -> Self {
        for (stage, repository) in caches {
            self.packed.insert(stage);
            self.cached.entry(stage).or_default().push(repository);
        }
        self
    }

    /// Runs `build`, packing and uploading beside it, and waits for what was begun.
    ///
    /// What goes wrong here is not reported: [`Publisher::push`] does it again, and reports it.
    pub fn beside<T: Send>(&self, build: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            for _ in 0..PACKERS {
                scope.spawn(|| self.pack());
            }
            let result = build();
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
            result
        })
    }

    /// Brings a blob of the store into a repository.
    async fn upload(
        &self,
        repository: &Reference,
        blob: &Descriptor,
        from: &[Reference],
    ) -> Result<(), slipway_registry::Error> {
        if self.store.has_blob(&blob.digest) {
            self.upload_from(repository, blob, &self.store.blob_path(&blob.digest), from).await
        } else {
            self.upload_from(repository, blob, &NotHere, from).await
        }
    }

    /// Brings a blob into a repository, unless it is known to be there.
    async fn upload_from(
        &self,
        repository: &Reference,
        blob: &Descriptor,
        source: &dyn Source,
        from: &[Reference],
    ) -> Result<(), slipway_registry::Error> {
        let place = (repository.name(), blob.digest);
        // Two layers with the same bytes: the second finds it there, and says nothing.
        let turn = self
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(place.clone())
            .or_default()
            .clone();
        let _turn = turn.lock().await;
        if self.there.lock().unwrap_or_else(PoisonError::into_inner).contains(&place) {
            return Ok(());
        }
        // Whichever repository has it already can lend it.
        let mut from = from.to_vec();
        from.extend(self.repositories_with(&blob.digest));
        from.extend(places::of(self.store, &blob.digest));
        let pushed = self.registry.push_blob(repository, blob, source, &from).await?;
        self.is_there(repository, blob, &pushed);
        Ok(())
    }

    /// Remembers that a repository has a blob, and tells of it once.
    fn is_there(&self, repository: &Reference, blob: &Descriptor, pushed: &Pushed) {
        let how = match pushed {
            Pushed::Existed => "exists",
            Pushed::Mounted(_) => "mounted",
            Pushed::Uploaded => "uploaded",
        };
        let place = (repository.name(), blob.digest);
        if self.there.lock().unwrap_or_else(PoisonError::into_inner).insert(place) {
            self.told(repository, &blob.digest.to_string(), how, blob.size);
            places::remember(self.store, &blob.digest, repository);
        }
    }

    /// Returns the repositories that are known to have a blob.
    fn repositories_with(&self, digest: &Digest) -> Vec<Reference> {
        let there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        there.iter().filter(|(_, known)| known == digest).filter_map(|(name, _)| name.parse().ok()).collect()
    }

    fn told(&self, repository: &Reference, what: &str, how: &str, size: u64) {
        let (repository, what, how) = (repository.name(), what.to_owned(), how.to_owned());
        self.events.event(Event::Push { repository, what, how, size });
    }

    /// Brings the layers of the base and of imported caches here, for outputs that hold them.
    pub fn fetch_base(&self, stage: StageId, ready: &Ready) -> Result<(), AssembleError> {
        if let Some(Base::Image(image)) = lineage(self.graph, stage).first().map(|first| first.base) {
            let origin = self.images.reference(image).map_err(AssembleError::Base)?;
            for layer in ready.layers.iter().take(ready.base_layers) {
                self.images.blob(&origin, layer).map_err(AssembleError::Base)?;
            }
        }
        for layer in ready.layers.iter().skip(ready.base_layers) {
            self.images.blob_at_hand(layer).map_err(AssembleError::Base)?;
        }
        Ok(())
    }

    /// Brings layers that were built or imported into a repository: an imported one comes by here only where the registry
    /// neither has it nor can link it from elsewhere.
    pub fn deliver(
        &self,
        repository: &Reference,
        layers: &[Descriptor],
        from: &[Reference],
    ) -> Result<(), AssembleError> {
        let upload = |layer: &Descriptor| {
            let mut from = from.to_vec();
            from.extend(self.imported_from(&layer.digest));
            from.extend(self.pushed_to(repository));
            let layer = layer.clone();
            async move { self.upload(repository, &layer, &from).await }
        };
        let results = self.remotes.block_on(futures::future::join_all(layers.iter().map(upload)));
        let mut repacked = None;
        for (layer, result) in layers.iter().zip(results) {
            let Err(error) = result else { continue };
            let was_here = self.store.has_blob(&layer.digest);
            let is_here = self.is_here(layer, &error)?;
            match self.images.imported_as(&layer.digest) {
                Some(imported) if !is_here => {
                    self.images.imported_blob(imported).map_err(AssembleError::Base)?;
                    self.remotes.block_on(self.upload(repository, layer, &[]))?;
                }
                _ if was_here && !is_here => return Err(AssembleError::Damaged { digest: layer.digest }),
                // It was only asked for, there being nothing to send.
                _ if matches!(error.what, What::Local(_)) => match self.forms.layer_of(&layer.digest) {
                    Some(ours) => match self.send_again(repository, layer, &ours) {
                        // All of them are found out at once.
                        Err(error @ AssembleError::Repacked { .. }) => repacked = Some(error),
                        other => other?,
                    },
                    None => return Err(error.into()),
                },
                _ => return Err(error.into()),
            }
        }
        repacked.map_or(Ok(()), Err)
    }

    /// Tells whether a blob that could not be pushed is in the store, whole.
    fn is_here(&self, blob: &Descriptor, error: &slipway_registry::Error) -> Result<bool, AssembleError> {
        // Not for what passes: a large blob takes a while to read.
        let there = self.store.has_blob(&blob.digest);
        Ok(there && (error.is_transient() || self.store.check_blob(&blob.digest)?))
    }

    /// Returns the other repositories that this build writes to.
    fn pushed_to(&self, repository: &Reference) -> Vec<Reference> {
        let mut all: Vec<Reference> = Vec::new();
        for other in self.wanted.values().chain(self.cached.values()).flatten() {
            if other.name() != repository.name() && all.iter().all(|known| known.name() != other.name()) {
                all.push(other.clone());
            }
        }
        all.sort();
        all
    }

    /// Pushes a document and the manifest that names it, under a reference.
    pub fn document(
        &self,
        reference: &Reference,
        config: &Descriptor,
        bytes: &[u8],
        manifest: &slipway_oci::Manifest,
    ) -> Result<(), AssembleError> {
        let raw = manifest.to_bytes();
        let size = raw.len() as u64;
        self.remotes.block_on(async {
            self.registry.push_blob(reference, config, &bytes.to_vec(), &[]).await?;
            self.registry.push_manifest(reference, raw, manifest.content_type()).await
        })?;
        self.told(reference, reference.tag().unwrap_or("manifest"), "manifest", size);
        Ok(())
    }

    /// Pushes an image to a repository under tags, or by digest alone: layers, configuration, then the manifest.
    fn push(
        &self,
        stage: StageId,
        ready: &Ready,
        repository: &Reference,
        tags: &[String],
    ) -> Result<(), AssembleError> {
        let origin = match lineage(self.graph, stage).first().map(|first| first.base) {
            Some(Base::Image(image)) => Some(self.images.reference(image).map_err(AssembleError::Base)?),
            _ => None,
        };
        let from: Vec<Reference> = origin.iter().cloned().collect();
        let (base, built) = ready.layers.split_at(ready.base_layers.min(ready.layers.len()));
        let results = self.remotes.block_on(futures::future::join_all(
            base.iter().map(|layer| self.upload(repository, layer, &from)),
        ));
        for (layer, result) in base.iter().zip(results) {
            let Err(error) = result else { continue };
            match &origin {
                // Nobody has the base's layer: it is fetched now, and only now.
                Some(origin) if !self.is_here(layer, &error)? => {
                    self.images.blob(origin, layer).map_err(AssembleError::Base)?;
                    self.remotes.block_on(self.upload(repository, layer, &from))?;
                }
                _ => return Err(error.into()),
            }
        }
        self.deliver(repository, built, &from)?;
        self.remotes.block_on(async {
            self.registry.push_blob(repository, &ready.config, &ready.config_bytes, &[]).await?;
            self.push_document(repository, &ready.document(), tags).await
        })
    }
}

impl Publisher<'_> {
    /// Pushes a target's images, and the index over them last.
    pub fn push_bundle(
        &self,
        bundle: &Bundle,
        repository: &Reference,
        tags: &[String],
    ) -> Result<(), AssembleError> {
        let Some(index) = &bundle.index else {
            let only = bundle.members.first();
            return only.map_or(Ok(()), |only| self.push(only.stage, &only.ready, repository, tags));
        };
        for member in &bundle.members {
            self.push(member.stage, &member.ready, repository, &[])?;
        }
        self.remotes.block_on(self.push_document(repository, index, tags))
    }

    /// Pushes a manifest or an index under tags, or by digest alone.
    async fn push_document(
        &self,
        repository: &Reference,
        document: &Document,
        tags: &[String],
    ) -> Result<(), AssembleError> {
        let mut references = Vec::new();
        for tag in tags {
            references.push(repository.with_tag(tag)?);
        }
        if references.is_empty() {
            references.push(repository.pinned(document.digest));
        }
        let how = if media::is_index(&document.media_type) { "index" } else { "manifest" };
        for reference in &references {
            self.registry.push_manifest(reference, document.bytes.clone(), &document.media_type).await?;
            let what = reference.tag().map_or_else(|| document.digest.to_string(), ToOwned::to_owned);
            self.told(repository, &what, how, document.bytes.len() as u64);
        }
        Ok(())
    }
}

impl Follower for Publisher<'_> {
    fn layer_ready(&self, stage: StageId, layer: &LayerId) {
        if self.packed.contains(&stage)
            && let Some(queue) = self.queue.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
        {
            // The receiver lives as long as this does.
            let _ = queue.send((stage, *layer));
        }
    }
}

/// A blob that is only somewhere else: enough where the registry has it or can mount it.
struct NotHere;

impl Source for NotHere {
    fn open(&self, _offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Err(io::Error::new(io::ErrorKind::NotFound, "the layer is not in the store yet"))
    }
}
