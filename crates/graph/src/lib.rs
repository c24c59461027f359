//! From stages to a content-addressed graph of steps: prune, order, keys, explanation, pictures.
//!
//! Pure: what is not in the Dockerfile (base images, contents of contexts) comes in as [`facts`] values.
//!
//! - [`outline()`] says which stages there are and how they hang together, without any network;
//! - [`lower()`] makes the [`ir::Graph`] that is run, with a [`key::Key`] for every step;
//! - [`lower_all()`] does so for several platforms, and joins what they have in common;
//! - [`explain()`] says why a step is not cached;
//! - [`picture`] draws an outline.

pub mod explain;
pub mod facts;
pub mod ir;
pub mod key;
pub mod lower;
pub mod merge;
pub mod outline;
pub mod picture;
pub mod preview;
mod remote;
pub mod request;
mod suggest;
mod words;

pub use explain::{Explanation, explain};
pub use facts::{ContentFact, ContentNeed, Facts, ImageFact, ImageNeed, KnownFacts, Needs, Selection};
pub use ir::Graph;
pub use key::{Key, KeyPart, content_key, step_key};
pub use lower::{Lowered, lower, lower_all};
pub use outline::{Outline, outline};
pub use preview::preview;
pub use request::Request;
