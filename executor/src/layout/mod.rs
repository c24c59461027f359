//! Images in files that somebody else wrote: OCI layouts as folders or archives, and docker archives. Read with distrust.
//!
//! Nothing of them is believed: documents have limits, every blob is digested before it is used, and names in an archive
//! lead nowhere but into the archive.

mod docker;
mod files;
mod import;
mod push;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use slipway_oci::archive::ReadError;
use slipway_oci::digest::Hasher;
use slipway_oci::manifest::{self, Document, MAX_MANIFEST, ManifestError};
use slipway_oci::{Descriptor, Digest, Platform};

use files::Files;
pub use files::Place;
pub(crate) use import::missing;
pub use import::{HOST, import};
pub use push::{LayoutPushError, push};

/// How deep indexes may lie in each other.
const MAX_DEPTH: usize = 4;

/// How many manifests an index may lead to, all levels together.
const MAX_DOCUMENTS: usize = 1000;

/// The annotation that names an image of a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with the full name, as containerd and docker write it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// Why a layout was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Neither a folder nor a file.
    #[error("`{}` is not there", .0.display())]
    NotThere(PathBuf),
    /// There is no image in it.
    #[error("`{}` is neither an OCI layout nor a docker archive: it has no {missing}", path.display())]
    NoLayout {
        /// Where.
        path: PathBuf,
        /// The file that makes it one.
        missing: &'static str,
    },
    /// The archive is damaged or deceptive.
    #[error("`{}` cannot be read", path.display())]
    Archive {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Box<ReadError>,
    },
    /// A file operation failed.
    #[error("failed to read `{path}`")]
    Io {
        /// What.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A document names a blob that is not there.
    #[error("the layout `{}` names the blob {digest} and does not hold it", path.display())]
    Missing {
        /// The layout.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob is not what its name says.
    #[error("the blob {expected} of `{}` holds something else: {got}", path.display())]
    Content {
        /// The layout.
        path: PathBuf,
        /// What it should be.
        expected: Digest,
        /// What it is.
        got: String,
    },
    /// A document is wrong.
    #[error("`{what}` of the layout `{}` is refused", path.display())]
    Document {
        /// The layout.
        path: PathBuf,
        /// Which.
        what: String,
        /// Why.
        source: Box<ManifestError>,
    },
    /// Something else is wrong with it.
    #[error("the layout `{}`: {reason}", path.display())]
    Wrong {
        /// The layout.
        path: PathBuf,
        /// What.
        reason: String,
    },
    /// The store failed.
    #[error("the store cannot take the layout")]
    Store(#[from] slipway_store::Error),
}

/// Which image of a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selector {
    /// The only one, or the one called `latest`.
    #[default]
    Only,
    /// By tag or by name.
    Tag(String),
    /// By digest.
    Digest(Digest),
}

/// A layout that was opened.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    files: Files,
    entries: Vec<Descriptor>,
}

/// A manifest or an index with all that it needs.
#[derive(Clone, Debug)]
pub struct Part {
    /// What the layout calls it.
    pub descriptor: Descriptor,
    /// Its bytes; their digest was checked.
    pub bytes: Vec<u8>,
    /// The blobs that it names; empty for an index.
    pub blobs: Vec<Descriptor>,
}

/// Takes `PATH`, `PATH:TAG` or `PATH@sha256:…` apart. A path that is there is a path, whatever is in its name.
pub fn split(text: &str) -> (PathBuf, Selector) {
    if Path::new(text).exists() {
        return (text.into(), Selector::Only);
    }
    if let Some((path, digest)) = text.rsplit_once('@')
        && let Ok(digest) = digest.parse()
    {
        return (path.into(), Selector::Digest(digest));
    }
    match text.rsplit_once(':') {
        Some((path, tag)) if !path.is_empty() && !tag.contains('/') => {
            (path.into(), Selector::Tag(tag.to_owned()))
        }
        _ => (text.into(), Selector::Only),
    }
}

