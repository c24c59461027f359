//! Bringing what was made to the disk: after the work that somebody waits for, or beside it.

use std::fs::File;
use std::sync::PoisonError;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::{Error, Store};

/// How often it is done beside long work: so the end of the work finds little left to do.
const EVERY: Duration = Duration::from_secs(5);

impl Store {
    /// Tells whether something was made that may not be on the disk yet: there is something for [`Store::settle`] to do.
    pub fn is_unsettled(&self) -> bool {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        lease.as_ref().is_some_and(|journal| !journal.unsettled.is_empty())
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

    /// Does work with a thread beside it that settles now and then, and settles once more at its end.
    ///
    /// For a store that other machines use too: one of them cannot know whether this one went down, and drops what a process
    /// left unsettled.
    pub fn settle_beside<T>(&self, work: impl FnOnce() -> T) -> T {
        let settle = &|| {
            if let Err(error) = self.settle() {
                tracing::warn!(%error, "cannot bring the cache to the disk");
            }
        };
        std::thread::scope(|scope| {
            let (end, ended) = channel::<()>();
            scope.spawn(move || {
                while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    settle();
                }
            });
            let done = work();
            drop(end);
            settle();
            done
        })
    }
}
