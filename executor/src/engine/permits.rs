//! How many steps run at once: waiting for another stage costs no permit.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use slipway_sandbox::Cancel;

/// A number of permits, taken and given back.
#[derive(Debug)]
pub struct Permits {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// A permit; dropped, it is given back.
#[derive(Debug)]
pub struct Permit<'a>(&'a Permits);

impl Permits {
    /// Makes so many permits, at least one.
    pub fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), given_back: Condvar::new() }
    }

    /// Returns as many permits as suit this machine: commands wait for disk and network more than they compute.
    pub fn for_this_machine() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self::new((2 * processors).max(8))
    }

    /// Waits for a permit; none where the build is to stop first.
    pub fn take(&self, cancel: &Cancel) -> Option<Permit<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let (guard, waited) = self
                .given_back
                .wait_timeout(free, Duration::from_millis(200))
                .unwrap_or_else(PoisonError::into_inner);
            free = guard;
            if waited.timed_out() && cancel.is_cancelled() {
                return None;
            }
        }
        *free -= 1;
        Some(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}
