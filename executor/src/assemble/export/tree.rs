//! The files of a stage, as an archive or in a folder.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::Files;
use crate::engine::Cause;
use crate::tree::Time;
use crate::tree::copy::{Item, Options, copy};
use crate::tree::source::Source;
use crate::tree::{LayerStack, Owner, TreeError, layer};

#[allow(clippy::needless_pass_by_value)] // the form that `map_err` wants
fn failed(error: TreeError) -> io::Error {
    io::Error::other(Cause::text(&error))
}

/// Writes all that the trees show, each below its folder.
pub(super) fn archive(trees: &[Files<'_>], out: Box<dyn Write + Send>, clamp: Option<i64>) -> io::Result<()> {
    let trees: Vec<(&str, &LayerStack)> =
        trees.iter().map(|tree| (tree.folder.as_str(), tree.stack)).collect();
    let (mut out, _) = layer::write_trees(&trees, out, &layer::Options { clamp }).map_err(failed)?;
    out.flush()
}

/// Copies all that the tree shows into a folder, as the caller's own files.
pub(super) fn folder(stack: &LayerStack, path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let mut options = Options::new(Time::now());
    options.owner =
        Some(Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() });
    let source = Source { stack, ignore: None, owner: None };
    let item = Item::Path { source, pattern: "/", unpack: false };
    copy(path, &LayerStack::empty(), &[item], "/", &options).map(drop).map_err(failed)
}
