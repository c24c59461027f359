//! Threads that copy files while the walk goes on.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use super::file::Batch;
use crate::tree::TreeError;

/// Batches that wait at most; each holds two directories open.
const WAITING: usize = 16;

/// The queue between the walk and the threads.
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    /// Without threads the walk copies by itself.
    inline: bool,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// Batches that a thread has in hand.
    running: usize,
    closed: bool,
    /// The first error; all stop at it.
    error: Option<TreeError>,
    failed: bool,
}

impl Pool {
    /// Hands a batch over. Waits while the queue is full; an error of a thread ends the walk.
    pub(super) fn submit(&self, batch: Batch) -> Result<(), TreeError> {
        if self.inline {
            return batch.run();
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.batches.len() >= WAITING && !state.failed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        state.batches.push_back(batch);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until everything that was handed over is done: what comes next may replace it.
    pub(super) fn drain(&self) -> Result<(), TreeError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.running > 0 || !state.batches.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.error.take().map_or(Ok(()), Err)
    }

    fn work(&self) {
        while let Some(batch) = self.next() {
            let result = batch.run();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running -= 1;
            if let Err(error) = result {
                if !state.failed {
                    state.failed = true;
                    state.error = Some(error);
                }
                state.batches.clear();
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Batch> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(batch) = state.batches.pop_front() {
                state.running += 1;
                drop(state);
                self.changed.notify_all();
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

/// Closes the queue also when the walk panics, so that the threads end.
struct Closer<'a>(&'a Pool);

impl Drop for Closer<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs a walk with threads beside it, and waits for both.
pub(super) fn with_pool<T>(
    threads: usize,
    walk: impl FnOnce(&Pool) -> Result<T, TreeError>,
) -> Result<T, TreeError> {
    let pool = Pool { state: Mutex::default(), changed: Condvar::new(), inline: threads < 2 };
    let walked = std::thread::scope(|scope| {
        let closer = Closer(&pool);
        if !pool.inline {
            for _ in 0..threads {
                scope.spawn(|| pool.work());
            }
        }
        let walked = walk(&pool);
        drop(closer);
        walked
    });
    let state = pool.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.error {
        Some(error) => Err(error),
        None => walked,
    }
}
