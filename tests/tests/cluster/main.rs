//! ImageBuilds on a real cluster, end to end.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may

mod archives;
mod basics;
mod caching;
mod chaos;
mod early;
mod failures;
mod gitops;
mod isolation;
mod platforms;
mod polling;
mod private;
mod room;
mod sources;
mod ssh;
mod tags;
mod targets;
mod truth;
