//! A wish to stop, shared between threads, that a `poll` can wait for.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::event::{EventfdFlags, eventfd};

/// Asks running commands to stop. Clones share one wish; it cannot be taken back.
#[derive(Clone, Debug)]
pub struct Cancel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    asked: AtomicBool,
    /// Readable from the moment of the wish on; never read, so that every waiter sees it. Absent where the process has no
    /// file descriptor left: a command then learns of the wish at its next output.
    event: Option<OwnedFd>,
}

impl Default for Cancel {
    fn default() -> Self {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
        Self { inner: Arc::new(Inner { asked: AtomicBool::new(false), event }) }
    }
}

impl Cancel {
    /// Returns a wish that nobody has had yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the stop.
    pub fn cancel(&self) {
        self.inner.asked.store(true, Ordering::SeqCst);
        if let Some(event) = &self.inner.event {
            // It can only fail when the counter is full, and then it is readable already.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    /// Returns whether the stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.inner.asked.load(Ordering::SeqCst)
    }

    /// Returns what becomes readable with the wish.
    pub(crate) fn event(&self) -> Option<BorrowedFd<'_>> {
        self.inner.event.as_ref().map(AsFd::as_fd)
    }
}
