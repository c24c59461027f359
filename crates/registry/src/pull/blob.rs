//! Pulling a blob: resumed after cuts, from the next source if one fails, checked on the way.

use std::time::Instant;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};
use slipway_oci::digest::Hasher;
use slipway_oci::{Descriptor, Digest, Reference};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{Sink, pull};
use crate::Registry;
use crate::counters::Atomics;
use crate::endpoint::Endpoint;
use crate::error::{Error, What};
use crate::transport::{Answer, refused};

/// How many pieces wait for the sink.
const QUEUE: usize = 16;

/// Progress that earns another attempt.
pub(super) const PROGRESS: u64 = 64 << 10;

/// Fewer bytes than this within the idle time is not progress but a trickle.
const TRICKLE: u64 = 1 << 10;

impl Registry {
    /// Pulls a blob into a sink and returns the sink once every byte is checked.
    ///
    /// A cut is resumed where it was; a source that fails or lies is left for the next one (mirrors first, then the
    /// registry). The descriptor's `urls` are never asked.
    pub async fn fetch_blob<S: Sink>(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: S,
    ) -> Result<S, Error> {
        let transport = self.transport();
        let _permit = transport.transfers.acquire().await;
        let subject = format!("blob {} of {reference}", descriptor.digest.short());
        let sources = transport.sources(reference).await?;
        let mut target = Target::start(sink);
        let mut passed = Vec::new();
        for endpoint in &sources {
            let mut pauses = transport.pauses(endpoint);
            let mut lies = 0;
            loop {
                let before = target.received;
                let what = match self.fetch_from(endpoint, reference, descriptor, &mut target).await {
                    Ok(()) => {
                        return target
                            .finish()
                            .await
                            .map_err(|what| Error::new(subject, endpoint.shown(), what));
                    }
                    Err(what) => what,
                };
                if matches!(what, What::Local(_)) {
                    return Err(Error::new(subject, endpoint.shown(), what));
                }
                if target.received >= before + PROGRESS {
                    pauses.progressed();
                }
                // Wrong content may be a cache's fault on the way: once more, then someone else.
                let lied = matches!(what, What::Digest { .. } | What::Size { .. });
                lies += u32::from(lied);
                if lied && let Err(local) = target.restart().await {
                    tracing::debug!(%local, "the sink cannot start over");
                    return Err(Error::new(subject, endpoint.shown(), what));
                }
                let pause =
                    if lied && lies < 2 { Some(transport.settings.retry.first) } else { pauses.next(&what) };
                let Some(pause) = pause else {
                    tracing::debug!(%what, host = endpoint.name, "giving up on this source");
                    passed.push(Error::new(subject.clone(), endpoint.shown(), what));
                    break;
                };
                transport.pause(pause, &what).await;
            }
        }
        Err(Error::last_of(passed, &subject))
    }

    /// Asks for a blob from `position` on; also returns how many bytes of the answer come before that.
    pub(super) async fn open_blob(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        position: u64,
    ) -> Result<(Answer, u64), What> {
        let transport = self.transport();
        let url = endpoint.url(reference, &format!("blobs/{}", descriptor.digest))?;
        let mut call = transport.call(Method::GET, url);
        if position > 0 && position < descriptor.size {
            let range = format!("bytes={position}-");
            call.headers
                .insert(RANGE, HeaderValue::try_from(range).map_err(|_| What::Protocol("range".into()))?);
        }
        let answer = transport.send(endpoint, &pull(endpoint, reference), &call).await?;
        match answer.status() {
            StatusCode::OK => Ok((answer, position)),
            StatusCode::PARTIAL_CONTENT if starts_at(&answer, position) => {
                Atomics::add(&transport.counters.resumed, 1);
                Ok((answer, 0))
            }
            StatusCode::PARTIAL_CONTENT => Err(What::Protocol("it sent another range than asked for".into())),
            _ => Err(refused(answer).await),
        }
    }

