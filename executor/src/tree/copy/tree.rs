//! Copying what was selected: a file, or a directory's contents.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Copier;
use super::file::{Batch, FileCopy};
use crate::tree::dir::set_owner_and_mode;
use crate::tree::meta::{Kind, Meta};
use crate::tree::names::Names;
use crate::tree::source::{Here, Rules, Selected, Source, base_name};
use crate::tree::stack::{Node, UnionDir};
use crate::tree::upper::{Fresh, Spot, split};
use crate::tree::{Owner, TreeError};

/// As many files as are handed to a thread at once.
const BATCH: usize = 64;
/// A file from this size on is a batch of its own.
const LARGE: u64 = 1 << 20;

/// A directory on the way down. It is made when something in it is, since an excluded directory may hold what is wanted.
pub(super) struct Level {
    pub(super) from: UnionDir,
    /// Its name at the destination.
    pub(super) name: OsString,
    pub(super) meta: Meta,
    pub(super) spot: Option<Spot>,
    /// Whether an existing directory takes the source's metadata.
    pub(super) overwrite: bool,
    pub(super) files: Vec<FileCopy>,
    bytes: u64,
}

/// One source's way down a tree.
pub(super) struct Descent {
    pub(super) owner: Option<Owner>,
    pub(super) levels: Vec<Level>,
    /// Files with several names: where the first of them went.
    names: Names,
}

impl Level {
    pub(super) fn new(from: UnionDir, name: OsString, meta: Meta, overwrite: bool) -> Self {
        Self { from, name, meta, spot: None, overwrite, files: Vec::new(), bytes: 0 }
    }

    pub(super) fn at(from: UnionDir, meta: Meta, spot: Spot) -> Self {
        Self { spot: Some(spot), ..Self::new(from, OsString::new(), meta, false) }
    }
}

impl Descent {
    pub(super) fn new(owner: Option<Owner>) -> Self {
        Self { owner, levels: Vec::new(), names: Names::default() }
    }
}

impl Copier<'_, '_> {
    /// Copies what a pattern selected.
    pub(super) fn selected(
        &mut self,
        source: &Source<'_>,
        selected: &Selected,
        dest: &str,
    ) -> Result<(), TreeError> {
        let meta = *selected.place.meta();
        let name = base_name(&selected.path).unwrap_or_default().to_owned();
        let options = self.options;
        let exclude = Rules::new(Some(&options.exclude));
        if !meta.is_dir() {
            if exclude.down(Path::new(&name)).ignored() {
                return Ok(());
            }
            let target = self.place(dest, Path::new(&name), false)?;
            return self.one_file(source, selected, &target);
        }
        let target = self.place(dest, Path::new(""), true)?;
        let in_tree = selected.place.path();
        let in_tree = in_tree.strip_prefix("/").unwrap_or(&in_tree).to_owned();
        let ignore = Rules::new(source.ignore).descend(&in_tree);
        let Some(from) = selected.place.clone().into_dir()? else { return Ok(()) };
        let spot = self.upper.make_path(&target, options.on_the_way())?;
        let mut descent = Descent::new(source.owner);
        descent.levels.push(Level::at(from, meta, spot));
        self.contents(&mut descent, &Here { in_tree, ignore, below: PathBuf::new(), exclude })?;
        self.flush(&mut descent)?;
        // Also where it was there before, whose mode and owner stay.
        if target.parent().is_some() {
            self.upper.set_time(&target, meta.mtime);
        }
        self.pool.drain()
    }

    fn one_file(&mut self, source: &Source<'_>, selected: &Selected, target: &Path) -> Result<(), TreeError> {
        let Some((from, name, node)) = selected.place.in_parent() else { return Ok(()) };
        let Some((directory, target_name)) = split(target) else {
            return Err(TreeError::FileOverDirectory { path: target.to_owned() });
        };
        let spot = self.upper.make_path(&directory, self.options.on_the_way())?;
        let mut descent = Descent::new(source.owner);
        descent.levels.push(Level::at(from.clone(), node.meta, spot));
        self.file(&mut descent, name, node, &target_name)?;
        self.flush(&mut descent)?;
        self.pool.drain()
    }

    /// Copies what is in the deepest level's directory.
    pub(super) fn contents(&mut self, descent: &mut Descent, here: &Here<'_>) -> Result<(), TreeError> {
        let from = descent.levels[descent.levels.len() - 1].from.clone();
        for (name, kind) in from.list()?.iter() {
            let child = here.down(name);
            let left_out = child.left_out();
            // Asked before the file is looked at: an ignored `node_modules` costs nothing.
            if left_out && (kind.is_some_and(|kind| kind != Kind::Directory) || child.can_skip()) {
                continue;
            }
            // What has gone since the listing is not there.
            let Some(node) = from.get(name)? else { continue };
            if node.meta.is_dir() {
                let below = from.enter_node(name, &node)?;
                descent.levels.push(Level::new(below, name.to_owned(), node.meta, true));
                if !left_out {
                    self.realize(descent)?;
                }
                self.contents(descent, &child)?;
                self.flush(descent)?;
                descent.levels.pop();
            } else if !left_out {
                self.realize(descent)?;
                self.file(descent, name, &node, name)?;
            }
        }
        Ok(())
    }

