//! Leases and journals: what a living process uses, and what it made since the disk was last synced.
//!
//! One file a process, locked as long as it lives. A line is `use NAME`, `new NAME TIME`, `owe NAME TIME` (made by a process
//! that ended) or `done NAME`; the time is when it was made. The collector spares what is used or new. A file without a lock is of a process that ended: if the
//! machine has not been started anew since, what it made lies in the page cache and is whole, and its unsettled names move to
//! the next process's journal; else they may be torn, and are removed.
//!
//! This replaces a sync of each file of each layer, which would cost more than all other work together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use slipway_oci::Digest;

use crate::blobs::blob_name;
use crate::layers::layer_name;
use crate::{Error, LayerId, Store, files};

/// Linux writes what is dirty for half a minute; ten are enough for a slow disk.
const WRITTEN_BACK: Duration = Duration::from_mins(10);

/// What a line says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Use,
    New,
    Owe,
}

/// This process's file.
#[derive(Debug)]
pub(crate) struct Journal {
    root: PathBuf,
    /// Its name in `leases/`, and of its directory in `tmp/`.
    name: String,
    file: File,
    /// Names that are in the file, to write each once.
    named: BTreeSet<(Word, String)>,
    /// What was made and may not be on the disk yet, with a count that grows.
    pub(crate) unsettled: BTreeMap<String, u64>,
    pub(crate) count: u64,
}

impl Journal {
    fn create(root: &Path) -> Result<Self, Error> {
        loop {
            let name = files::unique();
            let path = root.join("leases").join(&name);
            let failed = |source: io::Error| Error::io("write", &path, source);
            let mut file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if file.metadata().map_err(failed)?.nlink() > 0 => {}
                // Whoever cleans up saw it before it was locked, and took it for that of a process that ended.
                Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => continue,
                Err(errno) => return Err(Error::io("lock", &path, errno)),
            }
            let began = file.write_all(format!("{}\n", boot_id()).as_bytes()).map_err(failed);
            // After the lease: a directory without one is nobody's.
            if let Err(error) = began.and_then(|()| files::make_dir(&root.join("tmp").join(&name))) {
                let _ = fs::remove_file(&path);
                return Err(error);
            }
            return Ok(Self {
                root: root.to_owned(),
                name,
                file,
                named: BTreeSet::new(),
                unsettled: BTreeMap::new(),
                count: 0,
            });
        }
    }

    /// Notes a name *before* it becomes visible.
    pub(crate) fn made(&mut self, name: &str) -> Result<(), Error> {
        self.note(name);
        self.line(Word::New, name, &format!("new {name} {}\n", seconds_now()))
    }

    /// Takes over what an ended process made and did not settle; that does not hold it.
    fn owes(&mut self, made: &Made<'_>) -> Result<(), Error> {
        self.note(made.name);
        self.line(Word::Owe, made.name, &format!("owe {} {}\n", made.name, made.at))
    }

    fn note(&mut self, name: &str) {
        self.count += 1;
        self.unsettled.insert(name.to_owned(), self.count);
    }

    /// Notes that what was made up to a count is on the disk.
    pub(crate) fn settled(&mut self, count: u64) -> Result<(), Error> {
        // What was made once more meanwhile has a later count, and stays.
        let done: Vec<String> =
            self.unsettled.iter().filter(|(_, at)| **at <= count).map(|(name, _)| name.clone()).collect();
        let lines = done.iter().fold(String::new(), |lines, name| lines + "done " + name + "\n");
        self.write(&lines)?;
        for name in &done {
            self.unsettled.remove(name);
            // Made again, it must be written again.
            self.named.remove(&(Word::New, name.clone()));
            self.named.remove(&(Word::Owe, name.clone()));
        }
        Ok(())
    }

    fn used(&mut self, name: &str) -> Result<(), Error> {
        self.line(Word::Use, name, &format!("use {name}\n"))
    }

    /// Writes a line, unless there is one with the same meaning.
    fn line(&mut self, word: Word, name: &str, line: &str) -> Result<(), Error> {
        let said = (word, name.to_owned());
        if self.named.contains(&said) {
            return Ok(());
        }
        // A collector that decides at this moment has either seen the line, or will be done before the name is used.
        let _shared = shared_lock(&self.root)?;
        self.write(line)?;
        self.named.insert(said);
        Ok(())
    }

    fn write(&mut self, line: &str) -> Result<(), Error> {
        self.file
            .write_all(line.as_bytes())
            .map_err(|source| Error::io("write", self.root.join("leases").join(&self.name), source))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = files::remove(&self.root.join("tmp").join(&self.name));
        // What is not on the disk yet stays on record for the next process.
        if self.unsettled.is_empty() {
            let _ = fs::remove_file(self.root.join("leases").join(&self.name));
        }
    }
}

impl Store {
    /// Holds a layer until this handle is dropped, marks it as used, and tells whether it is there.
    pub fn hold_layer(&self, id: &LayerId) -> Result<bool, Error> {
        if !self.readonly {
            let name = layer_name(id);
            self.journal(|journal| journal.used(&name))?;
            files::touch(&self.layer_dir(id).join("meta.json"));
        }
        Ok(self.has_layer(id))
    }

    /// Holds a blob until this handle is dropped, marks it as used, and tells whether it is there.
    pub fn hold_blob(&self, digest: &Digest) -> Result<bool, Error> {
        if !self.readonly {
            self.journal(|journal| journal.used(&blob_name(digest)))?;
            files::touch(&self.blob_path(digest));
        }
        Ok(self.has_blob(digest))
    }