impl Layout {
    /// Opens a folder or an archive.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let files = Files::open(path)?;
        let read = |files: &Files, name: &str| files.read(path, name, MAX_MANIFEST);
        let (files, index) = if let Some(index) = read(&files, "index.json")? {
            (files, index)
        } else {
            let files = docker::convert(path, &files)?;
            let missing = || LayoutError::NoLayout { path: path.to_owned(), missing: "index.json" };
            let index = read(&files, "index.json")?.ok_or_else(missing)?;
            (files, index)
        };
        let document = manifest::read(&index, None).map_err(|source| LayoutError::Document {
            path: path.to_owned(),
            what: "index.json".to_owned(),
            source: Box::new(source),
        })?;
        match document {
            Document::Index(index) => Ok(Self { path: path.to_owned(), files, entries: index.manifests }),
            Document::Manifest(_) => Err(LayoutError::Wrong {
                path: path.to_owned(),
                reason: "index.json is an image and no index".to_owned(),
            }),
        }
    }

    /// Finds an image.
    pub fn find(&self, selector: &Selector) -> Result<Descriptor, LayoutError> {
        let named = |wanted: &str| {
            let found = self.entries.iter().find(|entry| names(entry).iter().any(|name| fits(name, wanted)));
            found.cloned()
        };
        let unknown = |wanted: &str| {
            let names: Vec<&str> = self.entries.iter().flat_map(names).collect();
            let there =
                if names.is_empty() { "its images have no names".to_owned() } else { names.join(", ") };
            self.wrong(format!("it has no image `{wanted}`; there is {there}"))
        };
        match selector {
            Selector::Tag(tag) => named(tag).ok_or_else(|| unknown(tag)),
            Selector::Digest(digest) => {
                let found = self.entries.iter().find(|entry| entry.digest == *digest).cloned();
                found.or_else(|| self.below(digest)).ok_or_else(|| unknown(&digest.to_string()))
            }
            Selector::Only => match self.entries.split_first() {
                None => Err(self.wrong("it holds no image".to_owned())),
                Some((first, others)) if others.iter().all(|entry| entry.digest == first.digest) => {
                    Ok(first.clone())
                }
                Some(_) => named("latest").ok_or_else(|| {
                    let names: Vec<&str> = self.entries.iter().flat_map(names).collect();
                    let all = if names.is_empty() {
                        self.entries.iter().map(|entry| format!("@{}", entry.digest)).collect()
                    } else {
                        names.iter().map(|name| format!(":{name}")).collect::<Vec<_>>()
                    };
                    self.wrong(format!("it holds several images; say which: {}", all.join(", ")))
                }),
            },
        }
    }

    /// Finds a manifest by digest in the indexes of the layout.
    fn below(&self, digest: &Digest) -> Option<Descriptor> {
        let index = |entry: &Descriptor| match self.document(entry).ok()?.0 {
            Document::Index(index) => index.manifests.into_iter().find(|entry| entry.digest == *digest),
            Document::Manifest(_) => None,
        };
        self.entries.iter().find_map(index)
    }

    /// Returns what an image is made of, children before the index that names them; only one image for a platform where one
    /// is given. Every blob is there with its size.
    pub fn parts(&self, top: &Descriptor, platform: Option<&Platform>) -> Result<Vec<Part>, LayoutError> {
        let mut parts = Vec::new();
        let mut chosen = top.clone();
        if let Some(platform) = platform {
            let mut depth = 0;
            while let (Document::Index(index), _) = self.document(&chosen)? {
                chosen = manifest::select(&index, platform)
                    .map_err(|source| self.refused(&chosen.digest.to_string(), source))?
                    .clone();
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(self.wrong("its indexes lie too deep in each other".to_owned()));
                }
            }
        }
        self.collect(&chosen, 0, &mut parts)?;
        Ok(parts)
    }

    fn collect(
        &self,
        descriptor: &Descriptor,
        depth: usize,
        parts: &mut Vec<Part>,
    ) -> Result<(), LayoutError> {
        if depth > MAX_DEPTH || parts.len() >= MAX_DOCUMENTS {
            return Err(
                self.wrong("its indexes name too many manifests, or lie too deep in each other".to_owned())
            );
        }
        if parts.iter().any(|part| part.descriptor.digest == descriptor.digest) {
            return Ok(());
        }
        let (document, bytes) = self.document(descriptor)?;
        let mut blobs = Vec::new();
        match document {
            Document::Index(index) => {
                for entry in &index.manifests {
                    self.collect(entry, depth + 1, parts)?;
                }
            }
            Document::Manifest(manifest) => {
                for blob in std::iter::once(manifest.config).chain(manifest.layers) {
                    // Layers that may not be passed on are only named.
                    let there = self.place(&blob);
                    match there {
                        Err(LayoutError::Missing { .. })
                            if slipway_oci::media::is_foreign(&blob.media_type) => {}
                        Err(error) => return Err(error),
                        Ok(_) => blobs.push(blob),
                    }
                }
            }
        }
        parts.push(Part { descriptor: descriptor.clone(), bytes, blobs });
        Ok(())
    }

    /// Reads a manifest or an index.
    pub fn document(&self, descriptor: &Descriptor) -> Result<(Document, Vec<u8>), LayoutError> {
        let what = descriptor.digest.to_string();
        if descriptor.size > MAX_MANIFEST as u64 {
            let size = usize::try_from(descriptor.size).unwrap_or(usize::MAX);
            return Err(self.refused(&what, ManifestError::TooLarge { size, limit: MAX_MANIFEST }));
        }
        let bytes = self.small(descriptor, MAX_MANIFEST)?;
        let document = manifest::read(&bytes, Some(&descriptor.media_type))
            .map_err(|source| self.refused(&what, source))?;
        Ok((document, bytes))
    }

    /// Reads a small blob and checks it.
    fn small(&self, descriptor: &Descriptor, limit: usize) -> Result<Vec<u8>, LayoutError> {
        let name = blob_name(&descriptor.digest);
        self.place(descriptor)?;
        let bytes =
            self.files.read(&self.path, &name, limit)?.ok_or_else(|| self.missing(&descriptor.digest))?;
        let got = Digest::of(&bytes);
        if got == descriptor.digest { Ok(bytes) } else { Err(self.content(descriptor, got.to_string())) }
    }

    /// Returns where a blob lies; it has the size that its descriptor says.
    pub fn place(&self, descriptor: &Descriptor) -> Result<Place, LayoutError> {
        let place = self.files.find(&self.path, &blob_name(&descriptor.digest))?;
        let place = place.ok_or_else(|| self.missing(&descriptor.digest))?;
        if place.size != descriptor.size {
            return Err(
                self.content(descriptor, format!("{} bytes instead of {}", place.size, descriptor.size))
            );
        }
        Ok(place)
    }

    /// Reads a blob to its end to see that it is what its name says.
    pub fn check(&self, descriptor: &Descriptor) -> Result<Place, LayoutError> {
        let place = self.place(descriptor)?;
        let failed = |source| LayoutError::Io { path: place.path.display().to_string(), source };
        let mut hasher = Hasher::new();
        io::copy(&mut place.reader(0).map_err(failed)?, &mut hasher).map_err(failed)?;
        let got = hasher.finish();
        if got == descriptor.digest { Ok(place) } else { Err(self.content(descriptor, got.to_string())) }
    }

    fn missing(&self, digest: &Digest) -> LayoutError {
        LayoutError::Missing { path: self.path.clone(), digest: *digest }
    }

    fn content(&self, descriptor: &Descriptor, got: String) -> LayoutError {
        LayoutError::Content { path: self.path.clone(), expected: descriptor.digest, got }
    }

    fn refused(&self, what: &str, source: ManifestError) -> LayoutError {
        LayoutError::Document { path: self.path.clone(), what: what.to_owned(), source: Box::new(source) }
    }

    fn wrong(&self, reason: String) -> LayoutError {
        LayoutError::Wrong { path: self.path.clone(), reason }
    }
}

/// Returns a blob's place in a layout.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Returns what an entry is called.
fn names(entry: &Descriptor) -> Vec<&str> {
    [REF_NAME, IMAGE_NAME].iter().filter_map(|key| entry.annotations.get(*key)).map(String::as_str).collect()
}

/// Tells whether a name is what was asked for: itself, or a full reference with that tag.
fn fits(name: &str, wanted: &str) -> bool {
    name == wanted
        || name
            .parse::<slipway_oci::Reference>()
            .is_ok_and(|reference| name.contains([':', '/']) && reference.tag() == Some(wanted))
}
