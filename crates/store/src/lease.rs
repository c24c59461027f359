//! Leases and journals: what a living process uses, and what it made since the disk was last synced.
//!
//! One file a process, locked as long as it lives. A line is `use NAME`, `new NAME`, `owe NAME` (made by a process that
//! ended) or `done NAME`. The collector spares what is used or new. A file without a lock is of a process that ended: if the
//! machine has not been started anew since, what it made lies in the page cache and is whole, and its unsettled names move to
//! the next process's journal; else they may be torn, and are removed.
//!
//! This replaces a sync of each file of each layer, which would cost more than all other work together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use slipway_oci::Digest;

use crate::blobs::blob_name;
use crate::layers::layer_name;
use crate::{Error, LayerId, Store, files};

/// Linux writes what is dirty for half a minute; ten are enough for a slow disk.
const WRITTEN_BACK: Duration = Duration::from_mins(10);

/// This process's file. Made under a temporary name and locked before it is seen.
#[derive(Debug)]
pub(crate) struct Journal {
    root: PathBuf,
    /// Its name in `leases/`, and of its directory in `tmp/`.
    name: String,
    file: File,
    /// Names that are in the file, to write each once.
    named: BTreeSet<String>,
    /// What was made and may not be on the disk yet, with a count that grows.
    unsettled: BTreeMap<String, u64>,
    count: u64,
}

impl Journal {
    fn create(root: &Path) -> Result<Self, Error> {
        let name = files::unique();
        files::make_dir(&root.join("tmp").join(&name))?;
        let path = root.join("tmp").join(&name).join("lease");
        let failed = |source: io::Error| Error::io("write", &path, source);
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| Error::io("lock", &path, errno))?;
        file.write_all(format!("{}\n", boot_id()).as_bytes()).map_err(failed)?;
        fs::rename(&path, root.join("leases").join(&name)).map_err(failed)?;
        Ok(Self {
            root: root.to_owned(),
            name,
            file,
            named: BTreeSet::new(),
            unsettled: BTreeMap::new(),
            count: 0,
        })
    }

    /// Notes a name *before* it becomes visible.
    pub(crate) fn made(&mut self, name: &str) -> Result<(), Error> {
        self.note(name);
        self.line("new", name)
    }

    /// Takes over what an ended process made and did not settle; that does not hold it.
    fn owes(&mut self, name: &str) -> Result<(), Error> {
        self.note(name);
        self.line("owe", name)
    }

    fn note(&mut self, name: &str) {
        self.count += 1;
        self.unsettled.insert(name.to_owned(), self.count);
    }

    /// Notes that what was made up to a count is on the disk.
    fn settled(&mut self, count: u64) -> Result<(), Error> {
        // What was made once more meanwhile has a later count, and stays.
        let done: Vec<String> =
            self.unsettled.iter().filter(|(_, at)| **at <= count).map(|(name, _)| name.clone()).collect();
        let lines = done.iter().fold(String::new(), |lines, name| lines + "done " + name + "\n");
        self.write(&lines)?;
        for name in &done {
            self.unsettled.remove(name);
            // Made again, it must be written again.
            self.named.remove(&format!("new {name}\n"));
            self.named.remove(&format!("owe {name}\n"));
        }
        Ok(())
    }

    fn used(&mut self, name: &str) -> Result<(), Error> {
        self.line("use", name)
    }

    fn line(&mut self, word: &str, name: &str) -> Result<(), Error> {
        let line = format!("{word} {name}\n");
        if self.named.contains(&line) {
            return Ok(());
        }
        // A collector that decides at this moment has either seen the line, or will be done before the name is used.
        let _shared = shared_lock(&self.root)?;
        self.write(&line)?;
        self.named.insert(line);
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

    /// Writes all that was made to the disk, so that it outlives a crash of the machine too.
    ///
    /// It can take as long as the disk needs, so it belongs after the work that somebody waits for.
    pub fn settle(&self) -> Result<(), Error> {
        self.writable()?;
        let count = match self.lease.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(journal) if !journal.unsettled.is_empty() => journal.count,
            _ => return Ok(()),
        };
        // Not under the lock: other threads go on meanwhile, and what they make has a later count.
        let root = File::open(&self.root).map_err(|source| Error::io("open", &self.root, source))?;
        rustix::fs::syncfs(&root).map_err(|errno| Error::io("sync", &self.root, errno))?;
        self.journal(|journal| journal.settled(count))
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

    /// Returns a fresh name on the store's file system that goes with this process.
    pub(crate) fn temporary(&self) -> Result<PathBuf, Error> {
        self.journal(|journal| Ok(journal.root.join("tmp").join(&journal.name).join(files::unique())))
    }

    /// Cleans up after processes that ended: their temporary files go, what they made is judged.
    pub(crate) fn take_over(&self) -> Result<(), Error> {
        for name in files::names(&self.join("leases"))? {
            let path = self.join("leases").join(&name);
            let Some(mut abandoned) = lock_abandoned(&path)? else { continue };
            let mut text = String::new();
            abandoned.read_to_string(&mut text).map_err(|source| Error::io("read", &path, source))?;
            let mut lines = text.lines();
            let same_boot = lines.next() == Some(boot_id().as_str());
            for made in unsettled(lines) {
                if self.was_written_back(made) {
                    continue;
                }
                if same_boot {
                    self.journal(|journal| journal.owes(made))?;
                } else {
                    self.drop_suspect(made)?;
                }
            }
            files::remove(&self.join("tmp").join(&name))?;
            files::remove(&path)?;
        }
        Ok(())
    }

    /// Tells whether a thing is so old that the kernel has written it by itself.
    fn was_written_back(&self, name: &str) -> bool {
        let time = files::last_used(&self.join(name));
        time.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > WRITTEN_BACK)
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
            let names = text
                .lines()
                .filter_map(|line| line.strip_prefix("use ").or_else(|| line.strip_prefix("new ")));
            held.extend(names.map(str::to_owned));
        }
        Ok(held)
    }
}

/// Locks the file of a process that ended; none where it lives, or where another one was faster.
fn lock_abandoned(path: &Path) -> Result<Option<File>, Error> {
    use std::os::unix::fs::MetadataExt;
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

/// Returns the names that were made and not settled.
fn unsettled<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut made = BTreeSet::new();
    for line in lines {
        match line.split_once(' ') {
            Some(("new" | "owe", name)) => made.insert(name),
            Some(("done", name)) => made.remove(name),
            _ => false,
        };
    }
    made
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
