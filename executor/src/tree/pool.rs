//! Threads that work on files while a walk goes on.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use super::TreeError;

/// Jobs that wait at most; each may hold directories open.
const WAITING: usize = 16;

/// Something that a thread does.
pub(super) trait Job: Send {
    /// Does it.
    fn run(self) -> Result<(), TreeError>;
}

/// The queue between the walk and the threads.
pub(super) struct Pool<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    /// Without threads the walk does the work by itself.
    inline: bool,
}

struct State<J> {
    jobs: VecDeque<J>,
    /// Jobs that a thread has in hand.
    running: usize,
    closed: bool,
    /// The first error; all stop at it.
    error: Option<TreeError>,
    failed: bool,
}

impl<J: Job> Pool<J> {
    /// Hands a job over. Waits while the queue is full; an error of a thread ends the walk.
    pub(super) fn submit(&self, job: J) -> Result<(), TreeError> {
        if self.inline {
            return job.run();
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.jobs.len() >= WAITING && !state.failed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until everything that was handed over is done: what comes next may replace it.
    pub(super) fn drain(&self) -> Result<(), TreeError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.running > 0 || !state.jobs.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.error.take().map_or(Ok(()), Err)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            let result = job.run();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running -= 1;
            if let Err(error) = result {
                if !state.failed {
                    state.failed = true;
                    state.error = Some(error);
                }
                state.jobs.clear();
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<J> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.running += 1;
                drop(state);
                self.changed.notify_all();
                return Some(job);
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
struct Closer<'a, J: Job>(&'a Pool<J>);

impl<J: Job> Drop for Closer<'_, J> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs a walk with threads beside it, and waits for both.
pub(super) fn with_pool<J: Job, T>(
    threads: usize,
    walk: impl FnOnce(&Pool<J>) -> Result<T, TreeError>,
) -> Result<T, TreeError> {
    let state = State { jobs: VecDeque::new(), running: 0, closed: false, error: None, failed: false };
    let pool = Pool { state: Mutex::new(state), changed: Condvar::new(), inline: threads < 2 };
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

/// Returns how many threads suit this machine for work that the kernel does most of.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}
