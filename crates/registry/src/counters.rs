//! Counts of what happened, for metrics and reports.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a client did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent, repeated and redirected ones included.
    pub requests: u64,
    /// Failures that were followed by another attempt.
    pub retries: u64,
    /// Transfers taken up where they were cut.
    pub resumed: u64,
    /// Bytes of blobs received.
    pub received: u64,
    /// Bytes of blobs sent.
    pub sent: u64,
    /// Blobs that were there already.
    pub existed: u64,
    /// Blobs mounted from another repository.
    pub mounted: u64,
    /// Blobs uploaded.
    pub uploaded: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Atomics {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) resumed: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) existed: AtomicU64,
    pub(crate) mounted: AtomicU64,
    pub(crate) uploaded: AtomicU64,
}

impl Atomics {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            requests: get(&self.requests),
            retries: get(&self.retries),
            resumed: get(&self.resumed),
            received: get(&self.received),
            sent: get(&self.sent),
            existed: get(&self.existed),
            mounted: get(&self.mounted),
            uploaded: get(&self.uploaded),
        }
    }
}
