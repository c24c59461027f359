//! What is remembered by key: results of steps, compressed forms of layers, and small memos.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use slipway_oci::Digest;

use crate::{Error, LayerId, Store, files};

/// The version of [`Record`] and [`Form`]; others are not understood, so they are absent.
const VERSION: u32 = 1;

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What it made; none for a step that has no file system result.
    pub layer: Option<LayerId>,
    /// When.
    pub created: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// Bytes of the layer's regular files.
    pub size: u64,
    /// What went into the key, name and value, to explain a later miss.
    pub parts: Vec<(String, String)>,
    /// The key under which it was made first; none where that is the key of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Digest>,
    /// The key by the content of what was read, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentKey>,
}

/// A key by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentKey {
    /// The key.
    pub key: Digest,
    /// The same for any content: tells whether it is worth while to read the content to ask for the key.
    pub marker: Digest,
}

/// A layer's compressed form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// The digest of the archive before compression.
    pub diff_id: Digest,
    /// The digest of the compressed bytes. The blob may be gone from this store and be in a registry still.
    pub blob: Digest,
    /// How many they are.
    pub size: u64,
    /// Their media type.
    pub media_type: String,
}

/// A document with its version.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    value: T,
}

impl Store {
    /// Returns what a key gave, where it is known and its layer is there.
    pub fn record(&self, key: &Digest) -> Option<Record> {
        let record = self.peek_record(key)?;
        if !self.readonly {
            files::touch(&self.record_path(key));
        }
        Some(record)
    }

    /// Like [`Store::record`], but does not count as a use.
    pub(crate) fn peek_record(&self, key: &Digest) -> Option<Record> {
        let record: Record = versioned(&self.record_path(key))?;
        // Asked for every step of every build, so it does not open the layer's document.
        let whole = record.layer.is_none_or(|layer| self.layer_dir(&layer).join("meta.json").is_file());
        whole.then_some(record)
    }

    /// Remembers what a key gave.
    pub fn put_record(&self, key: &Digest, record: &Record) -> Result<(), Error> {
        self.put_versioned(&self.record_path(key), record)
    }

    /// Forgets what a key gave.
    pub fn remove_record(&self, key: &Digest) -> Result<(), Error> {
        self.writable()?;
        files::remove(&self.record_path(key))
    }

    /// Returns a layer's compressed form by name: compression, level and what else decides on the bytes.
    pub fn form(&self, layer: &LayerId, name: &str) -> Result<Option<Form>, Error> {
        let path = self.form_path(layer, name)?;
        let form = versioned(&path);
        if form.is_some() && !self.readonly {
            files::touch(&path);
        }
        Ok(form)
    }

    /// Remembers a layer's compressed form.
    pub fn put_form(&self, layer: &LayerId, name: &str, form: &Form) -> Result<(), Error> {
        self.put_versioned(&self.form_path(layer, name)?, form)
    }

    /// Returns a memo: any small value under any name.
    pub fn memo<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.memo_path(name);
        files::read_document(&path)
    }

    /// Writes a memo.
    pub fn put_memo(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        files::write_document(&self.temporary()?, &self.memo_path(name), value)
    }

    fn put_versioned(&self, path: &Path, value: &impl Serialize) -> Result<(), Error> {
        files::write_document(&self.temporary()?, path, &Versioned { version: VERSION, value })
    }

    fn record_path(&self, key: &Digest) -> PathBuf {
        self.root.join("records").join(key.hex())
    }

    fn form_path(&self, layer: &LayerId, name: &str) -> Result<PathBuf, Error> {
        Ok(self.root.join("forms").join(format!("{layer}-{}", files::checked_name(name)?)))
    }

    /// Memos have names of any form, so their files are named by digest.
    fn memo_path(&self, name: &str) -> PathBuf {
        self.root.join("memos").join(Digest::of(name).hex())
    }
}

fn versioned<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let document: Versioned<T> = files::read_document(path)?;
    (document.version == VERSION).then_some(document.value)
}
