//! What a tree was before a command, and the difference to what it is after, as a layer in overlayfs's form.
//!
//! No content is read to find the difference: the kernel sets a file's time of change, which no program can set back, at
//! every write to it. For directories, whose entries come and go, the rest of the metadata is compared.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    ffi::{CString, OsStr, OsString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{AtFlags, linkat};

use super::{
    entry::{self, Meta, at},
    layers,
};

/// One entry as it was.
#[derive(Debug)]
struct Node {
    name: OsString,
    meta: Meta,
    /// Of a directory: what was in it, and its extended attributes.
    inside: Option<Box<Inside>>,
}

#[derive(Debug)]
struct Inside {
    /// Sorted by name.
    entries: Vec<Node>,
    attributes: Vec<(CString, Vec<u8>)>,
}

/// A tree as it was.
#[derive(Debug)]
pub(super) struct Snapshot {
    meta: Meta,
    inside: Inside,
    hidden: Option<OsString>,
}

impl Snapshot {
    /// Looks at every entry below a directory, but for the one of its entries that is `hidden`.
    pub(super) fn take(tree: BorrowedFd<'_>, hidden: Option<&OsStr>) -> io::Result<Self> {
        let mut inside = look_inside(tree)?;
        inside.entries.retain(|node| Some(node.name.as_os_str()) != hidden);
        Ok(Self { meta: entry::meta_of(tree)?, inside, hidden: hidden.map(OsStr::to_owned) })
    }
}

fn look_inside(directory: BorrowedFd<'_>) -> io::Result<Inside> {
    let mut entries = Vec::new();
    for name in entry::names(directory)? {
        let Some(meta) = entry::look(directory, &name)? else { continue };
        let inside = if meta.is_directory() && !meta.mount_point {
            let below = at(
                &name,
                entry::open_directory(directory, &name).and_then(|below| look_inside(below.as_fd())),
            )?;
            Some(Box::new(below))
        } else {
            None
        };
        entries.push(Node { name, meta, inside });
    }
    Ok(Inside { entries, attributes: entry::attributes(directory)? })
}

/// Writes the difference between a tree now and before to `upper`, which may hold an earlier part; `lowers` are the layers
/// below it. `moved` are entries that were moved away and back meanwhile, which changes only their time of change.
pub(super) fn write_difference(
    before: &Snapshot,
    tree: BorrowedFd<'_>,
    upper: BorrowedFd<'_>,
    lowers: &[OwnedFd],
    moved: &HashSet<entry::Number>,
) -> io::Result<()> {
    let now = entry::meta_of(tree)?;
    let changed = differs(&before.meta, &now) || entry::attributes(tree)? != before.inside.attributes;
    let fd = OnceCell::new();
    // The descriptor is the first and only value of the cell.
    let _ = fd.set(upper.try_clone_to_owned()?);
    let target = Target { parent: None, name: OsStr::new(""), source: tree, opaque: false, fd };
    let mut writer = Writer { lowers, moved, hidden: before.hidden.as_deref(), links: HashMap::new() };
    writer.directory(Some(&before.inside), tree, &target)?;
    // As overlayfs has it: the root of a layer shows the root of the whole.
    if changed || !entry::names(upper)?.is_empty() {
        entry::adorn(upper, tree, &now)?;
    }
    Ok(())
}

/// Compares what a program may set, without the times that follow from what happens inside.
fn differs(before: &Meta, now: &Meta) -> bool {
    (before.mode, before.uid, before.gid, before.modified) != (now.mode, now.uid, now.gid, now.modified)
}

/// A directory of the layer that is made only when something goes into it.
struct Target<'a> {
    parent: Option<&'a Target<'a>>,
    name: &'a OsStr,
    source: BorrowedFd<'a>,
    opaque: bool,
    fd: OnceCell<OwnedFd>,
}

impl Target<'_> {
    /// Returns the directory, making it and those above it where they are missing.
    fn open(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(fd) = self.fd.get() {
            return Ok(fd.as_fd());
        }
        let Some(parent) = self.parent else { return Err(io::Error::other("a layer without a root")) };
        let parent = parent.open()?;
        let found = entry::look(parent, self.name)?;
        let new = match found {
            Some(found) if found.is_directory() && !self.opaque => entry::open_directory(parent, self.name)?,
            found => {
                if found.is_some() {
                    entry::remove(parent, self.name)?;
                }
                let new = entry::make_directory(parent, self.name)?;
                if self.opaque || found.is_some() {
                    entry::make_opaque(new.as_fd())?;
                }
                new
            }
        };
        Ok(self.fd.get_or_init(|| new).as_fd())
    }

    /// Gives the directory, if it was made, the metadata that the tree has.
    fn finish(&self) -> io::Result<()> {
        match self.fd.get() {
            Some(fd) => entry::adorn(fd.as_fd(), self.source, &entry::meta_of(self.source)?),
            None => Ok(()),
        }
    }

    fn path(&self) -> Vec<&OsStr> {
        let mut path = self.parent.map(Target::path).unwrap_or_default();
        if self.parent.is_some() {
            path.push(self.name);
        }
        path
    }
}

