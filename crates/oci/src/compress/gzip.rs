//! gzip in blocks that can be compressed side by side.
//!
//! One gzip member with one deflate stream: every block is compressed on its own, with the end of the block before it as
//! dictionary, and ends on a byte boundary (a sync flush); an empty last block closes the stream. Every reader takes it for
//! an ordinary gzip file, and it is within a per mille of the size that one compressor would make. What will not become
//! smaller is stored as it is, which costs next to nothing.

use std::io;

use flate2::{Compress, Crc, FlushCompress, Status};

use super::guess::is_incompressible;

/// How much input makes a block. Part of what the bytes depend on: changing it changes every gzip layer's digest.
pub(super) const BLOCK: usize = 256 << 10;

/// How far deflate looks back.
const WINDOW: usize = 32 << 10;

/// No name, no time, an unknown operating system: nothing that differs from one machine to the next.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An empty, final block with fixed codes.
const LAST: [u8; 2] = [3, 0];

/// A compressed block, and what the trailer needs of it.
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) crc: Crc,
}

/// Compresses blocks, in any order.
pub(super) struct Packer {
    level: flate2::Compression,
}

impl Packer {
    pub(super) fn new(level: u32) -> Self {
        Self { level: flate2::Compression::new(level.min(9)) }
    }

    /// Compresses a block that follows `before`.
    pub(super) fn pack(&self, block: &[u8], before: &[u8]) -> io::Result<Packed> {
        let mut crc = Crc::new();
        crc.update(block);
        if self.level.level() > 0 && is_incompressible(block) {
            return Ok(Packed { bytes: stored(block), crc });
        }
        // A compressor for each block: one that was used before finds other matches, even after a reset.
        let mut deflate = Compress::new(self.level, false);
        // Without matches there is nothing to look back for.
        if !before.is_empty() && self.level.level() > 0 {
            let window = &before[before.len().saturating_sub(WINDOW)..];
            deflate.set_dictionary(window).map_err(io::Error::other)?;
        }
        let mut bytes = Vec::with_capacity(block.len() / 2 + 64);
        loop {
            let taken = deflate.total_in() as usize;
            let status = deflate
                .compress_vec(&block[taken..], &mut bytes, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            let room_left = bytes.len() < bytes.capacity();
            if deflate.total_in() as usize == block.len() && room_left && status != Status::StreamEnd {
                return Ok(Packed { bytes, crc });
            }
            bytes.reserve(block.len() / 4 + 64);
        }
    }
}

/// Returns blocks that hold the input as it is.
fn stored(block: &[u8]) -> Vec<u8> {
    const LARGEST: usize = 0xffff;
    let mut bytes = Vec::with_capacity(block.len() + 5 * block.len().div_ceil(LARGEST));
    for part in block.chunks(LARGEST) {
        let size = part.len() as u16;
        // Not the last block, and of the kind that is stored.
        bytes.push(0);
        bytes.extend(size.to_le_bytes());
        bytes.extend((!size).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Returns what ends the file: the last block, the checksum and the size of the input.
pub(super) fn trailer(crc: &Crc, size: u64) -> Vec<u8> {
    let mut bytes = LAST.to_vec();
    bytes.extend(crc.sum().to_le_bytes());
    bytes.extend((size as u32).to_le_bytes());
    bytes
}
