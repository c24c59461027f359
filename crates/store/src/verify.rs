//! A look at everything, byte by byte: what does not fit its name is removed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use slipway_oci::Digest;

use crate::{Error, Store, files};

/// What [`Store::verify`] saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many blobs were read.
    pub blobs: usize,
    /// How many layers were looked at.
    pub layers: usize,
    /// How many documents were read.
    pub documents: usize,
    /// What was damaged and is removed now, by path below the store.
    pub damaged: Vec<String>,
}

impl Store {
    /// Reads all blobs, layers' documents, records and forms, and removes what is damaged: the next build makes it again.
    pub fn verify(&self) -> Result<Verified, Error> {
        self.writable()?;
        let mut seen = Verified::default();
        for name in files::names(&self.join("blobs/sha256"))? {
            let path = self.join("blobs/sha256").join(&name);
            let Some(actual) = digest_file(&path)? else { continue };
            seen.blobs += 1;
            if actual.hex() != name {
                files::remove(&path)?;
                seen.damaged.push(format!("blobs/sha256/{name}"));
            }
        }
        for name in files::names(&self.join("layers"))? {
            seen.layers += 1;
            let whole = name.parse().is_ok_and(|id| self.has_layer(&id));
            if !whole {
                if let Some(grave) = files::trash(&self.root, &self.join("layers").join(&name))? {
                    files::remove(&grave)?;
                }
                seen.damaged.push(format!("layers/{name}"));
            }
        }
        for area in ["records", "forms", "memos"] {
            for name in files::names(&self.join(area))? {
                seen.documents += 1;
                let path = self.join(area).join(&name);
                if path.exists() && files::read_document::<serde_json::Value>(&path).is_none() {
                    files::remove(&path)?;
                    seen.damaged.push(format!("{area}/{name}"));
                }
            }
        }
        Ok(seen)
    }
}

impl Store {
    /// Reads a blob to its end, and removes it where its bytes are not what its name says. Tells whether it is there, whole.
    ///
    /// For whoever could not use it and wants to know whether another copy would help.
    pub fn check_blob(&self, digest: &Digest) -> Result<bool, Error> {
        match digest_file(&self.blob_path(digest))? {
            Some(actual) if actual != *digest => self.evict_blob(digest).map(|()| false),
            found => Ok(found.is_some()),
        }
    }
}

/// Digests a file; none where it has gone.
fn digest_file(path: &Path) -> Result<Option<Digest>, Error> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path, error)),
        }
    }
    Ok(Some(Digest::from_bytes(hash.finalize().into())))
}