    /// Makes the directories of the way down that are not made yet.
    pub(super) fn realize(&mut self, descent: &mut Descent) -> Result<(), TreeError> {
        let first = descent.levels.iter().position(|level| level.spot.is_none());
        for index in first.unwrap_or(descent.levels.len())..descent.levels.len() {
            let Some(parent) = descent.levels[index - 1].spot.clone() else { return Ok(()) };
            let level = &descent.levels[index];
            let spot = self.directory(&parent, level, descent.owner)?;
            descent.levels[index].spot = Some(spot);
        }
        Ok(())
    }

    fn directory(&mut self, parent: &Spot, level: &Level, forced: Option<Owner>) -> Result<Spot, TreeError> {
        let owner = self.options.owner_of(&level.meta, forced);
        let mode = self.options.mode_of(&level.meta);
        let time = level.meta.mtime;
        match parent.get(&level.name)? {
            Some(there) if !there.meta.is_dir() => {
                Err(TreeError::DirectoryOverFile { path: parent.path().join(&level.name) })
            }
            Some(there) => {
                let spot = self.upper.enter(parent, &level.name, &there)?;
                if level.overwrite {
                    spot.set_meta(owner, mode, &level.from.xattrs()?)?;
                    self.upper.set_time(spot.path(), time);
                }
                Ok(spot)
            }
            None => {
                let spot = self.upper.make_dir(parent, &level.name, Fresh { owner, mode, time })?;
                let xattrs = level.from.xattrs()?;
                if !xattrs.is_empty() {
                    spot.set_meta(owner, mode, &xattrs)?;
                }
                Ok(spot)
            }
        }
    }

    /// Copies one file, link or device of the deepest level's directory.
    pub(super) fn file(
        &mut self,
        descent: &mut Descent,
        name: &OsStr,
        node: &Node,
        target: &OsStr,
    ) -> Result<(), TreeError> {
        let options = self.options;
        let (owner, mode) = (options.owner_of(&node.meta, descent.owner), options.mode_of(&node.meta));
        let last = descent.levels.len() - 1;
        let Some(spot) = descent.levels[last].spot.clone() else { return Ok(()) };
        if !spot.clear_for_file(target)? {
            return Err(TreeError::FileOverDirectory { path: spot.path().join(target) });
        }
        let meta = &node.meta;
        let failed = |source| TreeError::at("make", spot.path(), target, source);
        let to = spot.dir();
        let level = &descent.levels[last];
        match meta.kind {
            Kind::File => {
                let Some(dir) = level.from.part(node) else { return Ok(()) };
                self.stats.files += 1;
                self.stats.bytes += meta.size;
                let same = owner == Owner { uid: meta.uid, gid: meta.gid } && mode == meta.mode;
                let share = options.share && same && self.shared.insert(meta);
                let (dir, from, to) = (Arc::clone(dir), name.to_owned(), target.to_owned());
                let file = FileCopy { dir, from, to, owner, mode, time: meta.mtime, share };
                if meta.nlink > 1 {
                    let directory = spot.path().as_os_str().as_bytes();
                    let layer = level.from.layer_of(node);
                    if let Some((parent, first)) = descent.names.first(layer, meta, directory, target) {
                        return self.link(descent, &parent, &first, &spot, target);
                    }
                }
                let level = &mut descent.levels[last];
                level.bytes += meta.size;
                level.files.push(file);
                if level.files.len() >= BATCH || level.bytes >= LARGE {
                    self.flush(descent)?;
                }
                return Ok(());
            }
            Kind::Symlink => {
                let link = level.from.read_link(name, node)?;
                to.make_link(&link, target).map_err(failed)?;
            }
            // A socket means nothing to a reader; it arrives as what a context transfer makes of it.
            Kind::Socket => {
                let file = to.create_file(target).map_err(failed)?;
                set_owner_and_mode(&file, owner, mode).map_err(failed)?;
            }
            Kind::Char | Kind::Block | Kind::Fifo => {
                to.make_node(target, meta.kind, mode, meta.rdev).map_err(failed)?;
            }
            Kind::Directory => return Ok(()),
        }
        let owned = to.chown(target, owner);
        owned.and_then(|()| to.set_time(target, meta.mtime)).map_err(failed)
    }

    /// Gives a file that was copied already another name.
    fn link(
        &mut self,
        descent: &mut Descent,
        parent: &Path,
        first: &Path,
        spot: &Spot,
        name: &OsStr,
    ) -> Result<(), TreeError> {
        for level in &mut descent.levels {
            self.flush_level(level)?;
        }
        self.pool.drain()?;
        let dir = self.upper.dir(parent);
        let linked = dir.and_then(|dir| spot.dir().link_from(&dir, first.as_os_str(), name));
        linked.map_err(|source| TreeError::at("link", spot.path(), name, source))
    }

    /// Hands what is collected of the deepest directory to the threads.
    pub(super) fn flush(&mut self, descent: &mut Descent) -> Result<(), TreeError> {
        let last = descent.levels.len() - 1;
        self.flush_level(&mut descent.levels[last])
    }

    fn flush_level(&mut self, level: &mut Level) -> Result<(), TreeError> {
        let Some(spot) = level.spot.as_ref().filter(|_| !level.files.is_empty()) else { return Ok(()) };
        let batch = Batch {
            to: Arc::clone(spot.dir()),
            path: spot.path().to_owned(),
            files: std::mem::take(&mut level.files),
        };
        level.bytes = 0;
        self.pool.submit(batch)
    }
}
