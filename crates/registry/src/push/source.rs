//! Where pushed blobs come from.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::transport::Payload;

/// How much is read at once.
const PIECE: usize = 128 << 10;

/// How many pieces wait for the connection.
const QUEUE: usize = 4;

/// A blob at hand that can be read from any byte, any number of times.
pub trait Source: Send + Sync {
    /// Opens it for reading from `offset`. The reader is used on a thread where it may block.
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>>;
}

impl Source for Bytes {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(Box::new(Cursor::new(self.slice(start..))))
    }
}

impl Source for Vec<u8> {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Bytes::copy_from_slice(self).open(offset)
    }
}

impl Source for PathBuf {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.display()));
        let mut file = File::open(self).map_err(named)?;
        file.seek(SeekFrom::Start(offset)).map_err(named)?;
        Ok(Box::new(file))
    }
}

/// A body out of a source.
pub(super) struct Rest {
    pub(super) payload: Payload,
    pub(super) failure: Failure,
}

/// Why reading stopped, if it did: the connection's error would hide it.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().ok()?.take()
    }

    fn set(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        if let Ok(mut slot) = self.0.lock() {
            *slot = Some(error);
        }
        io::Error::new(kind, "reading the blob failed")
    }
}

/// Makes a body of `length` bytes from `offset`.
///
/// The source is opened here, for the first attempt, and again by its path for each further one.
pub(super) fn payload(source: &dyn Source, offset: u64, length: u64) -> io::Result<Rest> {
    let failure = Failure::default();
    // A request may be sent again (after a 401): the reader is handed out once, so every attempt needs one of its own.
    let readers: Vec<_> = (0..2).map(|_| source.open(offset)).collect::<io::Result<_>>()?;
    let readers = Arc::new(Mutex::new(readers));
    let on_failure = failure.clone();
    let open = move || {
        let reader = readers.lock().ok().and_then(|mut readers| readers.pop());
        let failure = on_failure.clone();
        if let Some(reader) = reader {
            read_pieces(reader, length, failure)
        } else {
            let error = io::Error::other("the request was sent too often");
            futures::stream::once(async { Err(error) }).boxed()
        }
    };
    Ok(Rest { payload: Payload::Stream { length: Some(length), open: Arc::new(open) }, failure })
}

/// Reads exactly `length` bytes on a thread of its own.
fn read_pieces(
    mut reader: Box<dyn Read + Send>,
    length: u64,
    failure: Failure,
) -> futures::stream::BoxStream<'static, io::Result<Bytes>> {
    let (send, receive) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let mut left = length;
        while left > 0 {
            let mut piece = vec![0; left.min(PIECE as u64) as usize];
            let read = match reader.read(&mut piece) {
                Ok(0) => Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the blob is shorter than its descriptor says",
                )),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other,
            };
            let piece = read.map(|count| {
                left -= count as u64;
                piece.truncate(count);
                Bytes::from(piece)
            });
            let failed = piece.is_err();
            if send.blocking_send(piece.map_err(|error| failure.set(error))).is_err() || failed {
                return;
            }
        }
    });
    futures::stream::unfold(receive, |mut receive| async move { Some((receive.recv().await?, receive)) })
        .boxed()
}
