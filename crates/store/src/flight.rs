//! Single flight: of all who want the same key at the same time, one does the work and the others wait for its record.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use slipway_oci::Digest;

use crate::{Error, Record, Store, files};

/// How a wait begins, and how long its pauses become: a step takes milliseconds or minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What to do about a key.
#[derive(Debug)]
pub enum Flight {
    /// Nothing: here is the result.
    Done(Box<Record>),
    /// The work: nobody else does it while the guard lives.
    Mine(FlightGuard),
    /// Somebody does it; ask again, or use [`Store::wait`].
    Theirs,
}

/// The right to work on a key. It ends with the guard, or with the process.
#[derive(Debug)]
pub struct FlightGuard {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        // Still locked here: whoever waits on this file finds it unlinked and begins anew.
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// Looks for a key's record, and where there is none claims the work. Never waits.
    pub fn begin(&self, key: &Digest) -> Result<Flight, Error> {
        if let Some(record) = self.record(key) {
            return Ok(Flight::Done(Box::new(record)));
        }
        self.writable()?;
        let path = self.join("flights").join(key.hex());
        let Some(file) = try_claim(&path, FlockOperation::NonBlockingLockExclusive)? else {
            return Ok(Flight::Theirs);
        };
        let guard = FlightGuard { path, _file: file };
        // Another one may have finished between the look and the claim.
        Ok(match self.record(key) {
            Some(record) => Flight::Done(Box::new(record)),
            None => Flight::Mine(guard),
        })
    }

    /// Like [`Store::begin`], but waits while somebody else does the work: until they are done, they failed or died (then it
    /// is [`Flight::Mine`]), the time is over, or `cancelled` says so (then it is [`Flight::Theirs`]).
    ///
    /// Who holds one guard must not wait for a second one, unless all take them in the same order.
    pub fn wait(
        &self,
        key: &Digest,
        timeout: Duration,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Flight, Error> {
        let end = Instant::now().checked_add(timeout);
        let mut pause = FIRST_PAUSE;
        loop {
            let flight = self.begin(key)?;
            let over = end.is_some_and(|end| Instant::now() >= end);
            if !matches!(flight, Flight::Theirs) || over || cancelled() {
                return Ok(flight);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Removes the files of flights whose process died. They hold nobody up; this is for order.
    pub fn sweep_flights(&self) -> Result<(), Error> {
        for name in files::names(&self.join("flights"))? {
            let path = self.join("flights").join(name);
            if let Some(file) = try_claim(&path, FlockOperation::NonBlockingLockExclusive)? {
                drop(FlightGuard { path, _file: file });
            }
        }
        Ok(())
    }
}

/// Opens and locks a lock file; none where somebody else has it.
///
/// A file that was unlinked between the open and the lock protects nothing, so it is opened again.
pub(crate) fn try_claim(path: &Path, operation: FlockOperation) -> Result<Option<File>, Error> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|source| Error::io("open", path, source))?;
        match flock(&file, operation) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(Error::io("lock", path, errno)),
        }
        let locked = file.metadata().map_err(|source| Error::io("look at", path, source))?;
        match fs::metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => return Ok(Some(file)),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("look at", path, error));
            }
            _ => {}
        }
    }
}
