//! One at a time of what need not be done twice at once.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

/// Locks by name; forgotten once nobody holds them.
#[derive(Default)]
pub(crate) struct Flights {
    locks: Mutex<HashMap<String, Weak<Mutex<()>>>>,
}

impl Flights {
    /// Returns the lock of a name.
    pub(crate) async fn of(&self, name: &str) -> Arc<Mutex<()>> {
        let mut locks = self.locks.lock().await;
        if let Some(lock) = locks.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}
