//! Writing into a layer in the making, with what is below it in view.
//!
//! What is written goes to the upper directory; a directory that only the base has is made there first with the base's
//! metadata, as overlayfs's copy-up does. Unlike there, a directory that merely receives something keeps its time: the same
//! step gives the same layer on another day.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::dir::{self, Dir};
use super::meta::{Meta, Time};
use super::stack::{LayerStack, Node, UnionDir};
use super::{Owner, TreeError, xattr};

/// A layer in the making, over its base.
#[derive(Debug)]
pub struct Upper {
    root: Arc<Dir>,
    path: PathBuf,
    base: LayerStack,
    /// What directories' times are to be in the end, since every write to them changes it.
    times: BTreeMap<PathBuf, Time>,
}

/// What is made where there is nothing.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Whose it is.
    pub owner: Owner,
    /// Its permissions.
    pub mode: u32,
    /// Its time.
    pub time: Time,
}

/// An open directory of the layer.
#[derive(Clone, Debug)]
pub struct Spot {
    dir: Arc<Dir>,
    /// The same directory of the base, where it shows through.
    lower: Option<UnionDir>,
    path: PathBuf,
    /// True for a directory that was made just now: there is nothing to look for in it.
    fresh: bool,
}

/// What a name in a [`Spot`] is.
#[derive(Clone, Copy, Debug)]
pub struct There {
    /// What is known of it.
    pub meta: Meta,
    in_upper: bool,
    lower: Option<Node>,
}

impl Upper {
    /// Opens an upper directory. One that is still empty gets the metadata of the base's root.
    pub fn open(path: &Path, base: &LayerStack) -> Result<Self, TreeError> {
        prepare_root(path, base)?;
        let root = Dir::open(path).map_err(|source| TreeError::io("open", path, source))?;
        Ok(Self { root: Arc::new(root), path: path.to_owned(), base: base.clone(), times: BTreeMap::new() })
    }

    /// Returns the whole tree: the upper directory over the base.
    pub fn view(&self) -> Result<LayerStack, TreeError> {
        self.base.with_top(&self.path)
    }

    /// Opens the root.
    pub fn root(&mut self) -> Result<Spot, TreeError> {
        let path = PathBuf::from("/");
        let meta = self.root.meta().map_err(|source| TreeError::io("look at", &path, source))?;
        self.times.entry(path.clone()).or_insert(meta.mtime);
        let opaque =
            xattr::is_opaque(&*self.root).map_err(|source| TreeError::io("look at", &path, source))?;
        let lower = if self.base.is_empty() || opaque { None } else { Some(self.base.root()?) };
        Ok(Spot { dir: Arc::clone(&self.root), lower, path, fresh: false })
    }