    /// Gets what is missing of a blob in one request.
    async fn fetch_from<S: Sink>(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        target: &mut Target<S>,
    ) -> Result<(), What> {
        let transport = self.transport();
        let (mut answer, mut skip) = self.open_blob(endpoint, reference, descriptor, target.received).await?;
        let idle = transport.settings.timeouts.idle;
        let mut window = (Instant::now(), target.received);
        loop {
            let piece = answer.chunk().await.map_err(|what| match what {
                What::Cut { reason, .. } => What::Cut { bytes: target.received, reason },
                other => other,
            })?;
            let Some(mut piece) = piece else { break };
            if skip > 0 {
                let known = skip.min(piece.len() as u64);
                skip -= known;
                piece = piece.slice(known as usize..);
            }
            if target.received + piece.len() as u64 > descriptor.size {
                return Err(What::Size { expected: descriptor.size, got: "more".into() });
            }
            Atomics::add(&transport.counters.received, piece.len() as u64);
            target.take(piece).await?;
            if window.0.elapsed() > idle {
                if target.received < window.1 + TRICKLE {
                    return Err(What::Slow(idle));
                }
                window = (Instant::now(), target.received);
            }
        }
        if target.received < descriptor.size {
            let reason = "it ended early".to_owned();
            return Err(What::Cut { bytes: target.received, reason });
        }
        let digest = target.digest().await?;
        if digest != descriptor.digest {
            return Err(What::Digest { expected: descriptor.digest, got: digest.to_string() });
        }
        Ok(())
    }
}

/// Checks that an answer begins where the last one ended.
fn starts_at(answer: &Answer, offset: u64) -> bool {
    let range = answer.header(&CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes "));
    range.and_then(|range| range.split('-').next()).and_then(|start| start.trim().parse().ok())
        == Some(offset)
}

/// The thread that hashes and hands on to the sink.
struct Target<S> {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<(S, std::io::Result<()>)>,
    received: u64,
}

enum Order {
    Take(Bytes),
    Restart(oneshot::Sender<std::io::Result<()>>),
    Digest(oneshot::Sender<Digest>),
}

impl<S: Sink> Target<S> {
    fn start(mut sink: S) -> Self {
        let (orders, mut queue) = mpsc::channel(QUEUE);
        let thread = tokio::task::spawn_blocking(move || {
            let mut hasher = Hasher::new();
            while let Some(order) = queue.blocking_recv() {
                match order {
                    Order::Take(bytes) => {
                        hasher.update(&bytes);
                        if let Err(error) = sink.write(&bytes) {
                            return (sink, Err(error));
                        }
                    }
                    Order::Restart(reply) => {
                        hasher = Hasher::new();
                        let _ = reply.send(sink.restart());
                    }
                    Order::Digest(reply) => {
                        let _ = reply.send(hasher.clone().finish());
                    }
                }
            }
            (sink, Ok(()))
        });
        Self { orders, thread, received: 0 }
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), What> {
        if piece.is_empty() {
            return Ok(());
        }
        let length = piece.len() as u64;
        if self.orders.send(Order::Take(piece)).await.is_err() {
            return Err(self.failure().await);
        }
        self.received += length;
        Ok(())
    }

    async fn digest(&mut self) -> Result<Digest, What> {
        let (reply, digest) = oneshot::channel();
        let sent = self.orders.send(Order::Digest(reply)).await;
        match (sent, digest.await) {
            (Ok(()), Ok(digest)) => Ok(digest),
            _ => Err(self.failure().await),
        }
    }

    async fn restart(&mut self) -> Result<(), What> {
        let (reply, result) = oneshot::channel();
        let sent = self.orders.send(Order::Restart(reply)).await;
        match (sent, result.await) {
            (Ok(()), Ok(result)) => result.map_err(What::Local)?,
            _ => return Err(self.failure().await),
        }
        self.received = 0;
        Ok(())
    }

    /// Returns why the thread ended.
    async fn failure(&mut self) -> What {
        let error = match (&mut self.thread).await {
            Ok((_, Err(error))) => error,
            _ => std::io::Error::other("the thread that takes the blob ended early"),
        };
        What::Local(error)
    }

    async fn finish(self) -> Result<S, What> {
        drop(self.orders);
        match self.thread.await {
            Ok((sink, Ok(()))) => Ok(sink),
            Ok((_, Err(error))) => Err(What::Local(error)),
            Err(_) => Err(What::Local(std::io::Error::other("the thread that takes the blob panicked"))),
        }
    }
}
