//! Writing a layer blob: compressing, hashing and writing at the same time.
//!
//! The caller's thread only fills blocks. Workers compress them, one thread hashes what goes in, another writes and hashes
//! what comes out, in order. All queues are bounded, so memory does not grow with the layer, and a slow output slows the
//! caller. Layers of less than one block start no thread.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use flate2::Crc;

use super::{Compression, gzip, zstandard};
use crate::digest::{Digest, Hasher};

/// What a layer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerDigests {
    /// The digest of the uncompressed archive: the diff_id.
    pub diff_id: Digest,
    /// The size of the uncompressed archive.
    pub diff_size: u64,
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob.
    pub size: u64,
}

/// Compresses what is written to it into `W`, and digests both sides.
///
/// ```
/// use std::io::Write;
/// use slipway_oci::compress::{Compression, LayerWriter};
///
/// let mut layer = LayerWriter::new(Vec::new(), Compression::GZIP, 2);
/// layer.write_all(b"an archive")?;
/// let (blob, digests) = layer.finish()?;
/// assert_eq!(digests.size, blob.len() as u64);
/// # std::io::Result::Ok(())
/// ```
pub struct LayerWriter<W: Write + Send + 'static> {
    compression: Compression,
    threads: usize,
    block: Vec<u8>,
    state: State<W>,
}

enum State<W: Write + Send + 'static> {
    /// Less than a block so far.
    Small(W),
    Running(Pipeline<W>),
    /// An error was returned already.
    Failed,
}

type Block = Arc<Vec<u8>>;

impl<W: Write + Send + 'static> LayerWriter<W> {
    /// Compresses into `out` with so many compressing threads (at least one).
    pub fn new(out: W, compression: Compression, threads: usize) -> Self {
        let state = State::Small(out);
        Self { compression, threads: threads.clamp(1, 64), block: Vec::new(), state }
    }

    /// Ends the layer: waits until all is written and returns the output and the digests.
    pub fn finish(mut self) -> io::Result<(W, LayerDigests)> {
        let block = std::mem::take(&mut self.block);
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Small(out) => small(out, self.compression, &block),
            State::Running(mut pipeline) => {
                if !block.is_empty() && pipeline.send(block).is_err() {
                    return Err(pipeline.failure());
                }
                pipeline.finish()
            }
            State::Failed => Err(io::Error::other("writing the layer failed before")),
        }
    }

    /// Sends the full block on its way.
    fn dispatch(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(gzip::BLOCK));
        let mut pipeline = match std::mem::replace(&mut self.state, State::Failed) {
            State::Small(out) => Pipeline::start(out, self.compression, self.threads)?,
            State::Running(pipeline) => pipeline,
            State::Failed => return Err(io::Error::other("writing the layer failed before")),
        };
        if pipeline.send(block).is_err() {
            return Err(pipeline.failure());
        }
        self.state = State::Running(pipeline);
        Ok(())
    }
}

impl<W: Write + Send + 'static> Write for LayerWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == gzip::BLOCK {
            self.dispatch()?;
        }
        let count = bytes.len().min(gzip::BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Does nothing: blocks are cut by size alone.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write + Send + 'static> std::fmt::Debug for LayerWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerWriter").field("compression", &self.compression).finish_non_exhaustive()
    }
}

/// Writes a layer of at most one block on this thread.
fn small<W: Write>(out: W, compression: Compression, block: &[u8]) -> io::Result<(W, LayerDigests)> {
    let mut out = Hashed::new(out);
    match compression {
        Compression::None => out.write_all(block)?,
        Compression::Gzip(level) => {
            out.write_all(&gzip::HEADER)?;
            let mut crc = Crc::new();
            if !block.is_empty() {
                let packed = gzip::Packer::new(level).pack(block, &[])?;
                out.write_all(&packed.bytes)?;
                crc = packed.crc;
            }
            out.write_all(&gzip::trailer(&crc, block.len() as u64))?;
        }
        Compression::Zstd(level) => {
            let mut encoder = zstandard::encoder(out, level, 1)?;
            encoder.write_all(block)?;
            out = encoder.finish()?;
        }
    }
    out.flush()?;
    let (out, digest, size) = out.finish();
    Ok((out, LayerDigests { diff_id: Digest::of(block), diff_size: block.len() as u64, digest, size }))
}

/// The threads at work.
struct Pipeline<W> {
    hash: SyncSender<Block>,
    hasher: JoinHandle<Hasher>,
    pack: Pack,
    writer: JoinHandle<io::Result<Hashed<W>>>,
    workers: Vec<JoinHandle<()>>,
}

enum Pack {
    /// Blocks go to the writer as they are.
    Stream(SyncSender<Block>),
    /// Blocks go to workers, and a ticket for the result goes to the writer.
    Blocks { jobs: SyncSender<Job>, tickets: SyncSender<Receiver<io::Result<gzip::Packed>>>, before: Block },
}

