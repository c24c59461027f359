//! A cache in an OCI layout: beside whatever else the layout holds, under a name in its index.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use slipway_oci::manifest::{self, Document, MAX_MANIFEST};
use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Digest, Index, Manifest};
use slipway_store::Store;

/// What names a manifest in a layout's index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Writes a cache; each file appears whole, the index last.
pub(super) fn write(
    store: &Store,
    path: &Path,
    tag: &str,
    blobs: &[Descriptor],
    (config, document): (&Descriptor, &[u8]),
    manifest: &Manifest,
) -> io::Result<()> {
    let place = path.join("blobs/sha256");
    fs::create_dir_all(&place)?;
    for blob in blobs {
        let target = place.join(blob.digest.hex());
        if !target.exists() {
            let mut from = File::open(store.blob_path(&blob.digest))
                .map_err(|error| io::Error::new(error.kind(), format!("blob {}: {error}", blob.digest)))?;
            appear(&target, |file| io::copy(&mut from, file).map(drop))?;
        }
    }
    let bytes = manifest.to_bytes();
    for (digest, bytes) in [(config.digest, document), (Digest::of(&bytes), &bytes[..])] {
        appear(&place.join(digest.hex()), |file| io::copy(&mut &bytes[..], file).map(drop))?;
    }
    let mut entry = Descriptor::of(manifest.content_type(), &bytes);
    entry.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
    let index = path.join("index.json");
    let mut entries = others(&index, tag)?;
    entries.push(entry);
    appear(&path.join("oci-layout"), |file| io::copy(&mut &LAYOUT[..], file).map(drop))?;
    let bytes = Index::new(Flavour::Oci, entries).to_bytes();
    appear(&index, |file| io::copy(&mut &bytes[..], file).map(drop))
}

/// Returns what an index has under other names. One that is not understood is not ours to overwrite.
fn others(index: &Path, tag: &str) -> io::Result<Vec<Descriptor>> {
    let bytes = match fs::read(index) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let foreign = || io::Error::other("the folder has an index.json that is none of an OCI layout");
    if bytes.len() > MAX_MANIFEST {
        return Err(foreign());
    }
    match manifest::read(&bytes, None) {
        Ok(Document::Index(index)) => {
            let other = |entry: &Descriptor| entry.annotations.get(REF_NAME).is_none_or(|name| name != tag);
            Ok(index.manifests.into_iter().filter(other).collect())
        }
        _ => Err(foreign()),
    }
}

/// Writes a file under a name of its own and renames it.
fn appear(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| write(&mut file));
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed
}
