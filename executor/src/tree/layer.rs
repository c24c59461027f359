//! A layer's directory, or a whole tree, as an archive: sorted, each path once, the same bytes for the same files.
//!
//! One thread walks and looks, another reads and writes: with many small files the kernel has as much to do as all else.

mod walk;

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use slipway_oci::archive::Writer;

use super::TreeError;
use super::stack::LayerStack;
use walk::{Batch, Stop, Walk};

/// Batches that wait at most between the walk and the writer.
const AHEAD: usize = 4;

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
    let (to, from) = sync_channel(AHEAD);
    let walk = Walk::new(options, marks, to);
    std::thread::scope(|scope| {
        let walking = std::thread::Builder::new().name("layer-walk".to_owned());
        let walking = walking
            .spawn_scoped(scope, || walk.trees(trees))
            .map_err(|source| TreeError::io("start a thread to read", Path::new("/"), source))?;
        // With the receiver gone, a walk that goes on ends.
        let written = write_batches(from, out);
        let walked = walking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A walk that failed ends the writer without an error, so that the writer's own comes first.
        let (out, mut done) = written?;
        if let Err(Stop::Failed(error)) = walked {
            return Err(error);
        }
        // Two blocks of zeros end it.
        done.archive = out.written() + 1024;
        Ok((out.finish()?, done))
    })
}

/// Writes what the walk finds, until it ends.
fn write_batches<W: Write>(from: Receiver<Batch>, out: W) -> Result<(Writer<W>, Written), TreeError> {
    let mut out = Writer::new(out);
    let mut done = Written::default();
    for (entry, content) in from.into_iter().flatten() {
        match content {
            Some(mut file) => out.append_file(&entry, &mut file)?,
            None => out.append(&entry)?,
        }
        done.entries += 1;
        done.bytes += entry.size();
    }
    Ok((out, done))
}

#[cfg(test)]
mod tests;
