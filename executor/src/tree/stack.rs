//! Layers seen as one tree, as overlayfs shows them: whiteouts hide, opaque directories hide, directories merge.

mod resolve;
mod union;

#[cfg(test)]
mod overlay_tests;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::TreeError;
use super::dir::Dir;
use super::meta::Meta;

pub use resolve::Place;
pub use union::{Node, UnionDir};

/// A stack of layers, topmost first; or one plain directory.
#[derive(Clone, Debug, Default)]
pub struct LayerStack {
    layers: Vec<Arc<Layer>>,
}

#[derive(Debug)]
struct Layer {
    dir: Arc<Dir>,
    /// A tree that is no layer: a 0:0 device in it is a device.
    plain: bool,
}

impl LayerStack {
    /// Opens layers, topmost first. None of them gives an empty tree.
    pub fn open<P: AsRef<Path>>(layers: impl IntoIterator<Item = P>) -> Result<Self, TreeError> {
        let layers = layers.into_iter().map(|path| open_layer(path.as_ref(), false));
        Ok(Self { layers: layers.collect::<Result<_, _>>()? })
    }

    /// Opens one directory that is no layer: a context, a checkout.
    pub fn plain(directory: &Path) -> Result<Self, TreeError> {
        Ok(Self { layers: vec![open_layer(directory, true)?] })
    }

    /// Returns a tree without anything.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns this stack with one more layer on top.
    pub fn with_top(&self, upper: &Path) -> Result<Self, TreeError> {
        let mut layers = vec![open_layer(upper, false)?];
        layers.extend(self.layers.iter().cloned());
        Ok(Self { layers })
    }

    /// Tells whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Tells whether this is one directory that is no layer.
    pub fn is_plain(&self) -> bool {
        self.layers.iter().any(|layer| layer.plain)
    }

    /// Returns the tree's root.
    pub fn root(&self) -> Result<UnionDir, TreeError> {
        UnionDir::root(&self.layers)
    }

    /// Returns what a path is, links on the way resolved, and at its end too if `follow`. None where it is not there.
    pub fn find(&self, path: &Path, follow: bool) -> Result<Option<Place>, TreeError> {
        resolve::find(self, path, follow)
    }

    /// Returns a path without links: what it leads to in this tree. Parts that are not there stay as they are.
    pub fn canonical(&self, path: &Path) -> Result<PathBuf, TreeError> {
        resolve::canonical(self, path)
    }

    /// Returns the metadata of a path, links resolved; none where it is not there.
    pub fn metadata(&self, path: &Path) -> Result<Option<Meta>, TreeError> {
        Ok(self.find(path, true)?.map(|place| *place.meta()))
    }

    /// Opens a regular file, links resolved; none where there is none.
    pub fn open_file(&self, path: &Path) -> Result<Option<File>, TreeError> {
        let Some(place) = self.find(path, true)? else { return Ok(None) };
        if place.meta().is_file() { place.open().map(Some) } else { Ok(None) }
    }

    /// Reads a regular file of at most `limit` bytes; none where there is none.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, TreeError> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| TreeError::io("read", path, source))?;
        if bytes.len() as u64 > limit {
            let reason = format!("larger than the limit of {limit} bytes");
            return Err(TreeError::Limit { path: path.to_owned(), reason });
        }
        Ok(Some(bytes))
    }

    /// Lists a directory, links resolved; none where there is none.
    pub fn read_dir(&self, path: &Path) -> Result<Option<Vec<OsString>>, TreeError> {
        let Some(place) = self.find(path, true)? else { return Ok(None) };
        match place.into_dir()? {
            Some(dir) => Ok(Some(dir.list()?.iter().map(|(name, _)| name.to_owned()).collect())),
            None => Ok(None),
        }
    }
}

fn open_layer(path: &Path, plain: bool) -> Result<Arc<Layer>, TreeError> {
    static ROOM: Once = Once::new();
    ROOM.call_once(make_room);
    let dir = Dir::open(path).map_err(|source| TreeError::io("open the layer", path, source))?;
    Ok(Arc::new(Layer { dir: Arc::new(dir), plain }))
}

/// A walk holds one descriptor a layer for each level that it is deep: a hundred layers need more than the usual 1024.
fn make_room() {
    const ENOUGH: u64 = 65_536;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if limit.current.is_some_and(|current| current < wanted) {
        // Where it is refused, the usual number mostly does.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit });
    }
}