    /// Opens a directory, with what is missing of its path made as `fresh` says. The path must be free of links: see
    /// [`LayerStack::canonical`].
    pub fn make_path(&mut self, path: &Path, fresh: Fresh) -> Result<Spot, TreeError> {
        let mut spot = self.root()?;
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            spot = match spot.get(name)? {
                Some(there) if there.meta.is_dir() => self.enter(&spot, name, &there)?,
                Some(_) => return Err(TreeError::NotADirectory { path: spot.path.join(name) }),
                None => self.make_dir(&spot, name, fresh)?,
            };
        }
        Ok(spot)
    }

    /// Opens an existing child directory, made in the layer where only the base has it.
    pub fn enter(&mut self, parent: &Spot, name: &OsStr, there: &There) -> Result<Spot, TreeError> {
        let path = parent.path.join(name);
        let lower = match (&parent.lower, &there.lower) {
            (Some(lower), Some(node)) if node.meta.is_dir() => Some(lower.enter_node(name, node)?),
            _ => None,
        };
        if there.in_upper {
            let dir = parent.dir.enter(name).map_err(|source| TreeError::io("open", &path, source))?;
            self.times.entry(path.clone()).or_insert(there.meta.mtime);
            return Ok(Spot { dir: Arc::new(dir), lower, path, fresh: false });
        }
        let xattrs = lower.as_ref().map(UnionDir::xattrs).transpose()?.unwrap_or_default();
        let owner = Owner { uid: there.meta.uid, gid: there.meta.gid };
        let dir = parent.dir.make_dir(name).map_err(|source| TreeError::io("make", &path, source))?;
        dir::set_owner_and_mode(&dir, owner, there.meta.mode)
            .and_then(|()| xattr::write(&dir, &xattrs))
            .map_err(|source| TreeError::io("set the metadata of", &path, source))?;
        self.times.insert(path.clone(), there.meta.mtime);
        Ok(Spot { dir: Arc::new(dir), lower, path, fresh: false })
    }

    /// Makes a child directory where there is nothing.
    pub fn make_dir(&mut self, parent: &Spot, name: &OsStr, fresh: Fresh) -> Result<Spot, TreeError> {
        let path = parent.path.join(name);
        let failed = |source| TreeError::io("make", &path, source);
        let hidden = parent.clear(name)?;
        let dir = parent.dir.make_dir(name).map_err(failed)?;
        dir::set_owner_and_mode(&dir, fresh.owner, fresh.mode).map_err(failed)?;
        if hidden {
            // What the whiteout hid must stay hidden.
            xattr::set_opaque(&dir).map_err(failed)?;
        }
        self.times.insert(path.clone(), fresh.time);
        Ok(Spot { dir: Arc::new(dir), lower: None, path, fresh: true })
    }

    /// Opens a directory of the upper layer by its path, which must be free of links.
    pub fn dir(&self, path: &Path) -> std::io::Result<Dir> {
        self.root.beneath(path.strip_prefix("/").unwrap_or(path))
    }

    /// Says what a directory's time is to be in the end.
    pub fn set_time(&mut self, path: &Path, time: Time) {
        self.times.insert(path.to_owned(), time);
    }

    /// Forgets what is noted of a directory that is removed, and of all below it.
    pub fn forget(&mut self, path: &Path) {
        let below: Vec<PathBuf> = self
            .times
            .range(path.to_owned()..)
            .map(|(at, _)| at)
            .take_while(|at| at.starts_with(path))
            .cloned()
            .collect();
        for at in below {
            self.times.remove(&at);
        }
    }

    /// Sets the directories' times. To be called when nothing more is written.
    pub fn finish(self) -> Result<(), TreeError> {
        for (path, time) in &self.times {
            self.dir(path)
                .and_then(|dir| dir::set_time(&dir, *time))
                .map_err(|source| TreeError::io("set the time of", path, source))?;
        }
        Ok(())
    }
}

impl There {
    /// Tells whether the layer in the making has it, and not only the base.
    pub fn in_upper(&self) -> bool {
        self.in_upper
    }
}

impl Spot {
    /// Returns the directory in the upper layer.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// Returns the path in the tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks a name up, in the layer and below it.
    pub fn get(&self, name: &OsStr) -> Result<Option<There>, TreeError> {
        if self.fresh && self.lower.is_none() {
            // Still looked at, since an item may bring the same name twice; but only here.
            let meta = self.stat(name)?;
            return Ok(meta.map(|meta| There { meta, in_upper: true, lower: None }));
        }
        let upper = self.stat(name)?;
        if upper.is_some_and(|meta| meta.is_whiteout()) {
            return Ok(None);
        }
        let lower = match &self.lower {
            Some(lower) => lower.get(name)?,
            None => None,
        };
        Ok(match upper {
            Some(meta) => {
                let shows = meta.is_dir() && !self.child_is_opaque(name, lower.is_some())?;
                Some(There { meta, in_upper: true, lower: lower.filter(|_| shows) })
            }
            None => lower.map(|node| There { meta: node.meta, in_upper: false, lower: Some(node) }),
        })
    }

