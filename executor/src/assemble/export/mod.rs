//! Outputs other than a registry: OCI layouts, archives that `docker load` reads, and plain trees.

mod layout;
mod tree;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use slipway_oci::Reference;
use slipway_store::Store;

use super::AssembleError;
use super::bundle::Bundle;
use crate::tree::LayerStack;

/// Where an image or a tree goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Export {
    /// An OCI layout: a folder.
    OciFolder(PathBuf),
    /// An OCI layout in an archive; `-` is standard output.
    OciArchive(PathBuf),
    /// An OCI layout in an archive, with what `docker load` reads.
    DockerArchive(PathBuf),
    /// All files in an archive.
    Tar(PathBuf),
    /// All files in a folder.
    Local(PathBuf),
}

impl Export {
    /// Tells whether it needs the layers as blobs.
    pub fn needs_blobs(&self) -> bool {
        matches!(self, Self::OciFolder(_) | Self::OciArchive(_) | Self::DockerArchive(_))
    }

    /// Returns where it goes.
    pub fn path(&self) -> &Path {
        match self {
            Self::OciFolder(path)
            | Self::OciArchive(path)
            | Self::DockerArchive(path)
            | Self::Tar(path)
            | Self::Local(path) => path,
        }
    }
}

/// Writes a target's images with the names that they have. Their blobs are in the store.
pub fn image(
    store: &Store,
    export: &Export,
    bundle: &Bundle,
    names: &[Reference],
) -> Result<(), AssembleError> {
    let failed = |source| AssembleError::Output { path: export.path().display().to_string(), source };
    match export {
        Export::OciFolder(path) => layout::folder(store, path, bundle, names).map_err(failed),
        Export::OciArchive(path) => {
            let out = create(path).map_err(failed)?;
            layout::archive(store, out, bundle, names, None).map_err(failed)
        }
        Export::DockerArchive(path) => {
            let [only] = bundle.members.as_slice() else {
                return Err(AssembleError::OnePlatform { path: path.display().to_string() });
            };
            let out = create(path).map_err(failed)?;
            layout::archive(store, out, bundle, names, Some(&only.ready)).map_err(failed)
        }
        Export::Tar(_) | Export::Local(_) => Ok(()),
    }
}

/// All files of a stage, and the folder of the output that they go into; empty for the output itself.
#[derive(Debug)]
pub struct Files<'a> {
    /// One part of a path.
    pub folder: String,
    /// The files.
    pub stack: &'a LayerStack,
}

/// Writes all files of stages. Times later than `clamp` become it.
pub fn files(export: &Export, trees: &[Files<'_>], clamp: Option<i64>) -> Result<(), AssembleError> {
    let failed = |source| AssembleError::Output { path: export.path().display().to_string(), source };
    match export {
        Export::Tar(path) => tree::archive(trees, create(path).map_err(failed)?, clamp).map_err(failed),
        Export::Local(path) => trees
            .iter()
            .try_for_each(|tree| tree::folder(tree.stack, &path.join(&tree.folder)))
            .map_err(failed),
        _ => Ok(()),
    }
}

/// Opens an output: `-` is standard output.
fn create(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    Ok(Box::new(io::BufWriter::with_capacity(1 << 20, File::create(path)?)))
}
