//! A registry for tests, on loopback and in memory, that fails as told. No stand-in for a real one in conformance tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slipway_oci::{Descriptor, Digest};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

mod http;
mod protocol;

/// A registry that fails as told. Ends when dropped.
#[derive(Debug)]
pub struct FakeRegistry {
    host: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

/// When to fail, and how. Rules are tried in the order given; each counts down.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The method; empty for any.
    pub method: &'static str,
    /// What the path and query contain; empty for any.
    pub path: String,
    /// How often it happens.
    pub times: usize,
    /// What happens.
    pub fault: Fault,
}

/// What happens instead of a proper answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with these headers and this body, and nothing is done.
    Status(u16, Vec<(String, String)>, String),
    /// The connection closes before anything is read of the body.
    Close,
    /// So many bytes of the request's body are taken (an upload keeps them), then the connection closes.
    CutRequest(usize),
    /// Everything is done, but the connection closes instead of an answer.
    LoseAnswer,
    /// So many bytes of the answer's body are sent, then the connection closes.
    CutAnswer(usize),
    /// So many bytes of the answer's body are sent, then nothing for so long.
    Stall(usize, Duration),
    /// One byte of the answer's body every so often.
    Trickle(Duration),
    /// A byte of the answer's body is wrong.
    Corrupt,
    /// The answer's body is this one, with its length announced.
    Body(Vec<u8>),
    /// A header of the answer is this one.
    Header(String, String),
    /// `Range` is not heard.
    IgnoreRange,
    /// 307 to this place and the same path and query.
    Redirect(String),
    /// The upload is forgotten, and the request answered.
    ForgetUpload,
    /// All tokens given so far are worth nothing, from this request on.
    RevokeTokens,
}

/// What the registry wants to see.
#[derive(Clone, Debug, Default)]
pub enum Guard {
    /// Nothing.
    #[default]
    Open,
    /// A name and a password.
    Basic(String, String),
    /// A token from its own token service, which gives everyone one that reads, and one that also writes for this name and
    /// password. Another realm may be named.
    Token {
        /// The name.
        username: String,
        /// The password.
        password: String,
        /// Where tokens come from; none for the registry itself.
        realm: Option<String>,
    },
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Who it was.
    pub authorization: Option<String>,
    /// Bytes of the body that came.
    pub body: usize,
    /// Content-Range or Range.
    pub range: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    /// By repository and digest.
    blobs: HashMap<(String, String), Vec<u8>>,
    /// By repository and tag or digest.
    manifests: HashMap<(String, String), (String, Vec<u8>)>,
    uploads: HashMap<String, Vec<u8>>,
    tokens: HashMap<String, String>,
    next: usize,
    rules: Vec<Rule>,
    guard: Guard,
    seen: Vec<Seen>,
}

impl FakeRegistry {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_at("127.0.0.1:0").await
    }

    /// Starts one on an address.
    pub async fn start_at(address: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let host = listener.local_addr()?.to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, name) = (Arc::clone(&state), host.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (state, host) = (Arc::clone(&shared), name.clone());
                tokio::spawn(async move {
                    // Ends with the connection, in whichever way.
                    let _ = protocol::serve(stream, &host, &state).await;
                });
            }
        });
        Ok(Self { host, state, task })
    }

    /// Returns `127.0.0.1:<port>`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Adds a rule.
    pub fn fail(&self, method: &'static str, path: &str, times: usize, fault: Fault) {
        self.state().rules.push(Rule { method, path: path.to_owned(), times, fault });
    }

    /// Sets what it wants to see.
    pub fn guard(&self, guard: Guard) {
        self.state().guard = guard;
    }

    /// Adds a blob.
    pub fn put_blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.state().blobs.insert((repository.to_owned(), descriptor.digest.to_string()), bytes.to_vec());
        descriptor
    }

    /// Adds a manifest under a tag and its digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        for key in [tag.to_owned(), descriptor.digest.to_string()] {
            self.state()
                .manifests
                .insert((repository.to_owned(), key), (media_type.to_owned(), bytes.to_vec()));
        }
        descriptor
    }

    /// Returns a blob.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.state().blobs.get(&(repository.to_owned(), digest.to_string())).cloned()
    }

    /// Returns the manifest under a tag or digest.
    pub fn manifest(&self, repository: &str, key: &str) -> Option<Vec<u8>> {
        self.state().manifests.get(&(repository.to_owned(), key.to_owned())).map(|(_, bytes)| bytes.clone())
    }

    /// Returns the requests so far, without the first look at how the server speaks (`GET /v2/`).
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Returns how many uploads are open.
    pub fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Returns how often rules are still to happen.
    pub fn faults_left(&self) -> usize {
        self.state().rules.iter().map(|rule| rule.times).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
