//! The walk that gathers what is copied, in the order of a copy.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::found::{Content, Entry, Found};
use super::hashes::Hashes;
use crate::tree::TreeError;
use crate::tree::dir::Dir;
use crate::tree::meta::{Kind, Meta};
use crate::tree::names::Names;
use crate::tree::pool::{Job, Pool};
use crate::tree::source::{Front, Here, Rules, Selected, Source, Wanted};
use crate::tree::stack::{Node, UnionDir};
use crate::tree::xattr::Xattrs;

/// As many files as are handed to a thread at once.
const BATCH: usize = 64;
/// Files from this size on go by themselves.
const LARGE: u64 = 1 << 20;

/// Files of one directory to read.
pub(super) struct Batch<'a> {
    dir: Arc<Dir>,
    path: PathBuf,
    /// With their numbers in what was found.
    files: Vec<(u64, OsString, Meta)>,
    bytes: u64,
    hashes: &'a Hashes,
    found: &'a Found,
}

impl Job for Batch<'_> {
    fn run(self) -> Result<(), TreeError> {
        let mut digests = Vec::with_capacity(self.files.len());
        for (number, name, meta) in &self.files {
            let digest = self.hashes.read(&self.dir, name, meta);
            digests
                .push((*number, digest.map_err(|source| TreeError::at("read", &self.path, name, source))?));
        }
        self.found.read(digests);
        Ok(())
    }
}

/// A directory that may not count: one that is left out does if something in it is not.
struct Level {
    dir: UnionDir,
    below: PathBuf,
    meta: Meta,
    counted: bool,
}

/// The walk.
pub(super) struct Gather<'a, 'p> {
    source: &'a Source<'a>,
    hashes: &'a Hashes,
    pool: &'p Pool<Batch<'a>>,
    found: &'a Found,
    levels: Vec<Level>,
    batch: Option<Batch<'a>>,
    /// Files with several names in one source: the first of them.
    names: Names,
    /// Which selected thing this is.
    top: u32,
}

impl<'a, 'p> Gather<'a, 'p> {
    pub(super) fn new(
        source: &'a Source<'a>,
        hashes: &'a Hashes,
        pool: &'p Pool<Batch<'a>>,
        found: &'a Found,
    ) -> Self {
        Self { source, hashes, pool, found, levels: Vec::new(), batch: None, names: Names::default(), top: 0 }
    }

    /// Gathers what a pattern selected. A file goes by the name that it gets, a directory's contents go by their own.
    pub(super) fn selected(
        &mut self,
        selected: &Selected,
        name: Option<&OsStr>,
        exclude: &Rules<'_>,
    ) -> Result<(), TreeError> {
        let place = &selected.place;
        let path = place.path();
        let in_tree = path.strip_prefix("/").unwrap_or(&path).to_owned();
        if let Some((parent, found, node)) = place.in_parent().filter(|(_, _, node)| !node.meta.is_dir()) {
            if name.is_some_and(|name| exclude.down(Path::new(name)).ignored()) {
                return Ok(());
            }
            // A link's own path, and not that of what it leads to.
            let written = selected.path.strip_prefix("/").unwrap_or(&selected.path);
            self.begin(if name.is_some() { written.parent().unwrap_or(written) } else { written });
            return self.file(parent, found, node, PathBuf::from(name.unwrap_or_default()));
        }
        let ignore = Rules::new(self.source.ignore).descend(&in_tree);
        let meta = *place.meta();
        let Some(dir) = place.clone().into_dir()? else { return Ok(()) };
        // The directory itself: its contents go to the destination, its own metadata does not.
        self.begin(&in_tree);
        self.push(PathBuf::new(), true, b"directory".to_vec(), Content::None);
        self.levels = vec![Level { dir, below: PathBuf::new(), meta, counted: true }];
        self.contents(&Here { in_tree, ignore, below: PathBuf::new(), exclude: exclude.clone() })
    }

