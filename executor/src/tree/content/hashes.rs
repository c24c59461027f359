//! Digests of files that are known from before: by device, inode, size and times, so that nothing is read twice.
//!
//! There may be a million of them, so an entry is 48 bytes: a digest of what tells the file, shortened, and that of its content.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasherDefault, Hasher as StdHasher};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use slipway_oci::Digest;

use crate::tree::dir::Dir;
use crate::tree::meta::{Meta, Time};
use crate::tree::xattr;

/// What the file begins with; another one is not read.
const MAGIC: &[u8; 16] = b"slipway hashes 2";
/// Bytes of a key, and of an entry.
const KEY: usize = 16;
const ENTRY: usize = KEY + 32;
/// A file that was changed this short before it was read may change again without its times showing it.
const SETTLED: u64 = 100_000_000;
/// As many entries as are kept: those of this run, and then others.
const MOST: usize = 1_000_000;
/// Parts of the table, so that growing one moves little.
const SHARDS: usize = 64;

/// What tells a file and how it was.
type Key = [u8; KEY];
type Shard = HashMap<Key, Digest, BuildHasherDefault<Front>>;

/// Known digests. Share one between all selections of a build, and keep it between builds.
#[derive(Debug)]
pub struct Hashes {
    old: Old,
    /// Made in this run. None where nothing is remembered.
    new: Vec<RwLock<Shard>>,
    changed: AtomicBool,
}

impl Default for Hashes {
    fn default() -> Self {
        let new = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { old: Old::default(), new, changed: AtomicBool::new(false) }
    }
}

impl Hashes {
    /// Knows nothing and keeps nothing in mind.
    pub fn forgetful() -> Self {
        Self { old: Old::default(), new: Vec::new(), changed: AtomicBool::new(false) }
    }

    /// Reads what was saved. A missing, damaged or foreign file is an empty one.
    pub fn load(path: &Path) -> Self {
        let old = fs::read(path).ok().and_then(Old::decode).unwrap_or_default();
        Self { old, ..Self::default() }
    }

    /// Saves what is known, if there is anything new: under the name `temporary`, then renamed.
    pub fn save(&self, path: &Path, temporary: &Path) -> io::Result<()> {
        if !self.changed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let saved = self.write(temporary).and_then(|()| fs::rename(temporary, path));
        if saved.is_err() {
            let _ = fs::remove_file(temporary);
        }
        saved
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut new: Vec<[u8; ENTRY]> = Vec::new();
        for shard in &self.new {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            new.extend(shard.iter().map(|(key, digest)| entry(key, digest)));
        }
        new.sort_unstable();
        // Of the old ones, those that were used now stay first of all.
        let mut room = MOST.saturating_sub(new.len());
        let mut spare = room.saturating_sub(self.old.used());
        let mut out = BufWriter::new(File::create(path)?);
        let mut sum = Sha256::new();
        let mut put = |bytes: &[u8]| {
            sum.update(bytes);
            out.write_all(bytes)
        };
        put(MAGIC)?;
        let mut new = new.iter().peekable();
        for (at, old) in self.old.entries().enumerate() {
            let mut again = false;
            while let Some(next) = new.next_if(|next| next[..KEY] <= old[..KEY]) {
                again = next[..KEY] == old[..KEY];
                put(next)?;
            }
            if again {
                continue;
            }
            let used = self.old.is_used(at);
            if room > 0 && (used || spare > 0) {
                room -= 1;
                spare -= usize::from(!used);
                put(old)?;
            }
        }
        for next in new {
            put(next)?;
        }
        out.write_all(&sum.finalize())?;
        out.flush()
    }

    /// Returns a file's digest where it is known.
    pub(super) fn known(&self, meta: &Meta) -> Option<Digest> {
        let key = key_of(meta);
        if let Some(shard) = self.shard(&key)
            && let Some(digest) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&key)
        {
            return Some(*digest);
        }
        self.old.find(&key)
    }

    fn shard(&self, key: &Key) -> Option<&RwLock<Shard>> {
        self.new.get(usize::from(key[KEY - 1]) % SHARDS)
    }

    /// Reads a file: its bytes, and its attributes where it has some.
    pub(super) fn read(&self, dir: &Dir, name: &OsStr, meta: &Meta) -> io::Result<Digest> {
        let mut file = dir.open_file(name)?;
        let mut hash = Sha256::new();
        // One byte more than it should have: less than that read is its end.
        let mut buffer = vec![0; (meta.size as usize).saturating_add(1).min(128 << 10)];
        let mut total = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hash.update(&buffer[..count]);
                    total += count as u64;
                    if total >= meta.size && count < buffer.len() {
                        break;
                    }
                }
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
        let key = key_of(meta);
        if let Some(shard) = self.shard(&key)
            && settled(meta.ctime)
            && settled(meta.mtime)
            // What it is after it was read: only if that is what it was before, the digest is that of the key.
            && key_of(&Meta::from(rustix::fs::fstat(&file)?)) == key
        {
            shard.write().unwrap_or_else(PoisonError::into_inner).insert(key, digest);
            self.changed.store(true, Ordering::Relaxed);
        }
        Ok(digest)
    }
}

