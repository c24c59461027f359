//! Packing and uploading layers beside the build.

use std::sync::{Arc, PoisonError};

use slipway_graph::ir::{Base, StageId};
use slipway_oci::{Descriptor, Digest, Reference};
use slipway_registry::{Pushed, What};
use slipway_store::{Form, LayerId};

use super::super::AssembleError;
use super::super::config::lineage;
use super::super::stream::Upload;
use super::Publisher;

impl Publisher<'_> {
    /// Packs and uploads what comes, until the build is over.
    pub(super) fn pack(&self) {
        loop {
            let next = self.incoming.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((stage, layer)) = next else { return };
            let name = self.graph.stages.get(stage.0).map_or("", |stage| stage.name.as_str());
            if self.forms.must_wait_for(&layer) {
                continue;
            }
            let images: Vec<Reference> = self.wanted.get(&stage).cloned().unwrap_or_default();
            let cached = self.cached.get(&stage).cloned().unwrap_or_default();
            let send = || self.send(images.first().or(cached.first())?, &layer, name);
            let form = match self.forms.get_or_send(&layer, name, send) {
                Ok(form) => form,
                Err(error) => {
                    tracing::warn!(%layer, %error, "cannot pack a layer ahead");
                    continue;
                }
            };
            let descriptor = Descriptor::new(form.media_type, form.blob, form.size);
            let (origin, base) = if images.is_empty() { (vec![], vec![]) } else { self.base_at_hand(stage) };
            for repository in &images {
                self.upload_ahead(repository, &descriptor, &origin, Some(&layer));
                for blob in &base {
                    self.upload_ahead(repository, blob, &origin, None);
                }
            }
            for repository in &cached {
                self.upload_ahead(repository, &descriptor, &images, Some(&layer));
            }
        }
    }

    /// Packs a layer right into a repository. Where that fails, the longer way by the store can take up a cut upload.
    fn send(&self, repository: &Reference, layer: &LayerId, stage: &str) -> Option<Form> {
        self.try_send(repository, layer, stage)
            .inspect_err(
                |error| tracing::warn!(%repository, %error, "cannot upload a layer while it is packed"),
            )
            .ok()
    }

    fn try_send(&self, repository: &Reference, layer: &LayerId, stage: &str) -> Result<Form, AssembleError> {
        let upload = Upload::new(Arc::clone(&self.registry), self.remotes.clone(), repository.clone());
        let (upload, form) = self.forms.pack(layer, stage, upload)?;
        let blob = Descriptor::new(form.media_type.clone(), form.blob, form.size);
        match upload.finish(&blob.digest)? {
            Some(bytes) => self.remotes.block_on(self.upload_from(repository, &blob, &bytes, &[]))?,
            None => self.is_there(repository, &blob, &Pushed::Uploaded),
        }
        Ok(form)
    }

    /// Brings a blob of ours that lies nowhere into a repository: it is packed again.
    pub(super) fn send_again(
        &self,
        repository: &Reference,
        blob: &Descriptor,
        layer: &LayerId,
    ) -> Result<(), AssembleError> {
        let sent = self.send(repository, layer, "");
        let is_sent = sent.is_some();
        let form = sent.map_or_else(|| self.forms.bring(layer), Ok)?;
        if form.blob != blob.digest {
            // By another version of the compressor. The next try takes these bytes for the right ones.
            self.forms.correct(layer, &form)?;
            return Err(AssembleError::Repacked { digest: blob.digest });
        }
        if is_sent { Ok(()) } else { Ok(self.remotes.block_on(self.upload(repository, blob, &[]))?) }
    }

    /// Brings a blob into a repository; the layer is what it can be packed from again.
    fn upload_ahead(
        &self,
        repository: &Reference,
        blob: &Descriptor,
        from: &[Reference],
        layer: Option<&LayerId>,
    ) {
        let imported = self.imported_from(&blob.digest);
        let from: Vec<Reference> = from.iter().chain(&imported).cloned().collect();
        // An imported layer need not come by here; it is fetched at the end if nobody has it.
        let Err(error) = self.remotes.block_on(self.upload(repository, blob, &from)) else { return };
        if self.images.imported_as(&blob.digest).is_some() {
            return;
        }
        let again = match layer {
            Some(layer) if matches!(error.what, What::Local(_)) => self.send_again(repository, blob, layer),
            _ => Err(error.into()),
        };
        if let Err(error) = again {
            tracing::warn!(%repository, %error, "cannot upload a layer ahead");
        }
    }

    /// Returns the repository that an imported layer comes from.
    pub(super) fn imported_from(&self, blob: &Digest) -> Vec<Reference> {
        let layer = self.images.imported_as(blob);
        layer.and_then(|layer| layer.place.repository()).cloned().into_iter().collect()
    }

    /// Returns the base's layers that are in the store, so that they need not wait for the build's end, and where they are
    /// from.
    fn base_at_hand(&self, stage: StageId) -> (Vec<Reference>, Vec<Descriptor>) {
        let Some(Base::Image(image)) = lineage(self.graph, stage).first().map(|first| first.base) else {
            return (vec![], vec![]);
        };
        let layers = self.images.manifest(image).map(|manifest| manifest.layers).unwrap_or_default();
        let here = layers.into_iter().filter(|layer| self.store.has_blob(&layer.digest)).collect();
        (self.images.reference(image).into_iter().collect(), here)
    }
}
