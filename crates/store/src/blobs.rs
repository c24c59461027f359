//! Blobs: compressed layers, configurations and manifests under the digest of their bytes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use slipway_oci::Digest;

use crate::{Error, Store, files};

impl Store {
    /// Returns where a blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(blob_name(digest))
    }

    /// Tells whether a blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Returns a blob's size where it is there.
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.blob_path(digest)).ok().map(|metadata| metadata.len())
    }

    /// Opens a blob where it is there, and marks it as used.
    ///
    /// The content is not checked here: whoever reads it to the end compares digests anyway, and calls
    /// [`Store::evict_blob`] on a difference.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<File>, Error> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Ok(file) => {
                if !self.readonly {
                    files::touch(&path);
                }
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", path, error)),
        }
    }

    /// Reads a small blob (a configuration, a manifest) and checks it; a damaged one is absent and is evicted.
    pub fn read_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let Some(bytes) = files::read_optional(&self.blob_path(digest))? else { return Ok(None) };
        if Digest::of(&bytes) == *digest {
            return Ok(Some(bytes));
        }
        self.evict_blob(digest)?;
        Ok(None)
    }

    /// Writes a small blob and returns its digest.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let mut writer = self.blob_writer()?;
        let path = writer.path.clone();
        writer.write_all(bytes).map_err(|source| Error::io("write", path, source))?;
        Ok(writer.finish(None)?.0)
    }

    /// Begins to write a blob.
    pub fn blob_writer(&self) -> Result<BlobWriter<'_>, Error> {
        let path = self.temporary()?;
        let file = File::create(&path).map_err(|source| Error::io("create", &path, source))?;
        Ok(BlobWriter { store: self, path, file: Some(file), hash: Sha256::new(), size: 0 })
    }

    /// Takes a file of the same file system as a blob, without a copy: the caller has digested it while writing.
    pub fn adopt_blob(&self, file: &Path, digest: &Digest) -> Result<(), Error> {
        self.writable()?;
        let name = blob_name(digest);
        self.journal(|journal| journal.made(&name))?;
        fs::rename(file, self.root.join(&name)).map_err(|source| Error::io("take over", file, source))
    }

    /// Removes a blob that was found to be damaged.
    pub fn evict_blob(&self, digest: &Digest) -> Result<(), Error> {
        if self.readonly {
            return Ok(());
        }
        tracing::warn!(%digest, "damaged blob, removed");
        files::remove(&self.blob_path(digest))
    }
}

/// Returns a blob's path below the root.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A blob in the making: bytes go in, the digest comes out. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    path: PathBuf,
    file: Option<File>,
    hash: Sha256,
    size: u64,
}

impl BlobWriter<'_> {
    /// Gives the blob its name, and returns its digest and size. Content that is not as expected is thrown away.
    pub fn finish(mut self, expected: Option<Digest>) -> Result<(Digest, u64), Error> {
        let actual = Digest::from_bytes(std::mem::take(&mut self.hash).finalize().into());
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(Error::Mismatch { expected, actual });
        }
        self.file = None;
        self.store.adopt_blob(&self.path, &actual)?;
        Ok((actual, self.size))
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("the blob is finished"))?;
        let count = file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter<'_> {
    fn drop(&mut self) {
        // After `finish` the name is gone already.
        let _ = fs::remove_file(&self.path);
    }
}
