//! What an archive may cost whoever unpacks it.

use std::io::{self, Read};

/// Limits on an archive. The defaults let every image pass that was made in good faith.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries, names and links included.
    pub entries: u64,
    /// Bytes of a path, as Linux limits them.
    pub path: usize,
    /// Parts of a path.
    pub depth: usize,
    /// Bytes of extended headers before one entry (names, attributes).
    pub extended: u64,
    /// Bytes of the unpacked stream.
    pub unpacked: u64,
    /// Unpacked bytes a compressed byte, looked at once more than [`Limits::ratio_from`] bytes were unpacked. gzip cannot
    /// exceed 1032; a file of zeros as zstd exceeds it by far.
    pub ratio: u64,
    /// Where [`Limits::ratio`] begins to count.
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 5_000_000,
            path: 4095,
            depth: 1000,
            extended: 1 << 20,
            unpacked: 256 << 30,
            ratio: 2000,
            ratio_from: 1 << 30,
        }
    }
}

/// A reader that counts, and stops with an error at a limit.
#[derive(Debug)]
pub struct Meter<R> {
    inner: R,
    read: u64,
    limit: u64,
    what: &'static str,
}

impl<R: Read> Meter<R> {
    /// Counts what comes out of `inner`; more than `limit` bytes of `what` are an error.
    pub fn new(inner: R, limit: u64, what: &'static str) -> Self {
        Self { inner, read: 0, limit, what }
    }

    /// Returns how many bytes came out.
    pub fn count(&self) -> u64 {
        self.read
    }

    /// Returns the reader.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Returns the reader.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        if self.read > self.limit {
            let message = format!("{} is larger than the limit of {} bytes", self.what, self.limit);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(count)
    }
}
