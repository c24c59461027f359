//! Sources of a context: a folder, a git commit, an archive from a server or a pipe. Remote ones become trees in the store.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use reqwest::header::HeaderMap;
use slipway_oci::Digest;
use slipway_store::{LayerId, LayerMeta, Store};
use tokio::runtime::Handle;

use crate::fetch::{FetchError, git, url};
use crate::local::tree_cause;
use crate::tree::Time;
use crate::tree::copy::{Item, Options, copy};
use crate::tree::source::Source as TreeSource;
use crate::tree::{LayerStack, Owner};

/// Where a context comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Nowhere: no files.
    Empty,
    /// A folder of this machine.
    Folder(PathBuf),
    /// A git repository.
    Git(git::Source, git::Credentials),
    /// An archive, or a lone Dockerfile, from a server.
    Http {
        /// Where from.
        url: String,
        /// What it must be.
        checksum: Option<String>,
    },
    /// An archive, or a lone Dockerfile, that was read from a pipe into this file.
    Stream(PathBuf),
}

/// A source that is here.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The folder; none where there are no files.
    pub folder: Option<PathBuf>,
    /// The tree in the store, where it is one.
    pub layer: Option<LayerId>,
    /// A lone Dockerfile that came instead of a context.
    pub dockerfile: Option<Vec<u8>>,
    /// What it is, for people: `main@sha1:…`, `sha256:…`.
    pub revision: String,
    /// Whether `.dockerignore` is honoured: for folders of this machine only, as in BuildKit.
    pub honours_ignore: bool,
}

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The folder is not there.
    #[error("the context `{}` is not a folder", .0.display())]
    NoFolder(PathBuf),
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A registry did not give it.
    #[error("the registry cannot give the source")]
    Registry(#[source] Box<slipway_registry::Error>),
    /// An archive could not be unpacked.
    #[error("the context's archive cannot be unpacked: {0}")]
    Archive(String),
    /// The store failed.
    #[error("the store cannot take the context")]
    Store(#[from] slipway_store::Error),
    /// A file operation failed.
    #[error("failed to read the context")]
    Io(#[from] io::Error),
}

impl From<slipway_registry::Error> for SourceError {
    fn from(error: slipway_registry::Error) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl SourceError {
    /// Tells whether another try may help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_retryable(),
            Self::Registry(error) => error.is_transient(),
            Self::Store(_) | Self::Io(_) => true,
            _ => false,
        }
    }
}

/// Reads a context as the command line names it: a folder, `-`, or an address.
pub fn parse(text: &str) -> Result<Source, FetchError> {
    let lower = text.to_ascii_lowercase();
    let is_http = lower.starts_with("http://") || lower.starts_with("https://");
    let path = text.split(['#', '?']).next().unwrap_or_default();
    let is_git = lower.starts_with("git://")
        || lower.starts_with("ssh://")
        || (is_http && Path::new(path).extension().is_some_and(|extension| extension == "git"))
        || is_scp(text);
    if is_git {
        return Ok(Source::Git(git::Source::parse(text)?, git::Credentials::default()));
    }
    if is_http {
        return Ok(Source::Http { url: text.to_owned(), checksum: None });
    }
    Ok(Source::Folder(PathBuf::from(text)))
}

/// Recognises `git@host:path`, unless a folder has that name.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let plain = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    rest.split_once(':').is_some_and(|(host, path)| plain(user) && plain(host) && !path.is_empty())
        && !Path::new(text).exists()
}

