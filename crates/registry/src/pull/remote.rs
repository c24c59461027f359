//! A blob of another registry as the source of a push: it passes through, and is stored nowhere.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use slipway_oci::{Descriptor, Reference};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::error::{Error, What};
use crate::{Registry, Source};

/// How many pieces are ahead of the reader.
const QUEUE: usize = 8;

/// A blob that is elsewhere; see [`Registry::remote_blob`].
#[derive(Clone, Debug)]
pub struct RemoteBlob {
    registry: Registry,
    reference: Reference,
    descriptor: Descriptor,
    runtime: Handle,
}

impl Registry {
    /// Returns a blob of an image as the source of a push to another registry. It is asked for only if the push has to send
    /// it, and resumed after cuts; that it is the right one is for the receiving registry to check, which knows the digest.
    ///
    /// Must be called within a tokio runtime, whose threads do the work.
    pub fn remote_blob(&self, reference: &Reference, descriptor: &Descriptor) -> RemoteBlob {
        let (registry, runtime) = (self.clone(), Handle::current());
        RemoteBlob { registry, reference: reference.clone(), descriptor: descriptor.clone(), runtime }
    }

    /// Sends a blob's bytes from `position` on into a channel.
    async fn pump(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        mut position: u64,
        pieces: &mpsc::Sender<io::Result<Bytes>>,
    ) -> Result<(), Error> {
        let transport = self.transport();
        let subject = format!("blob {} of {reference}", descriptor.digest.short());
        let mut last = None;
        for endpoint in &transport.sources(reference).await? {
            let mut pauses = transport.pauses(endpoint);
            loop {
                let before = position;
                let what = match self.pump_once(endpoint, reference, descriptor, &mut position, pieces).await
                {
                    Ok(()) => return Ok(()),
                    Err(what) => what,
                };
                if position >= before + super::blob::PROGRESS {
                    pauses.progressed();
                }
                let Some(pause) = pauses.next(&what) else {
                    last = Some(Error::new(subject.clone(), endpoint.shown(), what));
                    break;
                };
                transport.pause(pause, &what).await;
            }
        }
        Err(last.unwrap_or_else(|| Error::new(subject, "", What::Settings("nobody to ask".into()))))
    }

    async fn pump_once(
        &self,
        endpoint: &crate::endpoint::Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        position: &mut u64,
        pieces: &mpsc::Sender<io::Result<Bytes>>,
    ) -> Result<(), What> {
        let (mut answer, mut skip) = self.open_blob(endpoint, reference, descriptor, *position).await?;
        while let Some(mut piece) = answer.chunk().await? {
            let known = skip.min(piece.len() as u64);
            skip -= known;
            piece.advance(known as usize);
            if *position + piece.len() as u64 > descriptor.size {
                return Err(What::Size { expected: descriptor.size, got: "more".into() });
            }
            *position += piece.len() as u64;
            // Nobody reads any more: the push ended.
            if !piece.is_empty() && pieces.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
        if *position < descriptor.size {
            return Err(What::Cut { bytes: *position, reason: "it ended early".into() });
        }
        Ok(())
    }
}

impl Source for RemoteBlob {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Remote { blob: self.clone(), offset, pieces: None, piece: Bytes::new() }))
    }
}

/// Reads a remote blob; begins with the first read.
struct Remote {
    blob: RemoteBlob,
    offset: u64,
    pieces: Option<mpsc::Receiver<io::Result<Bytes>>>,
    piece: Bytes,
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pieces = self.pieces.get_or_insert_with(|| {
            let (send, receive) = mpsc::channel(QUEUE);
            let (blob, offset) = (self.blob.clone(), self.offset);
            self.blob.runtime.spawn(async move {
                if let Err(error) = blob.registry.pump(&blob.reference, &blob.descriptor, offset, &send).await
                {
                    let _ = send.send(Err(io::Error::other(error.to_string()))).await;
                }
            });
            receive
        });
        if self.piece.is_empty() {
            match pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
