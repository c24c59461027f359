//! Sources of an ImageBuild: all of them become trees in the store, so that every pod of the build reads the same files.

use std::path::{Path, PathBuf};

use slipway_graph::Selection;
use slipway_oci::manifest::{self, Document};
use slipway_oci::{Digest, Reference};
use slipway_protocol::request::{BuildRequest, Source as Asked};
use slipway_store::{LayerId, LayerMeta, Store};

use super::plan::PlanPlaces;
use crate::engine::Cause;
use crate::fetch::git;
use crate::plan::source::{self, Fetched, Source, SourceError};
use crate::tree::Time;
use crate::tree::copy::{Item, Options, copy};
use crate::tree::source::Source as TreeSource;
use crate::tree::{LayerStack, Owner, TreeError, content};

/// Brings the source of a request into the store.
pub(super) fn fetch(places: &PlanPlaces<'_>, request: &BuildRequest) -> Result<Fetched, SourceError> {
    let asked = match &request.source {
        Asked::Empty => Source::Empty,
        Asked::Directory { path } => return folder(places.store, Path::new(path)),
        Asked::Git { url, reference, depth, submodules, credentials } => {
            let mut wanted = git::Source::parse(url)?;
            if !reference.is_empty() {
                wanted.reference.clone_from(reference);
            }
            (wanted.depth, wanted.submodules) = (*depth, *submodules);
            let credentials = Some(PathBuf::from(credentials)).filter(|path| !path.as_os_str().is_empty());
            Source::Git(wanted, git::Credentials(credentials))
        }
        Asked::Http { url, digest, .. } => Source::Http {
            url: url.clone(),
            checksum: Some(digest.clone()).filter(|digest| !digest.is_empty()),
        },
        Asked::Oci { reference } => return artifact(places, reference),
    };
    let mut fetched = source::fetch(places.store, &places.remotes, &asked)?;
    if let Asked::Http { revision, .. } = &request.source
        && !revision.is_empty()
    {
        fetched.revision.clone_from(revision);
    }
    Ok(fetched)
}

/// Copies a mounted folder into the store, under the digest of its content.
fn folder(store: &Store, path: &Path) -> Result<Fetched, SourceError> {
    // A ConfigMap's files are links through `..data`, which is replaced as a whole when the ConfigMap changes.
    let data = path.join("..data");
    let path = if data.is_dir() { data } else { path.to_owned() };
    let path = path.canonicalize().ok().filter(|path| path.is_dir()).ok_or(SourceError::NoFolder(path))?;
    let failed = |error: TreeError| SourceError::Archive(Cause::text(&error));
    let stack = LayerStack::plain(&path).map_err(failed)?;
    let source = TreeSource { stack: &stack, ignore: None, owner: Some(Owner::default()) };
    let selection = Selection {
        context: String::new(),
        pattern: "/".into(),
        literal: true,
        parents: false,
        exclude: vec![],
    };
    let digest = content::digest(&source, &selection).map_err(failed)?.digest;
    let layer = LayerId::source(digest);
    if !store.hold_layer(&layer)? {
        let writer = store.layer_writer(&layer)?;
        let item = Item::Path { source, pattern: "/", unpack: false };
        copy(writer.fs(), &LayerStack::empty(), &[item], "/", &Options::new(Time::now())).map_err(failed)?;
        writer.commit(LayerMeta::default())?;
        store.hold_layer(&layer)?;
    }
    Ok(Fetched {
        folder: Some(store.layer_path(&layer)),
        layer: Some(layer),
        revision: digest.to_string(),
        honours_ignore: true,
        ..Fetched::default()
    })
}

/// Fetches an OCI artifact and unpacks its layers over one another.
fn artifact(places: &PlanPlaces<'_>, reference: &str) -> Result<Fetched, SourceError> {
    let store = places.store;
    let broken = |error: &dyn std::error::Error| SourceError::Archive(Cause::text(error));
    let reference: Reference = reference.parse().map_err(|error| broken(&error))?;
    let raw = places.remotes.block_on(places.registry.get_manifest_raw(&reference))?;
    let manifest = match manifest::read(&raw.bytes, Some(&raw.media_type)).map_err(|error| broken(&error))? {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => {
            return Err(SourceError::Archive(format!("{reference} is an index, not an artifact")));
        }
    };
    let layer = LayerId::source(Digest::of(format!("artifact tree 1\n{}", raw.digest)));
    if !store.hold_layer(&layer)? {
        let writer = store.layer_writer(&layer)?;
        for part in &manifest.layers {
            let path = writer.work().join("part");
            let file = std::fs::File::create(&path)?;
            let pinned = reference.with_digest(raw.digest);
            places.remotes.block_on(places.registry.fetch_blob(&pinned, part, file))?;
            source::unpack(&path, writer.fs()).map_err(SourceError::Archive)?;
            std::fs::remove_file(&path)?;
        }
        writer.commit(LayerMeta::default())?;
        store.hold_layer(&layer)?;
    }
    let name = reference.tag().map(|tag| format!("{tag}@")).unwrap_or_default();
    Ok(Fetched {
        folder: Some(store.layer_path(&layer)),
        layer: Some(layer),
        revision: format!("{name}{}", raw.digest),
        honours_ignore: true,
        ..Fetched::default()
    })
}
