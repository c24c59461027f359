//! A layer on its way into a registry while it is still being packed: nothing of it is written to the disk.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use slipway_oci::{Digest, Reference};
use slipway_registry::{Error, Registry};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::AssembleError;

/// A layer up to this size waits in memory for its end: with its digest known, the registry is asked for it first, and it
/// is sent in one request.
const SMALL: usize = 1 << 20;

/// How many pieces wait between the packer and the connection.
const AHEAD: usize = 8;

/// Where packed bytes go.
pub(super) struct Upload {
    registry: Arc<Registry>,
    remotes: Handle,
    repository: Reference,
    state: State,
}

enum State {
    Small(Vec<u8>),
    Sending { feed: Feed, sent: JoinHandle<Result<(Digest, u64), Error>> },
}

impl Upload {
    pub(super) fn new(registry: Arc<Registry>, remotes: Handle, repository: Reference) -> Self {
        Self { registry, remotes, repository, state: State::Small(Vec::new()) }
    }

    /// Waits until the registry has all of it, as the blob that the packer says that it is. What was too small to be sent
    /// yet is returned.
    pub(super) fn finish(self, blob: &Digest) -> Result<Option<Vec<u8>>, AssembleError> {
        match self.state {
            State::Small(bytes) => Ok(Some(bytes)),
            State::Sending { feed, sent } => {
                feed.end();
                let (digest, _) = self.remotes.block_on(sent).map_err(|_| AssembleError::Died)??;
                // The stream has a hash of its own, which the registry has checked.
                if digest == *blob { Ok(None) } else { Err(AssembleError::Damaged { digest }) }
            }
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Small(kept) if kept.len() + bytes.len() <= SMALL => {
                kept.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            State::Small(kept) => {
                let (feed, end) = pipe();
                let (registry, repository) = (Arc::clone(&self.registry), self.repository.clone());
                let sent = self.remotes.spawn(async move { registry.push_stream(&repository, end).await });
                // The first piece waits in the queue, so that this cannot block.
                feed.send(std::mem::take(kept))?;
                self.state = State::Sending { feed, sent };
                self.write(bytes)
            }
            State::Sending { feed, sent } => match feed.send(bytes.to_vec()) {
                Ok(()) => Ok(bytes.len()),
                // The connection is over: its error says why.
                Err(broken) => match self.remotes.block_on(sent) {
                    Ok(Err(error)) => Err(io::Error::other(error)),
                    _ => Err(broken),
                },
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The packer's end of a pipe whose other end learns whether all was written.
struct Feed(SyncSender<Option<Vec<u8>>>);

impl Feed {
    fn send(&self, piece: Vec<u8>) -> io::Result<()> {
        self.0.send(Some(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    /// Says that this was all; whoever drops it instead has failed.
    fn end(self) {
        let _ = self.0.send(None);
    }
}

struct End {
    from: Receiver<Option<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    ended: bool,
}

fn pipe() -> (Feed, End) {
    let (to, from) = sync_channel(AHEAD);
    (Feed(to), End { from, piece: io::Cursor::default(), ended: false })
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || self.ended || buffer.is_empty() {
                return Ok(count);
            }
            match self.from.recv() {
                Ok(Some(piece)) => self.piece = io::Cursor::new(piece),
                Ok(None) => self.ended = true,
                // A part of a layer must not become a blob.
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the layer was not packed to its end",
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let (feed, mut end) = pipe();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                (0..100_u8).for_each(|byte| feed.send(vec![byte; 1000]).expect("a reader"));
                feed.end();
            });
            let mut all = Vec::new();
            end.read_to_end(&mut all).expect("an end");
            assert_eq!(all.len(), 100_000);
            assert_eq!((all[999], all[1000], all[99_999]), (0, 1, 99));
        });
    }

    #[test]
    fn a_packer_that_fails_is_no_end() {
        let (feed, mut end) = pipe();
        feed.send(vec![1; 10]).expect("room");
        drop(feed);
        let mut all = Vec::new();
        let error = end.read_to_end(&mut all).expect_err("no end");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(all.len(), 10);
    }
}
