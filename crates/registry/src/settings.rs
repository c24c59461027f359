//! What a client of registries is told at its start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`crate::Registry`]. The default talks to public registries, anonymously.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Registry name (`docker.io`) → mirrors, asked in this order before the registry itself; for pulls only.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Registries (`host[:port]`) whose certificate is not checked, and that may speak plain http. Loopback addresses
    /// are always among them.
    pub insecure: Vec<String>,
    /// PEM files of certificate authorities that are trusted beside the system's.
    pub ca_files: Vec<PathBuf>,
    /// Where credentials are: Docker's `config.json`, Secrets of type `kubernetes.io/dockerconfigjson` or `dockercfg`,
    /// or folders with one of them. Read again whenever a token is needed, so that rotated Secrets work.
    pub credential_files: Vec<PathBuf>,
    /// Credentials given directly, by registry name or `registry/path`; they win over files.
    pub logins: Vec<(String, Login)>,
    /// How many blobs are transferred at the same time.
    pub max_concurrency: usize,
    /// How failures that may pass are repeated.
    pub retry: Retry,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Blobs up to this size are uploaded with one request.
    pub small_blob: u64,
    /// How many bytes of a streamed upload are kept, to send them again after a cut.
    pub replay_buffer: usize,
    /// What the client calls itself.
    pub user_agent: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            insecure: vec![],
            ca_files: vec![],
            credential_files: vec![],
            logins: vec![],
            max_concurrency: 6,
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            small_blob: 4 << 20,
            replay_buffer: 8 << 20,
            user_agent: concat!("slipway/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A place that holds copies of another registry's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// `host[:port][/prefix]`, or a URL with a scheme; `http://` makes it plain.
    pub location: String,
}

impl From<&str> for Mirror {
    fn from(location: &str) -> Self {
        Self { location: location.to_owned() }
    }
}

/// Who we are to a registry. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password, or a token used as one.
        password: String,
    },
    /// A token that is exchanged for others (OAuth2 refresh token).
    Identity(String),
    /// A token that the registry takes as it is.
    Bearer(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(…)",
            Self::Identity(_) => "Identity(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

/// How failures that may pass are repeated: each pause twice the one before, give or take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often a request is made before giving up.
    pub attempts: u32,
    /// The first pause.
    pub first: Duration,
    /// The longest pause, and the longest that a registry may ask for (`Retry-After`) before it counts as a failure.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 6, first: Duration::from_millis(250), longest: Duration::from_mins(1) }
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A connection, TLS included.
    pub connect: Duration,
    /// The next byte in either direction, and an answer.
    pub idle: Duration,
    /// The answer after an upload's last byte: registries copy and hash then.
    pub commit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_mins(1),
            commit: Duration::from_mins(5),
        }
    }
}
