//! Lays a layer in overlayfs's form over a tree of real files.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{AtFlags, CWD, linkat};

use super::entry::{self, Meta, at};

/// Where the first of several hard links was laid: its directory and name.
type Links = HashMap<entry::Number, (OwnedFd, Vec<u8>)>;

/// Applies one layer; those below it have been applied before.
pub(super) fn apply(layer: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> io::Result<()> {
    merge(layer, tree, &mut Links::new())?;
    entry::adorn(tree, layer, &entry::meta_of(layer)?)
}

fn merge(layer: BorrowedFd<'_>, tree: BorrowedFd<'_>, links: &mut Links) -> io::Result<()> {
    for name in entry::names(layer)? {
        at(&name, lay(layer, &name, tree, links))?;
    }
    Ok(())
}

fn lay(layer: BorrowedFd<'_>, name: &OsStr, tree: BorrowedFd<'_>, links: &mut Links) -> io::Result<()> {
    let Some(meta) = entry::look(layer, name)? else { return Ok(()) };
    if meta.is_whiteout() {
        return entry::remove(tree, name).map(drop);
    }
    if meta.is_directory() {
        return lay_directory(layer, name, &meta, tree, links);
    }
    if !entry::remove(tree, name)? {
        // The container's own mount stays in the place of the image's file.
        return Ok(());
    }
    if meta.links > 1 {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        if let Some((folder, first)) = links.get(&meta.identity()) {
            let first = std::ffi::OsString::from_vec(first.clone());
            return Ok(linkat(folder, &first, tree, name, AtFlags::empty())?);
        }
        links.insert(meta.identity(), (tree.try_clone_to_owned()?, name.as_bytes().to_vec()));
    }
    entry::copy(layer, name, &meta, tree, name)
}

fn lay_directory(
    layer: BorrowedFd<'_>,
    name: &OsStr,
    meta: &Meta,
    tree: BorrowedFd<'_>,
    links: &mut Links,
) -> io::Result<()> {
    let source = entry::open_directory(layer, name)?;
    let target = match entry::look(tree, name)? {
        Some(found) if found.mount_point => return Ok(()),
        Some(found) if found.is_directory() => {
            let target = entry::open_directory(tree, name)?;
            if entry::is_opaque(source.as_fd()) {
                entry::clear(target.as_fd())?;
            }
            target
        }
        found => {
            if found.is_some() {
                entry::remove(tree, name)?;
            }
            entry::make_directory(tree, name)?
        }
    };
    merge(source.as_fd(), target.as_fd(), links)?;
    entry::adorn(target.as_fd(), source.as_fd(), meta)
}

/// Opens a layer by its path.
pub(super) fn open(path: &std::path::Path) -> io::Result<OwnedFd> {
    entry::open_directory(CWD, path.as_os_str())
}

/// Returns whether layers, topmost first, show anything at a path of names.
pub(super) fn show(layers: &[OwnedFd], path: &[&OsStr]) -> io::Result<bool> {
    let Some((last, folders)) = path.split_last() else { return Ok(true) };
    'layers: for layer in layers {
        let mut here = layer.as_fd().try_clone_to_owned()?;
        let mut hides = false;
        for folder in folders {
            match entry::look(here.as_fd(), folder)? {
                None if hides => return Ok(false),
                None => continue 'layers,
                Some(found) if !found.is_directory() => return Ok(false),
                Some(_) => {
                    here = entry::open_directory(here.as_fd(), folder)?;
                    hides |= entry::is_opaque(here.as_fd());
                }
            }
        }
        match entry::look(here.as_fd(), last)? {
            Some(found) => return Ok(!found.is_whiteout()),
            None if hides => return Ok(false),
            None => {}
        }
    }
    Ok(false)
}