    /// Gathers what `--parents` selects.
    pub(super) fn with_parents(&mut self, pattern: &str, exclude: &Rules<'_>) -> Result<(), TreeError> {
        let wanted = Wanted::new(self.source, pattern)?;
        let missing = || self.source.not_found(pattern, &wanted.base.join(&wanted.pattern).to_string_lossy());
        let literal = wanted.is_literal();
        let Some(place) = self.source.stack.find(&wanted.base, false)? else {
            return if literal { Err(missing()) } else { Ok(()) };
        };
        let meta = *place.meta();
        let Some(dir) = place.into_dir()? else { return Err(TreeError::NotADirectory { path: wanted.base }) };
        let in_tree = wanted.base.strip_prefix("/").unwrap_or(&wanted.base).to_owned();
        let ignore = Rules::new(self.source.ignore).descend(&in_tree);
        self.begin(&in_tree);
        let here = Here { in_tree, ignore, below: PathBuf::new(), exclude: exclude.clone() };
        self.levels = vec![Level { dir, below: PathBuf::new(), meta, counted: true }];
        let found = match wanted.include()? {
            None => self.contents(&here).map(|()| true)?,
            Some(include) => {
                self.included(&here, &Rules::new(Some(&include)), &Front::of(&wanted.pattern))?
            }
        };
        if literal && !found { Err(self.source.not_found(pattern, &wanted.pattern)) } else { Ok(()) }
    }

    /// Hands over what is left.
    pub(super) fn finish(mut self) -> Result<(), TreeError> {
        self.flush()?;
        self.pool.drain()
    }

    fn begin(&mut self, top: &Path) {
        // Names of one file are kept within one source only.
        self.names.clear();
        self.top = self.found.begin(top.to_owned());
    }

    fn push(&self, path: PathBuf, is_dir: bool, header: Vec<u8>, content: Content) -> u64 {
        self.found.push(Entry { path, top: self.top, is_dir, header, content })
    }

    fn contents(&mut self, here: &Here<'_>) -> Result<(), TreeError> {
        let dir = self.levels[self.levels.len() - 1].dir.clone();
        for (name, kind) in dir.list()?.iter() {
            let child = here.down(name);
            let left_out = child.left_out();
            if left_out && (kind.is_some_and(|kind| kind != Kind::Directory) || child.can_skip()) {
                continue;
            }
            let Some(node) = dir.get(name)? else { continue };
            if node.meta.is_dir() {
                self.enter(&dir, name, &node, &child)?;
                if !left_out {
                    self.count_levels()?;
                }
                self.contents(&child)?;
                self.levels.pop();
            } else if !left_out {
                self.count_levels()?;
                self.file(&dir, name, &node, child.below)?;
            }
        }
        Ok(())
    }

    fn included(
        &mut self,
        here: &Here<'_>,
        include: &Rules<'_>,
        front: &Front<'_>,
    ) -> Result<bool, TreeError> {
        let dir = self.levels[self.levels.len() - 1].dir.clone();
        let names: Vec<OsString> = match front.only() {
            Some(name) => vec![name.into()],
            None => dir.list()?.iter().map(|(name, _)| name.to_owned()).collect(),
        };
        let mut found = false;
        for name in names {
            let child = here.down(&name);
            let matched = include.down(&child.below);
            let left_out = child.left_out();
            if left_out && child.can_skip() {
                continue;
            }
            let Some(node) = dir.get(&name)? else { continue };
            if node.meta.is_dir() {
                self.enter(&dir, &name, &node, &child)?;
                if matched.ignored() {
                    found = true;
                    if !left_out {
                        self.count_levels()?;
                    }
                    self.contents(&child)?;
                } else {
                    found |= self.included(&child, &matched, &front.next())?;
                }
                self.levels.pop();
            } else if matched.ignored() && !left_out {
                found = true;
                self.count_levels()?;
                self.file(&dir, &name, &node, child.below)?;
            }
        }
        Ok(found)
    }

