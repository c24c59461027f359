//! What to run and in which file system, as plain data: it crosses a pipe to the re-executed `init` process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One command to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The read-only layers of the root file system, topmost FIRST (as overlayfs wants), absolute paths on the host.
    pub lowers: Vec<PathBuf>,
    /// The directory that takes the changes: overlay's upperdir. It exists and is empty, or holds an earlier part.
    pub upper: PathBuf,
    /// An empty directory on the same file system as `upper`: overlay's workdir.
    pub work: PathBuf,
    /// A directory to mount the root on.
    pub root: PathBuf,
    /// The program and its arguments; the program is looked up in `PATH` of `env`, inside the root.
    pub args: Vec<String>,
    /// The whole environment, `KEY=value`. `HOME` is added from the user's entry where missing.
    pub env: Vec<String>,
    /// The working directory, absolute, inside the root; made (0755, of the user) where it is missing.
    pub cwd: String,
    /// The user as numbers: the caller has read passwd and group.
    pub user: User,
    /// Mounts in order, after the usual ones (proc, dev, sys, shm, hosts, resolv.conf).
    pub mounts: Vec<Mount>,
    /// The network.
    pub network: Network,
    /// The host name inside.
    pub hostname: String,
    /// The content of `/etc/hosts` inside.
    pub hosts: String,
    /// The content of `/etc/resolv.conf` inside.
    pub resolv_conf: String,
    /// Limits: name (`nofile`), soft, hard.
    pub ulimits: Vec<(String, u64, u64)>,
    /// The size of `/dev/shm` in bytes; 64 MiB where not said.
    pub shm_size: Option<u64>,
}

/// Who runs the command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

/// The network of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// That of the caller: a stage pod's, or the machine's.
    #[default]
    Host,
    /// A new one with only a loopback device.
    None,
}

/// One extra mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The absolute target inside the root, resolved there; made where missing, and removed afterwards if made and still empty.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
}

/// What a mount mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum MountSource {
    /// A host path, file or directory.
    Bind { path: PathBuf, readonly: bool },
    /// A path below a stack of layers, topmost first (mounted read-only, or with a writable layer on tmpfs that is thrown away).
    Layers { lowers: Vec<PathBuf>, path: String, writable: bool },
    /// A directory of a tree with a writable layer that is thrown away.
    Scratch { path: PathBuf },
    /// A tmpfs.
    Tmpfs { size: Option<u64> },
    /// A small file on tmpfs: a secret or a script; never on disk.
    File { content: Vec<u8>, uid: u32, gid: u32, mode: u32, executable: bool },
    /// A socket of the host.
    Socket { path: PathBuf, uid: u32, gid: u32, mode: u32 },
}

impl MountSource {
    /// Returns the layers that it mounts, if it mounts layers.
    pub fn layers(&self) -> &[PathBuf] {
        match self {
            Self::Layers { lowers, .. } => lowers,
            _ => &[],
        }
    }

    /// Returns the paths of the host that it reads or writes.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Layers { lowers, .. } => lowers,
            Self::Bind { path, .. } | Self::Scratch { path } | Self::Socket { path, .. } => {
                std::slice::from_ref(path)
            }
            Self::Tmpfs { .. } | Self::File { .. } => &[],
        }
    }
}