    /// Holds anything else by its path below the root.
    pub(crate) fn hold(&self, name: &str) -> Result<(), Error> {
        self.journal(|journal| journal.used(name))
    }

    /// Works on this handle's journal, making it first where there is none.
    pub(crate) fn journal<T>(&self, work: impl FnOnce(&mut Journal) -> Result<T, Error>) -> Result<T, Error> {
        self.writable()?;
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if lease.is_none() {
            *lease = Some(Journal::create(&self.root)?);
        }
        match lease.as_mut() {
            Some(journal) => work(journal),
            None => Err(Error::io("open", self.root.join("leases"), io::ErrorKind::NotFound)),
        }
    }

    /// Returns a fresh path on the store's file system. What is made there goes with this process, at the latest when
    /// another one opens the store.
    pub fn temporary(&self) -> Result<PathBuf, Error> {
        self.journal(|journal| Ok(journal.root.join("tmp").join(&journal.name).join(files::unique())))
    }

    /// Cleans up after processes that ended: their temporary files go, what they made is judged.
    ///
    /// On a full disk what cannot be done is left for the next one: whoever opens the store may be about to make room.
    pub(crate) fn take_over(&self) -> Result<(), Error> {
        for name in files::names(&self.join("leases"))? {
            match self.take_over_one(&name) {
                Err(error) if error.is_full() => tracing::warn!(name, "left to clean up until there is room"),
                other => other?,
            }
        }
        Ok(())
    }

    fn take_over_one(&self, name: &str) -> Result<(), Error> {
        let path = self.join("leases").join(name);
        let Some(mut abandoned) = lock_abandoned(&path)? else { return Ok(()) };
        let mut text = String::new();
        abandoned.read_to_string(&mut text).map_err(|source| Error::io("read", &path, source))?;
        // First, since it makes room. A command of the ended process may still be dying, and write to it.
        self.discard(&self.join("tmp").join(name))?;
        let mut lines = text.lines();
        let same_boot = lines.next() == Some(boot_id().as_str());
        for made in unsettled(lines) {
            if made.was_written_back() {
                continue;
            }
            if same_boot {
                self.journal(|journal| journal.owes(&made))?;
            } else {
                self.drop_suspect(made.name)?;
            }
        }
        files::remove(&path)
    }

    /// Moves a temporary thing out of sight and removes it. What somebody still writes to stays in `trash` for the next
    /// collection.
    fn discard(&self, path: &Path) -> Result<(), Error> {
        if let Some(grave) = files::trash(&self.root, path)?
            && let Err(error) = files::remove(&grave)
        {
            tracing::debug!(%error, "left for the next collection");
        }
        Ok(())
    }

    fn drop_suspect(&self, name: &str) -> Result<(), Error> {
        // Lines come from our own kind, but a torn one must not lead out of the store.
        let ours = name.split_once('/').is_some_and(|(area, _)| matches!(area, "layers" | "blobs"))
            && !name.contains("..");
        if !ours {
            return Ok(());
        }
        tracing::warn!(name, "made before the machine went down without a sync, removed");
        match files::trash(&self.root, &self.join(name))? {
            Some(grave) => files::remove(&grave),
            None => Ok(()),
        }
    }

    /// Returns all names that living processes hold.
    pub(crate) fn held(&self) -> Result<BTreeSet<String>, Error> {
        let mut held = BTreeSet::new();
        for name in files::names(&self.join("leases"))? {
            let Some(bytes) = files::read_optional(&self.join("leases").join(name))? else { continue };
            let text = String::from_utf8_lossy(&bytes);
            let named = text.lines().map(|line| line.split(' ')).filter_map(|mut words| {
                words.next().filter(|word| matches!(*word, "use" | "new")).and(words.next())
            });
            held.extend(named.map(str::to_owned));
        }
        Ok(held)
    }
}

/// Locks the file of a process that ended; none where it lives, or where another one was faster.
fn lock_abandoned(path: &Path) -> Result<Option<File>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let links = file.metadata().map_err(|source| Error::io("look at", path, source))?.nlink();
    Ok((links > 0).then_some(file))
}

/// Something that an ended process made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Made<'a> {
    name: &'a str,
    /// When, in seconds since 1970; 0 where a line is torn.
    at: u64,
}

impl Made<'_> {
    /// Tells whether it is so old that the kernel has written it by itself.
    fn was_written_back(&self) -> bool {
        self.at > 0 && seconds_now().checked_sub(self.at).is_some_and(|age| age > WRITTEN_BACK.as_secs())
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Returns what was made and not settled.
fn unsettled<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Made<'a>> {
    let mut made = BTreeMap::new();
    for line in lines {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("new" | "owe"), Some(name)) => {
                let at = words.next().and_then(|at| at.parse().ok()).unwrap_or(0);
                made.insert(name, at);
            }
            (Some("done"), Some(name)) => {
                made.remove(name);
            }
            _ => {}
        }
    }
    made.into_iter().map(|(name, at)| Made { name, at }).collect()
}

/// Takes the lock under which names are added to leases; the collector takes it alone.
fn shared_lock(root: &Path) -> Result<File, Error> {
    lock(root, FlockOperation::LockShared)
}

/// Takes the lock under which nobody adds a name.
pub(crate) fn exclusive_lock(root: &Path) -> Result<File, Error> {
    lock(root, FlockOperation::LockExclusive)
}

fn lock(root: &Path, operation: FlockOperation) -> Result<File, Error> {
    let path = root.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| Error::io("open", &path, source))?;
    loop {
        match flock(&file, operation) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::io("lock", path, errno)),
        }
    }
}

/// Tells one start of the machine from another.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { "unknown".to_owned() } else { id.to_owned() }
}
