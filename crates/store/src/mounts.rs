//! Cache mounts: directories that live on between builds, with the three ways of sharing.
//!
//! `mounts/<namespace>/<id>/` holds numbered directories, each with a lock file and a file that says it is ready. Number 0
//! is for all; others come to be where `private` finds 0 taken. A mount is no step's result, so losing one loses time only.

use std::fs::{self, File};
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
        let directory = self.directory.join(directory_name(id));
        files::make_dir(&directory)?;
        // Says whose it is and, by its time, when it was last used.
        let label = directory.join("id");
        fs::write(&label, id).map_err(|source| Error::io("write", &label, source))?;
        let mut number = 0_u32;
        loop {
            let slot = Slot::new(&directory, number);
            let lease = match sharing {
                Sharing::Shared => slot.take_shared(fill)?,
                Sharing::Private | Sharing::Locked => slot.take_alone(fill)?,
            };
            if lease.is_some() || sharing != Sharing::Private {
                return Ok(lease);
            }
            number += 1;
        }
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

    fn take_shared(self, fill: &mut dyn FnMut(&Path) -> io::Result<()>) -> Result<Option<MountLease>, Error> {
        if let Some(file) = try_claim(&self.lock, FlockOperation::NonBlockingLockShared)?
            && self.ready.exists()
        {
            return Ok(Some(MountLease { path: self.data, _file: file }));
        }
        // The first user fills it alone. Going back to a shared lock opens no gap: the directory is ready by then.
        let Some(lease) = self.take_alone(fill)? else { return Ok(None) };
        flock(&lease._file, FlockOperation::NonBlockingLockShared)
            .map_err(|errno| Error::io("lock", &lease.path, errno))?;
        Ok(Some(lease))
    }

    fn take_alone(&self, fill: &mut dyn FnMut(&Path) -> io::Result<()>) -> Result<Option<MountLease>, Error> {
        let Some(file) = try_claim(&self.lock, FlockOperation::NonBlockingLockExclusive)? else {
            return Ok(None);
        };
        if !self.ready.exists() {
            files::remove(&self.data)?;
            files::make_dir(&self.data)?;
            fill(&self.data).map_err(|source| Error::io("fill", &self.data, source))?;
            fs::write(&self.ready, "").map_err(|source| Error::io("write", &self.ready, source))?;
        }
        Ok(Some(MountLease { path: self.data.clone(), _file: file }))
    }
}

/// Ids are any text, so the directory is named by digest, with what fits of the id for people.
fn directory_name(id: &str) -> String {
    let readable: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    format!("{}-{readable}", Digest::of(id).short())
}

/// Removes a mount with all its directories, unless one is in use.
pub(crate) fn remove(root: &Path, directory: &Path) -> Result<bool, Error> {
    let mut locks = Vec::new();
    for name in files::names(directory)?.iter().filter(|name| name.ends_with(".lock")) {
        match try_claim(&directory.join(name), FlockOperation::NonBlockingLockExclusive)? {
            Some(file) => locks.push(file),
            None => return Ok(false),
        }
    }
    match files::trash(root, directory)? {
        Some(grave) => files::remove(&grave).map(|()| true),
        None => Ok(false),
    }
}
