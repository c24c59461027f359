//! The words between a sandbox and the `init` process that it starts: JSON frames on a socket that is the process's stdin.
//!
//! A socket at a fixed place needs no file descriptor to be inherited by number, which a program of many threads could not
//! do without leaking it into its other children.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{error::Failure, exit::Usage, spec::RunSpec};

/// A frame longer than this is no frame of ours.
const MAX_FRAME: usize = 256 << 20;

/// What `init` is to do; the first frame to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) spec: RunSpec,
    pub(crate) ground: Ground,
    /// Only tries whether the layers can be changed as a build needs it; runs nothing.
    pub(crate) probe: bool,
}

/// Where the command finds its root.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ground {
    /// On mounts, in namespaces of its own; with a user namespace around them whose maps the starter writes.
    Namespaces { nested: bool },
    /// In a directory of real files, and shut in there as well as `chroot` can.
    Directory(PathBuf),
    /// In the directory `/` of this very container.
    Container,
}

/// What `init` says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// The user namespace is there: write its maps, then send [`Mapped`].
    MapIds,
    /// The command ended.
    Done { status: i32, usage: Usage },
    /// A step of the preparation failed. The first such word counts.
    Failed { step: String, detail: String },
}

/// The answer to [`Word::MapIds`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mapped;

impl From<Failure> for Word {
    fn from(Failure { step, detail }: Failure) -> Self {
        Self::Failed { step, detail }
    }
}

/// Sends one frame.
pub(crate) fn send<T: Serialize>(mut socket: &UnixStream, value: &T) -> io::Result<()> {
    let body = serde_json::to_vec(value)?;
    let length = u32::try_from(body.len()).map_err(|_| io::Error::other("a frame of more than 4 GiB"))?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    socket.write_all(&frame)
}

/// Receives one frame; `None` at the end of the stream.
pub(crate) fn receive<T: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if let Err(error) = socket.read_exact(&mut length) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}
