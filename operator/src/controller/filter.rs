//! What the filters of watches are made of: [`super::wakes`] for pods, [`super::echo`] for ImageBuilds.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{Error, Event};

/// Passes on what `look` makes of each event, and all errors.
pub(super) fn passing<K: Send>(
    events: impl Stream<Item = Result<Event<K>, Error>> + Send,
    mut look: impl FnMut(Event<K>) -> Vec<K> + Send,
) -> impl Stream<Item = Result<K, Error>> + Send {
    events.flat_map(move |event| {
        stream::iter(match event {
            Ok(event) => look(event).into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    })
}

/// Returns a number by which it is known again.
pub(super) fn fingerprint(of: impl Debug) -> u64 {
    let mut hash = DefaultHasher::new();
    format!("{of:?}").hash(&mut hash);
    hash.finish()
}
