//! From a Dockerfile and a context to a graph: reads, asks registries and servers, digests what is copied.

pub mod dockerfile;
mod facts;
pub mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_dockerfile::ast::Dockerfile;
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_graph::{Graph, KnownFacts, Lowered, Request, lower_all};
use slipway_oci::Platform;
use slipway_registry::Registry;
use slipway_store::Store;
use tokio::runtime::Handle;

use crate::engine::Cause;
use crate::event::{Event, Events};
use crate::images::Freshness;
use crate::inputs::ContextTree;
use crate::local::lent::Lent;
use crate::tree::content::Hashes;

pub use dockerfile::DockerfileText;

/// The most rounds of questions: each can only come from what the one before brought (triggers of images).
const ROUNDS: usize = 16;

/// What a plan is made with.
pub struct Planner<'a> {
    /// The store.
    pub store: &'a Store,
    /// Registries.
    pub registry: Arc<Registry>,
    /// Runs what needs the network.
    pub remotes: Handle,
    /// Who hears of it.
    pub events: Events,
    /// Whether registries must answer.
    pub freshness: Freshness,
    /// Credentials for downloads.
    pub lent: Lent,
    /// Contexts by name; the main one is `context`.
    pub contexts: BTreeMap<String, ContextTree>,
    /// Digests of files that did not change since an earlier build.
    pub hashes: Hashes,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The Dockerfile is wrong: every problem, and the text that they are about.
    #[error("the Dockerfile cannot be built")]
    Dockerfile {
        /// The problems.
        problems: Vec<Diagnostic>,
    },
    /// An image, a download or a context could not be had.
    #[error("{0}")]
    Fact(Cause),
    /// The questions never end.
    #[error("the base images' ONBUILD triggers ask for more and more; give up")]
    Endless,
}

impl PlanError {
    /// Tells whether another try may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Fact(cause) if cause.is_retryable())
    }
}

impl Planner<'_> {
    /// Makes the graph of a parsed Dockerfile for some platforms.
    pub fn graph(
        &self,
        file: &Dockerfile,
        text: &str,
        request: &Request,
        platforms: &[Platform],
    ) -> Result<Graph, PlanError> {
        let mut known = KnownFacts::default();
        for _ in 0..ROUNDS {
            let lowered = lower_all(file, text, request, platforms, &known)
                .map_err(|problems| PlanError::Dockerfile { problems })?;
            let needs = match lowered {
                Lowered::Ready(graph) => {
                    self.keep_hashes();
                    return Ok(*graph);
                }
                Lowered::Needs(needs) => needs,
            };
            for need in &needs.images {
                let for_whom =
                    if platforms.len() > 1 { format!(" for {}", need.platform) } else { String::new() };
                let what = format!("resolve {}{for_whom}", need.reference);
                self.events.event(Event::Preparing { what });
            }
            self.learn(&needs, &mut known).map_err(PlanError::Fact)?;
        }
        Err(PlanError::Endless)
    }
}

impl Planner<'_> {
    fn keep_hashes(&self) {
        let saved = self.store.temporary().map_err(std::io::Error::other);
        let saved = saved.and_then(|temporary| self.hashes.save(&hashes_file(self.store), &temporary));
        if let Err(error) = saved {
            tracing::warn!(%error, "cannot keep the digests of the context's files");
        }
    }
}

/// Returns where digests of files are kept between builds.
fn hashes_file(store: &Store) -> std::path::PathBuf {
    store.root().join("context-hashes")
}

/// Reads the digests that earlier builds kept.
pub fn known_hashes(store: &Store) -> Hashes {
    Hashes::load(&hashes_file(store))
}
