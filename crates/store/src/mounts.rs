//! Cache mounts: directories that live on between builds, with the three ways of sharing.
//!
//! `mounts/<namespace>/<id>/` holds numbered directories, each with a lock file and a file that says it is ready. Number 0
//! is for all; others come to be where `private` finds 0 taken. A mount is no step's result, so losing one loses time only.
//! The file `.gate` is locked for the moment in which a mount is taken or removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use slipway_oci::Digest;

use crate::flight::try_claim;
use crate::{Error, Store, files};

/// How a cache mount is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Any number of users at once.
    #[default]
    Shared,
    /// Each user has a directory alone; another one is made where all are taken.
    Private,
    /// One user at a time; the others wait.
    Locked,
}

/// The cache mounts of one namespace.
#[derive(Clone, Debug)]
pub struct Mounts {
    directory: PathBuf,
}

/// A cache mount in use. The lock ends with the lease, or with the process.
#[derive(Debug)]
pub struct MountLease {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl MountLease {
    /// Returns the directory to mount.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// Returns the cache mounts of a namespace.
    pub fn mounts(&self, namespace: &str) -> Result<Mounts, Error> {
        self.writable()?;
        Mounts::open(self.join("mounts").join(files::checked_name(namespace)?))
    }
}

impl Mounts {
    /// Opens a directory of cache mounts: in a stage pod it is mounted by itself, without the store around it.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        let directory = directory.into();
        files::make_dir(&directory)?;
        Ok(Self { directory })
    }

    /// Takes a cache mount; none where it is `locked` by another user, or in use and asked for `locked`.
    ///
    /// `fill` is called on a new, empty directory before anybody else can see it.
    pub fn try_take(
        &self,
        id: &str,
        sharing: Sharing,
        fill: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> Result<Option<MountLease>, Error> {
        let gate = gate(&self.directory)?;
        let directory = self.directory.join(directory_name(id));
        files::make_dir(&directory)?;
        // Says whose it is and, by its time, when it was last used.
        let label = directory.join("id");
        fs::write(&label, id).map_err(|source| Error::io("write", &label, source))?;
        let mut number = 0_u32;
        let claimed = loop {
            let claimed = Slot::new(&directory, number).claim(sharing)?;
            if claimed.is_some() || sharing != Sharing::Private {
                break claimed;
            }
            number += 1;
        };
        // Filling may take long, and the slot's own lock protects it.
        drop(gate);
        claimed.map(|claimed| claimed.fill(sharing, fill)).transpose()
    }

    /// Takes a cache mount, waiting for it; none where `cancelled` says so.
    pub fn take(
        &self,
        id: &str,
        sharing: Sharing,
        fill: &mut dyn FnMut(&Path) -> io::Result<()>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<MountLease>, Error> {
        let mut pause = Duration::from_millis(2);
        loop {
            let lease = self.try_take(id, sharing, fill)?;
            if lease.is_some() || cancelled() {
                return Ok(lease);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

/// One numbered directory of a mount.
struct Slot {
    data: PathBuf,
    lock: PathBuf,
    ready: PathBuf,
}

impl Slot {
    fn new(directory: &Path, number: u32) -> Self {
        Self {
            data: directory.join(number.to_string()),
            lock: directory.join(format!("{number}.lock")),
            ready: directory.join(format!("{number}.ready")),
        }
    }

    /// Locks the slot: together with others if it is to be shared and ready, else alone.
    fn claim(self, sharing: Sharing) -> Result<Option<Claimed>, Error> {
        let shared = sharing == Sharing::Shared && self.ready.exists();
        let operation = if shared {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        Ok(try_claim(&self.lock, operation)?.map(|file| Claimed { slot: self, file }))
    }
}

/// A slot with its lock.
struct Claimed {
    slot: Slot,
    file: File,
}

impl Claimed {
    fn fill(
        self,
        sharing: Sharing,
        fill: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> Result<MountLease, Error> {
        let Slot { data, ready, .. } = self.slot;
        if !ready.exists() {
            files::remove(&data)?;
            files::make_dir(&data)?;
            fill(&data).map_err(|source| Error::io("fill", &data, source))?;
            fs::write(&ready, "").map_err(|source| Error::io("write", &ready, source))?;
        }
        if sharing == Sharing::Shared {
            // From alone to together opens no gap that matters: the directory is ready.
            flock(&self.file, FlockOperation::NonBlockingLockShared)
                .map_err(|errno| Error::io("lock", &data, errno))?;
        }
        Ok(MountLease { path: data, _file: self.file })
    }
}

/// Takes the lock under which mounts are taken and removed.
fn gate(directory: &Path) -> Result<File, Error> {
    let path = directory.join(".gate");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| Error::io("open", &path, source))?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::io("lock", path, errno)),
        }
    }
}

/// Ids are any text, so the directory is named by digest, with what fits of the id for people.
fn directory_name(id: &str) -> String {
    let readable: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    format!("{}-{readable}", Digest::of(id).short())
}

/// Removes a mount with all its directories, unless one is in use.
pub(crate) fn remove(root: &Path, directory: &Path) -> Result<bool, Error> {
    let Some(gate) = directory.parent().map(gate).transpose()? else { return Ok(false) };
    let mut locks = Vec::new();
    for name in files::names(directory)?.iter().filter(|name| name.strip_suffix(".lock").is_some()) {
        match try_claim(&directory.join(name), FlockOperation::NonBlockingLockExclusive)? {
            Some(file) => locks.push(file),
            None => return Ok(false),
        }
    }
    let grave = files::trash(root, directory)?;
    drop(gate);
    match grave {
        Some(grave) => files::remove(&grave).map(|()| true),
        None => Ok(false),
    }
}
