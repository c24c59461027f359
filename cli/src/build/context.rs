//! What a build is made from: the context, the Dockerfile, and named contexts.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use slipway_executor::inputs::ContextTree;
use slipway_executor::layout::{self, Layout, LayoutError};
use slipway_executor::plan::dockerfile::{self, DockerfileText};
use slipway_executor::plan::source::{self, Fetched, Source};
use slipway_graph::request::{NamedContext, Request};
use slipway_oci::{Platform, Reference};
use slipway_store::Store;

use super::args::Args;

/// Brings the context and finds the Dockerfile.
pub(super) fn read_source(
    args: &Args,
    store: &Store,
    remotes: &tokio::runtime::Handle,
) -> anyhow::Result<(Fetched, DockerfileText)> {
    let stdin_file = args.file.as_deref() == Some("-");
    if args.context == "-" && stdin_file {
        bail!("standard input cannot be both the context and the Dockerfile");
    }
    let source = if args.context == "-" {
        let digest = source::spool(store, io::stdin().lock())?;
        Source::Stream(store.blob_path(&digest))
    } else {
        source::parse(&args.context)?
    };
    let local = matches!(source, Source::Folder(_));
    let fetched = source::fetch(store, remotes, &source)?;
    if stdin_file {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        let ignore = fetched.folder.as_deref().filter(|_| local).and_then(dockerfile::ignore_of);
        return Ok((fetched, DockerfileText { path: "-".into(), bytes, ignore }));
    }
    if let (Some(bytes), None) = (&fetched.dockerfile, &args.file) {
        let text = DockerfileText { path: args.context.clone(), bytes: bytes.clone(), ignore: None };
        return Ok((fetched, text));
    }
    let folder = fetched.folder.as_deref();
    let named = args.file.as_ref().map(|file| match folder {
        // As in Docker: from here where there is such a file, else from the context; in a remote context only from there.
        Some(folder) if !local || !Path::new(file).exists() => folder.join(file),
        _ => PathBuf::from(file),
    });
    let mut text = dockerfile::find(folder, named.as_deref(), !local)?;
    if !local {
        text.ignore = None;
        if let Some(short) = folder.and_then(|folder| Path::new(&text.path).strip_prefix(folder).ok()) {
            text.path = short.display().to_string();
        }
    }
    Ok((fetched, text))
}

/// Opens the contexts: the main one, and those that `--build-context` names.
pub(super) fn contexts(
    args: &Args,
    request: &mut Request,
    platforms: &[Platform],
    fetched: &Fetched,
    text: &DockerfileText,
    store: &Store,
    remotes: &tokio::runtime::Handle,
) -> anyhow::Result<BTreeMap<String, ContextTree>> {
    let main = ContextTree { path: fetched.folder.clone().unwrap_or_default(), ignore: text.ignore.clone() };
    let mut trees = BTreeMap::from([("context".to_owned(), main)]);
    for given in &args.build_contexts {
        let (name, value) =
            given.split_once('=').with_context(|| format!("`--build-context {given}` is not NAME=VALUE"))?;
        if let Some(reference) = value.strip_prefix("docker-image://") {
            request.contexts.insert(name.to_owned(), NamedContext::Image(reference.to_owned()));
            continue;
        }
        // Docker spells it with and without slashes.
        if let Some(place) = value.strip_prefix("oci-layout:") {
            let place = place.strip_prefix("//").unwrap_or(place);
            let reference = layout_context(store, name, place, platforms)
                .with_context(|| format!("--build-context {given}"))?;
            request.contexts.insert(name.to_owned(), NamedContext::Image(reference.to_string()));
            continue;
        }
        let found = source::fetch(store, remotes, &source::parse(value)?)
            .with_context(|| format!("--build-context {given}"))?;
        let ignore = found.folder.as_deref().filter(|_| found.honours_ignore).and_then(dockerfile::ignore_of);
        trees.insert(name.to_owned(), ContextTree { path: found.folder.unwrap_or_default(), ignore });
        request.contexts.insert(name.to_owned(), NamedContext::Tree);
    }
    Ok(trees)
}

/// Brings the image of a layout into the store: for every platform that is built for, and for this machine.
fn layout_context(
    store: &Store,
    name: &str,
    place: &str,
    platforms: &[Platform],
) -> Result<Reference, LayoutError> {
    let (path, selector) = layout::split(place);
    let layout = Layout::open(&path)?;
    let top = layout.find(&selector)?;
    let mut wanted = platforms.to_vec();
    wanted.push(Platform::host());
    layout::import(store, &layout, &top, name, &wanted)
}

/// What is built is told by this name: it explains misses against the last build of the same thing.
pub(super) fn subject(fetched: &Fetched, text: &DockerfileText) -> String {
    let place =
        fetched.folder.as_ref().filter(|_| fetched.honours_ignore).map(|folder| folder.display().to_string());
    format!("{}\n{}", place.unwrap_or_default(), text.path)
}