/// Brings a source here.
pub fn fetch(store: &Store, remotes: &Handle, source: &Source) -> Result<Fetched, SourceError> {
    match source {
        Source::Empty => Ok(Fetched::default()),
        Source::Folder(path) => {
            let folder = path
                .canonicalize()
                .ok()
                .filter(|path| path.is_dir())
                .ok_or_else(|| SourceError::NoFolder(path.clone()))?;
            Ok(Fetched { folder: Some(folder), honours_ignore: true, ..Fetched::default() })
        }
        Source::Git(source, credentials) => {
            let (commit, layer) = remotes.block_on(async {
                let commit = git::resolve(source, credentials).await?;
                let layer = git::checkout(store, source, &commit, credentials).await?;
                Ok::<_, FetchError>((commit, layer))
            })?;
            Ok(Fetched {
                folder: Some(store.layer_path(&layer)),
                layer: Some(layer),
                revision: commit.revision(),
                ..Fetched::default()
            })
        }
        Source::Http { url, checksum } => {
            let found = remotes.block_on(url::fetch(store, url, checksum.as_deref(), &HeaderMap::new()))?;
            from_archive(store, &store.blob_path(&found.digest), found.digest)
        }
        Source::Stream(path) => {
            let digest = digest_of(path)?;
            from_archive(store, path, digest)
        }
    }
}

/// Copies a pipe into a file of the store's temporary folder, where the archive is read from.
pub fn spool(store: &Store, mut pipe: impl Read) -> Result<Digest, SourceError> {
    let mut writer = store.blob_writer()?;
    io::copy(&mut pipe, &mut writer)?;
    writer.flush()?;
    let (digest, _) = writer.finish(None)?;
    store.hold_blob(&digest)?;
    Ok(digest)
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(Digest::from_bytes(hash.finalize().into()));
        }
        hash.update(&buffer[..count]);
    }
}

/// Unpacks an archive into the store; what is no archive is a lone Dockerfile.
fn from_archive(store: &Store, path: &Path, digest: Digest) -> Result<Fetched, SourceError> {
    let revision = digest.to_string();
    let mut head = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut head)?;
    if !is_archive(&head) {
        let dockerfile = Some(fs::read(path)?);
        return Ok(Fetched { dockerfile, revision, ..Fetched::default() });
    }
    let layer = LayerId::source(Digest::of(format!("archive tree 1\n{digest}")));
    if !store.hold_layer(&layer)? {
        let writer = store.layer_writer(&layer)?;
        unpack(path, writer.fs()).map_err(SourceError::Archive)?;
        writer.commit(LayerMeta::default())?;
        store.hold_layer(&layer)?;
    }
    Ok(Fetched { folder: Some(store.layer_path(&layer)), layer: Some(layer), revision, ..Fetched::default() })
}

/// Tells archives, packed or not, by their first bytes.
fn is_archive(head: &[u8]) -> bool {
    let packed: [&[u8]; 4] =
        [&[0x1f, 0x8b], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z'], &[0x28, 0xb5, 0x2f, 0xfd]];
    packed.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar")
}

/// Unpacks an archive as `ADD` does: nothing gets out of `into`.
pub(crate) fn unpack(archive: &Path, into: &Path) -> Result<(), String> {
    let folder = archive.parent().unwrap_or(Path::new("/"));
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stack = LayerStack::plain(folder).map_err(|error| tree_cause(error).to_string())?;
    let mut options = Options::new(Time::now());
    options.owner = Some(Owner::default());
    let source = TreeSource { stack: &stack, ignore: None, owner: Some(Owner::default()) };
    let item = Item::Path { source, pattern: &name, unpack: true };
    let copied = copy(into, &LayerStack::empty(), &[item], "/", &options);
    copied.map(drop).map_err(|error| tree_cause(error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_told_by_their_spelling() {
        assert!(matches!(parse("."), Ok(Source::Folder(_))));
        assert!(matches!(parse("https://h/a.git#main"), Ok(Source::Git(..))));
        assert!(matches!(parse("git@h:a"), Ok(Source::Git(..))));
        assert!(matches!(parse("https://h/a.tar.gz"), Ok(Source::Http { .. })));
    }

    #[test]
    fn archives_are_told_by_their_first_bytes() {
        assert!(is_archive(&[0x1f, 0x8b, 8]));
        assert!(!is_archive(b"FROM scratch\n"));
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(is_archive(&tar));
    }
}
