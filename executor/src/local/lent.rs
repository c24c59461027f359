//! What the user lends to a build: secrets and SSH agents. Values are read when a step mounts them, and kept nowhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

/// The most bytes of a secret.
const SECRET_LIMIT: u64 = 500 * 1024;

/// Where a secret's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A value that was given directly (from the environment).
    Value(Vec<u8>),
}

/// Everything that is lent.
#[derive(Clone, Debug, Default)]
pub struct Lent {
    /// Secrets by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Sockets of SSH agents by id.
    pub agents: BTreeMap<String, PathBuf>,
    /// A folder with one file a secret, for ids that are not in `secrets`.
    pub folder: Option<PathBuf>,
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret `{id}` cannot be read from `{}`", path.display())]
    Read {
        /// Its id.
        id: String,
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("the secret `{0}` is larger than 500 KiB")]
    TooLarge(String),
}

impl Lent {
    /// Returns a secret's value; none where nobody lends it.
    pub fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, SecretError> {
        match self.secrets.get(id) {
            Some(SecretSource::Value(value)) => Ok(Some(value.clone())),
            Some(SecretSource::File(path)) => read(id, path).map(Some),
            None => {
                // Ids name files here, so those that could leave the folder name nothing.
                let plain = !id.is_empty() && !id.starts_with('.') && !id.contains('/') && !id.contains('\0');
                match self.folder.as_ref().filter(|_| plain).map(|folder| folder.join(id)) {
                    Some(path) if path.exists() => read(id, &path).map(Some),
                    _ => Ok(None),
                }
            }
        }
    }

    /// Returns the headers that secrets named `HTTP_AUTH_TOKEN_<host>` or `HTTP_AUTH_HEADER_<host>` give a download.
    pub fn headers(&self, url: &str) -> Result<HeaderMap, SecretError> {
        let mut headers = HeaderMap::new();
        let host = url
            .split_once("://")
            .map_or("", |(_, rest)| rest)
            .split(['/', '?', '#'])
            .next()
            .unwrap_or_default();
        let value = match self.secret(&format!("HTTP_AUTH_HEADER_{host}"))? {
            Some(value) => Some(value),
            None => self
                .secret(&format!("HTTP_AUTH_TOKEN_{host}"))?
                .map(|token| [b"Bearer ".as_slice(), token.trim_ascii()].concat()),
        };
        if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok()) {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// Returns the socket of an SSH agent; none where nobody lends it.
    pub fn agent(&self, id: &str) -> Option<&Path> {
        self.agents.get(id).map(PathBuf::as_path)
    }
}

fn read(id: &str, path: &Path) -> Result<Vec<u8>, SecretError> {
    let failed = |source| SecretError::Read { id: id.to_owned(), path: path.to_owned(), source };
    let mut value = Vec::new();
    File::open(path).map_err(failed)?.take(SECRET_LIMIT + 1).read_to_end(&mut value).map_err(failed)?;
    if value.len() as u64 > SECRET_LIMIT { Err(SecretError::TooLarge(id.to_owned())) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_leave_the_folder() {
        let folder = std::env::temp_dir();
        let lent = Lent { folder: Some(folder), ..Lent::default() };
        for id in ["../etc/passwd", "/etc/passwd", "..", "", ".hidden"] {
            assert!(matches!(lent.secret(id), Ok(None)), "{id}");
        }
    }

    #[test]
    fn a_large_secret_is_refused() {
        let path = std::env::temp_dir().join(format!("slipway-secret-{}", std::process::id()));
        std::fs::write(&path, vec![b'x'; 500 * 1024 + 1]).expect("write");
        let secrets = BTreeMap::from([("big".to_owned(), SecretSource::File(path.clone()))]);
        let lent = Lent { secrets, ..Lent::default() };
        assert!(matches!(lent.secret("big"), Err(SecretError::TooLarge(_))));
        std::fs::remove_file(path).expect("remove");
    }
}
