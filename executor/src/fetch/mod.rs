//! Brings remote sources into the store: downloads as blobs, git commits as trees.

pub mod git;
pub mod trust;
pub mod url;

/// Why a source could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address makes no sense.
    #[error("`{url}`: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer.
    #[error("no answer from `{url}`")]
    Transport {
        /// The address.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// An answer that is no success.
    #[error("`{url}` answers {status}{hint}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What may help.
        hint: &'static str,
    },
    /// Other bytes than promised.
    #[error("`{url}` has digest {actual}, not {expected} as the checksum says")]
    Checksum {
        /// The address.
        url: String,
        /// What was promised.
        expected: String,
        /// What came.
        actual: String,
    },
    /// git failed.
    #[error("git cannot fetch `{url}`: {reason}")]
    Git {
        /// The repository.
        url: String,
        /// What git says.
        reason: String,
    },
    /// The store failed.
    #[error("the store cannot take `{url}`")]
    Store {
        /// The address.
        url: String,
        /// Why.
        source: slipway_store::Error,
    },
    /// A file operation failed.
    #[error("failed to write what came from `{url}`")]
    Io {
        /// The address.
        url: String,
        /// Why.
        source: std::io::Error,
    },
}

impl FetchError {
    /// Tells whether another try may help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::Git { reason, .. } => [
                "Could not resolve",
                "timed out",
                "Connection re",
                "early EOF",
                "unexpected disconnect",
                "returned error: 5",
            ]
            .iter()
            .any(|sign| reason.contains(sign)),
            _ => false,
        }
    }
}
