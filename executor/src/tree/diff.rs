//! What a command really changed: an upper directory without what is the same below it.
//!
//! Overlayfs copies a file up when it is opened for writing or touched, and a directory when anything in it is. What ends up
//! as it was goes; a directory stays if it differs itself or holds something that does. Marks without meaning go too.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::dir::{self, Dir};
use super::meta::{Kind, Meta};
use super::stack::{LayerStack, Node, UnionDir};
use super::{TreeError, xattr};

#[cfg(test)]
mod tests;

/// What is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Files, directories and whiteouts in the layer.
    pub entries: u64,
    /// Bytes of its regular files.
    pub bytes: u64,
    /// What was removed, since it was the same below.
    pub dropped: u64,
}

/// Removes from `upper` what is the same in `base`.
///
/// Nothing may write to it any more: no process that ran in it lives.
pub fn prune(upper: &Path, base: &LayerStack) -> Result<Pruned, TreeError> {
    let root = Dir::open(upper).map_err(|source| TreeError::io("open", upper, source))?;
    let opaque =
        xattr::is_opaque(&root).map_err(|source| TreeError::io("read attributes of", upper, source))?;
    let mut pruned = Pruned::default();
    let below = if opaque { LayerStack::empty() } else { base.clone() };
    directory(&root, Path::new("/"), Some(&below.root()?), &mut pruned)?;
    Ok(pruned)
}

/// Prunes one directory, and tells whether anything is left in it.
fn directory(
    upper: &Dir,
    path: &Path,
    lower: Option<&UnionDir>,
    pruned: &mut Pruned,
) -> Result<bool, TreeError> {
    let failed = |source| TreeError::io("list", path, source);
    let before = upper.meta().map_err(failed)?.mtime;
    let dropped = pruned.dropped;
    let mut left = false;
    for (name, _) in upper.list().map_err(failed)?.iter() {
        let looked = upper.stat(name).map_err(|source| TreeError::at("look at", path, name, source))?;
        let Some(meta) = looked else { continue };
        let below = match lower {
            Some(lower) => lower.get(name)?.map(|node| (lower, node)),
            None => None,
        };
        let keep = match meta.kind {
            Kind::Directory => child(upper, path, name, &meta, below, pruned)?,
            _ if meta.is_whiteout() => keep_whiteout(upper, path, name, below.is_some())?,
            _ => keep_file(upper, path, name, &meta, below)?,
        };
        if keep {
            left = true;
            pruned.entries += 1;
            pruned.bytes += if meta.is_file() { meta.size } else { 0 };
        } else {
            pruned.dropped += 1;
        }
    }
    if pruned.dropped != dropped {
        // Removing is no change that the user made.
        dir::set_time(upper, before).map_err(|source| TreeError::io("set the time of", path, source))?;
    }
    Ok(left)
}

fn child(
    upper: &Dir,
    path: &Path,
    name: &OsStr,
    meta: &Meta,
    below: Option<(&UnionDir, Node)>,
    pruned: &mut Pruned,
) -> Result<bool, TreeError> {
    let path = path.join(name);
    let failed = |source| TreeError::io("look at", &path, source);
    let dir = upper.enter(name).map_err(failed)?;
    let opaque = xattr::is_opaque(&dir).map_err(failed)?;
    // Only a directory shows through another one.
    let lower = match &below {
        Some((lower, node)) if node.meta.is_dir() => Some(lower.enter_node(name, node)?),
        _ => None,
    };
    if opaque && below.is_none() {
        // It hides nothing.
        xattr::clear_opaque(&dir).map_err(failed)?;
    }
    let through = lower.as_ref().filter(|_| !opaque);
    let left = directory(&dir, &path, through, pruned)?;
    let Some(lower) = through else { return Ok(true) };
    if left
        || !same_meta(meta, lower.meta()?.as_ref())
        || xattr::read(&dir).map_err(failed)? != lower.xattrs()?
    {
        return Ok(true);
    }
    upper.remove_dir(name).map_err(failed)?;
    Ok(false)
}

fn keep_whiteout(upper: &Dir, path: &Path, name: &OsStr, hides: bool) -> Result<bool, TreeError> {
    if !hides {
        upper.unlink(name).map_err(|source| TreeError::at("remove", path, name, source))?;
    }
    Ok(hides)
}

fn keep_file(
    upper: &Dir,
    path: &Path,
    name: &OsStr,
    meta: &Meta,
    below: Option<(&UnionDir, Node)>,
) -> Result<bool, TreeError> {
    let Some((lower, node)) = below else { return Ok(true) };
    if meta.is_file() && meta.nlink > 1 {
        // The command gave it a second name, and a copy-up alone gives none: without this one the names would part.
        return Ok(true);
    }
    if !same_meta(meta, Some(&node.meta)) || meta.mtime != node.meta.mtime || meta.size != node.meta.size {
        return Ok(true);
    }
    let failed = |source| TreeError::at("compare", path, name, source);
    let same = match meta.kind {
        Kind::File => {
            let (mut one, mut other) =
                (upper.open_file(name).map_err(failed)?, lower.open_file(name, &node)?);
            let attributes = xattr::read(&one).map_err(failed)? == xattr::read(&other).map_err(failed)?;
            attributes && same_content(&mut one, &mut other).map_err(failed)?
        }
        Kind::Symlink => upper.read_link(name).map_err(failed)? == lower.read_link(name, &node)?,
        Kind::Char | Kind::Block => meta.rdev == node.meta.rdev,
        _ => true,
    };
    if same {
        upper.unlink(name).map_err(|source| TreeError::at("remove", path, name, source))?;
    }
    Ok(!same)
}

/// Compares what a layer would say; a directory's time alone is no change.
fn same_meta(one: &Meta, other: Option<&Meta>) -> bool {
    other.is_some_and(|other| {
        (one.kind, one.mode, one.uid, one.gid) == (other.kind, other.mode, other.uid, other.gid)
    })
}

fn same_content(one: &mut File, other: &mut File) -> std::io::Result<bool> {
    let (mut a, mut b) = (vec![0; 128 << 10], vec![0; 128 << 10]);
    loop {
        let count = fill(one, &mut a)?;
        if count != fill(other, &mut b)? || a[..count] != b[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