/// What was read from the file: sorted, so it is searched where it lies.
#[derive(Debug, Default)]
struct Old {
    bytes: Vec<u8>,
    /// A bit an entry: whether this run asked for it.
    used: Vec<AtomicU64>,
}

impl Old {
    fn decode(bytes: Vec<u8>) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        let whole = body.starts_with(MAGIC)
            && (body.len() - MAGIC.len()).is_multiple_of(ENTRY)
            && Digest::of(body).bytes() == sum;
        if !whole {
            return None;
        }
        let count = (body.len() - MAGIC.len()) / ENTRY;
        let used = (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Some(Self { bytes, used })
    }

    fn body(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(32).max(MAGIC.len());
        self.bytes.get(MAGIC.len()..end).unwrap_or_default()
    }

    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.body().chunks_exact(ENTRY)
    }

    fn find(&self, key: &Key) -> Option<Digest> {
        let body = self.body();
        let (mut low, mut high) = (0, body.len() / ENTRY);
        while low < high {
            let middle = low.midpoint(high);
            let entry = &body[middle * ENTRY..][..ENTRY];
            match entry[..KEY].cmp(&key[..]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    self.used[middle / 64].fetch_or(1 << (middle % 64), Ordering::Relaxed);
                    return Some(Digest::from_bytes(entry[KEY..].try_into().ok()?));
                }
            }
        }
        None
    }

    fn is_used(&self, at: usize) -> bool {
        self.used[at / 64].load(Ordering::Relaxed) >> (at % 64) & 1 == 1
    }

    fn used(&self) -> usize {
        self.used.iter().map(|bits| bits.load(Ordering::Relaxed).count_ones() as usize).sum()
    }
}

fn entry(key: &Key, digest: &Digest) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..KEY].copy_from_slice(key);
    entry[KEY..].copy_from_slice(digest.bytes());
    entry
}

fn key_of(meta: &Meta) -> Key {
    let mut hash = Sha256::new();
    for number in [meta.dev, meta.ino, meta.size] {
        hash.update(number.to_le_bytes());
    }
    for time in [meta.mtime, meta.ctime] {
        hash.update(time.seconds.to_le_bytes());
        hash.update(time.nanos.to_le_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = [0; KEY];
    key.copy_from_slice(&digest[..KEY]);
    key
}

/// Keys are digests: their front is as good a hash as any.
#[derive(Default)]
struct Front(u64);

impl StdHasher for Front {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8).take(1) {
            self.0 = chunk.try_into().map_or(0, u64::from_le_bytes);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Tells whether a time is far enough in the past for the next change to have another one.
fn settled(time: Time) -> bool {
    let now = Time::now();
    let nanos = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    nanos(now) - nanos(time) > i128::from(SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(ino: u64) -> Meta {
        Meta {
            kind: crate::tree::Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 1,
            mtime: Time::default(),
            ctime: Time::default(),
            dev: 1,
            ino,
            nlink: 1,
            rdev: 0,
        }
    }

    fn learn(hashes: &Hashes, inos: std::ops::Range<u64>) {
        for ino in inos {
            let key = key_of(&meta(ino));
            hashes.shard(&key).unwrap().write().unwrap().insert(key, Digest::of(ino.to_le_bytes()));
        }
        hashes.changed.store(true, Ordering::Relaxed);
    }

    #[test]
    fn what_is_saved_is_found_again_and_joined_with_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let (file, temporary) = (folder.path().join("hashes"), folder.path().join("new"));
        let first = Hashes::default();
        learn(&first, 0..1000);
        first.save(&file, &temporary).unwrap();
        let second = Hashes::load(&file);
        learn(&second, 900..1500);
        second.save(&file, &temporary).unwrap();
        let third = Hashes::load(&file);
        for ino in 0..1500 {
            assert_eq!(third.known(&meta(ino)), Some(Digest::of(ino.to_le_bytes())), "{ino}");
        }
        assert_eq!(third.known(&meta(1500)), None);
        assert_eq!(third.old.entries().count(), 1500);
        assert_eq!(third.old.used(), 1500);
        assert!(!temporary.exists());
    }
}
