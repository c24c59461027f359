//! OCI image layouts, as a folder or as an archive.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use slipway_oci::archive::{Entry, Kind, Writer};
use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Digest, Index, Platform, Reference};
use slipway_store::Store;

use crate::assemble::Ready;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Returns the index of a layout: one entry a name.
fn index(ready: &Ready, platform: &Platform, names: &[Reference]) -> Vec<u8> {
    let entry = |name: Option<&Reference>| {
        let mut entry = Descriptor::of(ready.media_type.as_str(), &ready.manifest);
        entry.platform = Some(platform.clone());
        if let Some(name) = name {
            entry.annotations.insert("io.containerd.image.name".into(), name.to_string());
            entry
                .annotations
                .insert("org.opencontainers.image.ref.name".into(), name.tag().unwrap_or("latest").into());
        }
        entry
    };
    let entries = if names.is_empty() {
        vec![entry(None)]
    } else {
        names.iter().map(|name| entry(Some(name))).collect()
    };
    Index::new(Flavour::Oci, entries).to_bytes()
}

/// Returns what `docker load` reads first.
fn docker_manifest(ready: &Ready, names: &[Reference]) -> Vec<u8> {
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let entry = json!({
        "Config": blob(&ready.config.digest),
        "RepoTags": names.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "Layers": ready.layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
    });
    serde_json::to_vec(&json!([entry])).unwrap_or_default()
}

/// Returns the blobs of an image, each once, in a fixed order.
fn blobs(ready: &Ready) -> Vec<Digest> {
    let mut digests: Vec<Digest> = ready.layers.iter().map(|layer| layer.digest).collect();
    digests.extend([ready.config.digest, ready.digest]);
    digests.sort_unstable();
    digests.dedup();
    digests
}

fn open(store: &Store, digest: &Digest) -> io::Result<File> {
    File::open(store.blob_path(digest))
        .map_err(|error| io::Error::new(error.kind(), format!("blob {digest}: {error}")))
}

/// Writes a folder; blobs that are there stay.
pub(super) fn folder(
    store: &Store,
    path: &Path,
    ready: &Ready,
    platform: &Platform,
    names: &[Reference],
) -> io::Result<()> {
    let place = path.join("blobs/sha256");
    fs::create_dir_all(&place)?;
    for digest in blobs(ready) {
        let target = place.join(digest.hex());
        if !target.exists() {
            let temporary = place.join(format!(".{}", digest.hex()));
            io::copy(&mut open(store, &digest)?, &mut File::create(&temporary)?)?;
            fs::rename(temporary, target)?;
        }
    }
    fs::write(path.join("oci-layout"), LAYOUT)?;
    fs::write(path.join("index.json"), index(ready, platform, names))
}

/// Writes an archive.
pub(super) fn archive(
    store: &Store,
    out: Box<dyn Write + Send>,
    ready: &Ready,
    platform: &Platform,
    names: &[Reference],
    docker: bool,
) -> io::Result<()> {
    let mut tar = Writer::new(out);
    let failed = |error| io::Error::other(crate::engine::Cause::text(&error));
    for directory in ["blobs", "blobs/sha256"] {
        tar.append(&Entry::new(directory, Kind::Directory, 0o755)).map_err(failed)?;
    }
    for digest in blobs(ready) {
        let mut file = open(store, &digest)?;
        let size = file.metadata()?.len();
        let entry = Entry::new(format!("blobs/sha256/{}", digest.hex()), Kind::File { size }, 0o644);
        tar.append_file(&entry, &mut file).map_err(failed)?;
    }
    let mut documents = vec![("index.json", index(ready, platform, names)), ("oci-layout", LAYOUT.to_vec())];
    if docker {
        documents.insert(1, ("manifest.json", docker_manifest(ready, names)));
    }
    for (name, bytes) in documents {
        let entry = Entry::new(name, Kind::File { size: bytes.len() as u64 }, 0o644);
        tar.append_file(&entry, &mut &bytes[..]).map_err(failed)?;
    }
    tar.finish().map_err(failed)?.flush()
}
