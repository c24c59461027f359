//! Request bodies that can be sent again, and whose progress is watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_LENGTH;

use crate::counters::Atomics;

/// Pieces of a body.
pub(crate) type Pieces = BoxStream<'static, std::io::Result<Bytes>>;

/// What a request carries; can be made again for each attempt.
#[derive(Clone)]
pub(crate) enum Payload {
    Empty,
    Bytes(Bytes),
    Stream { length: Option<u64>, open: Arc<dyn Fn() -> Pieces + Send + Sync> },
}

impl Payload {
    /// Adds the body to a request.
    pub(super) fn attach(
        &self,
        request: RequestBuilder,
        counters: &Arc<Atomics>,
    ) -> (RequestBuilder, Progress) {
        let progress = Progress::default();
        let request = match self {
            Self::Empty => {
                progress.done.store(true, Ordering::Relaxed);
                request
            }
            Self::Bytes(bytes) => {
                let pieces: Vec<_> = pieces(bytes).map(Ok).collect();
                let stream =
                    progress.clone().count(futures::stream::iter(pieces).boxed(), Arc::clone(counters));
                request.header(CONTENT_LENGTH, bytes.len()).body(reqwest::Body::wrap_stream(stream))
            }
            Self::Stream { length, open } => {
                let stream = progress.clone().count(open(), Arc::clone(counters));
                let request = request.body(reqwest::Body::wrap_stream(stream));
                match length {
                    Some(length) => request.header(CONTENT_LENGTH, *length),
                    None => request,
                }
            }
        };
        (request, progress)
    }
}

/// Cuts bytes into pieces without copying.
fn pieces(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    const PIECE: usize = 64 << 10;
    let bytes = bytes.clone();
    (0..bytes.len()).step_by(PIECE).map(move |at| bytes.slice(at..bytes.len().min(at + PIECE)))
}

/// How far a body is sent.
#[derive(Clone, Default)]
pub(crate) struct Progress {
    sent: Arc<AtomicU64>,
    /// The next piece is being waited for: the delay is ours, not the registry's.
    waiting: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
}

impl Progress {
    /// Returns how many bytes were handed to the connection.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn count(
        self,
        pieces: Pieces,
        counters: Arc<Atomics>,
    ) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        let after = self.clone();
        futures::stream::unfold((pieces, self), |(mut pieces, progress)| async move {
            progress.waiting.store(true, Ordering::Relaxed);
            let piece = pieces.next().await;
            progress.waiting.store(false, Ordering::Relaxed);
            if piece.is_none() {
                progress.done.store(true, Ordering::Relaxed);
            }
            piece.map(|piece| (piece, (pieces, progress)))
        })
        .inspect_ok(move |piece| {
            after.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Atomics::add(&counters.sent, piece.len() as u64);
        })
    }

    /// Waits for an answer as long as the body moves; none if nothing did for `idle`, or if the answer takes longer than
    /// `patience` once all is sent.
    pub(super) async fn watch<T>(
        &self,
        answer: impl Future<Output = T>,
        idle: Duration,
        patience: Duration,
    ) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        let mut seen = self.sent();
        loop {
            let done = self.done.load(Ordering::Relaxed);
            let limit = if done { patience } else { idle };
            if let Ok(answer) = tokio::time::timeout(limit, &mut answer).await {
                return Some(answer);
            }
            let now = self.sent();
            let moved = now != seen
                || self.waiting.load(Ordering::Relaxed)
                || !done && self.done.load(Ordering::Relaxed);
            if !moved {
                return None;
            }
            seen = now;
        }
    }
}