struct Writer<'a> {
    lowers: &'a [OwnedFd],
    moved: &'a HashSet<entry::Number>,
    /// A name in the root that is not looked at.
    hidden: Option<&'a OsStr>,
    /// Where the first of several hard links was written.
    links: HashMap<entry::Number, (OwnedFd, OsString)>,
}

impl Writer<'_> {
    /// Writes what differs in one directory; everything, where there was none before.
    fn directory(
        &mut self,
        before: Option<&Inside>,
        tree: BorrowedFd<'_>,
        target: &Target<'_>,
    ) -> io::Result<()> {
        let old = before.map_or(&[][..], |inside| &inside.entries);
        let mut next = 0;
        for name in entry::names(tree)? {
            if target.parent.is_none() && Some(name.as_os_str()) == self.hidden {
                continue;
            }
            while old.get(next).is_some_and(|node| node.name < name) {
                self.removed(&old[next], target)?;
                next += 1;
            }
            let node = old.get(next).filter(|node| node.name == name);
            next += usize::from(node.is_some());
            at(&name, self.present(node, tree, &name, target))?;
        }
        for node in &old[next..] {
            self.removed(node, target)?;
        }
        Ok(())
    }

    fn removed(&mut self, node: &Node, target: &Target<'_>) -> io::Result<()> {
        if node.meta.mount_point {
            return Ok(());
        }
        let mut path = target.path();
        path.push(&node.name);
        let directory = target.open()?;
        entry::remove(directory, &node.name)?;
        if layers::show(self.lowers, &path)? {
            entry::make_whiteout(directory, &node.name)?;
        }
        Ok(())
    }

    fn present(
        &mut self,
        before: Option<&Node>,
        tree: BorrowedFd<'_>,
        name: &OsStr,
        target: &Target<'_>,
    ) -> io::Result<()> {
        let Some(meta) = entry::look(tree, name)? else { return Ok(()) };
        if meta.mount_point || meta.is_whiteout() || meta.kind() == rustix::fs::FileType::Socket {
            return Ok(());
        }
        if meta.is_directory() {
            return self.present_directory(before, tree, name, &meta, target);
        }
        let same = before.is_some_and(|node| {
            let mut old = node.meta;
            if self.moved.contains(&meta.identity()) {
                old.changed = meta.changed;
            }
            // The number of links alone says nothing: who adds one also changes the time.
            Meta { links: meta.links, ..old } == meta
        });
        if same {
            return Ok(());
        }
        let directory = target.open()?;
        entry::remove(directory, name)?;
        if meta.links > 1 {
            if let Some((folder, first)) = self.links.get(&meta.identity()) {
                return Ok(linkat(folder, first, directory, name, AtFlags::empty())?);
            }
            self.links.insert(meta.identity(), (directory.try_clone_to_owned()?, name.to_owned()));
        }
        entry::copy(tree, name, &meta, directory, name)
    }

    fn present_directory(
        &mut self,
        before: Option<&Node>,
        tree: BorrowedFd<'_>,
        name: &OsStr,
        meta: &Meta,
        target: &Target<'_>,
    ) -> io::Result<()> {
        let source = entry::open_directory(tree, name)?;
        // A directory that is another one than before hides what the old one had.
        let same = before.filter(|node| node.meta.is_same_as(meta));
        let inside = same.and_then(|node| node.inside.as_deref());
        let opaque = before.is_some() && inside.is_none();
        let below =
            Target { parent: Some(target), name, source: source.as_fd(), opaque, fd: OnceCell::new() };
        let changed = match (same, inside) {
            (Some(node), Some(inside)) => {
                differs(&node.meta, meta) || entry::attributes(source.as_fd())? != inside.attributes
            }
            _ => true,
        };
        if changed {
            below.open()?;
        }
        self.directory(inside, source.as_fd(), &below)?;
        below.finish()
    }
}
