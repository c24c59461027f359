//! Docker archives of the older kind, without an index: their layers are packed into a layout of our own.
//!
//! The configuration stays as it is, and with it the image's id. Layers that lie there packed keep their bytes; plain
//! ones are packed with gzip, the same way every time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use slipway_oci::archive::Limits;
use slipway_oci::compress::{Compression, Decoder, Format, LayerWriter};
use slipway_oci::digest::Hasher;
use slipway_oci::manifest::{self, MAX_CONFIG, MAX_MANIFEST};
use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Digest, Index, Manifest, Platform, Reference};

use super::files::{Files, Place, Temporary, failed};
use super::{LayoutError, REF_NAME};

/// One image, as `manifest.json` lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The layout that a docker archive becomes.
struct Converter<'a> {
    path: &'a Path,
    archive: &'a Files,
    blobs: std::path::PathBuf,
}

/// Makes a layout of a docker archive.
pub(super) fn convert(path: &Path, archive: &Files) -> Result<Files, LayoutError> {
    let missing =
        || LayoutError::NoLayout { path: path.to_owned(), missing: "index.json and no manifest.json" };
    let list = archive.read(path, "manifest.json", MAX_MANIFEST)?.ok_or_else(missing)?;
    let wrong = |reason: String| LayoutError::Wrong { path: path.to_owned(), reason };
    let list: Vec<Listed> = serde_json::from_slice(&list)
        .map_err(|error| wrong(format!("manifest.json cannot be read: {error}")))?;
    let temporary = Temporary::new("archive");
    let folder = temporary.0.clone();
    let blobs = folder.join("blobs/sha256");
    fs::create_dir(&folder)
        .and_then(|()| fs::create_dir_all(&blobs))
        .map_err(|source| failed(&folder, source))?;
    let converter = Converter { path, archive, blobs };
    let mut entries = Vec::new();
    for image in &list {
        entries.extend(converter.image(image)?);
    }
    let index = Index::new(Flavour::Oci, entries).to_bytes();
    fs::write(folder.join("index.json"), index).map_err(|source| failed(&folder, source))?;
    Ok(Files::Folder(folder, Some(Arc::new(temporary))))
}

impl Converter<'_> {
    /// Makes an image's blobs, and returns an entry a name.
    fn image(&self, image: &Listed) -> Result<Vec<Descriptor>, LayoutError> {
        let what = |name: &str| format!("manifest.json names `{name}`, which the archive does not hold");
        let bytes = self.archive.read(self.path, &image.config, MAX_CONFIG)?;
        let bytes = bytes.ok_or_else(|| self.wrong(what(&image.config)))?;
        let config = manifest::read_config(&bytes).map_err(|source| LayoutError::Document {
            path: self.path.to_owned(),
            what: image.config.clone(),
            source: Box::new(source),
        })?;
        if config.rootfs.diff_ids.len() != image.layers.len() {
            let (layers, ids) = (image.layers.len(), config.rootfs.diff_ids.len());
            return Err(self.wrong(format!("an image has {layers} layers and {ids} diff_ids")));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
            let place = self.archive.find(self.path, name)?.ok_or_else(|| self.wrong(what(name)))?;
            layers.push(self.layer(name, &place, *diff_id)?);
        }
        let config_blob = Descriptor::of(Flavour::Docker.config(), &bytes);
        self.put(&config_blob.digest, &bytes)?;
        let document = Manifest::new(Flavour::Docker, config_blob, layers);
        let bytes = document.to_bytes();
        let mut entry = Descriptor::of(document.content_type(), &bytes);
        self.put(&entry.digest, &bytes)?;
        entry.platform =
            Some(Platform { os: config.os, architecture: config.architecture, variant: config.variant });
        let named = |name: &String| {
            let mut entry = entry.clone();
            let short = name.parse::<Reference>().ok().and_then(|name| name.tag().map(ToOwned::to_owned));
            entry.annotations.insert(REF_NAME.into(), short.unwrap_or_else(|| name.clone()));
            entry.annotations.insert(super::IMAGE_NAME.into(), name.clone());
            entry
        };
        let names = image.repo_tags.clone().unwrap_or_default();
        Ok(if names.is_empty() { vec![entry] } else { names.iter().map(named).collect() })
    }

    /// Takes a layer, which must unpack to what the configuration says.
    fn layer(&self, name: &str, place: &Place, diff_id: Digest) -> Result<Descriptor, LayoutError> {
        let lost = |source| failed(self.path, source);
        let mut head = Vec::new();
        place.reader(0).and_then(|r| r.take(Format::SNIFF as u64).read_to_end(&mut head)).map_err(lost)?;
        let format = Format::sniff(&head);
        let temporary = Temporary::new("layer");
        let (blob, size, actual) = match format {
            Format::None => packed(place, &temporary).map_err(lost)?,
            _ => copied(place, &temporary).map_err(lost)?,
        };
        if actual != diff_id {
            return Err(self.wrong(format!(
                "the layer `{name}` unpacks to {actual}, not to {diff_id} as the configuration says"
            )));
        }
        let target = self.blobs.join(blob.hex());
        fs::rename(&temporary.0, &target)
            .or_else(|_| fs::copy(&temporary.0, &target).map(drop))
            .map_err(|source| failed(&target, source))?;
        let format = if format == Format::None { Format::Gzip } else { format };
        Ok(Descriptor::new(Flavour::Docker.layer(format), blob, size))
    }

    fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), LayoutError> {
        let target = self.blobs.join(digest.hex());
        fs::write(&target, bytes).map_err(|source| failed(&target, source))
    }

    fn wrong(&self, reason: String) -> LayoutError {
        LayoutError::Wrong { path: self.path.to_owned(), reason }
    }
}

/// Packs a plain layer; returns the blob's digest and size, and the digest of the plain layer.
fn packed(place: &Place, to: &Temporary) -> io::Result<(Digest, u64, Digest)> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut out = LayerWriter::new(File::create_new(&to.0)?, Compression::GZIP, threads);
    io::copy(&mut place.reader(0)?, &mut out)?;
    let (_, digests) = out.finish()?;
    Ok((digests.digest, digests.size, digests.diff_id))
}

/// Copies a packed layer as it is.
fn copied(place: &Place, to: &Temporary) -> io::Result<(Digest, u64, Digest)> {
    let mut plain = Hasher::new();
    io::copy(&mut Decoder::new(place.reader(0)?, Limits::default())?, &mut plain)?;
    let mut packed = Hasher::new();
    let mut file = File::create_new(&to.0)?;
    let mut tee = place.reader(0)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = tee.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        packed.update(&buffer[..count]);
        io::Write::write_all(&mut file, &buffer[..count])?;
    }
    let size = packed.size();
    Ok((packed.finish(), size, plain.finish()))
}
