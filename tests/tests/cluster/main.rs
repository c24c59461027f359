//! ImageBuilds on a real cluster, end to end.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may

mod basics;
mod caching;
mod failures;
mod gitops;
mod isolation;
mod sources;
mod targets;
