//! How much a tree unpacks to.

use super::TreeError;
use super::meta::Kind;
use super::names::Seen;
use super::stack::{LayerStack, UnionDir};

/// What a tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Files, directories and all else.
    pub entries: u64,
    /// Bytes of regular files; one with several names counts once.
    pub bytes: u64,
}

/// Adds up what a stack shows: the size of the image, unpacked.
pub fn of(stack: &LayerStack) -> Result<Size, TreeError> {
    let mut size = Size::default();
    add(&stack.root()?, &mut size, &mut Seen::default())?;
    Ok(size)
}

/// Goes down one directory at a time, so that only those of one path are open.
fn add(dir: &UnionDir, size: &mut Size, seen: &mut Seen) -> Result<(), TreeError> {
    for (name, kind) in dir.list()?.iter() {
        size.entries += 1;
        if kind.is_some_and(|kind| !matches!(kind, Kind::File | Kind::Directory)) {
            continue;
        }
        let Some(node) = dir.get(name)? else { continue };
        match node.meta.kind {
            Kind::Directory => add(&dir.enter_node(name, &node)?, size, seen)?,
            Kind::File if node.meta.nlink < 2 || seen.insert(&node.meta) => {
                size.bytes += node.meta.size;
            }
            _ => {}
        }
    }
    Ok(())
}
