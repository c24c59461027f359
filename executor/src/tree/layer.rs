//! A layer's directory, or a whole tree, as an archive: sorted, each path once, the same bytes for the same files.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use slipway_oci::archive::{Entry, Kind as Type, Mtime, Whiteout, Writer};

use super::meta::{Kind, Meta};
use super::names::Names;
use super::stack::{LayerStack, Node, UnionDir};
use super::{TreeError, xattr};

/// How to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The latest time that a file may have, in seconds since 1970: later ones become this (`rewrite-timestamp`).
    pub clamp: Option<i64>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Entries, whiteouts included.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Bytes of the archive.
    pub archive: u64,
}

/// Writes a layer's directory as an OCI layer: overlayfs's marks become whiteouts.
pub fn write<W: Write>(layer: &Path, out: W, options: &Options) -> Result<(W, Written), TreeError> {
    run(&[("", &LayerStack::plain(layer)?)], out, options, true)
}

/// Writes all that stacks of layers show, each below a folder of its name; a stack without a name is the root.
pub fn write_trees<W: Write>(
    trees: &[(&str, &LayerStack)],
    out: W,
    options: &Options,
) -> Result<(W, Written), TreeError> {
    run(trees, out, options, false)
}

fn run<W: Write>(
    trees: &[(&str, &LayerStack)],
    out: W,
    options: &Options,
    marks: bool,
) -> Result<(W, Written), TreeError> {
    let mut walk = Walk {
        out: Writer::new(out),
        options,
        marks,
        names: Names::default(),
        done: Written::default(),
        path: Vec::new(),
    };
    for (folder, stack) in trees {
        walk.path = folder.as_bytes().to_vec();
        // A file is not a second name of one in another tree.
        walk.names.clear();
        if !folder.is_empty() {
            let entry = Entry::new(walk.path.clone(), Type::Directory, 0o755);
            walk.append(&entry)?;
        }
        let root = stack.root()?;
        if marks {
            walk.opaque(&root)?;
        }
        walk.directory(&root)?;
    }
    let mut done = walk.done;
    // Two blocks of zeros end it.
    done.archive = walk.out.written() + 1024;
    Ok((walk.out.finish()?, done))
}

struct Walk<'a, W: Write> {
    out: Writer<W>,
    options: &'a Options,
    /// Whether 0:0 devices and opaque directories are overlayfs's marks.
    marks: bool,
    /// Files with several names: the first one, which the walk's order decides.
    names: Names,
    done: Written,
    path: Vec<u8>,
}

impl<W: Write> Walk<'_, W> {
    fn directory(&mut self, dir: &UnionDir) -> Result<(), TreeError> {
        let length = self.path.len();
        for (name, _) in dir.list()?.iter() {
            // What has gone since the listing is not there.
            let Some(node) = dir.get(name)? else { continue };
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.as_bytes());
            self.node(dir, name, &node)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn node(&mut self, dir: &UnionDir, name: &OsStr, node: &Node) -> Result<(), TreeError> {
        let meta = &node.meta;
        if self.marks && meta.is_whiteout() {
            return self.mark(&Whiteout::Removed(self.path.clone()));
        }
        if self.marks && name.as_bytes().starts_with(slipway_oci::archive::WHITEOUT_PREFIX) {
            // Readers would take it for a whiteout, of a file that the user wants.
            return Err(TreeError::Entry {
                path: dir.path().join(name),
                reason:
                    "begins with `.wh.`, which in an image means that a file is gone; rename or remove it"
                        .to_owned(),
            });
        }
        let kind = match meta.kind {
            Kind::Directory => {
                let child = dir.enter_node(name, node)?;
                let entry = Entry { xattrs: child.xattrs()?, ..self.entry(meta, Type::Directory) };
                self.append(&entry)?;
                if self.marks {
                    self.opaque(&child)?;
                }
                return self.directory(&child);
            }
            Kind::File => return self.file(dir, name, node),
            Kind::Symlink => Type::Symlink { target: dir.read_link(name, node)?.into_os_string().into_vec() },
            Kind::Char => {
                Type::Char { major: rustix::fs::major(meta.rdev), minor: rustix::fs::minor(meta.rdev) }
            }
            Kind::Block => {
                Type::Block { major: rustix::fs::major(meta.rdev), minor: rustix::fs::minor(meta.rdev) }
            }
            Kind::Fifo => Type::Fifo,
            // Nothing listens to it any more.
            Kind::Socket => return Ok(()),
        };
        let entry = self.entry(meta, kind);
        self.append(&entry)
    }

    fn file(&mut self, dir: &UnionDir, name: &OsStr, node: &Node) -> Result<(), TreeError> {
        if node.meta.nlink > 1 {
            let directory = self.path.len() - name.len();
            let layer = dir.layer_of(node);
            if let Some((directory, first)) =
                self.names.first(layer, &node.meta, &self.path[..directory], name)
            {
                let target = directory.join(first).into_os_string().into_vec();
                let entry = self.entry(&node.meta, Type::Hardlink { target });
                return self.append(&entry);
            }
        }
        let mut file = dir.open_file(name, node)?;
        let xattrs = xattr::read(&file)
            .map_err(|source| TreeError::at("read attributes of", dir.path(), name, source))?;
        let size = node.meta.size;
        let entry = Entry { xattrs, ..self.entry(&node.meta, Type::File { size }) };
        self.out.append_file(&entry, &mut file)?;
        self.done.entries += 1;
        self.done.bytes += size;
        Ok(())
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

    fn append(&mut self, entry: &Entry) -> Result<(), TreeError> {
        self.done.entries += 1;
        Ok(self.out.append(entry)?)
    }

    fn opaque(&mut self, dir: &UnionDir) -> Result<(), TreeError> {
        if dir.is_opaque()? { self.mark(&Whiteout::Opaque(self.path.clone())) } else { Ok(()) }
    }

    fn mark(&mut self, whiteout: &Whiteout) -> Result<(), TreeError> {
        match whiteout.entry() {
            Some(entry) => self.append(&entry),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