    /// Looks a name up in the base alone.
    pub fn below(&self, name: &OsStr) -> Result<Option<(&UnionDir, Node)>, TreeError> {
        let Some(lower) = &self.lower else { return Ok(None) };
        Ok(lower.get(name)?.map(|node| (lower, node)))
    }

    /// Reads a link, in the layer or below it.
    pub fn read_link(&self, name: &OsStr) -> Result<PathBuf, TreeError> {
        let failed = |source| TreeError::at("read the link", &self.path, name, source);
        if self.stat(name)?.is_some() {
            return self.dir.read_link(name).map_err(failed);
        }
        match self.below(name)? {
            Some((lower, node)) => lower.read_link(name, &node),
            None => Err(failed(std::io::ErrorKind::NotFound.into())),
        }
    }

    /// Makes room for a name: what the upper layer has there goes, a whiteout too. Tells whether it was a whiteout.
    pub fn clear(&self, name: &OsStr) -> Result<bool, TreeError> {
        let Some(meta) = self.stat(name)? else { return Ok(false) };
        let removed = if meta.is_dir() { self.dir.remove_all(name) } else { self.dir.unlink(name) };
        removed.map_err(|source| TreeError::at("remove", &self.path, name, source))?;
        Ok(meta.is_whiteout())
    }

    /// Makes room for a name that is no directory. False where the tree has a directory there, which then stays.
    pub fn clear_for_file(&self, name: &OsStr) -> Result<bool, TreeError> {
        match self.stat(name)? {
            Some(meta) if meta.is_dir() => Ok(false),
            Some(_) => {
                let removed = self.dir.unlink(name);
                removed.map_err(|source| TreeError::at("remove", &self.path, name, source)).map(|()| true)
            }
            None => Ok(!self.below(name)?.is_some_and(|(_, node)| node.meta.is_dir())),
        }
    }

    /// Sets owner, mode and attributes of the directory itself.
    pub fn set_meta(&self, owner: Owner, mode: u32, xattrs: &xattr::Xattrs) -> Result<(), TreeError> {
        dir::set_owner_and_mode(&*self.dir, owner, mode)
            .and_then(|()| xattr::write(&*self.dir, xattrs))
            .map_err(|source| TreeError::io("set the metadata of", &self.path, source))
    }

    fn stat(&self, name: &OsStr) -> Result<Option<Meta>, TreeError> {
        self.dir.stat(name).map_err(|source| TreeError::at("look at", &self.path, name, source))
    }

    fn child_is_opaque(&self, name: &OsStr, matters: bool) -> Result<bool, TreeError> {
        if !matters {
            return Ok(false);
        }
        let opaque = self.dir.enter(name).and_then(|dir| xattr::is_opaque(&dir));
        opaque.map_err(|source| TreeError::at("read attributes of", &self.path, name, source))
    }
}

/// Gives an upper directory that is still empty the metadata of the base's root; without a base, 0755 of root.
///
/// A RUN's upper directory needs it too: overlayfs shows the upper root's metadata.
pub fn prepare_root(upper: &Path, base: &LayerStack) -> Result<(), TreeError> {
    let failed = |source| TreeError::io("prepare", upper, source);
    let dir = Dir::open(upper).map_err(failed)?;
    if !dir.list().map_err(failed)?.is_empty() {
        return Ok(());
    }
    let root = base.root()?;
    match root.meta()? {
        Some(meta) => {
            let owner = Owner { uid: meta.uid, gid: meta.gid };
            dir::set_owner_and_mode(&dir, owner, meta.mode).map_err(failed)?;
            xattr::write(&dir, &root.xattrs()?).map_err(failed)?;
            dir::set_time(&dir, meta.mtime).map_err(failed)
        }
        None => dir::set_owner_and_mode(&dir, Owner::default(), 0o755).map_err(failed),
    }
}

/// Splits an absolute path without links into its directory and its name; none for the root.
pub fn split(path: &Path) -> Option<(PathBuf, OsString)> {
    let name = path.file_name()?.to_owned();
    let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
    Some((parent, name))
}
