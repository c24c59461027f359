//! Layers as blobs: an archive is written, compressed and digested once, and remembered beside the layer.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use slipway_oci::Digest;
use slipway_oci::compress::{Compression, Format, LayerWriter};
use slipway_oci::media::{Flavour, layer_format};
use slipway_sandbox::Cancel;
use slipway_store::{Form, LayerId, Need, Store};

use super::AssembleError;
use crate::engine::{Cause, Chain};
use crate::event::{Events, Quiet};
use crate::images::PulledImages;
use crate::inputs::Images as _;
use crate::room;
use crate::tree::layer::{self, Options};

/// What decides on a blob's bytes besides the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How it is packed.
    pub compression: Compression,
    /// The latest time that a file may have (`rewrite-timestamp`).
    pub clamp: Option<i64>,
}

impl Default for Shape {
    fn default() -> Self {
        Self { compression: Compression::GZIP, clamp: None }
    }
}

impl Shape {
    /// Returns the shape that a layer of a media type most likely has.
    pub(crate) fn usual(media_type: &str) -> Self {
        let compression = match layer_format(media_type) {
            Some(Format::Zstd) => Compression::ZSTD,
            Some(Format::Gzip) | None => Compression::GZIP,
            Some(_) => Compression::None,
        };
        Self { compression, clamp: None }
    }

    /// Returns the name under which the store keeps the form. The first number is the version of our archive writer
    /// and compressor: who changes their bytes counts it up.
    pub(crate) fn name(&self) -> String {
        let packed = match self.compression {
            Compression::None => "none".to_owned(),
            Compression::Gzip(level) => format!("gzip{level}"),
            Compression::Zstd(level) => format!("zstd{level}"),
        };
        match self.clamp {
            None => format!("2-{packed}"),
            Some(clamp) => format!("2-{packed}-{clamp}"),
        }
    }
}

type Slot = Arc<Mutex<Option<Form>>>;

/// How long one build waits for another that packs the same layer, before it does so itself.
const OTHERS_LIMIT: Duration = Duration::from_mins(2);

/// Makes forms; of several who want the same one, one makes it.
pub struct Forms<'a> {
    store: &'a Store,
    shape: Shape,
    /// Take only blobs that are packed in this very way.
    strict: bool,
    /// Blobs only go to registries.
    only_pushed: bool,
    /// Ends the wait for other builds.
    cancel: Cancel,
    images: Option<&'a PulledImages<'a>>,
    slots: Mutex<HashMap<LayerId, Slot>>,
}

impl<'a> Forms<'a> {
    /// Makes forms of one shape.
    pub fn new(store: &'a Store, shape: Shape) -> Self {
        Self {
            store,
            shape,
            strict: false,
            only_pushed: false,
            cancel: Cancel::new(),
            images: None,
            slots: Mutex::default(),
        }
    }

    /// Knows layers that were imported: their blobs are taken as they are, wherever they lie.
    #[must_use]
    pub fn with_imported(self, images: &'a PulledImages<'a>) -> Self {
        Self { images: Some(images), ..self }
    }

    /// Packs what is packed in another way anew (`force-compression`).
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Knows that blobs only go to registries, so that none need lie in the store: what is missing at a registry is packed
    /// again from the layer's files.
    #[must_use]
    pub fn only_pushed(self, only_pushed: bool) -> Self {
        Self { only_pushed, ..self }
    }

    /// Waits for nobody any more when this says so.
    #[must_use]
    pub fn cancelled_by(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }

    /// Returns the shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Tells whether a layer can be neither packed nor taken as it is before [`Forms::prepare`].
    pub(crate) fn must_wait_for(&self, layer: &LayerId) -> bool {
        self.images.is_some_and(|images| images.imported(layer).is_some())
            && self.imported(layer).is_none()
            && !self.store.has_layer(layer)
    }

    /// Brings what is needed to pack the layers of a tree: their files, where blobs are not taken as they are.
    pub(crate) fn prepare(&self, tree: &Chain) -> Result<(), AssembleError> {
        match self.images {
            Some(images) if self.strict || self.shape.clamp.is_some() => {
                images.bring(tree).map_err(AssembleError::Base)
            }
            _ => Ok(()),
        }
    }

    /// Returns the form of an imported layer that can be taken as it is; its blob need not be here.
    fn imported(&self, layer: &LayerId) -> Option<Form> {
        let found = self.images?.imported(layer)?;
        let fits = if self.strict {
            Shape::usual(&found.blob.media_type) == self.shape
        } else {
            self.shape.clamp.is_none()
        };
        fits.then(|| Form {
            diff_id: found.diff_id,
            blob: found.blob.digest,
            size: found.blob.size,
            media_type: found.blob.media_type.clone(),
        })
    }

    /// Returns a layer's form; its blob is in the store.
    ///
    /// The blob of an imported one may be elsewhere still, and any that is [only pushed](Forms::only_pushed).
    pub fn get(&self, layer: &LayerId, stage: &str) -> Result<Form, AssembleError> {
        self.get_or_send(layer, stage, || None)
    }

