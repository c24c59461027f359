//! Zstandard with the library's own threads.
//!
//! The multi-threaded compressor cuts its input by the level alone, so its bytes do not depend on how many threads it has;
//! the single-threaded one makes other bytes and is never used.

use std::io::{self, Write};

use zstd::stream::write::Encoder;

/// Starts a compressor.
pub(super) fn encoder<W: Write>(out: W, level: i32, threads: usize) -> io::Result<Encoder<'static, W>> {
    let mut encoder = Encoder::new(out, level)?;
    encoder.multithread(threads.clamp(1, 64) as u32)?;
    Ok(encoder)
}
