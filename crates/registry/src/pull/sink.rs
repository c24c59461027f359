//! Where pulled blobs go.

use std::fs::File;
use std::io::{self, Seek, Write};

/// Takes a blob's bytes in order, on a thread of its own: it may block.
///
/// What it took is worth something only once [`crate::Registry::fetch_blob`] returned: the digest is known last.
pub trait Sink: Send + 'static {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Forgets everything taken: the blob comes again from its first byte. Needed only after a source sent a blob of the
    /// right size and the wrong content; a sink that cannot go back says so, and the pull fails.
    fn restart(&mut self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "cannot start over"))
    }
}

impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.rewind()
    }
}