struct Job {
    block: Block,
    before: Block,
    reply: SyncSender<io::Result<gzip::Packed>>,
}

/// The other side hung up: its error says why.
struct HungUp;

impl<W: Write + Send + 'static> Pipeline<W> {
    fn start(out: W, compression: Compression, threads: usize) -> io::Result<Self> {
        let ahead = 2 * threads + 2;
        let (hash, blocks) = sync_channel::<Block>(ahead);
        let hasher = spawn("layer-hash", move || {
            let mut hasher = Hasher::new();
            for block in blocks {
                hasher.update(&block);
            }
            hasher
        })?;
        let mut workers = vec![];
        let (pack, writer) = if let Compression::Gzip(level) = compression {
            let (jobs, queue) = sync_channel::<Job>(ahead);
            let (tickets, results) = sync_channel(ahead);
            let queue = Arc::new(Mutex::new(queue));
            for _ in 0..threads {
                let queue = Arc::clone(&queue);
                workers.push(spawn("layer-gzip", move || work(&queue, level))?);
            }
            let writer = spawn("layer-write", move || write_blocks(out, &results))?;
            (Pack::Blocks { jobs, tickets, before: Arc::new(vec![]) }, writer)
        } else {
            let (send, blocks) = sync_channel::<Block>(ahead);
            let writer = spawn("layer-write", move || write_stream(out, compression, threads, &blocks))?;
            (Pack::Stream(send), writer)
        };
        Ok(Self { hash, hasher, pack, writer, workers })
    }

    fn send(&mut self, block: Vec<u8>) -> Result<(), HungUp> {
        let block = Arc::new(block);
        match &mut self.pack {
            Pack::Stream(blocks) => blocks.send(Arc::clone(&block)).map_err(|_| HungUp)?,
            Pack::Blocks { jobs, tickets, before } => {
                let (reply, result) = sync_channel(1);
                tickets.send(result).map_err(|_| HungUp)?;
                let before = std::mem::replace(before, Arc::clone(&block));
                jobs.send(Job { block: Arc::clone(&block), before, reply }).map_err(|_| HungUp)?;
            }
        }
        self.hash.send(block).map_err(|_| HungUp)
    }

    fn finish(self) -> io::Result<(W, LayerDigests)> {
        let Self { hash, hasher, pack, writer, workers } = self;
        drop((hash, pack));
        let written = join(writer).and_then(|result| result);
        for worker in workers {
            join(worker)?;
        }
        let hasher = join(hasher)?;
        let (out, digest, size) = written?.finish();
        Ok((out, LayerDigests { diff_size: hasher.size(), diff_id: hasher.finish(), digest, size }))
    }

    /// Ends the threads and returns what went wrong in them.
    fn failure(self) -> io::Error {
        match self.finish() {
            Err(error) => error,
            Ok(_) => io::Error::other("the layer's output ended early"),
        }
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn join<T>(thread: JoinHandle<T>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("a thread that compresses a layer panicked"))
}

/// Compresses blocks until there are no more.
fn work(queue: &Mutex<Receiver<Job>>, level: u32) {
    let packer = gzip::Packer::new(level);
    loop {
        // The lock is held while waiting: whoever waits gets the next job.
        let Ok(queue) = queue.lock() else { return };
        let Ok(job) = queue.recv() else { return };
        drop(queue);
        // Nobody waits for the result after an error.
        let _ = job.reply.send(packer.pack(&job.block, &job.before));
    }
}

/// Writes compressed blocks in the order of their tickets.
fn write_blocks<W: Write>(
    out: W,
    results: &Receiver<Receiver<io::Result<gzip::Packed>>>,
) -> io::Result<Hashed<W>> {
    let mut out = Hashed::new(out);
    let mut total = Crc::new();
    out.write_all(&gzip::HEADER)?;
    for ticket in results {
        let packed = ticket.recv().map_err(|_| io::Error::other("a compressing thread ended early"))??;
        total.combine(&packed.crc);
        out.write_all(&packed.bytes)?;
    }
    out.write_all(&gzip::trailer(&total, u64::from(total.amount())))?;
    out.flush()?;
    Ok(out)
}

/// Writes blocks as they are, or through a compressor with threads of its own.
fn write_stream<W: Write>(
    out: W,
    compression: Compression,
    threads: usize,
    blocks: &Receiver<Block>,
) -> io::Result<Hashed<W>> {
    let mut out = Hashed::new(out);
    if let Compression::Zstd(level) = compression {
        let mut encoder = zstandard::encoder(out, level, threads)?;
        for block in blocks {
            encoder.write_all(&block)?;
        }
        out = encoder.finish()?;
    } else {
        for block in blocks {
            out.write_all(&block)?;
        }
    }
    out.flush()?;
    Ok(out)
}

/// Digests what passes.
struct Hashed<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new() }
    }

    fn finish(self) -> (W, Digest, u64) {
        let size = self.hasher.size();
        (self.inner, self.hasher.finish(), size)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