    /// As [`Forms::get`], with a way to bring a layer that was never packed to where its blob belongs, past the store.
    pub(super) fn get_or_send(
        &self,
        layer: &LayerId,
        stage: &str,
        send: impl FnOnce() -> Option<Form>,
    ) -> Result<Form, AssembleError> {
        if let Some(form) = self.imported(layer) {
            return Ok(form);
        }
        let slot =
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(*layer).or_default().clone();
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(form) = &*slot {
            return Ok(form.clone());
        }
        let name = self.shape.name();
        let form = match self.known(layer, &name)? {
            Some(form) => form,
            None => self.first(layer, stage, &name, send)?,
        };
        *slot = Some(form.clone());
        Ok(form)
    }

    /// Returns a form that is remembered and can be used.
    fn known(&self, layer: &LayerId, name: &str) -> Result<Option<Form>, AssembleError> {
        let Some(form) = self.store.form(layer, name)? else { return Ok(None) };
        let is_here = self.store.hold_blob(&form.blob)? && self.is_whole(&form);
        Ok((is_here || self.only_pushed).then_some(form))
    }

    /// Packs a layer and remembers its form; of several builds that want the same, one does it.
    fn first(
        &self,
        layer: &LayerId,
        stage: &str,
        name: &str,
        send: impl FnOnce() -> Option<Form>,
    ) -> Result<Form, AssembleError> {
        let place = Digest::of(format!("form\n{layer}\n{name}"));
        // Without a turn, as on a full volume, it may be done twice.
        let _turn = self.store.wait(&place, OTHERS_LIMIT, &|| self.cancel.is_cancelled()).ok();
        if let Some(form) = self.known(layer, name)? {
            return Ok(form);
        }
        let sent = if self.only_pushed { send() } else { None };
        let form = sent.map_or_else(|| self.make_with_room(layer, stage), Ok)?;
        self.store.put_form(layer, name, &form)?;
        Ok(form)
    }

    /// Returns the layer that a blob was packed from.
    pub(super) fn layer_of(&self, blob: &Digest) -> Option<LayerId> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |slot: &Slot| {
            let form = slot.lock().unwrap_or_else(PoisonError::into_inner);
            form.as_ref().is_some_and(|form| form.blob == *blob)
        };
        slots.iter().find_map(|(layer, slot)| is_it(slot).then_some(*layer))
    }

    /// Packs a layer into the store, whether or not its form is known.
    pub(super) fn bring(&self, layer: &LayerId) -> Result<Form, AssembleError> {
        self.make_with_room(layer, "")
    }

    /// Takes another form of a layer for the right one from now on.
    pub(super) fn correct(&self, layer: &LayerId, form: &Form) -> Result<(), AssembleError> {
        self.store.put_form(layer, &self.shape.name(), form)?;
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(layer);
        Ok(())
    }

    /// Tells whether a blob is as long as it was; one that is not is no blob.
    fn is_whole(&self, form: &Form) -> bool {
        let whole = self.store.blob_size(&form.blob) == Some(form.size);
        if !whole && let Err(error) = self.store.evict_blob(&form.blob) {
            tracing::warn!(%error, "cannot remove a damaged blob");
        }
        whole
    }

    /// Makes a form; where the volume is full, once more with more room.
    fn make_with_room(&self, layer: &LayerId, stage: &str) -> Result<Form, AssembleError> {
        let events: Events = Arc::new(Quiet);
        let mut needs = [Need::Quarter, Need::Everything].into_iter();
        loop {
            let error = match self.make(layer, stage) {
                Err(error) if room::is_full(&Cause::text(&error)) => error,
                other => return other,
            };
            if !needs.next().is_some_and(|need| room::make_more(self.store, need, &events)) {
                let why = Cause::text(&error);
                return Err(AssembleError::Full(room::full(why, self.store.root(), vec![])));
            }
        }
    }

    fn make(&self, layer: &LayerId, stage: &str) -> Result<Form, AssembleError> {
        let temporary = self.store.temporary()?;
        let failed = |source| AssembleError::Output { path: temporary.display().to_string(), source };
        let file = File::create(&temporary).map_err(failed)?;
        let result = self.pack(layer, stage, file).map_err(|error| match error {
            AssembleError::Output { source, .. } => failed(source),
            other => other,
        });
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        let (_, form) = result?;
        if self.store.has_blob(&form.blob) {
            fs::remove_file(&temporary).map_err(failed)?;
        } else {
            self.store.adopt_blob(&temporary, &form.blob)?;
        }
        self.store.hold_blob(&form.blob)?;
        Ok(form)
    }

    /// Packs a layer into `out`.
    pub(super) fn pack<W: Write + Send + 'static>(
        &self,
        layer: &LayerId,
        stage: &str,
        out: W,
    ) -> Result<(W, Form), AssembleError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let out = LayerWriter::new(out, self.shape.compression, threads);
        let options = Options { clamp: self.shape.clamp };
        let archive = |source| AssembleError::Archive { stage: stage.to_owned(), source };
        let (out, _) = layer::write(&self.store.layer_path(layer), out, &options).map_err(archive)?;
        let failed = |source| AssembleError::Output { path: String::new(), source };
        let (out, digests) = out.finish().map_err(failed)?;
        let media_type = Flavour::Oci.layer(self.shape.compression.format()).to_owned();
        Ok((out, Form { diff_id: digests.diff_id, blob: digests.digest, size: digests.size, media_type }))
    }
}
