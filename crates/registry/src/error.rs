//! What goes wrong with registries: what, where, and what to do about it.

use std::time::Duration;

use reqwest::StatusCode;
use slipway_oci::Digest;
use slipway_oci::manifest::ManifestError;

/// Why a registry could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{}{what}{}", place(.subject, .host), .mirrors.as_ref().map_or("", |mirrors| &mirrors.said))]
pub struct Error {
    /// What it was about: an image reference, a blob.
    pub subject: String,
    /// Who was asked.
    pub host: String,
    /// What happened.
    pub what: What,
    /// The mirrors that were asked before.
    mirrors: Option<Box<Mirrors>>,
}

/// What mirrors had to say that could not help.
#[derive(Debug)]
struct Mirrors {
    /// Each with its name; as the end of the message.
    said: String,
    /// Whether one of them may say something else the next time.
    may_recover: bool,
}

fn place(subject: &str, host: &str) -> String {
    match (subject.is_empty(), host.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!("{host}: "),
        (false, true) => format!("{subject}: "),
        (false, false) if subject.starts_with(host) => format!("{subject}: "),
        (false, false) => format!("{subject} at {host}: "),
    }
}

impl Error {
    pub(crate) fn new(subject: impl Into<String>, host: impl Into<String>, what: What) -> Self {
        Self { subject: subject.into(), host: host.into(), what, mirrors: None }
    }

    /// Returns the last of those that were asked about the same, with the words of those before it: mirrors.
    pub(crate) fn last_of(mut asked: Vec<Self>, subject: &str) -> Self {
        let Some(last) = asked.pop() else {
            return Self::new(subject, "", What::Settings("nobody to ask".into()));
        };
        let said = |mirror: &Self| format!("; before that, {}: {}", mirror.host, mirror.what);
        let may_recover = asked.iter().any(|mirror| !mirror.is_final());
        let mirrors = Mirrors { said: asked.iter().map(said).collect(), may_recover };
        Self { mirrors: Some(mirrors.into()), ..last }
    }

    /// Returns true if what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self.what, What::NotFound { .. })
    }

    /// Returns true if credentials are missing, wrong or not enough.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.what, What::Unauthorized { .. } | What::Denied { .. })
    }

    /// Returns true if all that were asked know that there is no such thing, or not for us: then something has to change.
    pub fn is_final(&self) -> bool {
        let known = match &self.what {
            What::NotFound { .. } | What::Unauthorized { .. } | What::Denied { .. } => true,
            // Something else may have been sent in its place: a page about maintenance.
            What::Manifest { source } => !matches!(**source, ManifestError::Json(_)),
            _ => false,
        };
        known && !self.mirrors.as_ref().is_some_and(|mirrors| mirrors.may_recover)
    }

    /// Returns true if the same may work a little later; it was already tried several times.
    pub fn is_transient(&self) -> bool {
        self.what.is_transient()
    }
}

/// What happened.
#[derive(Debug, thiserror::Error)]
pub enum What {
    /// 401 with every credential there is.
    #[error("the registry does not let us in ({tried}); {hint}")]
    Unauthorized {
        /// Which credentials were tried.
        tried: String,
        /// What to do.
        hint: String,
    },
    /// 403.
    #[error("the registry denies this to {as_whom}: {message}")]
    Denied {
        /// Whose credentials were used last.
        as_whom: String,
        /// The registry's words.
        message: String,
    },
    /// 404.
    #[error("not found: {message}")]
    NotFound {
        /// The registry's words, or ours.
        message: String,
    },
    /// 429, more often than we try or for longer than we wait.
    #[error("too many requests{}{message}", after(*.retry_after))]
    TooManyRequests {
        /// When the registry wants to hear from us again.
        retry_after: Option<Duration>,
        /// The registry's words.
        message: String,
    },
    /// Any other answer that is no success.
    #[error("the registry answers {status}: {message}")]
    Status {
        /// The status.
        status: StatusCode,
        /// When the registry wants to hear from us again.
        retry_after: Option<Duration>,
        /// The registry's words.
        message: String,
    },
    /// No connection.
    #[error("cannot be reached: {reason}{hint}")]
    Unreachable {
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The certificate is not trusted, or it is no TLS at all.
    #[error("no trusted connection: {reason}; {hint}")]
    Tls {
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The connection broke.
    #[error("the connection broke after {bytes} bytes: {reason}")]
    Cut {
        /// Bytes of the blob that were through.
        bytes: u64,
        /// Why.
        reason: String,
    },
    /// Nothing, or next to nothing, came or went for too long.
    #[error("nothing moved for {} seconds", .0.as_secs())]
    Slow(Duration),
    /// The bytes are not what was asked for.
    #[error("the registry sent other content than asked for: expected {expected}, got {got}")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        got: String,
    },
    /// Too few or too many bytes.
    #[error("the registry sent other content than asked for: expected {expected} bytes, got {got}")]
    Size {
        /// What was asked for.
        expected: u64,
        /// What came.
        got: String,
    },
    /// An answer that makes no sense.
    #[error("the registry's answer makes no sense: {0}")]
    Protocol(String),
    /// A place that we do not go to, or not with credentials.
    #[error("refused to follow the registry to {to}: {reason}")]
    Refused {
        /// Where it sent us.
        to: String,
        /// Why not.
        reason: String,
    },
    /// The manifest or configuration is damaged, deceptive or not for us.
    #[error("{source}")]
    Manifest {
        /// What is wrong.
        source: Box<ManifestError>,
    },
    /// A credential file or helper is broken.
    #[error("credentials: {0}")]
    Credentials(String),
    /// A setting makes no sense.
    #[error("settings: {0}")]
    Settings(String),
    /// Reading what is to be pushed, or writing what was pulled, failed.
    #[error("local: {0}")]
    Local(std::io::Error),
}

impl What {
    /// Returns true for failures that the same request may not meet again.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Cut { .. } | Self::Slow(_) | Self::TooManyRequests { .. } => {
                true
            }
            Self::Status { status, .. } => {
                matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 520..=524)
            }
            _ => false,
        }
    }
}

impl From<ManifestError> for What {
    fn from(source: ManifestError) -> Self {
        Self::Manifest { source: Box::new(source) }
    }
}

fn after(pause: Option<Duration>) -> String {
    pause.map_or_else(
        || ": ".to_owned(),
        |pause| format!(" (the registry says: again in {} s): ", pause.as_secs()),
    )
}
