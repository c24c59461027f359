//! The walk: looks at everything in the archive's order and opens files, a little ahead of who reads and writes.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::mpsc::SyncSender;

use slipway_oci::archive::{Entry, Kind as Type, Mtime, WHITEOUT_PREFIX, Whiteout};

use super::Options;
use crate::tree::meta::{Kind, Meta};
use crate::tree::names::Names;
use crate::tree::stack::{LayerStack, Node, UnionDir};
use crate::tree::{TreeError, xattr};

/// Entries that go to the writer together. Each may hold a file open.
const MANY: usize = 16;

/// Entries that follow each other in the archive, with the files that hold their content.
pub(super) type Batch = Vec<(Entry, Option<File>)>;

/// Why a walk ended early.
pub(super) enum Stop {
    /// Nobody takes what it finds: the writer's error says why.
    Unwanted,
    Failed(TreeError),
}

impl From<TreeError> for Stop {
    fn from(error: TreeError) -> Self {
        Self::Failed(error)
    }
}

/// A walk through trees.
pub(super) struct Walk<'a> {
    options: &'a Options,
    /// Whether 0:0 devices and opaque directories are overlayfs's marks.
    marks: bool,
    /// Files with several names: the first one, which the walk's order decides.
    names: Names,
    path: Vec<u8>,
    batch: Batch,
    to: SyncSender<Batch>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(options: &'a Options, marks: bool, to: SyncSender<Batch>) -> Self {
        Self { options, marks, names: Names::default(), path: Vec::new(), batch: Batch::default(), to }
    }

    /// Goes through all of them.
    pub(super) fn trees(mut self, trees: &[(&str, &LayerStack)]) -> Result<(), Stop> {
        for (folder, stack) in trees {
            self.path = folder.as_bytes().to_vec();
            // A file is not a second name of one in another tree.
            self.names.clear();
            if !folder.is_empty() {
                let entry = Entry::new(self.path.clone(), Type::Directory, 0o755);
                self.found(entry, None)?;
            }
            let root = stack.root()?;
            if self.marks {
                self.opaque(&root)?;
            }
            self.directory(&root)?;
        }
        self.hand_over()
    }

    fn directory(&mut self, dir: &UnionDir) -> Result<(), Stop> {
        let length = self.path.len();
        for (name, kind) in dir.list()?.iter() {
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.as_bytes());
            match dir.open_listed(name, kind) {
                Some((file, node)) => {
                    self.check(dir, name)?;
                    self.file(dir, name, &node, file)?;
                }
                // What has gone since the listing is not there.
                None => {
                    if let Some(node) = dir.get(name)? {
                        self.node(dir, name, &node)?;
                    }
                }
            }
            self.path.truncate(length);
        }
        Ok(())
    }

    fn node(&mut self, dir: &UnionDir, name: &OsStr, node: &Node) -> Result<(), Stop> {
        let meta = &node.meta;
        if self.marks && meta.is_whiteout() {
            return self.mark(&Whiteout::Removed(self.path.clone()));
        }
        self.check(dir, name)?;
        let (major, minor) = (rustix::fs::major(meta.rdev), rustix::fs::minor(meta.rdev));
        let kind = match meta.kind {
            Kind::Directory => {
                let child = dir.enter_node(name, node)?;
                let entry = Entry { xattrs: child.xattrs()?, ..self.entry(meta, Type::Directory) };
                self.found(entry, None)?;
                if self.marks {
                    self.opaque(&child)?;
                }
                return self.directory(&child);
            }
            Kind::File => return self.file(dir, name, node, dir.open_file(name, node)?),
            Kind::Symlink => Type::Symlink { target: dir.read_link(name, node)?.into_os_string().into_vec() },
            Kind::Char => Type::Char { major, minor },
            Kind::Block => Type::Block { major, minor },
            Kind::Fifo => Type::Fifo,
            // Nothing listens to it any more.
            Kind::Socket => return Ok(()),
        };
        let entry = self.entry(meta, kind);
        self.found(entry, None)
    }

    fn file(&mut self, dir: &UnionDir, name: &OsStr, node: &Node, file: File) -> Result<(), Stop> {
        let meta = &node.meta;
        if meta.nlink > 1 {
            let directory = self.path.len() - name.len();
            let first = self.names.first(dir.layer_of(node), meta, &self.path[..directory], name);
            if let Some((directory, first)) = first {
                let target = directory.join(first).into_os_string().into_vec();
                let entry = self.entry(meta, Type::Hardlink { target });
                return self.found(entry, None);
            }
        }
        let xattrs = xattr::read(&file)
            .map_err(|source| TreeError::at("read attributes of", dir.path(), name, source))?;
        let entry = Entry { xattrs, ..self.entry(meta, Type::File { size: meta.size }) };
        self.found(entry, (meta.size > 0).then_some(file))
    }

    /// Refuses what readers would take for a whiteout, of a file that the user wants.
    fn check(&self, dir: &UnionDir, name: &OsStr) -> Result<(), TreeError> {
        if !self.marks || !name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            return Ok(());
        }
        Err(TreeError::like_a_whiteout(dir.path().join(name)))
    }

    fn entry(&self, meta: &Meta, kind: Type) -> Entry {
        let mtime = Mtime { seconds: meta.mtime.seconds, nanos: 0 }.clamped(self.options.clamp);
        Entry {
            uid: u64::from(meta.uid),
            gid: u64::from(meta.gid),
            mtime,
            ..Entry::new(self.path.clone(), kind, meta.mode)
        }
    }

    fn opaque(&mut self, dir: &UnionDir) -> Result<(), Stop> {
        if dir.is_opaque()? { self.mark(&Whiteout::Opaque(self.path.clone())) } else { Ok(()) }
    }

    fn mark(&mut self, whiteout: &Whiteout) -> Result<(), Stop> {
        match whiteout.entry() {
            Some(entry) => self.found(entry, None),
            None => Ok(()),
        }
    }

    fn found(&mut self, entry: Entry, content: Option<File>) -> Result<(), Stop> {
        self.batch.push((entry, content));
        if self.batch.len() < MANY { Ok(()) } else { self.hand_over() }
    }

    fn hand_over(&mut self) -> Result<(), Stop> {
        let next = Vec::with_capacity(MANY);
        self.to.send(std::mem::replace(&mut self.batch, next)).map_err(|_| Stop::Unwanted)
    }
}
