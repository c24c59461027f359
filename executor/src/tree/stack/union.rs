//! One directory of the union: the same path in every layer that has it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Layer;
use crate::tree::TreeError;
use crate::tree::dir::Dir;
use crate::tree::listing::Listing;
use crate::tree::meta::{Kind, Meta};
use crate::tree::xattr::{self, Xattrs};

/// A directory of the union.
#[derive(Clone, Debug)]
pub struct UnionDir {
    /// Its path without links, from the tree's root, absolute.
    path: PathBuf,
    /// Topmost first; empty for the root of an empty tree.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    dir: Arc<Dir>,
    plain: bool,
    /// Which layer of the stack it is of, from the top.
    layer: usize,
}

/// What a name in a [`UnionDir`] is.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What is known of it; for a directory, of its topmost part.
    pub meta: Meta,
    /// Which part of the directory has it.
    part: usize,
}

impl UnionDir {
    pub(super) fn root(layers: &[Arc<Layer>]) -> Result<Self, TreeError> {
        let mut parts = Vec::with_capacity(layers.len());
        for (number, layer) in layers.iter().enumerate() {
            parts.push(Part { dir: Arc::clone(&layer.dir), plain: layer.plain, layer: number });
            if !layer.plain && layers.len() > 1 && is_opaque(&layer.dir, Path::new("/"))? {
                break;
            }
        }
        Ok(Self { path: PathBuf::from("/"), parts })
    }

    /// Returns the path in the tree, absolute and without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the metadata that the union shows; none for the root of an empty tree.
    pub fn meta(&self) -> Result<Option<Meta>, TreeError> {
        let top = self.parts.first().map(|part| part.dir.meta());
        top.transpose().map_err(|source| TreeError::io("look at", &self.path, source))
    }

    /// Returns the attributes that the union shows.
    pub fn xattrs(&self) -> Result<Xattrs, TreeError> {
        match self.parts.first() {
            Some(part) => xattr::read(&*part.dir)
                .map_err(|source| TreeError::io("read attributes of", &self.path, source)),
            None => Ok(Xattrs::new()),
        }
    }

    /// Tells whether the topmost layer marks this directory as hiding what is below it.
    pub fn is_opaque(&self) -> Result<bool, TreeError> {
        self.parts.first().map_or(Ok(false), |part| is_opaque(&part.dir, &self.path))
    }

    /// Returns the topmost layer's directory, to hand to threads that open files in it.
    pub fn part(&self, node: &Node) -> Option<&Arc<Dir>> {
        self.parts.get(node.part).map(|part| &part.dir)
    }

    /// Looks a name up; links are not followed.
    pub fn get(&self, name: &OsStr) -> Result<Option<Node>, TreeError> {
        for (index, part) in self.parts.iter().enumerate() {
            if let Some(meta) = self.stat(part, name)? {
                let gone = !part.plain && meta.is_whiteout();
                return Ok((!gone).then_some(Node { meta, part: index }));
            }
        }
        Ok(None)
    }

    /// Opens what the listing says is a regular file, without a look at it before. None where that takes one: then
    /// [`UnionDir::get`] says what is there, and what is wrong with it.
    pub fn open_listed(&self, name: &OsStr, kind: Option<Kind>) -> Option<(File, Node)> {
        let ([part], Some(Kind::File)) = (&self.parts[..], kind) else { return None };
        let (file, meta) = part.dir.open_seen(name).ok()?;
        Some((file, Node { meta, part: 0 }))
    }

    /// Opens a child directory; none where the name is not there or no directory.
    pub fn enter(&self, name: &OsStr) -> Result<Option<Self>, TreeError> {
        match self.get(name)? {
            Some(node) if node.meta.is_dir() => self.enter_node(name, &node).map(Some),
            _ => Ok(None),
        }
    }

    /// Opens a child directory that was looked up before.
    pub fn enter_node(&self, name: &OsStr, node: &Node) -> Result<Self, TreeError> {
        let path = self.path.join(name);
        let mut parts: Vec<Part> = Vec::new();
        for (index, part) in self.parts.iter().enumerate().skip(node.part) {
            if index > node.part {
                match self.stat(part, name)? {
                    None => continue,
                    // A whiteout or a file ends what is below.
                    Some(meta) if !meta.is_dir() => break,
                    Some(_) => {}
                }
            }
            let dir = part.dir.enter(name).map_err(|source| TreeError::io("open", &path, source))?;
            let below = index + 1 < self.parts.len();
            let last = below && !part.plain && is_opaque(&dir, &path)?;
            parts.push(Part { dir: Arc::new(dir), plain: part.plain, layer: part.layer });
            if last {
                break;
            }
        }
        Ok(Self { path, parts })
    }

    /// Lists the names that the union shows.
    pub fn list(&self) -> Result<Listing, TreeError> {
        let failed = |source| TreeError::io("list", &self.path, source);
        if let [only] = &self.parts[..] {
            let mut names = only.dir.list().map_err(failed)?;
            if !only.plain {
                names.retain(|name, kind| self.hides(only, name, kind).map(|hides| !hides))?;
            }
            return Ok(names);
        }
        let mut merged: BTreeMap<OsString, Option<Option<Kind>>> = BTreeMap::new();
        for part in &self.parts {
            for (name, kind) in part.dir.list().map_err(failed)?.iter() {
                if merged.contains_key(name) {
                    continue;
                }
                let gone = !part.plain && self.hides(part, name, kind)?;
                merged.insert(name.to_owned(), (!gone).then_some(kind));
            }
        }
        let mut names = Listing::default();
        for (name, kind) in merged {
            if let Some(kind) = kind {
                names.push(name.as_bytes(), kind).map_err(failed)?;
            }
        }
        Ok(names)
    }

    /// Opens a regular file that was looked up before.
    pub fn open_file(&self, name: &OsStr, node: &Node) -> Result<File, TreeError> {
        let part = self.holder(name, node)?;
        part.dir.open_file(name).map_err(|source| TreeError::at("open", &self.path, name, source))
    }

    /// Reads a link that was looked up before.
    pub fn read_link(&self, name: &OsStr, node: &Node) -> Result<PathBuf, TreeError> {
        let part = self.holder(name, node)?;
        part.dir.read_link(name).map_err(|source| TreeError::at("read the link", &self.path, name, source))
    }

    /// Returns the number of the layer that has it. The store keeps a file once for several layers, and those are files of
    /// their own.
    pub fn layer_of(&self, node: &Node) -> usize {
        self.parts.get(node.part).map_or(0, |part| part.layer)
    }

    fn holder(&self, name: &OsStr, node: &Node) -> Result<&Part, TreeError> {
        let missing = || TreeError::at("open", &self.path, name, std::io::ErrorKind::NotFound);
        self.parts.get(node.part).ok_or_else(missing)
    }

    fn stat(&self, part: &Part, name: &OsStr) -> Result<Option<Meta>, TreeError> {
        part.dir.stat(name).map_err(|source| TreeError::at("look at", &self.path, name, source))
    }

    fn hides(&self, part: &Part, name: &OsStr, kind: Option<Kind>) -> Result<bool, TreeError> {
        match kind {
            None | Some(Kind::Char) => Ok(self.stat(part, name)?.is_none_or(|meta| meta.is_whiteout())),
            Some(_) => Ok(false),
        }
    }
}

fn is_opaque(dir: &Dir, path: &Path) -> Result<bool, TreeError> {
    xattr::is_opaque(dir).map_err(|source| TreeError::io("read attributes of", path, source))
}
