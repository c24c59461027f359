//! Certificate authorities that an installation trusts besides the usual ones, for git and for downloads.
//!
//! They belong to the process: whoever fetches anything trusts the same servers. The registry client has its own settings.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use reqwest::Certificate;

/// Where the usual authorities lie, in our image and on the common distributions.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

static EXTRA: OnceLock<Extra> = OnceLock::new();

#[derive(Debug)]
struct Extra {
    certificates: Vec<Certificate>,
    /// The usual authorities and the further ones in one file: git replaces its own list by a file.
    bundle: PathBuf,
}

/// Why the certificates of an installation are of no use.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TrustError {
    #[error("failed to read the certificates of the installation in {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no PEM certificate: see `registries.caBundle` of the chart")]
    NoCertificate { path: PathBuf },
    #[error("failed to write {path}")]
    Write { path: PathBuf, source: io::Error },
}

/// Trusts the certificates of a PEM file from now on. The joined bundle is written into `scratch`.
pub fn add(file: &Path, scratch: &Path) -> Result<(), TrustError> {
    let path = || file.to_owned();
    let text = std::fs::read(file).map_err(|source| TrustError::Read { path: path(), source })?;
    let certificates = Certificate::from_pem_bundle(&text).unwrap_or_default();
    if certificates.is_empty() {
        return Err(TrustError::NoCertificate { path: path() });
    }
    let mut all = SYSTEM.iter().find_map(|system| std::fs::read(system).ok()).unwrap_or_default();
    all.push(b'\n');
    all.extend(&text);
    let bundle = scratch.join("ca-bundle.pem");
    std::fs::write(&bundle, all).map_err(|source| TrustError::Write { path: bundle.clone(), source })?;
    // A process is started for one build, so a second call has nothing new to say.
    let _ = EXTRA.set(Extra { certificates, bundle });
    Ok(())
}

/// Returns the certificates beyond the usual ones.
pub(super) fn certificates() -> Vec<Certificate> {
    EXTRA.get().map(|extra| extra.certificates.clone()).unwrap_or_default()
}

/// Returns one file with all authorities, where there are more than the usual ones.
pub(super) fn bundle() -> Option<&'static Path> {
    EXTRA.get().map(|extra| extra.bundle.as_path())
}
