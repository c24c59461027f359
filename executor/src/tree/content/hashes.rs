//! Digests of files that are known from before: by device, inode, size and times, so that nothing is read twice.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use slipway_oci::Digest;

use crate::tree::dir::Dir;
use crate::tree::meta::{Meta, Time};
use crate::tree::xattr;

/// What the file begins with; another one is not read.
const MAGIC: &[u8; 16] = b"slipway hashes 1";
/// Bytes of one entry in the file.
const ENTRY: usize = 8 * 3 + 12 * 2 + 32;
/// A file that was changed this short before it was read may change again without its times showing it.
const SETTLED: u64 = 100_000_000;
/// As many entries as are kept; beyond, those of this run.
const MOST: usize = 1_000_000;

/// Which file, and how it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: Time,
    ctime: Time,
}

/// Known digests. Share one between all selections of a build, and keep it between builds.
#[derive(Debug, Default)]
pub struct Hashes {
    /// Read from the file.
    old: HashMap<Id, Digest>,
    /// Used or made in this run: what is written back.
    new: RwLock<HashMap<Id, Digest>>,
    changed: Mutex<bool>,
}

impl Hashes {
    /// Reads what was saved. A missing, damaged or foreign file is an empty one.
    pub fn load(path: &Path) -> Self {
        let old = fs::read(path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        Self { old, ..Self::default() }
    }

    /// Saves what is known, if there is anything new: under a temporary name, then renamed.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if !*self.changed.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(());
        }
        let new = self.new.read().unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(new.len());
        let rest = self.old.iter().filter(|(id, _)| !new.contains_key(id)).take(room);
        let bytes = encode(new.iter().chain(rest));
        let temporary = path.with_extension(format!("new-{}", std::process::id()));
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, path)
    }

    /// Returns a file's digest where it is known.
    pub(super) fn known(&self, meta: &Meta) -> Option<Digest> {
        let id = Id::of(meta);
        if let Some(digest) = self.new.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Some(*digest);
        }
        let digest = *self.old.get(&id)?;
        self.new.write().unwrap_or_else(PoisonError::into_inner).insert(id, digest);
        Some(digest)
    }

    /// Reads a file: its bytes, and its attributes where it has some.
    pub(super) fn read(&self, dir: &Dir, name: &OsStr, meta: &Meta) -> io::Result<Digest> {
        let mut file = dir.open_file(name)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; (meta.size as usize).clamp(1, 128 << 10)];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hash.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut digest = Digest::from_bytes(hash.finalize().into());
        let xattrs = xattr::read(&file)?;
        if !xattrs.is_empty() {
            let mut header = b"attributes".to_vec();
            super::gather::put_xattrs(&mut header, &xattrs);
            header.extend_from_slice(digest.bytes());
            digest = Digest::of(header);
        }
        // What it is after it was read: only if that is what it was before, the digest is that of the id.
        let after = Meta::from(rustix::fs::fstat(&file)?);
        if Id::of(&after) == Id::of(meta) && settled(meta.ctime) && settled(meta.mtime) {
            self.new.write().unwrap_or_else(PoisonError::into_inner).insert(Id::of(meta), digest);
            *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
        Ok(digest)
    }
}

impl Id {
    fn of(meta: &Meta) -> Self {
        Self { dev: meta.dev, ino: meta.ino, size: meta.size, mtime: meta.mtime, ctime: meta.ctime }
    }
}

/// Tells whether a time is far enough in the past for the next change to have another one.
fn settled(time: Time) -> bool {
    let now = Time::now();
    let nanos = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    nanos(now) - nanos(time) > i128::from(SETTLED)
}

fn encode<'a>(entries: impl Iterator<Item = (&'a Id, &'a Digest)>) -> Vec<u8> {
    let mut body = Vec::new();
    for (id, digest) in entries {
        for number in [id.dev, id.ino, id.size] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        for time in [id.mtime, id.ctime] {
            body.extend_from_slice(&time.seconds.to_le_bytes());
            body.extend_from_slice(&time.nanos.to_le_bytes());
        }
        body.extend_from_slice(digest.bytes());
    }
    [&MAGIC[..], Digest::of(&body).bytes(), &body].concat()
}

fn decode(bytes: &[u8]) -> Option<HashMap<Id, Digest>> {
    let (sum, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    if Digest::of(body).bytes() != sum || body.len() % ENTRY != 0 {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let time = |at: usize| {
            let nanos = bytes[at + 8..at + 12].try_into().map(u32::from_le_bytes).ok()?;
            Some(Time { seconds: number(at)?.cast_signed(), nanos })
        };
        let id =
            Id { dev: number(0)?, ino: number(8)?, size: number(16)?, mtime: time(24)?, ctime: time(36)? };
        Some((id, Digest::from_bytes(bytes[48..80].try_into().ok()?)))
    };
    body.chunks_exact(ENTRY).map(entry).collect()
}
