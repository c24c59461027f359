//! OCI image layouts, as a folder or as an archive.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use slipway_oci::archive::{Entry, Kind, Writer};
use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Digest, Index, Reference};
use slipway_store::Store;

use crate::assemble::Ready;
use crate::assemble::bundle::Bundle;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Returns the index of a layout: one entry a name.
fn index(bundle: &Bundle, names: &[Reference]) -> Vec<u8> {
    let top = |bundle: &Bundle| match (&bundle.index, bundle.members.as_slice()) {
        (None, [only]) => {
            let mut entry = Descriptor::of(only.ready.media_type.as_str(), &only.ready.manifest);
            entry.platform = Some(only.platform.clone());
            Some(entry)
        }
        (Some(index), _) => Some(Descriptor::of(index.media_type.as_str(), &index.bytes)),
        (None, _) => None,
    };
    let Some(top) = top(bundle) else { return Index::new(Flavour::Oci, vec![]).to_bytes() };
    let entry = |name: Option<&Reference>| {
        let mut entry = top.clone();
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

/// Returns the blobs of all images, each once, in a fixed order.
fn blobs(bundle: &Bundle) -> Vec<Digest> {
    let mut digests: Vec<Digest> = bundle.index.iter().map(|index| index.digest).collect();
    for ready in bundle.members.iter().map(|member| &member.ready) {
        digests.extend(ready.layers.iter().map(|layer| layer.digest));
        digests.extend([ready.config.digest, ready.digest]);
    }
    digests.sort_unstable();
    digests.dedup();
    digests
}

fn open(store: &Store, digest: &Digest) -> io::Result<File> {
    File::open(store.blob_path(digest))
        .map_err(|error| io::Error::new(error.kind(), format!("blob {digest}: {error}")))
}

/// Writes a folder; blobs that are there stay.
pub(super) fn folder(store: &Store, path: &Path, bundle: &Bundle, names: &[Reference]) -> io::Result<()> {
    let place = path.join("blobs/sha256");
    fs::create_dir_all(&place)?;
    for digest in blobs(bundle) {
        let target = place.join(digest.hex());
        if !target.exists() {
            let temporary = place.join(format!(".{}", digest.hex()));
            io::copy(&mut open(store, &digest)?, &mut File::create(&temporary)?)?;
            fs::rename(temporary, target)?;
        }
    }
    fs::write(path.join("oci-layout"), LAYOUT)?;
    fs::write(path.join("index.json"), index(bundle, names))
}

/// Writes an archive; `docker` is the image that `docker load` is to find in it.
pub(super) fn archive(
    store: &Store,
    out: Box<dyn Write + Send>,
    bundle: &Bundle,
    names: &[Reference],
    docker: Option<&Ready>,
) -> io::Result<()> {
    let mut tar = Writer::new(out);
    let failed = |error| io::Error::other(crate::engine::Cause::text(&error));
    for directory in ["blobs", "blobs/sha256"] {
        tar.append(&Entry::new(directory, Kind::Directory, 0o755)).map_err(failed)?;
    }
    for digest in blobs(bundle) {
        let mut file = open(store, &digest)?;
        let size = file.metadata()?.len();
        let entry = Entry::new(format!("blobs/sha256/{}", digest.hex()), Kind::File { size }, 0o644);
        tar.append_file(&entry, &mut file).map_err(failed)?;
    }
    let mut documents = vec![("index.json", index(bundle, names)), ("oci-layout", LAYOUT.to_vec())];
    if let Some(ready) = docker {
        documents.insert(1, ("manifest.json", docker_manifest(ready, names)));
    }
    for (name, bytes) in documents {
        let entry = Entry::new(name, Kind::File { size: bytes.len() as u64 }, 0o644);
        tar.append_file(&entry, &mut &bytes[..]).map_err(failed)?;
    }
    tar.finish().map_err(failed)?.flush()
}
