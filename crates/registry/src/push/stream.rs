//! Pushing a blob while it is being made: its digest and size are known only at its end.
//!
//! One PATCH carries all of it. The last bytes sent are kept, so that after a cut the upload goes on where the registry has
//! it; if the registry has less than what is kept, the push fails as transient and the caller, who usually also wrote the
//! blob to its store, pushes it from there.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use slipway_oci::digest::Hasher;
use slipway_oci::{Digest, Reference};
use tokio::sync::{Mutex, mpsc};

use super::push;
use super::session::{PROGRESS, Session};
use crate::Registry;
use crate::counters::Atomics;
use crate::error::{Error, What};
use crate::transport::Payload;

const PIECE: usize = 128 << 10;
const QUEUE: usize = 4;

impl Registry {
    /// Uploads everything that `reader` gives and returns its digest and size. The reader is used on a thread where it may
    /// block; an error of its is the push's. Does not count as one of [`crate::Settings::max_concurrency`] transfers: what
    /// makes the stream may itself wait for one.
    pub async fn push_stream(
        &self,
        repository: &Reference,
        reader: impl Read + Send + 'static,
    ) -> Result<(Digest, u64), Error> {
        let transport = self.transport();
        let endpoint = transport.registry(repository).await?;
        let access = push(&endpoint, repository);
        let subject = format!("a new blob of {}", repository.name());
        let failed = |what| Error::new(subject.clone(), endpoint.shown(), what);

        let mut session = transport
            .retrying(&subject, &endpoint, async || Session::open(transport, &endpoint, &access).await)
            .await?;
        let replay = Arc::new(Mutex::new(Replay::start(reader, transport.settings.replay_buffer)));
        let mut pauses = transport.pauses(&endpoint);
        loop {
            let before = session.offset;
            let from = Arc::clone(&replay);
            let open = move || pieces(Arc::clone(&from), before);
            let payload = Payload::Stream { length: None, open: Arc::new(open) };
            let sent = session.patch(transport, &endpoint, &access, payload, None).await;
            let mut replay = replay.lock().await;
            if let Some(error) = replay.failure.take() {
                session.cancel(transport, &endpoint, &access).await;
                return Err(failed(What::Local(error)));
            }
            let what = match sent {
                // Registries that do not say how much they have took everything.
                Ok(()) if replay.ended && (session.offset_unknown || session.offset == replay.end()) => break,
                Ok(()) => What::Cut { bytes: session.offset, reason: "the registry took a part only".into() },
                Err(what) => {
                    session.offset_unknown = true;
                    what
                }
            };
            let Some(pause) = pauses.next(&what) else {
                session.cancel(transport, &endpoint, &access).await;
                return Err(failed(what));
            };
            transport.pause(pause, &what).await;
            if session.offset_unknown {
                session.ask(transport, &endpoint, &access).await.map_err(failed)?;
            }
            if session.offset >= before + PROGRESS {
                pauses.progressed();
            }
            Atomics::add(&transport.counters.resumed, 1);
            if !replay.covers(session.offset) {
                return Err(failed(what));
            }
            replay.forget_before(session.offset);
        }
        let mut replay = replay.lock().await;
        let size = replay.end();
        let digest = replay.digest().ok_or_else(|| failed(What::Protocol("the stream has no end".into())))?;
        drop(replay);
        transport
            .retrying(&subject, &endpoint, async || {
                let committed = session.commit(transport, &endpoint, &access, &digest, Payload::Empty).await;
                match committed {
                    // The commit before may have come through, its answer not.
                    Err(what @ What::NotFound { .. }) => {
                        let there = self.exists(&endpoint, &access, repository, &digest).await;
                        if there.unwrap_or(false) { Ok(()) } else { Err(what) }
                    }
                    other => other,
                }
            })
            .await?;
        Atomics::add(&transport.counters.uploaded, 1);
        Ok((digest, size))
    }
}

/// What was read, as far as it may be needed again.
struct Replay {
    receive: mpsc::Receiver<io::Result<Bytes>>,
    kept: VecDeque<Bytes>,
    /// The offset of the first kept byte.
    start: u64,
    kept_bytes: usize,
    limit: usize,
    hasher: Option<Hasher>,
    ended: bool,
    failure: Option<io::Error>,
}

impl Replay {
    fn start(mut reader: impl Read + Send + 'static, limit: usize) -> Self {
        let (send, receive) = mpsc::channel(QUEUE);
        tokio::task::spawn_blocking(move || {
            loop {
                // Full pieces: what is kept of them counts by its length, and takes their room.
                let mut piece = Vec::with_capacity(PIECE);
                let read = (&mut reader).take(PIECE as u64).read_to_end(&mut piece);
                if matches!(read, Ok(0)) {
                    return;
                }
                let failed = read.is_err();
                if send.blocking_send(read.map(|_| Bytes::from(piece))).is_err() || failed {
                    return;
                }
            }
        });
        let hasher = Some(Hasher::new());
        Self {
            receive,
            kept: VecDeque::new(),
            start: 0,
            kept_bytes: 0,
            limit,
            hasher,
            ended: false,
            failure: None,
        }
    }

    fn end(&self) -> u64 {
        self.start + self.kept_bytes as u64
    }

    fn covers(&self, offset: u64) -> bool {
        (self.start..=self.end()).contains(&offset)
    }

    fn digest(&mut self) -> Option<Digest> {
        self.hasher.take().filter(|_| self.ended).map(Hasher::finish)
    }

    /// Drops what the registry has for sure.
    fn forget_before(&mut self, offset: u64) {
        while let Some(first) = self.kept.front()
            && self.start + first.len() as u64 <= offset
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.kept.pop_front() {
            self.start += first.len() as u64;
            self.kept_bytes -= first.len();
        }
    }

    /// Returns the bytes at `offset`: kept ones, else new ones; none at the end.
    async fn at(&mut self, offset: u64) -> Option<io::Result<Bytes>> {
        let mut position = self.start;
        for piece in &self.kept {
            let next = position + piece.len() as u64;
            if offset < next {
                return Some(Ok(piece.slice((offset - position) as usize..)));
            }
            position = next;
        }
        if self.ended {
            return None;
        }
        match self.receive.recv().await {
            None => {
                self.ended = true;
                None
            }
            Some(Err(error)) => {
                let kind = error.kind();
                self.failure = Some(error);
                Some(Err(io::Error::new(kind, "reading the blob failed")))
            }
            Some(Ok(piece)) => {
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&piece);
                }
                self.kept_bytes += piece.len();
                self.kept.push_back(piece.clone());
                while self.kept_bytes > self.limit && self.kept.len() > 1 {
                    self.drop_first();
                }
                Some(Ok(piece))
            }
        }
    }
}

/// The body from an offset on.
fn pieces(replay: Arc<Mutex<Replay>>, offset: u64) -> BoxStream<'static, io::Result<Bytes>> {
    futures::stream::unfold((replay, offset), |(replay, offset)| async move {
        let piece = replay.lock().await.at(offset).await?;
        let next = offset + piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Some((piece, (replay, next)))
    })
    .boxed()
}
