//! A look at a tree that somebody untrusted filled, before it becomes a layer.
//!
//! What only overlayfs and this engine may say is taken away, what could be changed afterwards from outside is refused, and the
//! numbers are counted here and not believed. The tree must lie where nobody else can reach it by name any more.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use slipway_oci::archive::WHITEOUT_PREFIX;

use super::dir::Dir;
use super::meta::Kind;
use super::{TreeError, xattr};

#[cfg(test)]
mod tests;

/// As deep as a tree may be: paths of 4096 bytes have at most half as many parts.
const DEEPEST: usize = 2048;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Files, directories and whiteouts.
    pub entries: u64,
    /// Bytes of regular files; one with several names counts once.
    pub bytes: u64,
    /// Notes to overlayfs that were taken away.
    pub scrubbed: u64,
}

/// Inspects and cleans a tree.
pub fn inspect(tree: &Path) -> Result<Inspected, TreeError> {
    let root = Dir::open(tree).map_err(|source| TreeError::io("open", tree, source))?;
    let mut walk = Walk { done: Inspected::default(), names: HashMap::new() };
    walk.directory(&root, Path::new("/"), 0)?;
    for (path, nlink, seen) in walk.names.into_values() {
        if nlink > seen {
            let reason = "has a name outside of the tree, where it could still be changed".to_owned();
            return Err(TreeError::Entry { path, reason });
        }
    }
    Ok(walk.done)
}

struct Walk {
    done: Inspected,
    /// Files with several names: the first one, how many they are, how many were seen.
    names: HashMap<(u64, u64), (PathBuf, u64, u64)>,
}

impl Walk {
    fn directory(&mut self, dir: &Dir, path: &Path, depth: usize) -> Result<(), TreeError> {
        if depth > DEEPEST {
            return Err(TreeError::Limit {
                path: path.to_owned(),
                reason: format!("deeper than {DEEPEST} directories"),
            });
        }
        let failed = |source| TreeError::io("inspect", path, source);
        self.done.scrubbed += xattr::scrub(dir, true).map_err(failed)?;
        for (name, _) in dir.list().map_err(failed)?.iter() {
            self.name(dir, path, name, depth)?;
        }
        Ok(())
    }

    fn name(&mut self, dir: &Dir, path: &Path, name: &OsStr, depth: usize) -> Result<(), TreeError> {
        let failed = |source| TreeError::at("inspect", path, name, source);
        let Some(meta) = dir.stat(name).map_err(failed)? else { return Ok(()) };
        self.done.entries += 1;
        if name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            return Err(TreeError::like_a_whiteout(path.join(name)));
        }
        match meta.kind {
            Kind::Directory => {
                let child = dir.enter(name).map_err(failed)?;
                return self.directory(&child, &path.join(name), depth + 1);
            }
            Kind::File => {
                let file = dir.open_file(name).map_err(failed)?;
                self.done.scrubbed += xattr::scrub(&file, false).map_err(failed)?;
                if meta.nlink > 1 {
                    let seen =
                        self.names.entry((meta.dev, meta.ino)).or_insert((path.join(name), meta.nlink, 0));
                    seen.2 += 1;
                    if seen.2 > 1 {
                        return Ok(());
                    }
                }
                self.done.bytes += meta.size;
            }
            _ => {}
        }
        Ok(())
    }
}