    fn enter(&mut self, dir: &UnionDir, name: &OsStr, node: &Node, here: &Here<'_>) -> Result<(), TreeError> {
        let dir = dir.enter_node(name, node)?;
        self.levels.push(Level { dir, below: here.below.clone(), meta: node.meta, counted: false });
        Ok(())
    }

    /// Counts the directories on the way down that are not yet.
    fn count_levels(&mut self) -> Result<(), TreeError> {
        for index in 0..self.levels.len() {
            let level = &mut self.levels[index];
            if level.counted {
                continue;
            }
            level.counted = true;
            let level = &self.levels[index];
            let mut header = self.header(&level.meta, b'd');
            put_xattrs(&mut header, &level.dir.xattrs()?);
            self.push(level.below.clone(), true, header, Content::None);
        }
        Ok(())
    }

    fn file(&mut self, dir: &UnionDir, name: &OsStr, node: &Node, below: PathBuf) -> Result<(), TreeError> {
        let meta = &node.meta;
        let header = match meta.kind {
            Kind::File => {
                let mut header = self.header(meta, b'f');
                if meta.nlink > 1 {
                    let directory = below.parent().unwrap_or(Path::new("")).as_os_str().as_bytes();
                    let last = below.file_name().unwrap_or_default();
                    let layer = dir.layer_of(node);
                    if let Some((directory, first)) = self.names.first(layer, meta, directory, last) {
                        header.push(b'h');
                        put(&mut header, directory.join(first).as_os_str().as_bytes());
                    }
                }
                header.extend_from_slice(&meta.size.to_le_bytes());
                if let Some(known) = self.hashes.known(meta) {
                    self.push(below, false, header, Content::Is(known));
                    return Ok(());
                }
                let number = self.push(below, false, header, Content::Awaited);
                return self.read(dir, name, node, number);
            }
            Kind::Symlink => {
                let mut header = self.header(meta, b'l');
                put(&mut header, dir.read_link(name, node)?.as_os_str().as_bytes());
                header
            }
            // As a copy makes an empty file of it.
            Kind::Socket => self.header(meta, b's'),
            Kind::Char | Kind::Block | Kind::Fifo | Kind::Directory => {
                let mut header = self.header(meta, if meta.kind == Kind::Block { b'b' } else { b'c' });
                header.push(u8::from(meta.kind == Kind::Fifo));
                header.extend_from_slice(&meta.rdev.to_le_bytes());
                header
            }
        };
        self.push(below, false, header, Content::None);
        Ok(())
    }

    fn header(&self, meta: &Meta, kind: u8) -> Vec<u8> {
        let owner = self.source.owner;
        let (uid, gid) = owner.map_or((meta.uid, meta.gid), |owner| (owner.uid, owner.gid));
        let mode = if kind == b'l' { 0 } else { meta.mode };
        let mut header = vec![kind];
        for number in [mode, uid, gid] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header
    }

    fn read(&mut self, dir: &UnionDir, name: &OsStr, node: &Node, number: u64) -> Result<(), TreeError> {
        let Some(part) = dir.part(node) else { return Ok(()) };
        let same = self.batch.as_ref().is_some_and(|batch| Arc::ptr_eq(&batch.dir, part));
        if !same {
            self.flush()?;
        }
        let (hashes, found) = (self.hashes, self.found);
        let batch = self.batch.get_or_insert_with(|| Batch {
            dir: Arc::clone(part),
            path: dir.path().to_owned(),
            files: Vec::new(),
            bytes: 0,
            hashes,
            found,
        });
        batch.files.push((number, name.to_owned(), node.meta));
        batch.bytes += node.meta.size;
        if batch.files.len() >= BATCH || batch.bytes >= LARGE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TreeError> {
        self.batch.take().map_or(Ok(()), |batch| self.pool.submit(batch))
    }
}

fn put(header: &mut Vec<u8>, bytes: &[u8]) {
    header.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    header.extend_from_slice(bytes);
}

pub(super) fn put_xattrs(header: &mut Vec<u8>, xattrs: &Xattrs) {
    for (name, value) in xattrs {
        put(header, name);
        put(header, value);
    }
}
